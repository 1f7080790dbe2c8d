"""Pictures: the losses of one or more fits, a map of items, what intervals cover; and what all pictures share.

Figures are built without pyplot and under matplotlib's own defaults, so neither a screen nor anybody's
settings play a part: the same input gives the same bytes.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.calibration import BAND_LEVEL, Band, Coverage
from penchant.errors import InputError, MissingExtraError
from penchant.explain import principal_components
from penchant.labels import Places
from penchant.models.fitting import FitLog

try:
    import matplotlib.style
    from matplotlib import font_manager
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator
except ImportError as error:
    raise MissingExtraError("Drawing", extra="plot") from error

Floats = NDArray[np.float64]

# Okabe and Ito's palette, told apart by the colour-blind; without its yellow, too pale for lines on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY = "#666666"
STYLE = {
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "figure.dpi": 150,
    "svg.hashsalt": "penchant",
}
# Asked in this order, where installed, for letters that matplotlib's own font lacks.
OTHER_FONTS = ("Noto Sans", "Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic", "Microsoft YaHei", "Arial Unicode MS")
METADATA = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}

LONGEST_NAME = 32  # characters
LONGEST_TITLE = 80
LINE_HEIGHT = 13.0  # points, of a label of 9 points with air
SMALLEST_DOT, LARGEST_DOT = 12.0, 90.0  # points², the area of the square around it

COUNT = {"color": GREY, "fontsize": 9, "va": "center", "annotation_clip": False}
NORMAL_95 = 1.96  # standard errors to each side

SHORTEST_LEADER = 4.0  # points; a label nearer than this needs no line to its dot


@contextmanager
def _drawing() -> Iterator[None]:
    """Matplotlib's defaults and ours for a while; a letter that no font has is drawn as a box without a warning."""
    fonts = set(font_manager.get_font_names())
    family = ["DejaVu Sans", *(font for font in OTHER_FONTS if font in fonts)]
    with warnings.catch_warnings(), matplotlib.style.context(["default", {**STYLE, "font.family": family}]):
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support", category=UserWarning)
        yield


