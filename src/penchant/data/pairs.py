"""Tables that are not ratings: users to recommend to, pairs to predict, a few ratings of somebody new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data import columns as naming
from penchant.data import items, values
from penchant.data.context import Context, Newcomers
from penchant.data.read import open_table
from penchant.data.tables import Table
from penchant.data.times import times as times_of
from penchant.data.vocabulary import Vocabulary
from penchant.errors import DataError, UnknownIdError


def read_ids(
    source: Any, vocabulary: Vocabulary, *, skip_unknown: bool = False, columns: Mapping[str, str] | None = None
) -> tuple[list[Any], int]:
    """A column of ids in the type of a vocabulary, each once, in the order of the table.

    Args:
        source: a path or frame; of one column, or with one that is called as users or items are.
        vocabulary: the ids that are known.
        skip_unknown: leave out lines whose id is not in the vocabulary.
        columns: names to try before the usual ones, as for `read_ratings`.

    Returns:
        the ids, and how many lines were left out.

    Raises:
        DataError: the table cannot be used.
        UnknownIdError: an id is not in the vocabulary; file and line are named.
    """
    table = open_table(source, known=naming.with_known(columns))
    column = table.frame.columns[0]
    if table.frame.width > 1:
        names = naming.USER_NAMES if vocabulary.kind == "user" else naming.ITEM_NAMES
        column = _column(table, vocabulary.kind, names, columns)
    ids = values.ids(table, column, vocabulary.kind)
    if not len(vocabulary) and len(ids):
        raise vocabulary.unknown(ids[0])
    rows = vocabulary.rows(ids, missing="minus one")
    unknown = pl.Series(rows < 0).arg_true()
    if len(unknown) and not skip_unknown:
        raise _unknown_ids(table, ids, unknown, vocabulary)
    if len(unknown) == len(ids):
        raise DataError(
            f"The model knows none of its {vocabulary.kind}s.", file=table.name, remedy=_such_as(vocabulary)
        )
    return vocabulary.take(pl.Series(rows[rows >= 0]).unique(maintain_order=True).to_numpy()), len(unknown)


def _unknown_ids(table: Table, ids: pl.Series, unknown: pl.Series, vocabulary: Vocabulary) -> UnknownIdError:
    first = int(unknown[0])
    problem = f"There is no {vocabulary.kind} {ids[first]!r} in this model"
    if len(unknown) > 1:
        problem += f" ({len(unknown):,} of {len(ids):,} lines are so)"
    return UnknownIdError(
        f"{table.name}, line {table.line_of(first)}: {problem}.",
        remedy=f"Remove what is unknown, or leave it out with --skip-unknown. {_such_as(vocabulary)}",
    )


def _such_as(vocabulary: Vocabulary) -> str:
    examples = ", ".join(repr(id_) for id_ in vocabulary.ids.head(3).to_list())
    return f"It knows {len(vocabulary):,} {vocabulary.kind}s, such as {examples}."


def lists_table(
    users: Vocabulary,
    items: Vocabulary,
    names: pl.Series,
    user_rows: NDArray[np.int32],
    ranks: NDArray[np.int64],
    item_rows: NDArray[np.int32],
    predictions: NDArray[np.float32] | None,
    scores: NDArray[np.float32],
) -> pl.DataFrame:
    """Ranked lists as `Recommender.lists_frame` gives them: user, rank, item, name, prediction, score; all (n,).

    Without predictions that column is null.
    """
    user_places, item_places = user_rows.astype(np.uint32), item_rows.astype(np.uint32)
    columns = {
        "user": users.ids.gather(user_places),
        "rank": pl.Series(ranks, dtype=pl.Int32),
        "item": items.ids.gather(item_places),
        "name": names.gather(item_places),
        "prediction": pl.Series([None] * len(scores) if predictions is None else predictions, dtype=pl.Float32),
        "score": pl.Series(scores, dtype=pl.Float32),
    }
    return pl.DataFrame(columns)


class Pairs(NamedTuple):
    """Pairs of a user and an item, as they are given.

    Attributes:
        users, items: Int64 or String (n,).
        times: int64 (n,), seconds since 1970-01-01 UTC, or None where the table has none.
        notes: how times were read that are no seconds.
    """

    users: pl.Series
    items: pl.Series
    times: NDArray[np.int64] | None
    notes: tuple[str, ...] = ()


def read_pairs(
    source: Any,
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Pairs:
    """The users and the items of a table of pairs, and the times if it has some.

    Args:
        source: a path or frame.
        user, item, time: names of its columns; found when not given.
        columns: names to try before the usual ones, as for `read_ratings`.

    Raises:
        DataError: the table cannot be used.
    """
    table = open_table(source, known=naming.with_known(columns))
    given = {"user": user, "item": item, "time": time}
    others = {meaning: name for meaning, name in (columns or {}).items() if name not in given.values()}
    names = {meaning: naming.known_among(others, meaning, name, table.frame.columns) for meaning, name in given.items()}
    found = naming.find_columns(table, **names, without_rating=True)
    times, notes = times_of(table, found.time) if found.time is not None else (None, ())
    return Pairs(values.ids(table, found.user, "user"), values.ids(table, found.item, "item"), times, notes)


def read_described(source: Any, ids: pl.Series, kind: str) -> pl.DataFrame:
    """What a table of users or items says of some ids: one row for each id, null where the table lacks it.

    Args:
        source: a path or frame.
        ids: Int64 or String (n,).
        kind: "user" or "item".

    Raises:
        DataError: the table cannot be used, or has none of the ids.
    """
    names = naming.USER_NAMES if kind == "user" else naming.ITEM_NAMES
    keyed, _ = items.key(open_table(source), kind, ids, kind, names)
    return (
        pl.DataFrame([ids.alias(items.ID)]).join(keyed, on=items.ID, how="left", maintain_order="left").drop(items.ID)
    )


def read_rated(
    source: Any, *, columns: Mapping[str, str] | None = None, without_ratings: bool = False
) -> dict[Any, float] | list[Any]:
    """Item -> rating from a table of two such columns, of an item rated twice the last; or items alone.

    Args:
        source: a path or frame.
        columns: names to try before the usual ones, as for `read_ratings`.
        without_ratings: there may be no ratings, since only what was taken is asked: then items alone, one a line. A
            column of weights is as good as one of ratings.

    Raises:
        DataError: the table cannot be used.
    """
    table = open_table(source, known=naming.with_known(columns))
    item, rating = _item_and_rating(table, columns, without_ratings)
    taken = values.ids(table, item, "item").to_list()
    if rating is None:
        return taken
    return dict(zip(taken, values.ratings(table, rating).tolist(), strict=True))


def _item_and_rating(table: Table, columns: Mapping[str, str] | None, without_ratings: bool) -> tuple[str, str | None]:
    names = table.frame.columns
    if not table.has_header and len(names) == 2:
        return names[0], names[1]
    item = names[0] if len(names) == 1 else _column(table, "item", naming.ITEM_NAMES, columns)
    if not without_ratings:
        return item, _column(table, "rating", naming.RATING_NAMES, columns)
    known = [naming.known_among(columns, meaning, None, names) for meaning in ("weight", "rating")]
    usual = naming.find_column(table, (*naming.WEIGHT_NAMES, *naming.RATING_NAMES))
    return item, next((name for name in (*known, usual) if name and name != item), None)


def _column(table: Table, meaning: str, names: tuple[str, ...], columns: Mapping[str, str] | None = None) -> str:
    """The column as it was called before, or by its usual names; there is no flag, so any other has to be renamed."""
    found = naming.known_among(columns, meaning, None, table.frame.columns) or naming.find_column(table, names)
    if found is None:
        raise DataError(
            f"No column looks like the {meaning}; the columns are {', '.join(table.frame.columns)}.",
            file=table.name,
            remedy=f"Call it '{meaning}'.",
        )
    return found


def described_context(
    users: Any,
    items_of_pairs: Any,
    user_rows: NDArray[np.int32],
    item_rows: NDArray[np.int32],
    times: NDArray[np.int64] | None,
    user_table: Any = None,
    item_table: Any = None,
) -> Context:
    """The context of pairs, with what tables say of users and items that a model does not know.

    Args:
        users, items_of_pairs: ids (n,).
        user_rows, item_rows: their rows in the model, -1 for unknown ones.
        user_table, item_table: paths or frames, or None.

    Raises:
        DataError: a table cannot be used.
    """
    sides = []
    for kind, ids, rows, table in (
        ("user", users, user_rows, user_table),
        ("item", items_of_pairs, item_rows, item_table),
    ):
        unknown = np.flatnonzero(rows < 0)
        new = None
        if table is not None and len(unknown):
            told = read_described(table, pl.Series(ids).gather(unknown.astype(np.uint32)), kind)
            places = np.full(len(rows), -1, np.int32)
            places[unknown] = np.arange(len(unknown))
            new = Newcomers(places, told)
        sides.append(new)
    return Context(times, *sides)
