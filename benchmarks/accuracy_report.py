"""From the accuracy benchmark's fits to tables, for the screen and for Markdown.

A run is one fit in a fresh process, as workers/accuracy/split_files.py tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import environment
from accuracy_peers import OURS
from accuracy_published import PUBLISHED
from result_tables import NOTHING, Table, cell, error, seconds, show_tables, times, write_report

from penchant.calibration import ITEM_BANDS, USER_BANDS

Run = Mapping[str, Any]
Runs = Sequence[Run]
Part = Mapping[str, Any]

GIB = 2**30
NANO = 1e9


# --- numbers ------------------------------------------------------------------------------------------


def difference(values: Sequence[float]) -> str:
    """Differences of errors: their mean with its sign, and their standard deviation."""
    if not values:
        return NOTHING
    return f"{mean(values):+.4f}" + (f" ± {error(stdev(values))}" if len(values) > 1 else "")


def share(value: float) -> str:
    """A fraction as a percentage."""
    return f"{100 * value:.1f} %"


def rmse(run: Run) -> float:
    """The root of the mean squared error."""
    return float(run["mse"] ** 0.5)


def fit_time(runs: Runs) -> str:
    """The median, and from the lowest to the highest where there are several."""
    found = [run["seconds"]["fit"] for run in runs]
    if len(found) == 1:
        return seconds(found[0])
    return f"{seconds(median(found))} ({seconds(min(found))} to {seconds(max(found))})"


def differences(runs: Runs, ours: Runs) -> list[float]:
    """By how much errors are above ours, split by split."""
    theirs = {run["seed"]: run["mse"] for run in runs}
    return [theirs[run["seed"]] - run["mse"] for run in ours if run["seed"] in theirs]


def pooled(coverages: Sequence[Mapping[str, Any]], side: str) -> dict[int, list[tuple[int, float]]]:
    """Of each band of "users" or "items", by where it begins: (ratings, share covered) of each split that has it."""
    found: dict[int, list[tuple[int, float]]] = {}
    for one in coverages:
        for band in one[side]:
            found.setdefault(band["least"], []).append((band["n"], band["covered"]))
    return dict(sorted(found.items()))


# --- tables -------------------------------------------------------------------------------------------


def came_through(part: Part) -> dict[str, Runs]:
    """Contenders with at least one fit."""
    return {name: one["runs"] for name, one in part["contenders"].items() if one["runs"]}


def small_table(part: Part) -> Table:
    """ml-latest-small."""
    columns = ("model", "MSE", "RMSE", f"MSE beside {OURS}", "MSE of new items", "fit, median")
    rows, found = [], came_through(part)
    for name, runs in found.items():
        beside = difference(differences(runs, found[OURS])) if OURS in found and name != OURS else NOTHING
        errors = [cell((run["mse"] for run in runs), error), cell(map(rmse, runs), error), beside]
        unknown = cell((run.get("mse_unknown") for run in runs), error)
        few = "" if len(runs) == len(part["splits"]) else f" (seed {', '.join(str(run['seed']) for run in runs)} only)"
        rows.append([name + few, *errors, unknown, fit_time(runs)])
    return Table("ml-latest-small, item = title, random 80/20", columns, rows + failed_rows(part, len(columns)))


def canonical_table(part: Part) -> Table:
    """MovieLens 100K."""
    folds = [split["seed"] for split in part["splits"]]
    columns = ("RMSE", *(f"u{fold}" for fold in folds), "mean", f"beside {OURS}", "fit, median")
    rows, found = [], came_through(part)
    for name, runs in found.items():
        by_fold = {run["seed"]: rmse(run) for run in runs}
        each = [error(by_fold[fold]) if fold in by_fold else NOTHING for fold in folds]
        whole = error(mean(by_fold.values())) if len(by_fold) == len(folds) else NOTHING
        ours = {run["seed"]: rmse(run) for run in found.get(OURS, ()) if run["seed"] in by_fold}
        beside = difference([by_fold[fold] - value for fold, value in ours.items()]) if name != OURS else NOTHING
        rows.append([name, *each, whole, beside, fit_time(runs)])
    return Table("MovieLens 100K, u1 to u5", columns, rows + failed_rows(part, len(columns)))


def failed_rows(part: Part, width: int) -> list[list[str]]:
    """Contenders without any fit."""
    failed = [(name, one["failed"]) for name, one in part["contenders"].items() if one["failed"] and not one["runs"]]
    return [[f"{name}: failed, {why}", *[NOTHING] * (width - 1)] for name, why in failed]


def published_table() -> Table:
    """Numbers of others, as they were published."""
    columns = ("published, not measured here", "RMSE", "protocol", "source")
    return Table("Published", columns, [[one.what, one.rmse, one.protocol, one.source] for one in PUBLISHED])


def time_table(part: Part) -> Table:
    """Time at equal rank, sweeps and features."""
    columns = ("sampler", "threads", "a sweep", "fit", "ratio", "preparation", "prediction", "MSE", "fits")
    rows = []
    unit = median(run["seconds"]["fit"] for run in part["rows"][0]["runs"]) if part["rows"] else 1.0
    for one in part["rows"]:
        runs = one["runs"]
        taken = median(run["seconds"]["fit"] for run in runs)
        others = [seconds(median(run["seconds"][name] for run in runs)) for name in ("prepare", "predict")]
        cells = [seconds(taken / part["sweeps"]), fit_time(runs), times(taken / unit), *others]
        rows.append([one["name"], f"{one['threads']}", *cells, error(runs[0]["mse"]), f"{len(runs)}"])
    return Table(f"{part['data']['title']}, {part['factors']} factors, {part['sweeps']} sweeps", columns, rows)


def entries(data: Mapping[str, Any]) -> int:
    """Features' entries of both blocks: each user and item its own, and each rating one on either side."""
    return int(data["n_users"] + data["n_items"] + 2 * data["n_train"])


