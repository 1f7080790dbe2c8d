"""evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from penchant import terminal
from penchant.commands.asking import check_apart, load, metrics_of, read_table
from penchant.errors import SettingError
from penchant.options import READING, Flags, Json, Metrics, ModelDir, Module, Seed, Threads, with_groups


@with_groups(READING)
def evaluate(
    model_dir: ModelDir,
    reading: Flags,
    ratings: Annotated[
        str | None,
        typer.Argument(metavar="[RATINGS]", help="What was held out: a file, a folder, or a data set's name."),
    ] = None,
    metrics: Metrics = None,
    relevant_from: Annotated[
        float | None,
        typer.Option(metavar="RATING", help="The lowest rating that makes an item relevant.", show_default="any"),
    ] = None,
    candidates: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Rank each user's item only among the negatives of this file (lines of (user,item), a tab, items);"
            " to compare with papers.",
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="activity|popularity|COLUMN",
            help="Show groups: of users by ratings in training or by a column of --users, of items by popularity.",
        ),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="What users took before that the model does not know; they are folded in from it.",
            show_default="they are average users",
        ),
    ] = None,
    per_user: Annotated[
        Path | None, typer.Option(metavar="FILE.parquet", help="Write each user's values of the metrics of lists.")
    ] = None,
    seed: Seed = 0,
    threads: Threads = None,
    module: Module = None,
    json: Json = False,
) -> None:
    """Measure a saved model on what was held out, with 95 % intervals over users.

    Metrics of ratings are mse, rmse and mae. Metrics of lists have the length of the list: precision@10, recall@20,
    hit@10, ndcg@10, map@10, mrr@10, coverage@10, novelty@10, gini@10, popularity_bias@10, diversity@10; and auc. All
    items that a user has not taken in training are ranked. Of a model of ratings, a line says how many of the ratings
    are within their 90 % prediction intervals.

    Examples:
      penchant evaluate model u1.test
      penchant evaluate model newer.csv --metrics rmse,ndcg@10,recall@20 --relevant-from 4 --json
      penchant evaluate model held-out.csv --given before.csv --metrics recall@20 --by popularity
      penchant evaluate model --candidates ml-1m.test.negative --metrics hit@10,ndcg@10
    """
    from penchant import job
    from penchant.data.columns import known_columns
    from penchant.data.write import check_writable as check_output
    from penchant.serving.measuring import measure_questions, users_table

    _check_flags(ratings, candidates, given, by)
    asked = metrics_of(metrics)
    if per_user is not None:
        check_output(per_user)
    check_apart(per_user, model_dir, ratings, candidates, given, reading["items"], reading["users"])
    recommender = load(model_dir, module)
    if candidates is not None:
        _say_candidates(recommender, candidates, asked or ["hit@10", "ndcg@10"], per_user, seed, json)
        return
    how = {**reading, "columns": known_columns(recommender.about)}
    found = read_table(str(ratings), json, how)
    before = None if given is None else read_table(given, json, how, found.notes)
    questions = recommender.questions(found, before)
    measured = measure_questions(recommender, questions, asked, relevant_from=relevant_from, seed=seed, threads=threads)
    labels, shown = _grouped(recommender, measured, by, seed)
    trained_on = None if recommender.is_stripped else job.count_trained_on(recommender, found)
    report = measured.to_json() | {"n_trained_on": trained_on}
    report["may_leak"] = job.leak_of(recommender, found)
    coverage = _measure_coverage(recommender, questions) if measured.ratings else {}
    report |= {"coverage": coverage} if coverage else {}
    report |= {"groups": shown} if shown else {}
    _warn_of_strangers(questions, given, recommender.is_stripped)
    _warn(report, _seen(recommender, measured, trained_on, relevant_from))
    if json:
        terminal.say_json({"event": "result", **report})
    else:
        terminal.say_metrics(report)
        terminal.say_coverage(coverage)
        terminal.say_groups(report.get("groups", {}))
    if per_user is not None and measured.lists is not None:
        _write_users(users_table(measured.lists, found.users, labels), per_user, json)


def _check_flags(ratings: str | None, candidates: Path | None, given: str | None, by: str | None) -> None:
    if (ratings is None) == (candidates is None):
        raise SettingError(
            "Give either what was held out or --candidates.", remedy="penchant evaluate MODEL_DIR RATINGS"
        )
    if candidates is not None and (given is not None or by is not None):
        flag = "--given" if given is not None else "--by"
        raise SettingError(f"{flag} has no meaning with --candidates.", remedy="Leave it out.")


def _grouped(recommender: Any, measured: Any, by: str | None, seed: int) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The group of each user by the name of the grouping, and what is known of groups; of no grouping, nothing."""
    from penchant.serving.grouping import POPULARITY, group_labels, groups, popularity_groups

    if by is None:
        return {}, {}
    if by == POPULARITY:
        return {}, popularity_groups(measured.lists, recommender.item_counts, seed)
    labels = group_labels(recommender, measured.questions.ratings, measured.lists, by)
    return labels, groups(measured.lists, labels, seed)


