"""Pictures of error against time, one a scenario, each curve with its library's name beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter
from peers import OURS, PEERS
from result_tables import in_epochs
from speed_report import Runs, Scenario, by_epochs, came_through, curve

from penchant.plots import GREY, METADATA, PALETTE, STYLE

SIZE = (8.0, 5.2)  # inches
COLOURS = dict(zip(PEERS, (*PALETTE[:1], GREY, *PALETTE[1:], "#7A4FA3", "#8C6D31"), strict=True))
WORST_SHOWN = 0.4  # of the way from the lowest error to that of the mean
LINE_HEIGHT = 14.0  # points
LETTER_WIDTH = 6.0  # points, of the labels' font
GAP = 7.0  # points between a curve's end and its label

Spot = tuple[float, float]


def draw_all(report: Mapping[str, Any], folder: Path) -> None:
    """A picture of each scenario."""
    for name, scenario in report["scenarios"].items():
        if came_through(scenario):
            with matplotlib.style.context(["default", STYLE]):
                draw(scenario, report["options"]["threads"]).savefig(
                    folder / f"speed_{name}.png", metadata=METADATA["png"]
                )


def draw(scenario: Scenario, threads: int) -> Figure:
    """One picture: time across on a logarithmic axis, error upwards."""
    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    curves = {name: curve(runs) for name, runs in came_through(scenario).items()}
    _set_up(axes, scenario, curves, threads)
    hidden = []
    ends: list[tuple[str, Spot, str]] = []
    for name, runs in came_through(scenario).items():
        shown = [spot for spot in curves[name] if spot[1] <= axes.get_ylim()[1]]
        if not shown:
            hidden.append(f"{name} {min(error for _, error in curves[name]):.2f}")
            continue
        _line(axes, name, curves[name], runs, scenario)
        epochs = list(by_epochs(runs))[curves[name].index(shown[-1])]
        ends.append((_label(name, epochs, runs, scenario), shown[-1], COLOURS[name]))
    if hidden:
        axes.set_xlabel(f"{axes.get_xlabel()}\nabove the picture: {', '.join(hidden)}")
    figure.canvas.draw()  # labels need the scale of the axes
    _place_labels(axes, ends)
    return figure


def _set_up(axes: Axes, scenario: Scenario, curves: Mapping[str, Sequence[Spot]], threads: int) -> None:
    spots = [spot for some in curves.values() for spot in some]
    low = min(error for _, error in spots)
    mean = next(iter(came_through(scenario).values()))[0]["mean_mse"]
    high = low + WORST_SHOWN * (mean - low)
    axes.set_xscale("log")
    axes.set_ylim(low - 0.04 * (high - low), high)
    visible = [time for time, error in spots if error <= high]
    axes.set_xlim(min(visible) / 1.6, max(visible) * 4)  # room for names
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} s"))
    axes.set_xlabel("time of the fit")
    axes.set_ylabel("mean squared error of held-out ratings")
    data = scenario["data"]
    cores = f"{threads} thread{'s' if threads > 1 else ''}"
    axes.set_title(f"{data['title']}: {data['n_train']:,} ratings, {scenario['factors']} factors, {cores}")
    axes.grid(axis="both", which="major", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def _line(axes: Axes, name: str, spots: Sequence[Spot], runs: Runs, scenario: Scenario) -> None:
    style = ":" if runs[0]["n_train"] < scenario["data"]["n_train"] else "-"
    width, above = (2.6, 3) if name == OURS else (1.6, 2)
    colour = COLOURS[name]
    axes.plot(*zip(*spots, strict=True), style, color=colour, marker="o", markersize=4, linewidth=width, zorder=above)


def _label(name: str, epochs: int, runs: Runs, scenario: Scenario) -> str:
    n = runs[0]["n_train"]
    few = f" ({n / 1e6:g} M ratings)" if n < scenario["data"]["n_train"] else ""
    return name + few + (f", {in_epochs(epochs)}" if PEERS[name].has_epochs else "")


def _place_labels(axes: Axes, ends: Sequence[tuple[str, Spot, str]]) -> None:
    """Each name to the right of its curve's last point, moved up or down until it covers no other."""
    unit = 72 / axes.figure.dpi  # points a pixel
    taken: list[tuple[float, float, float]] = []  # left, right, middle
    for text, spot, colour in sorted(ends, key=lambda end: end[1][1]):
        x, y = axes.transData.transform(spot) * unit
        left, right = x, x + GAP + LETTER_WIDTH * len(text)
        shift = next(s for s in _shifts() if not _covers(taken, left, right, y + s))
        taken.append((left, right, y + shift))
        axes.annotate(
            text, spot, (GAP, shift), textcoords="offset points", va="center", fontsize=9, color=colour, zorder=4,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip


def _shifts() -> list[float]:
    """Nothing, then ever further up and down."""
    return [0.0, *(sign * step for step in range(2, 400, 2) for sign in (1.0, -1.0))]


def _covers(taken: Sequence[tuple[float, float, float]], left: float, right: float, y: float) -> bool:
    return any(left < r and right > le and abs(y - middle) < LINE_HEIGHT for le, r, middle in taken)
