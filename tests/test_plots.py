from __future__ import annotations

import importlib
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib (extra 'plot') is not installed")

from matplotlib.text import Text  # noqa: E402

from penchant.calibration import LEVELS, AtLevel, Band, Coverage  # noqa: E402
from penchant.errors import InputError, MissingExtraError  # noqa: E402
from penchant.explain import principal_components  # noqa: E402
from penchant.models.fitting import Ending, Epoch, FitLog  # noqa: E402
from penchant.plots import (  # noqa: E402
    calibration_figure,
    history_figure,
    map_figure,
    save_figure,
)


def log_of(
    model: str, train: list[float], valid: list[float] | None, kept: int = -1, ending: Ending = "finished"
) -> FitLog:
    losses = zip(train, valid or [None] * len(train), strict=True)
    epochs = tuple(Epoch(i, t, v, 0.1) for i, (t, v) in enumerate(losses))
    return FitLog(model, epochs, kept % len(epochs), ending, 1.0, 0)


MF = log_of("mf", [0.9, 0.7, 0.6, 0.5], [0.85, 0.8, 0.76, 0.77], kept=2, ending="stopped early")
DOT = log_of("dot", [0.95, 0.8, 0.7], [0.9, 0.82, 0.765])
BIAS = log_of("bias", [0.65], [0.767])


def items(n: int = 40, d: int = 8) -> tuple[Any, list[str], Any]:
    """Crowded items with names from short to too long."""
    rng = np.random.default_rng(0)
    names = [f"Item {i}" + ": the return of a long name" * (i % 3) for i in range(n)]
    return rng.standard_t(3, (n, d)).astype(np.float32), names, rng.integers(1, 300, n)


def extents(figure: Any, texts: list[Any]) -> list[Any]:
    renderer = figure.canvas.get_renderer()
    return [Text.get_window_extent(text, renderer) for text in texts]


