"""recommend, predict."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from penchant import progress, terminal
from penchant.commands.asking import check_apart, known_user, load, plain
from penchant.errors import SettingError
from penchant.options import ItemColumn, Json, K, ModelDir, Module, Threads, UserColumn, fraction

A_BLOCK = 500_000  # predictions written at a time


def _number(flag: str, remedy: str, most: float = math.inf) -> Callable[[Any], float]:
    """A reader of finite numbers from 0 to the most."""

    def read(text: Any) -> float:
        try:
            value = float(str(text))
        except ValueError:
            value = math.nan
        if not (0 <= value <= most and value < math.inf):
            raise SettingError(f"{flag} is {text}.", remedy=remedy)
        return value

    return read


def recommend(
    model_dir: ModelDir,
    user: Annotated[str | None, typer.Option(metavar="ID", help="A user's id.")] = None,
    users: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table with a column of users, for many at once.")
    ] = None,
    rated: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table of item and rating: somebody new, answered without retraining."),
    ] = None,
    k: K = 10,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="File for the lists: .parquet, .csv, .tsv or .jsonl."),
    ] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out those of --users that the model does not know.")
    ] = False,
    include_seen: Annotated[bool, typer.Option("--include-seen", help="Also items that the user has rated.")] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="ITEM", help="Nothing but this item; for several, repeat it.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="ITEM", help="Not this item; for several, repeat it.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="FILTER",
            help="Only items whose column says so: 'genres=Drama', 'genres!=War' or 'year>=1990'; all of several hold.",
        ),
    ] = None,
    diversity: Annotated[
        float,
        typer.Option(
            "--diversity",
            metavar="NUMBER",
            parser=_number("--diversity", "Give a number from 0 (off) to 1, such as 0.3.", 1),
            help="From 0, the best scores, to 1, the least alike (maximal marginal relevance).",
        ),
    ] = 0.0,
    diversity_by: Annotated[
        list[str] | None,
        typer.Option(
            "--diversity-by",
            metavar="COLUMN",
            help="Column by which items are alike, such as genres; for several, repeat it.",
            show_default="the model's item factors",
        ),
    ] = None,
    popularity_damping: Annotated[
        float,
        typer.Option(
            "--popularity-damping",
            metavar="NUMBER",
            parser=_number("--popularity-damping", "Give a number, 0 (off) or more, such as 0.5."),
            help="How much lower items rank for being rated often.",
        ),
    ] = 0.0,
    threads: Threads = None,
    module: Module = None,
    json: Json = False,
) -> None:
    """Recommend items to a user, to many users, or to somebody new.

    Examples:
      penchant recommend model --user 42 -k 5
      penchant recommend model --users users.csv --out lists.parquet
      penchant recommend model --rated mine.csv
      penchant recommend model --user 42 --where 'genres=Drama' --diversity 0.3
    """
    from penchant.data.columns import known_columns
    from penchant.data.pairs import read_rated
    from penchant.data.write import check_writable, write_table

    if sum(given is not None for given in (user, users, rated)) != 1:
        raise SettingError("Nobody, or too many, to recommend to.", remedy="Give one of --user, --users and --rated.")
    if diversity_by and not diversity:
        raise SettingError("--diversity-by has no effect without --diversity.", remedy="Give both: --diversity 0.3.")
    if out is not None:
        check_writable(out)
    check_apart(out, model_dir, users, rated)
    recommender = load(model_dir, module)
    how: dict[str, Any] = {
        "k": k,
        "include_seen": include_seen,
        "only": only or None,
        "exclude": exclude or (),
        "where": where or (),
        "diversity": diversity,
        "diversity_by": diversity_by or None,
        "popularity_damping": popularity_damping,
    }
    if users is not None:
        _recommend_many(recommender, users, {**how, "threads": threads}, out, skip_unknown, json)
        return
    if rated is not None:
        columns = known_columns(recommender.about)
        who, title = rated.stem, f"For the ratings in {rated}"
        items = recommender.recommend(
            rated=read_rated(rated, columns=columns, without_ratings=recommender.model.ranks_only), **how
        )
    else:
        who = known_user(recommender, str(user))
        title, items = f"For user {who}", recommender.recommend(who, **how)
    if out is not None:
        write_table(recommender.lists_frame([(who, items)]), out)
        terminal.say(f"{terminal.counted(len(items), 'item')} in {out}")
    elif json:
        terminal.say_json({"user": who, "items": [plain(item) for item in items]})
    else:
        terminal.say_recommendations(title, items)


def _recommend_many(
    recommender: Any, users: Path, how: dict[str, Any], out: Path | None, skip_unknown: bool, json: bool
) -> None:
    from penchant.data.columns import known_columns
    from penchant.data.pairs import read_ids
    from penchant.data.write import write_tables

    columns = known_columns(recommender.about)
    ids, n_unknown = read_ids(users, recommender.users, skip_unknown=skip_unknown, columns=columns)
    if n_unknown:
        terminal.warn(f"{terminal.counted(n_unknown, 'line')} with a user that the model does not know: left out.")
    if out is not None:
        tables = recommender.recommend_tables(ids, **how)
        write_tables(progress.following(tables, len(ids), "Recommending"), out)
        terminal.say(f"{terminal.counted(len(ids), 'list')} of up to {terminal.counted(how['k'], 'item')} in {out}")
        return
    for who, items in recommender.recommend_many(ids, **how):
        if json:
            terminal.say_json({"user": who, "items": [plain(item) for item in items]})
        else:
            terminal.say_recommendations(f"For user {who}", items)


def predict(
    model_dir: ModelDir,
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="Table with columns of users and items.")],
    user: UserColumn = None,
    item: ItemColumn = None,
    time: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of the times to predict for.",
            show_default="found by its usual names, or now",
        ),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option(
            metavar="LEVEL",
            parser=fraction("--interval", 0.9, zero=False),
            help="Also where a rating will be with this probability, such as 0.9.",
        ),
    ] = None,
    chances: Annotated[
        bool, typer.Option("--chances", help="Also how likely each rating of the scale is (bayes).")
    ] = False,
    items: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table that describes items which the model does not know (bayes)."),
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table that describes users whom the model does not know (bayes)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="File: .csv, .tsv, .parquet or .jsonl.")
    ] = None,
    module: Module = None,
    json: Json = False,
) -> None:
    """Predict the ratings of pairs of a user and an item, as CSV where no file is given.

    The column 'known' says what the model knows of a pair: both, user, item or neither. With --interval, columns
    'low' and 'high' are the ends of an interval for each rating.

    Examples:
      penchant predict model pairs.csv
      penchant predict model pairs.csv --interval 0.9 --chances
      penchant predict model pairs.csv --items new-films.csv
      penchant predict model pairs.csv --user customer --item sku -o predictions.parquet
    """
    from penchant.data.columns import known_columns
    from penchant.data.pairs import read_pairs
    from penchant.data.write import check_writable, write_table

    if out is not None:
        check_writable(out)
    check_apart(out, model_dir, pairs, items, users)
    recommender = load(model_dir, module)
    given = read_pairs(pairs, user=user, item=item, time=time, columns=known_columns(recommender.about))
    for note in given.notes:
        terminal.warn(note)
    tables = {"user_table": users, "item_table": items}
    frame = recommender.predict_pairs(given.users, given.items, interval, given.times, chances=chances, **tables)
    frame.insert_column(0, given.users.alias("user"))
    frame.insert_column(1, given.items.alias("item"))
    if out is not None:
        write_table(frame, out)
        terminal.say(f"{terminal.counted(frame.height, 'prediction')} in {out}")
    elif json:
        for row in frame.iter_rows(named=True):
            terminal.say_json(plain(row))
    else:
        for start in range(0, frame.height, A_BLOCK):
            block = frame.slice(start, A_BLOCK)
            sys.stdout.write(block.write_csv(float_precision=4, include_header=start == 0))
    _say_unknown(frame, recommender.is_stripped)


def _say_unknown(frame: Any, is_stripped: bool) -> None:
    if is_stripped and frame.height:
        terminal.warn("The model is stripped: it knows no users; see the column 'known'.")
        return
    unknown = int((frame["known"] != "both").sum())
    if unknown == frame.height and frame["known"].n_unique() == 1:
        part = {"neither": "users and none of these items", "user": "items", "item": "users"}[frame["known"][0]]
        terminal.warn(f"The model knows none of these {part}; are the ids the same?")
    elif unknown:
        pairs = f"{terminal.counted(unknown, 'pair')} {'has' if unknown == 1 else 'have'}"
        terminal.warn(f"{pairs} a user or an item that the model does not know; see the column 'known'.")