def _warn_of_strangers(questions: Any, given: str | None, is_stripped: bool) -> None:
    if (questions.item_rows < 0).all():
        terminal.warn("The model knows none of these items; are the ids the same? (--item title for titles.)")
    elif questions.newcomers is not None and not questions.n_folded_in:
        terminal.warn(
            f"Nobody is folded in from {given}: no user of it is one to be measured whom the model does not know,"
            " with an item that it knows."
        )
    elif is_stripped:
        strangers = "" if questions.n_folded_in else " It takes everybody for average; --given FILE folds them in."
        terminal.warn(f"The model is stripped: what it was trained on is not known.{strangers}")
    elif (questions.user_rows < 0).all() and not questions.n_folded_in:
        terminal.warn(
            "The model knows none of these users and takes them for average; are the ids the same?"
            " --given FILE folds them in from what they took before."
        )


def _seen(recommender: Any, measured: Any, trained_on: int | None, relevant_from: float | None) -> str:
    """How metrics are off for being of ratings that the model was trained on, in words; or ""."""
    from penchant import job
    from penchant.list_metrics import LIST_METRICS

    ratings, so = measured.questions.ratings, []
    if trained_on and measured.ratings is not None:
        so.append("on new ones it does worse")
    if trained_on and measured.lists is not None and LIST_METRICS.keys() & map(_kind, measured.lists.metrics):
        relevant = trained_on
        if relevant_from is not None:
            relevant = job.count_trained_on(recommender, ratings, relevant_from=relevant_from)
        if relevant:
            so.append("its lists leave these out, though they count as relevant, so that metrics of lists are too low")
    of = f"{trained_on or 0:,} of {terminal.counted(len(ratings), 'rating')}"
    return f"The model was trained on {of}: {'; '.join(so)}." if so else ""


def _kind(metric: str) -> str:
    return metric.partition("@")[0]


def _warn(report: dict[str, Any], seen: str) -> None:
    if seen:
        terminal.warn(seen)
    elif report["may_leak"]:
        terminal.warn(report["may_leak"])


def _say_candidates(
    recommender: Any, source: Path, metrics: list[str], per_user: Path | None, seed: int, json: bool
) -> None:
    from penchant.evaluate_candidates import WARNING
    from penchant.serving.measuring import measure_candidates

    found, table = measure_candidates(recommender, source, metrics, seed=seed)
    report = found.to_json()
    terminal.warn(WARNING)
    if report["n_unknown_users"] == report["n_users"]:
        terminal.warn("The model knows none of these users; are the ids the same?")
    if json:
        terminal.say_json({"event": "result", "protocol": "sampled negatives", **report})
    else:
        terminal.say_metrics(report)
    if per_user is not None:
        _write_users(table, per_user, json)


def _write_users(table: Any, path: Path, json: bool) -> None:
    from penchant.data.write import write_table

    write_table(table, path)
    if not json:
        terminal.say(f"The values of {terminal.counted(table.height, 'user')} are in {path}")


def _measure_coverage(recommender: Any, questions: Any) -> dict[str, Any]:
    """What the model's intervals cover, for JSON; nothing where it has none."""
    from penchant import job
    from penchant.intervals import has_intervals

    if not has_intervals(recommender.model, recommender.conformal):
        return {}
    found = recommender.coverage(questions).to_json()
    if recommender.conformal is not None and not recommender.is_stripped:
        found["n_calibrated_on"] = job.count_trained_on(recommender, questions.ratings, validated=True)
    return found
