"""A picture of a search: the value of each trial and the best so far, and what each setting had to do with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from penchant.errors import InputError
from penchant.plots import GREY, METADATA, PALETTE, _drawing, save_figure
from penchant.search_space import label
from penchant.trials import Search, Trial

COLUMNS = 3
WIDTH, FIRST_HEIGHT, ROW_HEIGHT = 9.0, 3.6, 2.4  # inches
BLUE, RED, GREEN = PALETTE[0], PALETTE[1], PALETTE[2]
FEWEST_TO_RANK = 8  # trials from which it is said how much a setting matters


def check_picture(path: Path) -> None:
    """Raise before long work what `save_trials` would raise after it.

    Raises:
        InputError: the suffix is of no kind of picture, or there is no folder.
    """
    if path.suffix.lower().removeprefix(".") not in METADATA:
        raise InputError(f"{path} does not end in the name of a kind of picture.", remedy="Use .png, .svg or .pdf.")
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {path.parent}.", remedy="Make it first, or write elsewhere.")


def save_trials(found: Search, path: Path) -> None:
    """Draw a search into a file."""
    save_figure(trials_figure(found), path)


def trials_figure(found: Search) -> Figure:
    """The trials of a search.

    Above: values by trial, the best so far as steps, and ticks where fits were pruned or failed. Below: values by each
    setting, those first that values go with most closely.
    """
    done = [trial for trial in found.trials if trial.value is not None]
    low, high = _shown(found, done)
    names = sorted(found.defaults, key=lambda name: -_strength(name, done))
    rows = math.ceil(len(names) / COLUMNS)
    with _drawing():
        figure = Figure(figsize=(WIDTH, FIRST_HEIGHT + ROW_HEIGHT * rows), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(rows + 1, COLUMNS, height_ratios=[FIRST_HEIGHT, *[ROW_HEIGHT] * rows])
        _draw_history(figure.add_subplot(grid[0, :]), found, done, low, high)
        for place, name in enumerate(names):
            axes = figure.add_subplot(grid[1 + place // COLUMNS, place % COLUMNS])
            _draw_setting(axes, name, found, done, low, high)
            if place % COLUMNS == 0:
                axes.set_ylabel(found.metric)
    return figure


def _shown(found: Search, done: Sequence[Trial]) -> tuple[float, float]:
    """The range of values that is drawn: the worst, far from all others, would press them into a line."""
    values = np.array([trial.value for trial in done])
    best = float(values.max() if found.maximised else values.min())
    distances = np.abs(values - best)
    furthest = min(float(distances.max()), 2 * float(np.quantile(distances, 0.75)))
    furthest = furthest or abs(best) * 0.01 or 1.0
    ends = (best - furthest, best) if found.maximised else (best, best + furthest)
    return ends[0] - 0.08 * furthest, ends[1] + 0.08 * furthest


def _draw_history(axes: Any, found: Search, done: Sequence[Trial], low: float, high: float) -> None:
    numbers, values = [trial.number for trial in done], np.array([trial.value for trial in done])
    best = (np.maximum if found.maximised else np.minimum).accumulate(values)
    last = found.trials[-1].number
    axes.step([*numbers, last], [*best, best[-1]], where="post", color=RED, linewidth=1.5, label="best so far")
    axes.plot(numbers, np.clip(values, low, high), "o", color=BLUE, markersize=4, label="a trial")
    for state, colour in (("pruned", GREY), ("failed", "black")):
        at = [trial.number for trial in found.trials if trial.state == state]
        if at:
            marks = "|" if state == "pruned" else "x"
            label = f"{len(at)} {state}"
            axes.plot(at, [0.03] * len(at), marks, transform=axes.get_xaxis_transform(), color=colour, label=label)
    best_trial = found.best
    axes.plot(best_trial.number, best_trial.value, "o", color=RED, markersize=8, zorder=5)
    axes.set_title(
        f"{found.model}: {found.metric} {best_trial.value:.4f} with trial {best_trial.number} of {len(found.trials)}",
        parse_math=False,
    )
    axes.set_ylim(low, high)
    axes.set_xlabel("trial (0: the defaults)")
    axes.set_ylabel(f"{found.metric}, held-out part\nof training")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure = axes.figure
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=4, frameon=False, fontsize=9)


def _draw_setting(axes: Any, name: str, found: Search, done: Sequence[Trial], low: float, high: float) -> None:
    values = np.clip([trial.value for trial in done], low, high)
    settings = [trial.settings[name] for trial in done]
    best = found.best
    if _is_numeric(settings):
        places = np.array(settings, float)
        at = float(best.settings[name])
        if places.min() > 0 and places.max() / places.min() >= 10:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if places.max() / places.min() < 300 else (1,)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: f"{place:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        labels = sorted({label(one) for one in settings})
        numbers = np.array([trial.number for trial in done])
        spread = (numbers * 0.618) % 1 * 0.4 - 0.2  # side by side, without chance
        places = np.array([labels.index(label(one)) for one in settings]) + spread
        at = float(places[[trial is best for trial in done].index(True)])
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.plot(places, values, "o", color=BLUE, markersize=3.5, alpha=0.7, markeredgewidth=0)
    axes.plot(at, best.value, "o", color=RED, markersize=7)
    axes.set_ylim(low, high)
    axes.tick_params(labelsize=8)
    axes.set_xlabel(name, fontsize=9)


def _is_numeric(settings: Sequence[Any]) -> bool:
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in settings)


def _strength(name: str, done: Sequence[Trial]) -> float:
    """How closely values go with a setting, 0 to 1: the part of their ranks' variance between its parts."""
    if len(done) < FEWEST_TO_RANK:
        return 0.0
    values = np.array([trial.value for trial in done], float)
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(float)
    settings = [trial.settings[name] for trial in done]
    if _is_numeric(settings):
        parts = np.argsort(np.argsort(settings, kind="stable"), kind="stable") * 4 // len(done)
    else:
        labels = sorted({label(one) for one in settings})
        parts = np.array([labels.index(label(one)) for one in settings])
    means = np.array([ranks[parts == part].mean() for part in range(int(parts.max()) + 1)])
    return float(((means[parts] - ranks.mean()) ** 2).sum() / ((ranks - ranks.mean()) ** 2).sum())
