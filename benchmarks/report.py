"""From the notebook comparison's results to tables, for the screen (rich) and for Markdown.

A result of one seed is {"seed", "split", "fastai", "torch_loop", "penchant"}. "fastai" is a list: the same fits
with different numbers of torch threads, the first of which the errors are taken from. "penchant" is None where
only the other side was run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import environment
from result_tables import NOTHING, Table, cell, error, in_epochs, seconds, times

Result = Mapping[str, Any]
NOTEBOOK_EPOCHS = 5


@dataclass(frozen=True)
class Row:
    """One model of the comparison.

    Attributes:
        key: its name in the results.
        title: what it is called in tables.
        model, settings: penchant's counterpart, with the notebook's sizes.
        kept: those of the settings that stay when all else has penchant's defaults: what makes it this model.
    """

    key: str
    title: str
    model: str
    settings: Mapping[str, Any]
    kept: Mapping[str, Any]


# The notebook's networks know nothing but who and what; what else penchant's `mlp` learns from is left out, and what
# does best then is set.
ALONE: dict[str, Any] = {
    "history": False,
    "item_columns": "none",
    "user_columns": "none",
    "batch_size": 512,
    "embedding_rate": 3.0,
}

ROWS = (
    Row("dot", "DotProduct / dot", "dot", {"factors": 50}, {}),
    Row("mf", "collab_learner / mf", "mf", {"factors": 50}, {}),
    Row("mlp-100", "CollabNN / mlp 100", "mlp", {"layers": [100], **ALONE}, {"layers": [100], **ALONE, "epochs": 2}),
    Row(
        "mlp-100-50",
        "collab_learner(use_nn) / mlp 100,50",
        "mlp",
        {"layers": [100, 50], **ALONE},
        {"layers": [100, 50], **ALONE, "epochs": 2},
    ),
)


# --- numbers of one seed ------------------------------------------------------------------------------


def fastai_last(result: Result, key: str) -> float:
    """fastai's validation error after the last epoch: what the notebook is left with."""
    return _fastai_epochs(result, key)[-1]["valid_loss"]


def fastai_best(result: Result, key: str) -> float:
    """The lowest validation error of fastai's epochs, chosen in hindsight."""
    return min(epoch["valid_loss"] for epoch in _fastai_epochs(result, key))


def fastai_seconds(result: Result, key: str) -> float:
    """Wall time of fit_one_cycle with the number of threads that is faster: what ratios are taken of."""
    return min(run["models"][key]["fit_seconds"] for run in result["fastai"])


def fastai_process(result: Result, key: str) -> float:
    """Wall time, with the faster number of threads, of a process that fits only this model."""
    return min(_fastai_process(run, key) for run in result["fastai"])


def _fastai_process(run: Result, key: str) -> float:
    """The measured process less the other models' fits."""
    fits = {name: one["fit_seconds"] for name, one in run["models"].items()}
    return run["process_seconds"] - sum(fits.values()) + fits[key]


def penchant_mse(result: Result, key: str, which: str) -> float | None:
    """penchant's validation error after its last epoch; `which` is "notebook" or "defaults"."""
    return _penchant(result, key, which, lambda runs: runs[0]["epochs"][-1]["valid_loss"])


def penchant_seconds(result: Result, key: str, which: str) -> float | None:
    """Median wall time of the fit over the repeats."""
    return _penchant(result, key, which, lambda runs: median(run["fit_seconds"] for run in runs))


def penchant_process(result: Result, key: str, which: str) -> float | None:
    """Median wall time over the repeats of the whole process, less its second fit."""
    return _penchant(
        result, key, which, lambda runs: median(run["process_seconds"] - run["fit_again_seconds"] for run in runs)
    )


def penchant_again(result: Result, key: str, which: str) -> float | None:
    """Median wall time of a second fit in the same process."""
    return _penchant(result, key, which, lambda runs: median(run["fit_again_seconds"] for run in runs))


