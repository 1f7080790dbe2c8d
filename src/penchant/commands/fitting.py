"""fit, compare, evaluate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from penchant import progress, terminal
from penchant.commands.asking import load, read_table
from penchant.options import (
    FITTING,
    INTERRUPTED,
    READING,
    SPLITTING,
    Flags,
    Json,
    ModelDir,
    Module,
    Ratings,
    Seed,
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
            help="bias, dot, mf, mlp, bayes, or FILE.py:CLASS for a torch module of your own.",
        ),
    ] = "mf",
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
    """
    from penchant import job
    from penchant.models.fitting import FitOptions

    unfitted = job.build_any(model, parse_settings(settings, [job.kind_of(model)]))
    how = how_to_split(splitting, fitting)
    job.check_machine([unfitted], fitting["device"])
    if out is not None:
        job.check_destination(out)
    split = _read_split(ratings, reading, splitting["valid"], how, fitting, json)
    with _listening(json) as listener:
        fitted = job.fit_model(unfitted, split, FitOptions(listener=listener, **fitting))
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
        str, typer.Option(metavar="NAMES", help="Names, and FILE.py:CLASS, separated by commas.")
    ] = "bias,dot,mf,mlp",
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FOLDER", help="Where to save the models, in a folder each."),
    ] = None,
    json: Json = False,
) -> None:
    """Train several models on one split, and print their losses side by side.

    A setting is given to those of the models that have it.

    Examples:
      penchant compare ml-latest-small
      penchant compare ratings.csv --models bias,mf,net.py:DotProduct --factors 20 -o models
    """
    from penchant import job
    from penchant.models.fitting import FitOptions

    names = list(dict.fromkeys(name.strip() for name in models.split(",") if name.strip()))
    values = parse_settings(settings, [job.kind_of(name) for name in names])
    unfitted = list(job.build_several(names, values))
    how = how_to_split(splitting, fitting, comparing=True)
    job.check_machine(unfitted, fitting["device"])
    if out is not None:
        job.check_destination(out / "model")
    split = _read_split(ratings, reading, splitting["valid"], how, fitting, json)
    with _listening(json) as listener:
        fitted = job.compare_models(unfitted, split, FitOptions(listener=listener, **fitting))
    for one in fitted:
        saved = one.save(out / terminal.display_name(one)) if out is not None else None
        if json:
            _say_fitted(one, saved, json)
    if not json:
        terminal.say_comparison(fitted)
        _say_leak(split.may_leak)
        terminal.say(f"\nThe models are in {out}" if out else "\nNothing was saved; -o FOLDER saves all of them.")
    if len(fitted) < len(unfitted) or any(map(job.was_interrupted, fitted)):
        terminal.warn(f"Interrupted: {len(fitted)} of {terminal.counted(len(unfitted), 'model')} had learnt something.")
        raise typer.Exit(INTERRUPTED)


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


@with_groups(READING)
def evaluate(
    model_dir: ModelDir,
    ratings: Ratings,
    reading: Flags,
    metrics: Annotated[
        str, typer.Option(metavar="NAMES", help="mse, rmse, mae, separated by commas.")
    ] = "mse,rmse,mae",
    seed: Seed = 0,
    module: Module = None,
    json: Json = False,
) -> None:
    """Measure a saved model on a table of ratings, with 95 % intervals over its users.

    The last line says how many of the ratings are within their 90 % prediction intervals.

    Examples:
      penchant evaluate model u1.test
      penchant evaluate model newer.csv --metrics rmse --json
    """
    from penchant import job
    from penchant.evaluate import check_metrics

    names = [name.strip() for name in metrics.split(",") if name.strip()]
    check_metrics(names)
    recommender = load(model_dir, module)
    found = read_table(ratings, json, reading)
    report = recommender.evaluate(found, names, seed).to_json()
    report["n_trained_on"] = job.count_trained_on(recommender, found)
    coverage = _measure_coverage(recommender, found)
    report |= {"coverage": coverage} if coverage else {}
    if report["n_unknown"] == report["n"]:
        terminal.warn("The model knows none of these pairs; are the ids the same? (--item title for titles.)")
    if report["n_trained_on"]:
        n = f"{report['n_trained_on']:,} of {terminal.counted(report['n'], 'rating')}"
        terminal.warn(f"The model was trained on {n}: on new ones its errors are larger.")
    if json:
        terminal.say_json({"event": "result", **report})
    else:
        terminal.say_metrics(report)
        terminal.say_coverage(coverage)


def _measure_coverage(recommender: Any, ratings: Any) -> dict[str, Any]:
    """What the model's intervals cover, for JSON; nothing where it has none."""
    from penchant import job
    from penchant.intervals import has_intervals

    if not has_intervals(recommender.model, recommender.conformal):
        return {}
    found = recommender.coverage(ratings).to_json()
    if recommender.conformal is not None:
        found["n_calibrated_on"] = job.count_trained_on(recommender, ratings, validated=True)
    return found