def n_overlaps(boxes: list[Any]) -> int:
    return sum(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def names_on(figure: Any) -> list[Any]:
    """The names of a map, without the note."""
    return [text for text in figure.axes[0].texts if type(text) is Text]


def labels(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def lines(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


# --- the losses ---------------------------------------------------------------------------------------


def test_one_fit_shows_both_losses_and_the_epoch_kept() -> None:
    (axes,) = history_figure([MF]).axes
    drawn = lines(axes)
    np.testing.assert_array_equal(drawn["train"].get_ydata(), [0.9, 0.7, 0.6, 0.5])
    np.testing.assert_array_equal(drawn["validation"].get_ydata(), [0.85, 0.8, 0.76, 0.77])
    np.testing.assert_array_equal(drawn["validation"].get_xdata(), [0, 1, 2, 3])
    assert labels(axes) == ["train 0.600 at epoch 2", "validation 0.760 at epoch 2"]
    assert axes.get_title(loc="left") == "mf: epoch 2 kept (stopped early)"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "mean squared error")
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o"]
    assert dots == [(2, 0.6), (2, 0.76)]


def test_epochs_are_whole_numbers() -> None:
    for log in (MF, BIAS, log_of("mf", [0.5] * 2, None)):
        (axes,) = history_figure([log]).axes
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(tick == int(tick) for tick in ticks)


def test_without_validation_there_is_train_alone() -> None:
    log = log_of("mf", [0.9, 0.7], None)
    (axes,) = history_figure([log]).axes
    assert labels(axes) == ["train 0.700"]
    (axes,) = history_figure([log, log]).axes
    assert labels(axes) == ["mf #1 0.700", "mf #2 0.700"]
    assert axes.get_title(loc="left") == "Train"


def test_several_fits_share_a_panel_for_each_loss() -> None:
    validation, train = history_figure([MF, DOT, BIAS]).axes
    assert labels(validation) == ["mf 0.760 at epoch 2", "dot 0.765", "bias 0.767"]
    assert labels(train) == ["mf 0.600 at epoch 2", "dot 0.700", "bias 0.650"]
    np.testing.assert_array_equal(lines(validation)["dot"].get_ydata(), [0.9, 0.82, 0.765])
    level = lines(validation)["bias"]
    assert (level.get_linestyle(), set(level.get_ydata())) == ("--", {0.767})
    assert len({line.get_color() for line in lines(validation).values()}) == 3


def test_a_fit_without_validation_is_missing_from_that_panel_only() -> None:
    validation, train = history_figure([MF, log_of("dot", [0.9, 0.8], None)]).axes
    assert labels(validation) == ["mf 0.760 at epoch 2"]
    assert labels(train) == ["mf 0.600 at epoch 2", "dot 0.800"]


@pytest.mark.parametrize("spread", [0.0, 0.001, 1.0])
def test_end_labels_do_not_overlap(spread: float) -> None:
    logs = [log_of(f"model {i}", [1.0, 0.5 + spread * i], [1.0, 0.6 - spread * i]) for i in range(9)]
    figure = history_figure(logs)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = extents(figure, axes.texts)
        assert n_overlaps(boxes) == 0
        assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
        assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_nothing_to_draw() -> None:
    with pytest.raises(InputError, match="no epochs"):
        history_figure([])
    with pytest.raises(InputError, match="no epochs"):
        history_figure([FitLog("mf", (), 0, "finished", 0.0, 0)])


# --- the map ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dpi", [72, 150, 300])
def test_names_on_the_map_do_not_overlap(dpi: int) -> None:
    factors, names, counts = items()
    figure = map_figure(factors, names, counts, title="Items")
    figure.set_dpi(dpi)
    texts = names_on(figure)
    boxes = extents(figure, texts)
    assert len(texts) == 40
    assert n_overlaps(boxes) == 0
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_the_most_rated_are_shown_at_their_places() -> None:
    factors, names, counts = items(100)
    figure = map_figure(factors, names, counts, shown=7, title="Seven items")
    (axes,) = figure.axes
    rows = np.argsort(-counts, kind="stable")[:7]
    positions, shares = principal_components(factors)
    np.testing.assert_allclose(axes.collections[0].get_offsets(), positions[rows])
    assert [text.get_text() for text in names_on(figure)] == [
        name if len(name) <= 32 else name[:31].rstrip() + "…" for name in (names[row] for row in rows)
    ]
    sizes = axes.collections[0].get_sizes()
    assert (np.diff(sizes) <= 0).all()
    assert sizes[0] > sizes[-1]
    assert axes.get_title(loc="left") == "Seven items"
    assert axes.get_xlabel() == f"first principal component ({100 * shares[0]:.0f} % of the variance)"
    assert axes.get_ylabel() == f"second principal component ({100 * shares[1]:.0f} % of the variance)"
    assert "the 7 most rated of 100 items" in labels(axes)[-1]


def test_unsigned_counts_are_ordered_as_numbers() -> None:
    factors, names, _ = items(3)
    figure = map_figure(factors, names, np.array([0, 9, 5], np.uint8), shown=1, title="")
    assert [text.get_text() for text in names_on(figure)] == [names[1][:31].rstrip() + "…"]


def test_names_without_room_are_left_out_and_counted() -> None:
    factors, names, counts = items(60)
    factors[:] = 0
    figure = map_figure(factors, [f"{name} {'m' * 30}" for name in names], counts, shown=60, title="One place")
    texts = names_on(figure)
    assert 0 < len(texts) < 60
    assert n_overlaps(extents(figure, texts)) == 0
    assert f"; {60 - len(texts)} of the names found no room" in labels(figure.axes[0])[-1]


@pytest.mark.parametrize(
    "factors",
    [
        np.ones((1, 4)),
        np.array([[1.0], [2.0], [4.0]]),
        np.zeros((3, 2)),
        np.full((3, 2), 0.1),
        np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 1.0]]),
    ],
    ids=["one item", "one factor", "all zero", "all alike", "two alike"],
)
def test_degenerate_factors(factors: Any) -> None:
    n = len(factors)
    figure = map_figure(factors.astype(np.float32), ["name"] * n, np.ones(n, np.int64), title="Few")
    texts = names_on(figure)
    assert len(texts) == n
    assert n_overlaps(extents(figure, texts)) == 0


def test_special_names_stand_for_themselves(tmp_path: Path) -> None:
    names = [
        "$x^2$ and $",
        r"\frac{a}{b}",
        "a_b^{c}",
        "千と千尋の神隠し",
        "Амели",
        "فيلم",
        "🎬",
        "",
        "two\nlines",
        "%&#~",
    ]
    factors, _, counts = items(len(names))
    figure = map_figure(factors, names, counts, title="Films of $ 千\n尋")
    assert {text.get_text() for text in names_on(figure)} == {" ".join(name.split()) for name in names}
    for kind in ("png", "svg", "pdf"):
        save_figure(figure, tmp_path / f"map.{kind}")
    history = history_figure([log_of("$mf$", [1.0, 0.5], None), log_of("模型_^", [1.0, 0.5], None)])
    save_figure(history, tmp_path / "history.png")
    assert labels(history.axes[0]) == ["$mf$ 0.500", "模型_^ 0.500"]


def test_principal_components() -> None:
    angle = np.deg2rad(30)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    steps = np.array([[2, 0], [-2, 0], [0, 1], [0, -1]])
    factors = (steps @ [along, across] + 5).astype(np.float32)
    positions, shares = principal_components(factors)
    np.testing.assert_allclose(positions, steps, atol=1e-5)  # the largest entry of both directions is positive
    np.testing.assert_allclose(shares, [8 / 10, 2 / 10], atol=1e-6)