def _shorten(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


# --- the losses ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Curve:
    """One line of a panel: its losses by epoch, NaN where unknown, and the epoch whose weights were kept."""

    name: str
    losses: Floats
    kept: int
    colour: str
    reference: bool  # a model without epochs, drawn as a level to compare with

    @property
    def label(self) -> str:
        where = "" if self.kept == self.end[0] else f" at epoch {self.kept}"
        return f"{self.name} {self.losses[self.kept]:.3f}{where}"

    @property
    def end(self) -> tuple[int, float]:
        last = int(np.flatnonzero(np.isfinite(self.losses))[-1])
        return last, float(self.losses[last])


def history_figure(logs: Sequence[FitLog]) -> Figure:
    """The losses of a fit by epoch, or those of several fits side by side.

    The dots are the epochs whose weights were kept, and the numbers are their losses. One fit gives one panel
    with its train and validation losses; several give a panel for each, in which a model of one epoch is a
    dashed level. Without validation losses there is the train loss alone.

    Raises:
        InputError: no log, or one without epochs.
    """
    if not logs or not all(log.epochs for log in logs):
        raise InputError("There are no epochs to draw.", remedy="Give the logs of one or more fits.")
    with _drawing():
        figure = Figure(figsize=(8, 5), layout="constrained")
        FigureCanvasAgg(figure)
        if len(logs) == 1:
            _draw_one(figure, logs[0])
        else:
            _draw_several(figure, logs)
    return figure


def _draw_one(figure: Figure, log: FitLog) -> None:
    axes = figure.subplots()
    curves = [
        _Curve("train", _train_losses(log), log.kept_epoch, PALETTE[1], False),
        _Curve("validation", _valid_losses(log), log.kept_epoch, PALETTE[0], False),
    ]
    ending = "" if log.ending == "finished" else f" ({log.ending})"
    axes.set_title(f"{_shorten(log.model, LONGEST_NAME)}: epoch {log.kept_epoch} kept{ending}", parse_math=False)
    axes.axvline(log.kept_epoch, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    _draw_panels(figure, [(axes, curves)])


def _draw_several(figure: Figure, logs: Sequence[FitLog]) -> None:
    names = _names(logs)
    looks = [(log.kept_epoch, PALETTE[i % len(PALETTE)], len(log.epochs) == 1) for i, log in enumerate(logs)]
    panels = {
        title: [_Curve(name, losses(log), *look) for name, log, look in zip(names, logs, looks, strict=True)]
        for title, losses in (("Validation", _valid_losses), ("Train", _train_losses))
    }
    drawn = {title: curves for title, curves in panels.items() if any(np.isfinite(c.losses).any() for c in curves)}
    figure.suptitle("The dots and the numbers are of the epochs kept", x=0.01, ha="left", color=GREY, fontsize=9)
    all_axes = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axes, title in zip(all_axes, drawn, strict=True):
        axes.set_title(title)
    _draw_panels(figure, list(zip(all_axes, drawn.values(), strict=True)))


def _names(logs: Sequence[FitLog]) -> list[str]:
    """The models' names, numbered where one comes more than once."""
    models = [log.model for log in logs]
    numbers = [f" #{models[: i + 1].count(model)}" if models.count(model) > 1 else "" for i, model in enumerate(models)]
    return [_shorten(model, LONGEST_NAME // 2) + number for model, number in zip(models, numbers, strict=True)]


def _train_losses(log: FitLog) -> Floats:
    return np.array([epoch.train_loss for epoch in log.epochs], np.float64)


def _valid_losses(log: FitLog) -> Floats:
    return np.array([np.nan if e.valid_loss is None else e.valid_loss for e in log.epochs], np.float64)


def _draw_panels(figure: Figure, panels: list[tuple[Any, list[_Curve]]]) -> None:
    shown = [(axes, [curve for curve in curves if np.isfinite(curve.losses).any()]) for axes, curves in panels]
    for axes, curves in shown:
        _draw_curves(axes, curves)
    panels[0][0].set_ylabel("mean squared error")
    figure.draw_without_rendering()  # the layout has to be known for the labels to keep apart
    for axes, curves in shown:
        _label_ends(axes, curves)


def _draw_curves(axes: Any, curves: list[_Curve]) -> None:
    last = max((curve.end[0] for curve in curves), default=0)
    for curve in curves:
        if curve.reference:
            axes.axhline(curve.losses[0], color=curve.colour, linewidth=1.2, linestyle="--", label=curve.name)
            continue
        axes.plot(curve.losses, color=curve.colour, linewidth=1.8, label=curve.name, solid_capstyle="round")
        axes.plot(curve.kept, curve.losses[curve.kept], "o", color=curve.colour, markersize=6)
    axes.set_xlim((-0.03 * last, 1.03 * last) if last else (-0.5, 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch")
    axes.set_ylim(axes.get_ylim())


def _label_ends(axes: Any, curves: list[_Curve]) -> None:
    right = axes.get_xlim()[1]
    ends = [(right, curve.end[1]) if curve.reference else curve.end for curve in curves]
    write_at_ends(axes, [curve.label for curve in curves], [curve.colour for curve in curves], ends)


def write_at_ends(
    axes: Any, labels: Sequence[str], colours: Sequence[str], ends: Sequence[tuple[float, float]]
) -> None:
    """Write each label right of a panel at the height of its line's end, or as near as the others leave room."""
    wanted = axes.transAxes.inverted().transform(axes.transData.transform(np.reshape(ends, (-1, 2))))[:, 1]
    width, height = axes.bbox.size * 72 / axes.figure.dpi
    for label, colour, end, place in zip(labels, colours, ends, _spread(wanted, LINE_HEIGHT / height), strict=True):
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "alpha": 0.6, "relpos": (0, 0.5)}
        look = {"va": "center", "fontsize": 9, "color": colour, "parse_math": False}
        axes.annotate(label, end, (1 + 16 / width, place), "data", "axes fraction", leader, False, **look)


def _spread(heights: Floats, gap: float) -> Floats:
    """Heights moved until they are `gap` apart, crowds up and down alike, and within 0 to 1 if there is room."""
    order = np.argsort(heights, kind="stable")
    steps = gap * np.arange(len(heights))
    bases = heights[order] - steps  # in order and `gap` apart as soon as these do not fall
    bases = (np.maximum.accumulate(bases) + np.minimum.accumulate(bases[::-1])[::-1]) / 2
    spread = np.empty_like(heights)
    spread[order] = np.clip(bases, 0, max(0.0, 1 - gap * (len(heights) - 1))) + steps
    return spread


# --- the map ------------------------------------------------------------------------------------------


def map_figure(
    factors: NDArray[np.float32], names: Sequence[str], counts: NDArray[np.integer[Any]], *, shown: int = 40, title: str
) -> Figure:
    """Items as dots, alike ones near each other: the first two principal components of their factors.

    The components are those of all items given; the most rated ones are shown. A name that finds no free
    place is left out and counted below the title.

    Args:
        factors: float32 (n, d).
        names: n names; all characters stand for themselves.
        counts: integers (n,), how often each item was rated.
        shown: how many items to show.
        title: above the map.

    Raises:
        InputError: no items, not as many names or counts as items, factors that are not finite, or shown below 1.
    """
    _check_items(factors, names, counts, shown)
    positions, shares = principal_components(factors)
    rows = np.argsort(-counts.astype(np.int64), kind="stable")[:shown]
    with _drawing():
        figure = Figure(figsize=(10, 8))
        FigureCanvasAgg(figure)
        figure.subplots_adjust(left=0.08, right=0.98, bottom=0.07, top=0.9)
        axes = figure.subplots()
        axes.set_title(_shorten(title, LONGEST_TITLE), parse_math=False, pad=24)
        axes.set_xlabel(f"first principal component ({100 * shares[0]:.0f} % of the variance)")
        axes.set_ylabel(f"second principal component ({100 * shares[1]:.0f} % of the variance)")
        _draw_items(axes, positions[rows], [names[row] for row in rows], counts[rows], len(counts))
    return figure


def _draw_items(axes: Any, positions: Floats, names: list[str], counts: NDArray[np.integer[Any]], total: int) -> None:
    areas = SMALLEST_DOT + (LARGEST_DOT - SMALLEST_DOT) * counts / max(int(counts.max()), 1)
    axes.scatter(positions[:, 0], positions[:, 1], s=areas, color=PALETTE[0], alpha=0.75, linewidths=0)
    axes.margins(0.15, 0.06)
    axes.autoscale_view()  # now, as the names are placed by where the dots are on the paper
    left_out = len(names) - write_names(axes, positions, [_shorten(name, LONGEST_NAME) for name in names], areas)
    which = "all" if len(names) == total else f"the {len(names)} most rated of"
    note = f"{which} {total} items; the larger the dot, the more ratings ({counts.min()} to {counts.max()})"
    note += f"; {left_out} of the names found no room" if left_out else ""
    axes.annotate(note, (0, 1), (0, 8), "axes fraction", "offset points", color=GREY, fontsize=9)


def _check_items(
    factors: NDArray[np.float32], names: Sequence[str], counts: NDArray[np.integer[Any]], shown: int
) -> None:
    if not len(factors) == len(names) == len(counts):
        raise InputError(f"There are factors of {len(factors)} items, {len(names)} names and {len(counts)} counts.")
    if not len(factors):
        raise InputError("There are no items to draw.")
    if not np.isfinite(factors).all():
        raise InputError("Some factors are infinite or NaN.", remedy="Fit again, with a smaller learning_rate.")
    if shown < 1:
        raise InputError(f"{shown} items cannot be shown.", remedy="Show 1 item or more.")


def write_names(
    axes: Any, positions: Floats, names: list[str], areas: Floats, colours: Sequence[str] | None = None
) -> int:
    """Write the names where there is room, with thin lines to their dots, and return how many there was room for."""
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # so that no line strikes a name through
    look = {"fontsize": 9, "ha": "center", "va": "center", "parse_math": False, "bbox": paper}
    colours = colours or ["black"] * len(names)
    texts = [axes.text(0, 0, name, color=colour, **look) for name, colour in zip(names, colours, strict=True)]
    point = 72 / axes.figure.dpi  # of a pixel
    renderer = axes.figure.canvas.get_renderer()
    sizes = np.array([text.get_window_extent(renderer).size for text in texts]) * point
    frame = axes.bbox.get_points() * point
    dots = axes.transData.transform(positions) * point
    places = Places(dots, np.sqrt(areas) / 2, sizes / 2 + 1, frame)
    places.settle()
    fits = places.apart()
    to_data = axes.transData.inverted().transform
    for text, centre, fit in zip(texts, to_data(places.centres / point), fits, strict=True):
        text.set_position(centre)
        if not fit:
            text.remove()
    gaps = np.linalg.norm(places.tips - dots, axis=1) - places.radii
    leaders = np.stack([dots, places.tips], axis=1)[fits & (gaps > SHORTEST_LEADER)]
    lines = to_data(leaders.reshape(-1, 2) / point).reshape(-1, 2, 2)
    axes.add_collection(LineCollection(lines, colors=GREY, linewidths=0.5, alpha=0.7, zorder=1), autolim=False)
    return int(fits.sum())


# --- calibration --------------------------------------------------------------------------------------


def calibration_figure(coverage: Coverage, model: str) -> Figure:
    """What intervals cover: by the level that was asked for, and, at 90 %, by user activity and item popularity.

    Bars reach to 95 % limits of each band.
    """
    with _drawing():
        figure = Figure(figsize=(10, 5), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(_calibration_note(coverage), x=0.01, ha="left", color=GREY, fontsize=9)
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
        left.set_title(f"{_shorten(model, LONGEST_NAME)}: coverage by level", parse_math=False)
        _draw_levels(left, coverage)
        right.set_title(f"{_percent(BAND_LEVEL)} intervals by training ratings")
        _draw_bands(right, coverage)
    return figure


def _calibration_note(coverage: Coverage) -> str:
    crossed = ", each half of the users with intervals calibrated on the other" if coverage.crossed else ""
    return f"{coverage.n:,} validation ratings{crossed}"


def _draw_levels(axes: Any, coverage: Coverage) -> None:
    levels, covered = zip(*((one.level, one.covered) for one in coverage.levels), strict=True)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    axes.plot(levels, covered, "o-", color=PALETTE[0], linewidth=1.8, markersize=4, clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("level asked for")
    axes.set_ylabel("ratings covered")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=5))
        axis.set_major_formatter(FuncFormatter(_percent))


def _draw_bands(axes: Any, coverage: Coverage) -> None:
    """Users' bands on top, items' below, with the numbers of ratings at the right; each band is a line of its own."""
    rows: list[tuple[str, Band, str]] = []
    for kind, bands, colour in (("users", coverage.users, PALETTE[0]), ("items", coverage.items, PALETTE[1])):
        rows += [(f"{kind} with {_range(bands, place)}", band, colour) for place, band in enumerate(bands)]
    places = np.arange(len(rows))
    heights = -places - (places >= len(coverage.users))  # a line free between users and items
    axes.axvline(BAND_LEVEL, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    for height, (_, band, colour) in zip(heights, rows, strict=True):
        reach = NORMAL_95 * band.error
        ends = [max(0.0, band.covered - reach), min(1.0, band.covered + reach)]
        axes.plot(ends, [height, height], color=colour, linewidth=1.8, solid_capstyle="butt")
        axes.plot(band.covered, height, "o", color=colour, markersize=6)
        axes.annotate(f"{band.n:,}", (1, height), (6, 0), ("axes fraction", "data"), "offset points", **COUNT)
    axes.set_yticks(heights, [label for label, *_ in rows])
    axes.set_ylim(heights.min() - 0.7, 0.7)
    axes.annotate("ratings", (1, 1), (6, 4), "axes fraction", "offset points", color=GREY, fontsize=9)
    axes.set_xlabel("ratings covered, with 95 % limits")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(_percent))


def _percent(part: float, _: int = 0) -> str:
    return f"{round(100 * part, 6):g} %"


def _range(bands: Sequence[Band], place: int) -> str:
    """A band in words. Its end is where the next one begins that has ratings."""
    least = bands[place].least
    if place + 1 == len(bands):
        return f"{least:,} or more"
    return f"{least:,} to {bands[place + 1].least - 1:,}"


# --- files --------------------------------------------------------------------------------------------


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, SVG or PDF by the file's suffix, whole or not at all; no date is in it.

    Raises:
        InputError: another suffix, a folder that is not there, or a disk that refuses.
    """
    file = Path(path)
    kind = file.suffix.lower().removeprefix(".")
    if kind not in METADATA:
        raise InputError(f"{file} does not end in the name of a kind of picture.", remedy="Use .png, .svg or .pdf.")
    if not file.parent.is_dir():
        raise InputError(f"There is no folder {file.parent}.", remedy="Make it first, or write elsewhere.")
    content = io.BytesIO()
    with _drawing():
        figure.savefig(content, format=kind, metadata=METADATA[kind])
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_bytes(content.getvalue())
        beside.replace(file)
    except OSError as error:
        raise InputError(f"{file} cannot be written: {error.strerror}.", remedy="Write elsewhere.") from error
    finally:
        beside.unlink(missing_ok=True)