def growth_table(part: Part) -> Table:
    """What a sweep costs, and what memory a fit takes, as ratings grow."""
    columns = ("ratings", "users × items", "a sweep, one thread", "ns per rating or entry, and factor")
    columns += ("a whole fit", "peak memory", "of which before it", "bytes per rating")
    rows = []
    for one in part["sizes"]:
        data, whole = one["data"], one["whole"]
        sweep = sweep_seconds(one)
        unit = NANO * sweep / (data["n_train"] + entries(data)) / part["factors"]
        memory = [f"{value / GIB:.2f} GiB" for value in (whole["rss"], whole["rss_loaded"])]
        memory.append(f"{whole['rss'] / data['n_train']:.0f}")
        sizes = f"{data['n_users']:,} × {data['n_items']:,}"
        rows.append([f"{data['n_train']:,}", sizes, seconds(sweep), f"{unit:.2f}", fit_time([whole]), *memory])
    return Table(f"{OURS} as the ratings grow, {part['factors']} factors", columns, rows)


def sweep_seconds(one: Mapping[str, Any]) -> float:
    """What one more sweep of one chain takes: two fits that differ in nothing else."""
    few, many = one["few"], one["many"]
    return float((many["seconds"]["fit"] - few["seconds"]["fit"]) / (many["sweeps"] - few["sweeps"]))


def level_table(title: str, coverages: Sequence[Mapping[str, Any]]) -> Table:
    """All ratings, by level."""
    columns = ("interval", "held-out ratings in it", "mean width")
    rows = []
    for place, one in enumerate(coverages[0]["levels"]):
        found = [coverage["levels"][place] for coverage in coverages]
        inside = cell((at["covered"] for at in found), share)
        rows.append([f"{100 * one['level']:g} %", inside, cell((at["width"] for at in found), "{:.2f}".format)])
    return Table(f"{title}: {sum(one['n'] for one in coverages):,} held-out ratings", columns, rows)


def band_table(title: str, coverages: Sequence[Mapping[str, Any]], side: str) -> Table:
    """90 % intervals by how many training ratings the user, or the item, has."""
    columns = (f"training ratings of the {side[:-1]}", "held-out ratings", "in their 90 % interval", "split by split")
    starts = USER_BANDS if side == "users" else ITEM_BANDS
    rows = []
    for least, found in pooled(coverages, side).items():
        following = next((start for start in starts if start > least), None)
        name = f"{least} or more" if following is None else f"{least} to {following - 1}"
        n = sum(count for count, _ in found)
        inside = sum(count * part for count, part in found) / n
        rows.append([name, f"{n:,}", share(inside), cell((part for _, part in found), share)])
    return Table(f"{title}: 90 % intervals by {'activity' if side == 'users' else 'popularity'}", columns, rows)


def interval_tables(part: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Table]:
    """Those of each data set."""
    found = []
    for title, coverages in part.items():
        if coverages:
            found += [
                level_table(title, coverages),
                *(band_table(title, coverages, side) for side in ("users", "items")),
            ]
    return found


# --- the whole ----------------------------------------------------------------------------------------


def sections(report: Mapping[str, Any]) -> dict[str, list[Table]]:
    """Tables of the parts that were run, by heading."""
    found: dict[str, list[Table]] = {}
    if part := report["small"]:
        found["ml-latest-small"] = [small_table(part)]
    if part := report["100k"]:
        found["MovieLens 100K"] = [canonical_table(part), published_table()]
    if part := report["time"]:
        found["Time"] = [time_table(part)]
    if part := report["growth"]:
        found["Growth"] = [growth_table(part)]
    if part := report["coverage"]:
        found["Intervals"] = interval_tables(part)
    return found


def failures(report: Mapping[str, Any]) -> list[str]:
    """Contenders that failed, and why."""
    parts = [(name, report[name]["contenders"]) for name in ("small", "100k") if report[name]]
    found = [(name, part, one["failed"]) for part, all_of in parts for name, one in all_of.items() if one["failed"]]
    return [f"{name} ({part}): {why}" for name, part, why in found] + list(report["failed"])


def markdown(report: Mapping[str, Any]) -> str:
    """The whole report."""
    parts = ["# Accuracy beside peer libraries", introduction(report)]
    for heading, tables in sections(report).items():
        parts.append(f"## {heading}")
        for table in tables:
            parts += [f"### {table.title}", table.markdown()]
    parts += ["## How it was measured", "\n".join(f"- {line}" for line in method(report))]
    return "\n\n".join(parts) + "\n"


