from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib (extra 'plot') is not installed")

from matplotlib.text import Text  # noqa: E402

from penchant.errors import InputError  # noqa: E402
from penchant.evaluate_lists import ListReport  # noqa: E402
from penchant.plots import save_figure  # noqa: E402
from penchant.plots_lists import OfWhat, coverage_figure, lists_figure  # noqa: E402


def report(level: float, kinds: tuple[str, ...] = ("recall", "ndcg", "precision", "hit"), **more: float) -> ListReport:
    """Metrics that rise with the length of the list, a tenth uncertain to each side."""
    metrics = {f"{kind}@{k}": level * (k / 50) ** 0.5 for kind in kinds for k in (1, 5, 10, 50)} | more
    intervals = {name: (0.9 * value, 1.1 * value) for name, value in metrics.items() if "coverage" not in name}
    nobody = np.empty(0, np.int32)
    return ListReport(metrics, intervals, 600, 3, 0, 9098, 0, nobody, {})


def texts_of(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def note_of(figure: Any) -> str:
    return str(figure.get_suptitle())


def extents(figure: Any, texts: list[Any]) -> list[Any]:
    """Of the words alone, without the lines from them."""
    renderer = figure.canvas.get_renderer()
    return [Text.get_window_extent(text, renderer) for text in texts]


def n_overlaps(boxes: list[Any]) -> int:
    return sum(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


# --- lists by length ----------------------------------------------------------------------------------


def test_each_metric_has_a_panel_and_each_model_a_line_with_its_band() -> None:
    figure = lists_figure({"als": report(0.5), "popularity": report(0.2)}, OfWhat())
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Recall", "NDCG", "Precision", "Hit rate"]
    for axes in figure.axes:
        als, popularity = axes.lines
        assert als.get_xdata().tolist() == [1, 5, 10, 50]
        np.testing.assert_allclose(als.get_ydata(), 0.5 * np.sqrt(np.array([1, 5, 10, 50]) / 50))
        np.testing.assert_allclose(popularity.get_ydata(), 0.2 * np.sqrt(np.array([1, 5, 10, 50]) / 50))
        corners = axes.collections[0].get_paths()[0].vertices
        for k, value in zip(als.get_xdata(), als.get_ydata(), strict=True):
            heights = corners[corners[:, 0] == k, 1]
            assert (heights.min(), heights.max()) == (pytest.approx(0.9 * value), pytest.approx(1.1 * value))
        assert texts_of(axes) == ["als", "popularity"]
        assert als.get_color() != popularity.get_color()
        assert axes.get_ylim()[0] == 0


def test_a_model_alone_is_named_above_and_its_last_values_are_written() -> None:
    figure = lists_figure({"als": report(0.5)}, OfWhat())
    assert note_of(figure).startswith(
        "als: means over users, with 95 % bands; 9,098 held-out interactions of 600 users"
    )
    assert [texts_of(axes) for axes in figure.axes] == [["0.500"]] * 4


def test_the_note_says_what_is_not_counted() -> None:
    reports = {"als": report(0.5), "ease": report(0.4)}
    assert note_of(lists_figure(reports, OfWhat())) == (
        "Means over users, with 95 % bands; 9,098 held-out interactions of 600 users"
    )
    note = note_of(lists_figure(reports, OfWhat(618, 3.5)))
    assert "interactions of 3.5 or more of 600 users" in note
    assert "\n618 more, of users or items unknown to the model, are not counted" in note


def test_metrics_of_all_lists_together_and_of_no_length_are_left_out() -> None:
    one = report(0.5, ("recall",), auc=0.9, **{"coverage@10": 0.1})
    (axes,) = lists_figure({"als": one}, OfWhat()).axes
    assert axes.get_title(loc="left") == "Recall"
    with pytest.raises(InputError, match="no lists"):
        lists_figure({"als": report(0.5, (), auc=0.9)}, OfWhat())
    with pytest.raises(InputError, match="no lists"):
        lists_figure({}, OfWhat())


@pytest.mark.parametrize("spread", [0.0, 0.001, 0.05])
def test_names_keep_apart_and_on_the_paper_and_lines_are_told_apart(spread: float) -> None:
    reports = {f"a model of a long name {i}": report(0.3 + spread * i) for i in range(9)}
    figure = lists_figure(reports, OfWhat(618))
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = extents(figure, axes.texts)
        assert n_overlaps(boxes) == 0
        assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
        assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 9


# --- accuracy against coverage ------------------------------------------------------------------------


def models(n: int = 3, apart: float = 0.04) -> dict[str, ListReport]:
    return {
        f"model {i}": report(0.2, (), **{"ndcg@10": 0.2 + apart * i, "coverage@10": 0.01 + apart * (n - i)})
        for i in range(n)
    }


def test_dots_are_at_coverage_and_accuracy_with_their_limits() -> None:
    reports = models()
    (axes,) = coverage_figure(reports, OfWhat(), 10).axes
    for place, one in enumerate(reports.values()):
        x, y = one.metrics["coverage@10"], one.metrics["ndcg@10"]
        assert axes.collections[place].get_offsets().tolist() == [[x, y]]
        bar = axes.lines[place]
        assert set(bar.get_xdata()) == {x}
        assert tuple(bar.get_ydata()) == one.intervals["ndcg@10"]
    assert axes.get_xlabel().endswith("(coverage@10)")
    assert axes.get_ylabel() == "ndcg@10, mean over users"
    assert {"model 0", "model 1", "model 2"} <= set(texts_of(axes))


@pytest.mark.parametrize("apart", [0.0001, 0.004, 0.04])
def test_names_of_dots_do_not_overlap_and_nothing_leaves_the_paper(apart: float) -> None:
    figure = coverage_figure(models(8, apart), OfWhat(1_234_567, 3.5), 10)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = extents(figure, axes.texts)
    assert n_overlaps(boxes) == 0
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_a_model_that_recommends_to_nobody_anew_can_be_drawn() -> None:
    one = report(0.2, (), **{"ndcg@10": 0.0, "coverage@10": 0.0})
    (axes,) = coverage_figure({"popularity": one}, OfWhat(), 10).axes
    assert axes.get_xlim()[1] > 0


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_same_input_gives_the_same_bytes(kind: str, tmp_path: Path) -> None:
    for draw in (lambda: lists_figure(models_by_length(), OfWhat(5)), lambda: coverage_figure(models(), OfWhat(), 10)):
        for name in ("one", "two"):
            save_figure(draw(), tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def models_by_length() -> dict[str, ListReport]:
    return {"als": report(0.5), "popularity": report(0.2)}
