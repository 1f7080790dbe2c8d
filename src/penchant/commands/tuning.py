"""tune."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from penchant import terminal
from penchant.commands.asking import check_apart
from penchant.commands.fitting import _listening, _read_split, _say_fitted, _sources
from penchant.options import (
    FITTING,
    INTERRUPTED,
    READING,
    SPLITTING,
    Flags,
    Json,
    Ratings,
    how_to_split,
    parse_settings,
    whole,
    with_groups,
)


@with_groups(READING, SPLITTING, FITTING, settings=True)
def tune(
    ratings: Ratings,
    reading: Flags,
    splitting: Flags,
    fitting: Flags,
    settings: Flags,
    model: Annotated[
        str,
        typer.Option("--model", "-m", metavar="NAME", help="As for penchant fit."),
    ] = "mf",
    trials: Annotated[
        int,
        typer.Option(metavar="N", parser=whole("--trials", 1), help="How many in all, those of --storage included."),
    ] = 30,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What to choose by: mse, rmse, mae, or one of lists such as ndcg@10.",
            show_default="rmse; ndcg@10 for models that only rank",
        ),
    ] = None,
    storage: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the trials in a file; with the same one the search goes on."),
    ] = None,
    no_pruning: Annotated[
        bool, typer.Option("--no-pruning", help="Run all fits to their ends, those that do badly too.")
    ] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FOLDER", help="Where to save the model.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the trials: .png, .svg or .pdf.")] = None,
    json: Json = False,
) -> None:
    """Search for a model's best settings, fit it with them, and save it.

    Settings that are given are fixed; the others are searched. The held-out ratings have no part in the search: it
    holds out ratings of the training part in the same way, and only the best model is measured on the first ones.

    Ctrl-C ends the search, and fits the best so far.

    Examples:
      penchant tune ml-latest-small --trials 50 -o model
      penchant tune ratings.csv --model mlp --epochs 5 --storage trials.log --plot trials.png
    """
    from penchant import job, tuning
    from penchant.models.fitting import FitOptions
    from penchant.search_space import search_space

    values = parse_settings(settings, [job.kind_of(model)])
    how = {**how_to_split(splitting, fitting), "seed": fitting["seed"]}
    plan = tuning.Plan(trials, metric, storage, not no_pruning, resumed=lambda n: _say_resumed(storage, n, json))
    tuning.check_plan(plan, model, values)
    lines = _TrialLines(tuning.metric_of(plan, model, values), search_space(model, values), json)
    job.check_machine([job.build_any(model, values)], fitting["device"])
    if out is not None:
        job.check_destination(out)
    if plot is not None:
        from penchant import plots_trials

        plots_trials.check_picture(plot)
    for written, others in ((out, (storage,)), (plot, (storage,)), (storage, ())):
        check_apart(written, *_sources(ratings, reading, splitting), *others)
    split = _read_split(ratings, reading, splitting["valid"], how_to_split(splitting, fitting), fitting, json)
    with _listening(json) as listener:
        options = FitOptions(listener=listener, **fitting)
        inner = tuning.inner_split(split, how)
        if not json:
            terminal.say(f"Search: {inner}.")
        found = tuning.search(model, values, inner, replace(plan, told=lines), options)
        _say_found(found, storage, json)
        if plot is not None:
            plots_trials.save_trials(found, plot)
        fitted = tuning.fit_best(found, values, split, options)
    saved = fitted.save(out) if out is not None else None
    _say_fitted(fitted, saved, json)
    if plot is not None and not json:
        terminal.say(f"The picture of the trials is in {plot}")
    if found.interrupted or job.was_interrupted(fitted):
        raise typer.Exit(INTERRUPTED)


class _TrialLines:
    """Prints each trial: a line of a table, or a JSON object."""

    def __init__(self, metric: str, space: Any, json: bool) -> None:
        self.metric, self.json = metric, json
        self.defaults = {dimension.name: dimension.default for dimension in space}
        self.width = max(11, len(metric) + 2)
        self.begun = False

    def __call__(self, trial: Any, best: bool) -> None:
        from penchant.search_space import label
        from penchant.trials import plain

        if self.json:
            event = {"event": "trial", "trial": trial.number, "state": trial.state, "value": trial.value, "best": best}
            event |= {"seconds": trial.seconds, "settings": plain(trial.settings), "problem": trial.problem}
            terminal.say_json(event)
            return
        if not self.begun:
            self.begun = True
            terminal.headline("Trials")
            terminal.say(f"{'trial':>7}{self.metric:>{self.width}}{'time':>10}  {'':4}  settings")
        value = f"{trial.value:.4f}" if trial.value is not None else trial.state
        changed = " ".join(f"{name}={label(value)}" for name, value in trial.changed(self.defaults).items())
        line = (
            f"{trial.number:>7}{value:>{self.width}}{terminal.seconds(trial.seconds):>10}  {'best' if best else '':4}"
        )
        terminal.say(f"{line}  {trial.problem or changed or 'the defaults'}")


def _say_resumed(storage: Path | None, n: int, json: bool) -> None:
    if not json:
        terminal.say(f"{storage} has {terminal.counted(n, 'trial')}: the search goes on after them.")


def _say_found(found: Any, storage: Path | None, json: bool) -> None:
    if found.interrupted:
        kept = f"the trials are kept in {storage}" if storage else "what was running is lost"
        terminal.warn(f"Interrupted after {terminal.counted(len(found.trials), 'trial')}: {kept}; the best is fitted.")
    about = found.to_json()
    if json:
        terminal.say_json({"event": "search", **about})
        return
    best, default = about["best"], about["default_value"]
    text = "the defaults" if best == 0 else f"trial {best}"
    instead = f"; the defaults had {default:.4f}" if best and default is not None else ""
    value = f"{found.metric} {about['value']:.4f}{instead}"
    terminal.say(f"\nThe best is {text} with {value}. It is fitted on the whole training part:")