def loop_mse(result: Result) -> float:
    """The plain torch loop's validation error after its last epoch."""
    return result["torch_loop"][0]["epochs"][-1]["valid_loss"]


def loop_seconds(result: Result) -> float:
    """Median wall time of the plain torch loop."""
    return median(run["fit_seconds"] for run in result["torch_loop"])


def ratio(longer: float, shorter: float | None) -> float | None:
    """How many times as long."""
    return longer / shorter if shorter else None


def _fastai_epochs(result: Result, key: str) -> list[dict[str, float]]:
    return result["fastai"][0]["models"][key]["epochs"]


def _penchant(result: Result, key: str, which: str, of: Callable[[Any], float]) -> float | None:
    return of(result["penchant"]["models"][key][which]) if result["penchant"] else None


# --- tables -------------------------------------------------------------------------------------------


def main_table(results: Sequence[Result], title: str, epochs: int) -> Table:
    """Errors, times and ratios; several results are averaged."""
    columns = (
        "model",
        "fastai MSE",
        "fastai MSE, best epoch",
        f"penchant MSE, {in_epochs(epochs)}",
        "penchant MSE, defaults",
        *(f"fastai time, {in_threads(run)}" for run in results[0]["fastai"]),
        f"penchant time, {in_epochs(epochs)}",
        "ratio",
        "penchant time, defaults",
        "ratio, defaults",
    )
    rows = [_main_row(results, row) for row in ROWS]
    return Table(title, columns, [*rows, _loop_row(results), _bias_row(results)])


def _main_row(results: Sequence[Result], row: Row) -> list[str]:
    def over(of: Callable[[Result], float | None], form: Callable[[float], str]) -> str:
        return cell(map(of, results), form)

    key = row.key
    cells = [over(lambda r: fastai_last(r, key), error), over(lambda r: fastai_best(r, key), error)]
    cells += [over(lambda r, w=which: penchant_mse(r, key, w), error) for which in ("notebook", "defaults")]
    for place in range(len(results[0]["fastai"])):
        cells.append(over(lambda r, p=place: r["fastai"][p]["models"][key]["fit_seconds"], seconds))
    for which in ("notebook", "defaults"):
        cells.append(over(lambda r, w=which: penchant_seconds(r, key, w), seconds))
        cells.append(over(lambda r, w=which: ratio(fastai_seconds(r, key), penchant_seconds(r, key, w)), times))
    return [row.title, *cells]


def _loop_row(results: Sequence[Result]) -> list[str]:
    """The loop stands in fastai's columns: it is the second thing that penchant's mf is compared with."""
    cells = [cell(map(loop_mse, results), error), NOTHING]
    cells += [cell((penchant_mse(r, "mf", which) for r in results), error) for which in ("notebook", "defaults")]
    blanks = len(results[0]["fastai"]) - 1
    cells += [NOTHING] * blanks + [cell(map(loop_seconds, results), seconds)]
    for which in ("notebook", "defaults"):
        taken = [(loop_seconds(r), penchant_seconds(r, "mf", which)) for r in results]
        cells += [cell((own for _, own in taken), seconds), cell((ratio(*both) for both in taken), times)]
    return ["plain torch loop / mf", *cells]


def _bias_row(results: Sequence[Result]) -> list[str]:
    defaults = cell((penchant_mse(r, "bias", "defaults") for r in results), error)
    taken = cell((penchant_seconds(r, "bias", "defaults") for r in results), seconds)
    blanks = [NOTHING] * len(results[0]["fastai"])
    return ["– / bias (closed form)", *[NOTHING] * 3, defaults, *blanks, NOTHING, NOTHING, taken, NOTHING]


