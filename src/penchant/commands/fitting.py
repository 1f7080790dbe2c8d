"""fit, compare."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from penchant import progress, terminal
from penchant.commands.asking import MANIFEST, check_apart, feedback_file, join_feedback, listed, metrics_of, read_table
from penchant.options import (
    FITTING,
    INTERRUPTED,
    READING,
    SPLITTING,
    Feedback,
    Flags,
    Json,
    Metrics,
    Ratings,
    check_folds,
    how_to_split,
    parse_settings,
    whole,
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
            help="Of ratings: bias, dot, mf, explicit-als, mlp, bayes, or FILE.py:CLASS for a torch module of your own;"
            " of preferences: popularity, item-knn, ease, als, bpr, sequence.",
        ),
    ] = "mf",
    metrics: Metrics = None,
    feedback: Feedback = None,
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
      penchant fit ratings.csv --feedback feedback.db -o model
    """
    from penchant import job
    from penchant.models.fitting import FitOptions

    asked = metrics_of(metrics)

    unfitted = job.build_any(model, parse_settings(settings, [job.kind_of(model)]))
    how = how_to_split(splitting, fitting)
    job.check_machine([unfitted], fitting["device"])
    if out is not None:
        job.check_destination(out)
    check_apart(out, *_sources(ratings, reading, splitting), feedback_file(feedback))
    table = read_table(ratings, json, reading, memory=fitting["memory"])
    about: dict[str, Any] = {}
    if feedback is not None:
        table, about = join_feedback(table, feedback, reading)
    split = _split(table, reading, splitting["valid"], how, fitting, json)
    with _listening(json) as listener:
        fitted = job.fit_model(unfitted, split, FitOptions(listener=listener, **fitting), asked)
    fitted = replace(fitted, about={**fitted.about, **about})
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
            help="Names, and FILE.py:CLASS, separated by commas. bayes, the most accurate of ratings, is left out by"
            " default, since it takes tens of seconds where the others take one.",
            show_default="bias,dot,mf,mlp; without ratings popularity,item-knn,ease,als",
        ),
    ] = None,
    metrics: Metrics = None,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=whole("--folds", 2),
            help="Cross-validation: fit every model N times, each rating held out once.",
            show_default="one split",
        ),
    ] = None,
    no_baselines: Annotated[
        bool, typer.Option("--no-baselines", help="Do not add bias or popularity where they are not named.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FOLDER", help="Where to save the models, in a folder each."),
    ] = None,
    json: Json = False,
) -> None:
    """Train several models on one split, and print their losses side by side.

    A setting is given to those of the models that have it. Where one of the models ranks only, all are compared by
    their lists. The simple models that all others have to beat are added where they are not named (bias for ratings,
    popularity for lists), and not saved. A second table says which differences are real.

    Examples:
      penchant compare ml-latest-small
      penchant compare ratings.csv --models bias,mf,net.py:DotProduct --factors 20 -o models
      penchant compare clicks.csv --split time --metrics ndcg@10,recall@20
      penchant compare ratings.csv --models mf,als --split users
      penchant compare ratings.csv --models bias,mf --folds 5
    """
    from penchant import comparing, job
    from penchant.models.fitting import FitOptions

    asked = metrics_of(metrics)
    names = None if models is None else listed(models)
    how = how_to_split(splitting, fitting, comparing=True)
    if folds is not None:
        check_folds(folds, splitting, out)
    contest = None if names is None else _contest(names, settings, fitting, asked, not no_baselines)
    if out is not None:
        job.check_destination(out / "model")
        for model in out.iterdir() if out.is_dir() else ():
            if (model / MANIFEST).is_file():
                check_apart(model, *_sources(ratings, reading, splitting))
    if folds is not None:
        table = read_table(ratings, json, reading, memory=fitting["memory"])
        splits = _split_folds(table, folds, fitting["seed"], json)
    else:
        splits = [_read_split(ratings, reading, splitting["valid"], how, fitting, json)]
    if contest is None:
        contest = _contest(list(comparing.compared(splits[0])), settings, fitting, asked, not no_baselines)
    if folds is not None:
        _compare_folds(contest, splits, fitting, json)
        return
    with _listening(json) as listener:
        found = comparing.compare_measured(contest, splits[0], FitOptions(listener=listener, **fitting))
    _say_compared(found, contest.by, splits[0].may_leak, fitting["seed"], out, json)
    n_asked = len(contest.models) + len(contest.baselines)
    if len(found) < n_asked or any(job.was_interrupted(one.recommender) for one in found):
        terminal.warn(f"Interrupted: {len(found)} of {terminal.counted(n_asked, 'model')} had learnt something.")
        raise typer.Exit(INTERRUPTED)


def _sources(ratings: str, reading: Flags, splitting: Flags) -> tuple[object, ...]:
    """All that is read to be fitted on."""
    return ratings, splitting["valid"], reading["items"], reading["users"]


def _contest(names: list[str], settings: Flags, fitting: Flags, metrics: list[str] | None, baselines: bool) -> Any:
    """The models of a comparison by name, on a machine that can fit them."""
    from penchant import comparing, job

    values = parse_settings(settings, [job.kind_of(name) for name in names])
    contest = comparing.Contest.of(names, values, metrics, baselines)
    job.check_machine([model for model, _ in contest.build()], fitting["device"])
    return contest


