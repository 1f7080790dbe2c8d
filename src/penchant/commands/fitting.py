"""fit, compare."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from penchant import progress, terminal
from penchant.commands.asking import listed, metrics_of, read_table
from penchant.options import (
    FITTING,
    INTERRUPTED,
    READING,
    SPLITTING,
    Flags,
    Json,
    Metrics,
    Ratings,
    how_to_split,
    parse_settings,
    with_groups,
)


@with_groups(READING, SPLITTING, FITTING, settings=True)
def fit(
    ratings: Ratings,
    reading: Flags,
    splitting: Flags,
    fitting: Flags,
    settings: Flags,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="Of ratings: bias, dot, mf, mlp, bayes, or FILE.py:CLASS for a torch module of your own;"
            " of preferences: popularity, item-knn, ease, als.",
        ),
    ] = "mf",
    metrics: Metrics = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FOLDER", help="Where to save the model.")] = None,
    json: Json = False,
) -> None:
    """Train a model on a table of ratings, show its losses, and save it.

    Ctrl-C keeps the best epoch so far and saves it.

    Examples:
      penchant fit ml-latest-small -o model
      penchant fit ratings.csv --user customer --item sku --items products.csv -o model
      penchant fit u1.base --valid u1.test --model mlp --layers 100,50 --epochs 10
      penchant fit ratings.csv --model net.py:DotProduct --set n_factors=20
      penchant fit plays.csv --weight plays --model als --factors 128 -o model
    """
    from penchant import job
    from penchant.models.fitting import FitOptions

    asked = metrics_of(metrics)

    unfitted = job.build_any(model, parse_settings(settings, [job.kind_of(model)]))
    how = how_to_split(splitting, fitting)
    job.check_machine([unfitted], fitting["device"])
    if out is not None:
        job.check_destination(out)
    split = _read_split(ratings, reading, splitting["valid"], how, fitting, json)
    with _listening(json) as listener:
        fitted = job.fit_model(unfitted, split, FitOptions(listener=listener, **fitting), asked)
    saved = fitted.save(out) if out is not None else None
    _say_fitted(fitted, saved, json)
    if job.was_interrupted(fitted):
        raise typer.Exit(INTERRUPTED)


@with_groups(READING, SPLITTING, FITTING, settings=True)
def compare(
    ratings: Ratings,
    reading: Flags,
    splitting: Flags,
    fitting: Flags,
    settings: Flags,
    models: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Names, and FILE.py:CLASS, separated by commas.",
            show_default="bias,dot,mf,mlp; without ratings popularity,item-knn,ease,als",
        ),
    ] = None,
    metrics: Metrics = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FOLDER", help="Where to save the models, in a folder each."),
    ] = None,
    json: Json = False,
) -> None:
    """Train several models on one split, and print their losses side by side.

    A setting is given to those of the models that have it. Where one of the models ranks only, all are compared by
    their lists. A second table says which differences are real.

    Examples:
      penchant compare ml-latest-small
      penchant compare ratings.csv --models bias,mf,net.py:DotProduct --factors 20 -o models
      penchant compare clicks.csv --split time --metrics ndcg@10,recall@20
    """
    from penchant import job
    from penchant.models.fitting import FitOptions

    asked = metrics_of(metrics)
    names = None if models is None else listed(models)
    how = how_to_split(splitting, fitting, comparing=True)
    unfitted = _several(names, settings, fitting) if names is not None else []
    if out is not None:
        job.check_destination(out / "model")
    split = _read_split(ratings, reading, splitting["valid"], how, fitting, json)
    if names is None:
        unfitted = _several(list(job.compared(split)), settings, fitting)
    with _listening(json) as listener:
        fitted = job.compare_models(unfitted, split, FitOptions(listener=listener, **fitting), asked)
    by = job.ranked_by(unfitted, asked)
    found = job.differences(fitted, split, by, fitting["seed"])
    for one in fitted:
        saved = one.save(out / terminal.display_name(one)) if out is not None else None
        if json:
            _say_fitted(one, saved, json)
    if json:
        _say_differences(found, terminal.display_name(fitted[0]), by)
    else:
        terminal.say_comparison(fitted, by)
        if found:
            terminal.say_differences(terminal.display_name(fitted[0]), by, found)
        _say_leak(split.may_leak)
        terminal.say(f"\nThe models are in {out}" if out else "\nNothing was saved; -o FOLDER saves all of them.")
    if len(fitted) < len(unfitted) or any(map(job.was_interrupted, fitted)):
        terminal.warn(f"Interrupted: {len(fitted)} of {terminal.counted(len(unfitted), 'model')} had learnt something.")
        raise typer.Exit(INTERRUPTED)


def _several(names: list[str], settings: Flags, fitting: Flags) -> list[Any]:
    """Unfitted models by name, on a machine that can fit them."""
    from penchant import job

    values = parse_settings(settings, [job.kind_of(name) for name in names])
    unfitted = list(job.build_several(names, values))
    job.check_machine(unfitted, fitting["device"])
    return unfitted


def _say_differences(found: Any, best: str, by: str) -> None:
    for name, one in found.items():
        of_one = {"event": "difference", "best": best, "model": name, "by": by}
        terminal.say_json({**of_one, **vars(one), "is_real": one.is_real})


@contextmanager
def _listening(json: bool) -> Iterator[Any]:
    """Who prints the epochs; its bar is taken away whatever happens."""
    from penchant.models.fitting import NothingLearnt

    listener = progress.EpochLines() if json else progress.EpochTable()
    try:
        yield listener
    except NothingLearnt:
        listener.close()
        terminal.fail("Interrupted before the first epoch ended: nothing was learnt, nothing was written.")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        listener.close()


def _read_split(source: str, reading: Flags, valid: str | None, how: Flags, fitting: Flags, json: bool) -> Any:
    """Read and split, telling what was read."""
    from penchant import job

    train = read_table(source, json, reading, memory=fitting["memory"])
    held_out = read_table(valid, json, reading, train.notes, fitting["memory"]) if valid is not None else None
    split = job.make_split(train, valid=held_out, seed=fitting["seed"], **how)
    if not json:
        terminal.say(f"Split: {split}.")
    return split


def _say_fitted(fitted: Any, saved: Path | None, json: bool) -> None:
    log, valid = fitted.log, fitted.about.get("valid")
    if json:
        event = {
            "event": "result",
            "model": terminal.display_name(fitted),
            "valid": valid["metrics"] if valid else None,
            "intervals": valid["intervals"] if valid else None,
            "fit_seconds": log.fit_seconds,
            "ending": log.ending,
            "kept_epoch": log.kept_epoch,
            "artifact": str(saved) if saved else None,
        }
        terminal.say_json(event)
        return
    terminal.say_ending(log)
    if valid:
        terminal.headline("Validation")
        terminal.say_metrics(valid)
        _say_leak(fitted.about["split"]["may_leak"])
    terminal.say(f"\nFitted in {terminal.seconds(log.fit_seconds)}.")
    terminal.say(f"Saved in {saved}" if saved else "Not saved; -o FOLDER saves the model.")


def _say_leak(may_leak: str) -> None:
    if may_leak:
        terminal.warn(may_leak)