def process_table(results: Sequence[Result], epochs: int) -> Table:
    """Whole processes (starting Python, importing, reading, one fit), and what a further fit of penchant takes."""
    columns = (
        "model",
        "fastai",
        f"penchant, {in_epochs(epochs)}",
        "ratio",
        "penchant, defaults",
        "ratio, defaults",
        f"second fit, {in_epochs(epochs)}",
        "second fit, defaults",
    )
    rows = []
    for row in ROWS:
        cells = [cell((fastai_process(r, row.key) for r in results), seconds)]
        for which in ("notebook", "defaults"):
            taken = [(fastai_process(r, row.key), penchant_process(r, row.key, which)) for r in results]
            cells += [cell((own for _, own in taken), seconds), cell((ratio(*both) for both in taken), times)]
        for which in ("notebook", "defaults"):
            cells.append(cell((penchant_again(r, row.key, which) for r in results), seconds))
        rows.append([row.title, *cells])
    return Table("Whole processes, and second fits in one process", columns, rows)


def epoch_tables(result: Result) -> list[Table]:
    """What the notebook shows, from both: one table a model."""
    return [_epoch_table(result, row) for row in ROWS]


def _epoch_table(result: Result, row: Row) -> Table:
    theirs = _fastai_epochs(result, row.key)
    penchant = result["penchant"]["models"][row.key] if result["penchant"] else {}
    ours, defaults = (penchant[which][0]["epochs"] if penchant else [] for which in ("notebook", "defaults"))
    columns = ["epoch"]
    sides = (("fastai", theirs), ("penchant", ours), ("penchant, defaults", defaults))
    for side, _ in sides:
        columns += [f"{side}: train_loss", "valid_loss", "time"]
    rows = []
    for number in range(max(len(epochs) for _, epochs in sides)):
        cells = [part for _, epochs in sides for part in _epoch_cells(epochs, number)]
        rows.append([str(number), *cells])
    return Table(row.title, columns, rows)


def _epoch_cells(epochs: Sequence[Mapping[str, float]], number: int) -> list[str]:
    if number >= len(epochs):
        return [NOTHING] * 3
    one = epochs[number]
    return [error(one["train_loss"]), error(one["valid_loss"]), seconds(one["seconds"])]


def in_threads(run: Result) -> str:
    """ "default threads (2)", "1 thread"."""
    if run["default_threads"]:
        return f"default threads ({run['threads']})"
    return f"{run['threads']} thread" if run["threads"] == 1 else f"{run['threads']} threads"


# --- the whole ----------------------------------------------------------------------------------------


def tables(report: Mapping[str, Any]) -> list[Table]:
    """The tables of errors, times and ratios: the mean first, then each split."""
    results, epochs = report["results"], report["epochs"]
    found = []
    if len(results) > 1:
        found.append(main_table(results, f"Mean ± standard deviation over {len(results)} splits", epochs))
    found += [main_table([one], f"Split of seed {one['seed']}", epochs) for one in results]
    return [*found, process_table(results, epochs)]


def markdown(report: Mapping[str, Any]) -> str:
    """The whole report."""
    parts = ["# fastai's collaborative filtering notebook, rerun beside penchant", _introduction(report)]
    for table in tables(report):
        parts += [f"## {table.title}", table.markdown()]
    first = report["results"][0]
    parts.append(f"## Epoch by epoch, split of seed {first['seed']}")
    for table in epoch_tables(first):
        parts += [f"### {table.title}", table.markdown()]
    parts += ["## How it was measured", "\n".join(f"- {line}" for line in method(report))]
    return "\n\n".join(parts) + "\n"


def _introduction(report: Mapping[str, Any]) -> str:
    here = report["environment"]
    lines = [
        "Both are given the same training and validation ratings. MSE is the mean squared error of the",
        "validation ratings; a ratio says how many times as long fastai's fit takes, with the faster of its numbers",
        "of threads.",
        "",
        *environment.lines(here),
        *(f"- fastai's side: {line}" for line in _peers(report)),
        f"- Data: {report['data']['name']}, {report['data']['n_ratings']:,} ratings",
        *(f"- **Not the notebook's run**: {line}" for line in deviations(report)),
        *(f"- **Failed**: {line}" for line in report["failed"]),
    ]
    return "\n".join(lines)