def _say_compared(found: Any, by: str, may_leak: str, seed: int, out: Path | None, json: bool) -> None:
    """Save the models that were asked for, and print all."""
    from penchant import comparing

    differences = comparing.differences(found, by, seed)
    for one in found:
        saved = one.recommender.save(out / one.name) if out is not None and not one.is_baseline else None
        if json:
            _say_fitted(one.recommender, saved, json, baseline=one.is_baseline)
    if json:
        _say_differences(differences, found[0].name, by)
        return
    terminal.say_comparison([one.recommender for one in found], by, [one.is_baseline for one in found])
    if differences:
        terminal.say_differences(found[0].name, by, differences)
    _say_leak(may_leak)
    those = "the models that you name" if any(one.is_baseline for one in found) else "all of them"
    terminal.say(f"\nThe models are in {out}" if out else f"\nNothing was saved; -o FOLDER saves {those}.")


def _split_folds(table: Any, folds: int, seed: int, json: bool) -> Any:
    from penchant.data.split import split_folds

    splits = split_folds(table, folds, seed)
    if not json:
        terminal.say(f"Split: {folds} folds, every rating held out in one of them, seed {seed}.")
    return splits


def _compare_folds(contest: Any, splits: Any, fitting: Flags, json: bool) -> None:
    """Fit, with a line for each fit, and print means over folds."""
    from penchant import comparing
    from penchant.models.fitting import FitOptions

    by = contest.by
    fits = len(splits) * (len(contest.models) + len(contest.baselines))
    bar = None if json else progress.FitsBar(fits, f"{len(splits)} folds")

    def told(fold: int, one: Any) -> None:
        if bar is not None:
            bar.ended_fit()
        _say_fold(fold, len(splits), one, by, json)

    if not json:
        terminal.headline("Fits")
    with _listening(json, bar or progress.NoEpochs(), "the first fold was done") as listener:
        found = comparing.compare_folds(contest, splits, FitOptions(listener=listener, **fitting), told)
    differences = comparing.differences(found, by, fitting["seed"])
    if json:
        for one in found:
            of_one = one.to_json()
            event = {"event": "result", "model": one.name, "baseline": one.is_baseline, "valid": of_one.pop("metrics")}
            terminal.say_json({**event, **of_one, "fit_seconds": one.fit_seconds, "may_leak": splits[0].may_leak})
        _say_differences(differences, found[0].name, by)
    else:
        terminal.say_folds(found, by)
        if differences:
            terminal.say_differences(found[0].name, by, differences)
        _say_leak(splits[0].may_leak)
    if len(found[0].folds) < len(splits):
        terminal.warn(f"Interrupted: {len(found[0].folds)} of {len(splits)} folds were done.")
        raise typer.Exit(INTERRUPTED)


def _say_fold(fold: int, folds: int, one: Any, by: str, json: bool) -> None:
    """One model measured on one fold."""
    recommender = one.recommender
    valid = recommender.about["valid"]["metrics"]
    if json:
        event = {"event": "fold", "fold": fold + 1, "folds": folds, "model": one.name, "valid": valid}
        terminal.say_json({**event, "fit_seconds": recommender.log.fit_seconds})
        return
    value = f"{by} {valid[by]:.4f}"
    terminal.say(
        f"  fold {fold + 1} of {folds}  {one.name:<12}{value:>18}{terminal.seconds(recommender.log.fit_seconds):>10}"
    )


def _say_differences(found: Any, best: str, by: str) -> None:
    for name, one in found.items():
        of_one = {"event": "difference", "best": best, "model": name, "by": by}
        terminal.say_json({**of_one, **vars(one), "is_real": one.is_real})


@contextmanager
def _listening(json: bool, listener: Any = None, first: str = "the first epoch ended") -> Iterator[Any]:
    """Who prints the epochs, or something else instead; its bar is taken away whatever happens.

    Args:
        first: what Ctrl-C came before, when nothing was learnt.
    """
    from penchant.models.fitting import NothingLearnt

    if listener is None:
        listener = progress.EpochLines() if json else progress.EpochTable()
    try:
        yield listener
    except NothingLearnt:
        listener.close()
        terminal.fail(f"Interrupted before {first}: nothing was learnt, nothing was written.")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        listener.close()


def _read_split(source: str, reading: Flags, valid: str | None, how: Flags, fitting: Flags, json: bool) -> Any:
    """Read and split, telling what was read."""
    table = read_table(source, json, reading, memory=fitting["memory"])
    return _split(table, reading, valid, how, fitting, json)


def _split(train: Any, reading: Flags, valid: str | None, how: Flags, fitting: Flags, json: bool) -> Any:
    """Split a table, or read what it is to be validated on."""
    from penchant import job

    held_out = read_table(valid, json, reading, train.notes, fitting["memory"]) if valid is not None else None
    split = job.make_split(train, valid=held_out, seed=fitting["seed"], **how)
    if not json:
        terminal.say(f"Split: {split}.")
    return split


def _say_fitted(fitted: Any, saved: Path | None, json: bool, **more: Any) -> None:
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
            "may_leak": fitted.about["split"]["may_leak"],
            **more,
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
