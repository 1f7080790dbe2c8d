"""From the speed benchmark's fits to tables, for the screen and for Markdown.

A run is one fit in a fresh process, as workers/speed/measuring.py tells of it, with "epochs" and "repeat".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path
from statistics import median
from typing import Any

import environment
from peers import OURS, PEERS
from result_tables import NOTHING, Table, error, in_epochs, seconds, show_tables, times, write_report

Run = Mapping[str, Any]
Runs = Sequence[Run]
Scenario = Mapping[str, Any]

GIB = 2**30


# --- numbers of one library ---------------------------------------------------------------------------


def by_epochs(runs: Runs) -> dict[int, list[Run]]:
    """The runs of each number of epochs, in rising order."""
    found: dict[int, list[Run]] = {}
    for run in sorted(runs, key=lambda one: one["epochs"]):
        found.setdefault(run["epochs"], []).append(run)
    return found


def fit_seconds(runs: Runs) -> float:
    """Median wall time of the first fit of a process."""
    return median(run["seconds"]["fit"] for run in runs)


def warm_seconds(run: Run) -> float:
    """Wall time of a fit that need not load anything late: a further one of the process where there was one."""
    return median(run["again_seconds"]) if run["again_seconds"] else run["seconds"]["fit"]


def nanoseconds(runs: Runs) -> list[float]:
    """Time of one rating in one epoch: what the epochs beyond the fewest add; a value a repeat of the most epochs.

    With one number of epochs only it is the whole fit's time over its epochs.
    """
    grouped = by_epochs(runs)
    few, many = min(grouped), max(grouped)
    first, last = grouped[few], grouped[many]
    n = runs[0]["n_train"]
    if few == many:
        return [1e9 * warm_seconds(run) / many / n for run in last]
    start = median(warm_seconds(run) for run in first)
    return [1e9 * (warm_seconds(run) - start) / (many - few) / n for run in last]


def curve(runs: Runs) -> list[tuple[float, float]]:
    """Median time of a fit and its error, one point a number of epochs."""
    return [(fit_seconds(some), some[0]["mse"]) for some in by_epochs(runs).values()]


def best(runs: Runs) -> tuple[int, float, float]:
    """Epochs, error and time of the fit with the lowest error, chosen in hindsight."""
    at = {epochs: (some[0]["mse"], fit_seconds(some)) for epochs, some in by_epochs(runs).items()}
    epochs = min(at, key=lambda one: at[one][0])
    return epochs, *at[epochs]


def seconds_to_reach(runs: Runs, wanted: float) -> float | None:
    """When the curve first falls to an error, between two points on a straight line over the logarithm of time."""
    points = curve(runs)
    for (t0, e0), (t1, e1) in zip([(points[0][0], float("inf")), *points], points, strict=False):
        if e1 <= wanted:
            share = 1.0 if e0 == float("inf") or e0 == e1 else (e0 - wanted) / (e0 - e1)
            return float(t0 * (t1 / t0) ** share) if log(t1 / t0) >= 0 else t1
    return None


def peak(runs: Runs) -> int:
    """The most bytes that a process of a library held until its fit was done."""
    return max(run["rss"] for run in runs)


# --- cells --------------------------------------------------------------------------------------------


def spread(values: Sequence[float], form: str = "{:.1f}") -> str:
    """The median, and from the lowest to the highest."""
    if len(values) == 1:
        return form.format(values[0])
    return f"{form.format(median(values))} ({form.format(min(values))} to {form.format(max(values))})"


def gib(size: float) -> str:
    """Bytes as GiB."""
    return f"{size / GIB:.2f} GiB"


def title_of(name: str, runs: Runs, data: Mapping[str, Any]) -> str:
    """A library's name, and how many ratings it had where it did not have all."""
    n = runs[0]["n_train"]
    return name if n == data["n_train"] else f"{name}, only {n:,} ratings"


# --- tables -------------------------------------------------------------------------------------------


def came_through(scenario: Scenario) -> dict[str, Runs]:
    """Libraries with at least one fit."""
    return {name: one["runs"] for name, one in scenario["peers"].items() if one["runs"]}


def costs_table(scenario: Scenario) -> Table:
    """What learning costs."""
    columns = ("library", "model", "ns per rating and epoch", "ratio", "preparation")
    columns += ("peak memory", "of which before preparation", "fits")
    ours = came_through(scenario).get(OURS)
    unit = median(nanoseconds(ours)) if ours else None
    rows = []
    for name, runs in came_through(scenario).items():
        peer, cost = PEERS[name], nanoseconds(runs)
        ratio = times(median(cost) / unit) if unit and peer.has_epochs else NOTHING
        prepared = median(run["seconds"]["prepare"] for run in runs)
        held = max(run["rss_loaded"] for run in runs)
        cells = [spread(cost) if peer.has_epochs else NOTHING, ratio, seconds(prepared), gib(peak(runs)), gib(held)]
        rows.append([title_of(name, runs, scenario["data"]), peer.model, *cells, f"{len(runs)}"])
    rows += [[name, f"failed: {why}", *[NOTHING] * 6] for name, why in _failed(scenario)]
    return Table("What learning costs", columns, rows)