def _peers(report: Mapping[str, Any]) -> list[str]:
    """The peer's environments, without seeds where all splits had the same."""
    found: dict[str, list[str]] = {}
    for one in report["results"]:
        for peer in one["fastai"]:
            line = f"{environment.versions_in_words(peer['versions'])}; {in_threads(peer)}, {peer['device']}"
            if peer["reused"]:
                line += f"; kept from a run of {peer['environment']['date']}"
            found.setdefault(line, []).append(str(one["seed"]))
    everywhere = len(report["results"])
    return [line if len(seeds) == everywhere else f"{line} (seed {', '.join(seeds)})" for line, seeds in found.items()]


def deviations(report: Mapping[str, Any]) -> list[str]:
    """In what a trial differs from the notebook."""
    found = []
    if report["epochs"] != NOTEBOOK_EPOCHS:
        found.append(f"{in_epochs(report['epochs'])} in place of {NOTEBOOK_EPOCHS}.")
    if report["sample"]:
        found.append(f"a random sample of {report['sample']:,} ratings.")
    return found


def method(report: Mapping[str, Any]) -> list[str]:
    """What a reader needs in order to trust the numbers, or to doubt them."""
    repeats = report["repeats"]
    return [
        "fastai does what the notebook does, cell by cell, in one process for each split: "
        "`CollabDataLoaders.from_df(…, bs=64)`, its own random split, then the four models. It has no progress "
        "bar, which would take time, and is fitted once a split for each number of threads. With batches of 64, "
        "torch's default of a thread a core can be slower than one thread, and is very much so when anything else "
        "runs; ratios are taken of the faster time, errors are those of the first.",
        "The rows are in the order of ratings.csv, as today's pandas merges them, and the seed is set where the "
        "notebook sets it. Whether "
        "seed 42 still draws the very ratings that it drew there, with other versions, cannot be seen from it.",
        "Everything runs on the processor; GPUs are hidden.",
        f"penchant is given the lines that fastai chose, each fit in a fresh process after one that filled the "
        f"cache of compiled kernels; its time is the median of {repeats}. All of "
        "its models learn on all cores.",
        f"“{in_epochs(report['epochs'])}” has the notebook's number of epochs and sizes (50 factors; the layers) "
        "and else penchant's defaults; “defaults” has penchant's defaults throughout, but for the layers, which "
        "are what the row is about. Both show the last epoch: nothing was chosen by validation error.",
        "fastai's settings are the notebook's and were not tuned; how penchant's defaults were chosen is not part of "
        "this measurement.",
        "Time is the wall time of the fit, validation after each epoch included. For penchant it is the first fit of "
        "a process, which also loads what is loaded late (Numba and the compiled kernels); "
        "a second fit in the same process shows what learning alone takes. Importing and reading are in the whole "
        "processes: fastai's is the measured process less its other models' fits, penchant's is less its second fit.",
        "The plain torch loop has the sizes and settings of the notebook's collab_learner, with sliced batches, "
        f"fused AdamW and one thread; its time is the median of {repeats} processes, and also holds what torch's "
        "optimisers load late.",
        *_facts(report),
    ]


def _facts(report: Mapping[str, Any]) -> list[str]:
    """What was seen on the way."""
    found = []
    if report["cold"]:
        cold = report["cold"]
        found.append(
            f"The first fit of all on a machine compiles the kernels once: that of {cold['model']} took "
            f"{seconds(cold['cold_seconds'])} in place of {seconds(cold['warm_seconds'])}."
        )
    for one in report["results"]:
        if one["penchant"]:
            seen = one["penchant"]
            found.append(
                f"Seed {one['seed']}: {seen['n_train']:,} ratings to train on, {seen['n_valid']:,} to validate on, "
                f"{seen['n_unknown']:,} of these with a film that is not in training; {seen['repeated_pairs']} ratings "
                "repeat a user and a title, and all are kept on both sides. Predicting the mean has an MSE of "
                f"{error(seen['mean_mse'])}."
            )
    return found