def introduction(report: Mapping[str, Any]) -> str:
    """What, where and when."""
    lines = [
        "Every library learns from the same ratings, and is asked for the same held-out ones, in the same run. MSE is",
        "the mean squared error on the rating scale, RMSE its root; ± is the standard deviation over splits.",
        "",
        *environment.lines(report["environment"]),
        *(f"- {name}: {line}" for name, line in peer_versions(report).items()),
        *(["- **A trial**, not the whole benchmark."] if report["trial"] else []),
        *(f"- **Failed**: {line}" for line in failures(report)),
    ]
    return "\n".join(lines)


def peer_versions(report: Mapping[str, Any]) -> dict[str, str]:
    """Versions of each peer library, and the dates of fits that were kept from another day."""
    found: dict[str, str] = {}
    for name in ("small", "100k"):
        for contender, runs in came_through(report[name]).items() if report[name] else ():
            library = contender.split()[0].rstrip(",")
            if library != "penchant" and runs[0].get("versions"):
                found[library] = environment.versions_in_words(runs[0]["versions"])
    days = sorted(set(dates(report)) - {report["environment"]["date"]})
    return {**found, **({"kept fits": f"some are of {', '.join(days)}"} if days else {})}


def dates(report: Mapping[str, Any]) -> list[str]:
    """Of all fits on splits."""
    parts = [report[name] for name in ("small", "100k") if report[name]]
    return [run["date"] for part in parts for runs in came_through(part).values() for run in runs]


def method(report: Mapping[str, Any]) -> list[str]:
    """What a reader needs in order to trust the numbers, or to doubt them."""
    settings = ", ".join(f"{name} {value}" for name, value in report["settings"].items())
    budget = report["budget"]
    return [
        "Every fit is in a fresh process that reads the split as arrays, brings them into the library's own format, "
        "and fits once, without seeing the held-out part. Nothing is chosen by held-out errors, no epoch and no "
        "setting: peers have their own defaults but for what is named here, penchant has its defaults. How those "
        "were chosen, and on which data: [accuracy](../accuracy.md).",
        "Errors are of all held-out ratings, predictions clipped to the range of the training ratings. Each library "
        "scores items that are not in training in its own way; their errors are in a column of their own.",
        "ml-latest-small: the title is the item, and the fifth held out is the one that fastai's RandomSplitter draws "
        "after set_seed; 42 is the seed of its notebook. Splits are also the seeds of the fits.",
        "MovieLens 100K: the publisher's files u1.base and u1.test to u5, with its tables of films and people.",
        f"{OURS} has: {settings}.",
        f"myFM is given {budget['factors']} factors, {budget['sweeps']} sweeps, of which the last {budget['kept']} are "
        f"averaged: as many as all chains of {OURS} have together. It has one chain on one thread. “Same features” are "
        "those that penchant finds in the training part's tables (genres and years of items in bins of five; on "
        "MovieLens 100K also ages in ten bins, genders and occupations), the sets of items rated and of raters, and "
        "the days of users, as relation blocks whose groups have priors of their own. Sets are divided by the root "
        "of their size. New items have the row that their columns give.",
        "Surprise has its own defaults (SVD 100 factors, SVDpp 20); KNNBaseline is item-based, with the similarity "
        "that its documentation advises, pearson_baseline.",
        "fastai's collab_learner has the notebook's settings (50 factors, 5 epochs); its numbers are those of "
        "[the notebook's benchmark](fastai_notebook.md), on the same split, from that day.",
        f"penchant runs on {report['options']['threads']} threads, myFM and Surprise on one, which is all that they "
        "have; fastai's time is the faster of its numbers of threads. penchant's kernels were compiled before, by a "
        "small fit; compiling takes some seconds once a machine.",
        "Time: the fit alone is timed; “a sweep” is its time over the number of sweeps of all chains, so that it also "
        "holds what a fit does once. The ratio is to the first row.",
        "Growth: synthetic ratings (benchmarks/speed_data.py), history on, no tables and no times. A sweep is what "
        "further sweeps add to a fit of one chain, on one thread. An entry is one feature of one row: each user and "
        f"each item has itself, and each rating is one entry on both sides. The whole fit has {report['growth_fit']}; "
        "its peak memory is that of the process, which holds Python, the libraries and 12 bytes a rating before.",
        f"Intervals: those that {OURS} gives by itself, without having seen a held-out rating: the score and as many "
        "of its deviations either side as the level asks of a normal distribution (1.645 for 90 %), clipped to the "
        "scale. ± is the deviation over splits. Ratings come in steps of a half or of one, so a share can miss its "
        "level by some points without the deviations being wrong.",
    ]


def write(report: Mapping[str, Any], folder: Path) -> None:
    """The report as JSON and Markdown."""
    write_report(report, markdown(report), folder, "accuracy")


def show(report: Mapping[str, Any]) -> None:
    """The tables on the screen."""
    show_tables((table for tables in sections(report).values() for table in tables), failures(report))
