"""retrain."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from penchant import progress, terminal
from penchant.commands.asking import merging, read_table
from penchant.errors import PenchantError
from penchant.options import COMPUTING, READING, Flags, Json, Ratings, interval, whole, with_groups

NOT_TOLD = 1  # the exit code: there is a new model, and a service that has not loaded it
KEY = "PENCHANT_KEY"


@with_groups(READING, COMPUTING)
def retrain(
    ratings: Ratings,
    feedback: Annotated[
        str,
        typer.Option(metavar="URL", help="Where feedback is kept: feedback.db, or postgresql://user@host/database."),
    ],
    model_dir: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The model that is served, which a better one replaces.")
    ],
    reading: Flags,
    computing: Flags,
    every: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=interval("--every"),
            help="Go on, a round at once and then one each 30m, 1h or 1d, until a signal ends it.",
            show_default="one round",
        ),
    ] = None,
    least: Annotated[
        int, typer.Option(metavar="N", parser=whole("--least", 1), help="New events that make a round worth while.")
    ] = 50,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Promote only what is surely not worse by more than this, in units of the metric; 0 for what is"
            " surely better.",
            show_default="what is not surely worse",
        ),
    ] = None,
    notify: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Address of a service to tell of a new model; may be repeated."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help=f"API key with the scope admin, for --notify. Others see it in lists of processes; not so in the"
            f" variable {KEY}.",
            show_default=f"{KEY}",
        ),
    ] = None,
    pid_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="That of penchant serve --pid-file: its process gets SIGHUP.")
    ] = None,
    json: Json = False,
) -> None:
    """Fit a model again on its ratings and on feedback, and replace it where the new one is not worse.

    Model, settings and seed are those of the model that is there. Half of the new feedback, the latest, is held out: a
    challenger is fitted on all the rest and compared with the current model on it, by ndcg@10 of lists where the model
    ranks only, otherwise by the mean squared error. If it is not worse, it is fitted on everything, the model before is
    kept in FOLDER.previous, and services are told. Read RATINGS with the flags that the model was fitted with.

    Exit codes: 0, also where there was nothing to do or the challenger was worse; 1 if a service was not told.

    Examples:
      penchant retrain ratings.csv --feedback feedback.db --model-dir model --pid-file serve.pid
      penchant retrain ratings.csv --feedback feedback.db --model-dir model --notify http://127.0.0.1:8000 --every 1h
    """
    from penchant.models.fitting import FitOptions
    from penchant.retraining import Plan, alone
    from penchant.serving.telling import Services

    services = Services(tuple(notify or ()), key or os.environ.get(KEY), pid_file)
    plan = Plan(
        lambda: read_table(ratings, json, reading, memory=computing["memory"]),
        feedback,
        model_dir,
        least,
        margin,
        merging(reading),
        FitOptions(**computing),
        services,
        noted=terminal.warn,
    )
    if not json:
        plan = replace(plan, compared=_say_comparison, said=terminal.say)
    with alone(plan):
        if every is None:
            if _round(plan, json).untold:
                raise typer.Exit(NOT_TOLD)
            return
        try:
            _go_on(plan, every, json)
        except KeyboardInterrupt:
            if not json:
                terminal.say("Stopped.")


def _go_on(plan: Any, every: float, json: bool) -> None:
    """A round at every interval, those left out that a long one runs into; what fails is told, and the next comes."""
    due = time.monotonic()
    while True:
        if not json:
            terminal.say(time.strftime("\n%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
        _surviving(lambda: _round(plan, json), json)
        now = time.monotonic()
        due += every * (1 + (now - due) // every)
        time.sleep(due - now)


def _surviving(work: Callable[[], object], json: bool) -> None:
    """Do what may fail, and tell how it did."""
    try:
        work()
    except Exception as error:
        problem = error.problem if isinstance(error, PenchantError) else repr(error)
        remedy = error.remedy if isinstance(error, PenchantError) else ""
        terminal.fail(problem, remedy)
        if json:
            terminal.say_json({"event": "round", "outcome": "failed", "why": problem, "remedy": remedy})


def _round(plan: Any, json: bool) -> Any:
    from penchant.retraining import run_round

    started = time.perf_counter()
    listener = progress.NoEpochs() if json else progress.EpochTable()
    try:
        found = run_round(replace(plan, options=replace(plan.options, listener=listener)))
    finally:
        listener.close()
    if json:
        terminal.say_json({"event": "round", **found.to_json(), "seconds": round(time.perf_counter() - started, 3)})
    else:
        _say_round(found, plan, time.perf_counter() - started)
    for one in found.untold:
        terminal.fail(f"The new model is in {plan.folder}, and a service was not told. {one.problem}", one.remedy)
    return found


def _say_comparison(found: Any) -> None:
    """The current model and its challenger, on what neither has seen."""
    terminal.headline(f"The current model and its challenger, by {found.by}")
    of_both = (("current", found.current, found.n_unknown[0]), ("challenger", found.challenger, found.n_unknown[1]))
    rows = [(name, f"{value:.4f}", f"{unknown:,}") for name, value, unknown in of_both]
    one = found.difference
    rows.append(("difference", f"{one.difference:+.4f}", ""))
    columns = ("model", found.by, "with an item it does not know")
    terminal.say_table(columns, rows, right=columns[1:])
    better = "less is better" if found.by == "mse" else "more is better"
    terminal.say(f"  95 % interval of the difference, paired over users: {one.low:+.4f} – {one.high:+.4f}; {better}")
    strange = f", {found.n_strange:,} of them without a history" if found.n_strange else ""
    n, users = terminal.counted(found.n, "interaction"), terminal.counted(found.n_users, "user")
    terminal.say(f"  {n} that neither has seen, of {users}{strange}; both fold in the same histories")


def _say_round(found: Any, plan: Any, seconds: float) -> None:
    """What came of a round, for people."""
    if found.outcome == "nothing to do":
        terminal.say(f"Nothing to do: {found.why}.")
        return
    if found.outcome == "refused":
        terminal.say(f"The challenger is refused: {found.why}. {plan.folder} is as it was.")
        return
    took = terminal.seconds(seconds)
    terminal.say(f"\nPromoted in {took}. The new model is in {plan.folder}, the one before in {found.previous}.")
    for one in found.told:
        if not one.problem:
            what = (
                f"serves it, version {one.version}" if one.version else "was sent SIGHUP; its log says what it loaded"
            )
            terminal.say(f"{one.service} {what}.")