def errors_table(scenario: Scenario) -> Table:
    """Error and time of the fits with each number of epochs."""
    found = came_through(scenario)
    numbers = sorted({run["epochs"] for name, runs in found.items() if PEERS[name].has_epochs for run in runs})
    columns = ("library", *map(in_epochs, numbers), "lowest")
    rows = []
    for name, runs in found.items():
        grouped = by_epochs(runs)
        cells = [_error_cell(grouped[n]) if n in grouped else NOTHING for n in numbers]
        epochs, mse, took = best(runs)
        last = f"{error(mse)} in {seconds(took)}" + (f", {in_epochs(epochs)}" if PEERS[name].has_epochs else "")
        rows.append([title_of(name, runs, scenario["data"]), *cells, last])
    return Table("Error on held-out ratings (MSE), and time of the fit", columns, rows)


def _error_cell(runs: Runs) -> str:
    return f"{error(runs[0]['mse'])} in {seconds(fit_seconds(runs))}"


def reach_table(scenario: Scenario) -> Table | None:
    """How long penchant takes to as good an error as the best of each library."""
    found = came_through(scenario)
    if OURS not in found:
        return None
    columns = ("library", "its lowest error", "in", f"{OURS} to that error", "ratio")
    rows = []
    for name, runs in found.items():
        if name != OURS:
            _, lowest, theirs = best(runs)
            ours = seconds_to_reach(found[OURS], lowest)
            cells = [seconds(ours), times(theirs / ours)] if ours else ["not reached", NOTHING]
            rows.append([title_of(name, runs, scenario["data"]), error(lowest), seconds(theirs), *cells])
    return Table("Time until an error is reached", columns, rows)


def scaling_table(scaling: Mapping[str, Any]) -> Table:
    """Sizes and threads."""
    columns = ("ratings", "users × items", "threads", "an epoch", "ns per rating and epoch")
    columns += ("beside the epochs", "peak memory", "bytes per rating", "fits")
    return Table("penchant mf as the ratings grow", columns, [_scaling_row(one) for one in scaling["sizes"]])


def _scaling_row(one: Mapping[str, Any]) -> list[str]:
    runs, data = one["runs"], one["data"]
    taken = [median(run["epoch_seconds"]) for run in runs]
    beside = median(run["seconds"]["fit"] - sum(run["epoch_seconds"]) for run in runs)
    n = data["n_train"]
    cells = [seconds(median(taken)), spread([1e9 * value / n for value in taken]), seconds(beside)]
    cells += [gib(peak(runs)), f"{peak(runs) / n:.0f}", f"{len(runs)}"]
    return [f"{n:,}", f"{data['n_users']:,} × {data['n_items']:,}", f"{one['threads']}", *cells]


def thread_gain(scaling: Mapping[str, Any]) -> str | None:
    """How many times as fast more threads are, in a sentence."""
    taken: dict[int, dict[int, float]] = {}
    for one in scaling["sizes"]:
        epoch = median(median(run["epoch_seconds"]) for run in one["runs"])
        taken.setdefault(one["data"]["n_train"], {})[one["threads"]] = epoch
    for n, epochs in taken.items():
        if len(epochs) > 1:
            gain = epochs[1] / epochs[max(epochs)]
            return f"On {n:,} ratings an epoch with {max(epochs)} threads is {gain:.2f} times as fast as with 1."
    return None


# --- the whole ----------------------------------------------------------------------------------------


def tables(scenario: Scenario) -> list[Table]:
    """The tables of a scenario."""
    if not came_through(scenario):
        return [costs_table(scenario)]
    found = [costs_table(scenario), errors_table(scenario), reach_table(scenario)]
    return [table for table in found if table is not None]


def failures(report: Mapping[str, Any]) -> list[str]:
    """Libraries that failed, and why."""
    found = report["scenarios"].items()
    return [f"{name} ({scenario}): {why}" for scenario, one in found for name, why in _failed(one)]


def _failed(scenario: Scenario) -> list[tuple[str, str]]:
    return [(name, one["failed"]) for name, one in scenario["peers"].items() if one["failed"]]


def markdown(report: Mapping[str, Any]) -> str:
    """The whole report."""
    parts = ["# Speed, error and memory beside peer libraries", _introduction(report)]
    for name, scenario in report["scenarios"].items():
        parts += [f"## {name}: {_data_in_words(scenario)}", f"![Error against time, {name}](speed_{name}.png)"]
        for table in tables(scenario):
            parts += [f"### {table.title}", table.markdown()]
    if report["scaling"]:
        table = scaling_table(report["scaling"])
        parts += [f"## scaling: {table.title}", table.markdown(), thread_gain(report["scaling"]) or ""]
    parts += ["## How it was measured", "\n".join(f"- {line}" for line in method(report))]
    return "\n\n".join(part for part in parts if part) + "\n"