def test_items_that_do_not_go_together() -> None:
    factors, names, counts = items(4)
    with pytest.raises(InputError, match="4 items, 3 names and 4 counts"):
        map_figure(factors, names[:3], counts, title="")
    with pytest.raises(InputError, match="no items"):
        map_figure(factors[:0], [], counts[:0], title="")
    with pytest.raises(InputError, match="0 items cannot be shown"):
        map_figure(factors, names, counts, shown=0, title="")
    factors[1, 1] = np.nan
    with pytest.raises(InputError, match="NaN"):
        map_figure(factors, names, counts, title="")


# --- calibration --------------------------------------------------------------------------------------

COVERAGE = Coverage(
    tuple(AtLevel(level, level**1.2, 4 * level) for level in LEVELS),
    (Band(0, 1_234_567, 0.8, 0.001), Band(50, 30, 0.95, 0.05), Band(500, 7, 1.0, 0.0)),
    (Band(0, 3, 0.0, 0.0), Band(5, 900, 0.91, 0.01)),
    1_234_604,
    True,
)


def test_calibration_shows_levels_and_bands() -> None:
    levels, bands = calibration_figure(COVERAGE, "$mf$").axes
    curve = next(line for line in levels.lines if line.get_marker() == "o")
    np.testing.assert_array_equal(curve.get_xdata(), LEVELS)
    np.testing.assert_allclose(curve.get_ydata(), np.array(LEVELS) ** 1.2)
    assert levels.get_title(loc="left") == "$mf$: coverage by level"
    assert [label.get_text() for label in bands.get_yticklabels()] == [
        *("users with 0 to 49", "users with 50 to 499", "users with 500 or more"),
        *("items with 0 to 4", "items with 5 or more"),
    ]
    dots = [line.get_xdata()[0] for line in bands.lines if line.get_marker() == "o"]
    assert dots == [0.8, 0.95, 1.0, 0.0, 0.91]
    bars = [
        list(line.get_xdata()) for line in bands.lines if line.get_marker() == "None" and line.get_linestyle() == "-"
    ]
    assert bars[1] == pytest.approx([0.95 - 1.96 * 0.05, 1])
    assert labels(bands) == ["1,234,567", "30", "7", "3", "900", "ratings"]


@pytest.mark.parametrize("name", ["mf", "A module of one's own with a long name"])
def test_nothing_of_the_calibration_overlaps(name: str) -> None:
    figure = calibration_figure(COVERAGE, name)
    figure.draw_without_rendering()
    texts = [figure._suptitle]
    for axes in figure.axes:
        shown = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label, axes._left_title]
        texts += [text for text in (*shown, *axes.texts) if text.get_text()]
    boxes = extents(figure, texts)
    assert n_overlaps(boxes) == 0
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_a_coverage_of_one_band_is_drawn(tmp_path: Path) -> None:
    one = Coverage((AtLevel(0.9, 0.0, 1.0),), (Band(0, 1, 0.0, 0.0),), (Band(0, 1, 0.0, 0.0),), 1)
    for kind in ("png", "svg"):
        save_figure(calibration_figure(one, "bias"), tmp_path / f"one.{kind}")
        save_figure(calibration_figure(one, "bias"), tmp_path / f"two.{kind}")
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


# --- files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_same_input_same_bytes(suffix: str, start: bytes, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_figure(map_figure(*items(12), title="Items"), tmp_path / f"map {name}.{suffix}")
        save_figure(history_figure([MF, DOT, BIAS]), tmp_path / f"history {name}.{suffix}")
    for what in ("map", "history"):
        one, two = ((tmp_path / f"{what} {name}.{suffix}").read_bytes() for name in ("one", "two"))
        assert one == two
        assert one.startswith(start)


def test_an_existing_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "history.PNG"
    file.write_text("old")
    save_figure(history_figure([MF]), str(file))
    assert file.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", ["history.bmp", "history", ".png"])
def test_other_suffixes(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.png, \.svg or \.pdf"):
        save_figure(history_figure([MF]), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        save_figure(history_figure([MF]), tmp_path / "missing" / "history.png")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    taken = tmp_path / "history.png"
    taken.mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        save_figure(history_figure([MF]), taken)
    assert list(tmp_path.rglob("*")) == [taken]


def test_a_users_settings_play_no_part_and_stay(tmp_path: Path) -> None:
    save_figure(history_figure([MF]), tmp_path / "plain.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "text.parse_math": True}):
        before = dict(matplotlib.rcParams)
        save_figure(history_figure([MF]), tmp_path / "red.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "red.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_pyplot_is_not_loaded() -> None:
    code = "import sys, penchant.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "penchant.plots")
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(MissingExtraError, match=r"penchant\[plot\]"):
        importlib.import_module("penchant.plots")
