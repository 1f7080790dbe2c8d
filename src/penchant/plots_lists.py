"""Pictures of ranked lists: what they are worth by their length, and accuracy against coverage of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from penchant.errors import InputError
from penchant.evaluate_lists import ListReport
from penchant.plots import GREY, PALETTE, _drawing, _percent, _shorten, write_at_ends, write_names
from penchant.rank_metrics import RankMetric, parse_rank_metric

TITLES = {"recall": "Recall", "ndcg": "NDCG", "precision": "Precision", "hit": "Hit rate"}
DASHES = ("-", "--", ":")  # when the colours are used up
LONGEST_NAME = 20  # characters
DOT = 60.0  # points², the area of the square around it


@dataclass(frozen=True)
class OfWhat:
    """What lists were measured on, for the note above a picture.

    Attributes:
        n_unknown: held-out interactions with a user or item that no model knows, which are not counted.
        relevant_from: the lowest rating that counts; None for any.
    """

    n_unknown: int = 0
    relevant_from: float | None = None

    def note(self, report: ListReport) -> str:
        """One or two lines."""
        rated = "" if self.relevant_from is None else f" of {self.relevant_from:g} or more"
        told = f"{report.n_relevant:,} held-out interactions{rated} of {report.n_users:,} users"
        if not self.n_unknown:
            return told
        unknown = f"{self.n_unknown:,} more, of users or items unknown to the model"
        return f"{told}\n{unknown}, are not counted: fit may report lower values"


def lists_figure(reports: Mapping[str, ListReport], of_what: OfWhat) -> Figure:
    """Metrics of lists by their length, a panel for each metric and a line with a 95 % band for each model.

    Args:
        reports: by the name of the model; each with metrics such as recall@5 and their intervals.

    Raises:
        InputError: no reports, or no metrics with a length.
    """
    curves = {name: _curves(report) for name, report in reports.items()}
    kinds = list(dict.fromkeys(kind for of_one in curves.values() for kind in of_one))
    if not kinds:
        raise InputError("There are no lists to draw.", remedy="Measure metrics such as recall@5, recall@10.")
    columns = 2 if len(kinds) > 1 else 1
    rows = -(-len(kinds) // columns)
    with _drawing():
        figure = Figure(figsize=(4.4 * columns, 0.6 + 3.2 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(_title(reports, of_what), x=0.01, ha="left", color=GREY, fontsize=9, linespacing=1.5)
        panels = [figure.add_subplot(rows, columns, place + 1) for place in range(len(kinds))]
        for axes, kind in zip(panels, kinds, strict=True):
            axes.set_title(TITLES.get(kind, kind))
            _draw_curves(axes, {name: of_one[kind] for name, of_one in curves.items() if kind in of_one}, list(curves))
        for axes in panels[-columns:]:
            axes.set_xlabel("length of the list, k")
        figure.draw_without_rendering()  # the layout has to be known for the labels to keep apart
        for axes, kind in zip(panels, kinds, strict=True):
            _name_curves(axes, {name: of_one[kind] for name, of_one in curves.items() if kind in of_one}, list(curves))
    return figure


@dataclass(frozen=True)
class _Curve:
    """A metric by the length of the list, (n,) each; NaN where it has no interval."""

    lengths: list[int]
    values: list[float]
    lows: list[float]
    highs: list[float]


def _curves(report: ListReport) -> dict[str, _Curve]:
    """By kind of metric, those that are means over users."""
    points: dict[str, list[tuple[RankMetric, float, tuple[float, float]]]] = {}
    for name, value in report.metrics.items():
        metric = parse_rank_metric(name)
        if metric.k and metric.is_of_users:
            ends = report.intervals.get(name, (np.nan, np.nan))
            points.setdefault(metric.kind, []).append((metric, value, ends))
    found = {}
    for kind, of_kind in points.items():
        ordered = sorted(of_kind, key=lambda one: one[0].k)
        columns = [(metric.k, value, low, high) for metric, value, (low, high) in ordered]
        found[kind] = _Curve(*(list(column) for column in zip(*columns, strict=True)))
    return found


def _title(reports: Mapping[str, ListReport], of_what: OfWhat) -> str:
    first = next(iter(reports))
    who = f"{_shorten(first, LONGEST_NAME)}: m" if len(reports) == 1 else "M"
    return f"{who}eans over users, with 95 % bands; {of_what.note(reports[first])}"


def _look(name: str, names: Sequence[str]) -> dict[str, Any]:
    """The same colour in all panels and pictures of the same models."""
    place = list(names).index(name)
    return {
        "color": PALETTE[place % len(PALETTE)],
        "linestyle": DASHES[place // len(PALETTE) % len(DASHES)],
    }


def _draw_curves(axes: Any, curves: Mapping[str, _Curve], names: Sequence[str]) -> None:
    for name, curve in curves.items():
        look = _look(name, names)
        axes.fill_between(curve.lengths, curve.lows, curve.highs, color=look["color"], alpha=0.15, linewidth=0)
        axes.plot(curve.lengths, curve.values, marker="o", markersize=2.5, linewidth=1.6, label=name, **look)
    longest = max(curve.lengths[-1] for curve in curves.values())
    axes.set_xlim(0, longest + 0.5)
    axes.set_ylim(0, axes.get_ylim()[1])
    axes.grid(axis="y", color=GREY, alpha=0.2, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))


def _name_curves(axes: Any, curves: Mapping[str, _Curve], names: Sequence[str]) -> None:
    """Beside their ends; of one model alone, the value there."""
    ends = [(float(curve.lengths[-1]), curve.values[-1]) for curve in curves.values()]
    labels = [_shorten(name, LONGEST_NAME) for name in curves]
    if len(names) == 1:
        labels = [f"{curve.values[-1]:.3f}" for curve in curves.values()]
    write_at_ends(axes, labels, [str(_look(name, names)["color"]) for name in curves], ends)


def coverage_figure(reports: Mapping[str, ListReport], of_what: OfWhat, k: int) -> Figure:
    """Models as dots: how accurate their lists are, and which part of the catalogue is in them.

    Args:
        reports: by the name of the model; each with ndcg@k, its interval and coverage@k.
        k: the length of the lists.
    """
    accuracy, coverage = f"ndcg@{k}", f"coverage@{k}"
    names = list(reports)
    places = np.array([(one.metrics[coverage], one.metrics[accuracy]) for one in reports.values()])
    with _drawing():
        figure = Figure(figsize=(7.5, 5.5))
        FigureCanvasAgg(figure)
        figure.subplots_adjust(left=0.1, right=0.97, bottom=0.11, top=0.83)
        axes = figure.subplots()
        axes.set_title(f"Accuracy against coverage, lists of {k}", pad=40)
        note = f"Bars are 95 % limits over users; {of_what.note(reports[names[0]])}"
        axes.annotate(note, (0, 1), (0, 8), "axes fraction", "offset points", color=GREY, fontsize=9, linespacing=1.5)
        for name, (x, y) in zip(names, places, strict=True):
            colour = _look(name, names)["color"]
            axes.plot([x, x], reports[name].intervals[accuracy], color=colour, linewidth=1.8, solid_capstyle="butt")
            axes.scatter([x], [y], s=DOT, color=colour, linewidths=0, zorder=3)
        axes.set_xlim(0, 1.18 * max(float(places[:, 0].max()), 1e-6))
        axes.margins(y=0.1)
        axes.set_ylim(max(0.0, axes.get_ylim()[0]), axes.get_ylim()[1])
        axes.grid(color=GREY, alpha=0.2, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel(f"part of all items that are in somebody's list (coverage@{k})")
        axes.set_ylabel(f"{accuracy}, mean over users")
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        shown = [_shorten(name, LONGEST_NAME) for name in names]
        write_names(axes, places, shown, np.full(len(names), DOT), [str(_look(name, names)["color"]) for name in names])
    return figure