def _data_in_words(scenario: Scenario) -> str:
    data = scenario["data"]
    return (
        f"{data['title']}, {data['n_train']:,} ratings of {data['n_users']:,} users and {data['n_items']:,} items, "
        f"{data['n_valid']:,} held out, {scenario['factors']} factors"
    )


def _introduction(report: Mapping[str, Any]) -> str:
    here = report["environment"]
    lines = [
        "Every library learns from the same ratings and is asked for the same held-out ones. A ratio says how many",
        "times as long as penchant's mf it takes for one rating in one epoch.",
        "",
        *environment.lines(here, f"; every library has {_threads(report['options'])}"),
        *(f"- {name}: {line}" for name, line in _versions(report).items()),
        *(["- **A trial**, not the whole benchmark."] if report["trial"] else []),
        *(f"- **Failed**: {line}" for line in failures(report)),
    ]
    return "\n".join(lines)


def _threads(options: Mapping[str, Any]) -> str:
    return "1 thread" if options["threads"] == 1 else f"{options['threads']} threads"


def _versions(report: Mapping[str, Any]) -> dict[str, str]:
    """The versions of each peer, and the date where its results were kept from another day."""
    found: dict[str, str] = {}
    for scenario in report["scenarios"].values():
        for name, runs in came_through(scenario).items():
            if not PEERS[name].requirements:
                continue
            dates = sorted({run["date"] for run in runs} - {report["environment"]["date"]})
            kept = f" (fits of {', '.join(dates)} among them)" if dates else ""
            found[name] = environment.versions_in_words(runs[0]["versions"]) + kept
    return found


def method(report: Mapping[str, Any]) -> list[str]:
    """What a reader needs in order to trust the numbers, or to doubt them."""
    options = report["options"]
    everybody = [runs for one in report["scenarios"].values() for runs in came_through(one).values()]
    again = any(run["again_seconds"] for runs in everybody for run in runs)
    return [
        "Every fit is in a fresh process that reads the arrays, brings them into the library's own format "
        "(“preparation”), and fits once from nothing with the number of epochs given: a learning rate that falls "
        "over the epochs falls as its library means it to. Nobody validates during the fit.",
        f"Each number of epochs is fitted {options['repeats']} times, but not again after a fit of more than "
        f"{options['repeat_below']:g} s; a library gets no more epochs once a fit took more than "
        f"{options['budget']:g} s. Times are medians, with the lowest and highest where there are several.",
        "Time per rating and epoch is what the epochs beyond the fewest add, over their number and that of the "
        "ratings: what a fit does once, whatever its epochs, does not count. An epoch of alternating least squares "
        "solves for all users and all items, one of stochastic gradient descent visits each rating once: they are "
        "not the same work, and errors against times are the fairer comparison.",
        *(
            [
                "On the small data the time per rating and epoch is that of a second fit in the process; the first, "
                "in all other places, also loads what is loaded late (penchant: Numba and the compiled kernels)."
            ]
            if again
            else []
        ),
        "penchant's kernels were compiled before, by a small fit; compiling takes some seconds once a machine.",
        "Errors are mean squared errors, predictions clipped to the range of the training ratings. Held-out ratings "
        "of users or items that do not occur in training are left out ("
        + ", ".join(f"{name}: {one['data']['n_left_out']:,}" for name, one in report["scenarios"].items())
        + ").",
        "Settings other than factors, epochs, threads and seed are each library's own defaults, and were not tuned "
        "here; how penchant's were chosen is not part of this measurement. “Lowest” is chosen in hindsight.",
        "Peak memory is the most that a process held until its fit was done; before preparation it already holds "
        "Python, the library, and 12 bytes a rating.",
        "Synthetic ratings have low rank and noise, in half steps from 0.5 to 5; users' activity and items' "
        "popularity follow power laws (benchmarks/speed_data.py). They are sorted by user, as most files are.",
        *_remarks(report),
    ]


def _remarks(report: Mapping[str, Any]) -> list[str]:
    found: dict[str, str] = {}
    for scenario in report["scenarios"].values():
        for name, runs in came_through(scenario).items():
            if PEERS[name].remark:
                found.setdefault(name, f"{name} {PEERS[name].remark}.")
            if runs[0]["n_train"] < scenario["data"]["n_train"]:
                found[f"{name}, few"] = (
                    f"{name} gets only {runs[0]['n_train']:,} of the {scenario['data']['n_train']:,} ratings, drawn "
                    "at random, because its data are Python objects; its error does not compare."
                )
    return list(found.values())


def write(report: Mapping[str, Any], folder: Path) -> None:
    """The report as JSON and Markdown."""
    write_report(report, markdown(report), folder, "speed")


def show(report: Mapping[str, Any]) -> None:
    """The tables on the screen."""
    found = [table for scenario in report["scenarios"].values() for table in tables(scenario)]
    show_tables([*found, *([scaling_table(report["scaling"])] if report["scaling"] else [])], failures(report))
