"""Tables that are not ratings: users to recommend to, pairs to predict, a few ratings of somebody new."""

from __future__ import annotations

from typing import Any

import polars as pl

from penchant.data import columns as naming
from penchant.data import values
from penchant.data.read import open_table
from penchant.data.vocabulary import Vocabulary
from penchant.errors import DataError


def read_ids(source: Any, vocabulary: Vocabulary) -> list[Any]:
    """A column of ids in the type of a vocabulary, each once, in the order of the table.

    Raises:
        DataError: the table cannot be used.
        UnknownIdError: an id is not in the vocabulary.
    """
    table = open_table(source)
    names = naming.USER_NAMES if vocabulary.kind == "user" else naming.ITEM_NAMES
    column = table.frame.columns[0]
    if table.frame.width > 1:
        column = naming.require_column(table, vocabulary.kind, names, f"--{vocabulary.kind}")
    ids = values.ids(table, column, vocabulary.kind).unique(maintain_order=True)
    return vocabulary.take(vocabulary.rows(ids))


def read_pairs(source: Any, *, user: str | None = None, item: str | None = None) -> tuple[pl.Series, pl.Series]:
    """The users and the items of a table of pairs, as they are given.

    Raises:
        DataError: the table cannot be used.
    """
    table = open_table(source)
    found = naming.find_columns(table, user=user, item=item, without_rating=True)
    return values.ids(table, found.user, "user"), values.ids(table, found.item, "item")


def read_rated(source: Any) -> dict[Any, float]:
    """Item -> rating from a table of two such columns; of an item rated twice the last counts.

    Raises:
        DataError: the table cannot be used.
    """
    table = open_table(source)
    item, rating = _item_and_rating(table)
    return dict(zip(values.ids(table, item, "item").to_list(), values.ratings(table, rating).tolist(), strict=True))


def _item_and_rating(table: Any) -> tuple[str, str]:
    if not table.has_header and table.frame.width == 2:
        return table.frame.columns[0], table.frame.columns[1]
    item = naming.require_column(table, "item", naming.ITEM_NAMES, "--item")
    rating = naming.find_column(table, naming.RATING_NAMES)
    if rating is None:
        raise DataError(
            f"No column looks like the rating; the columns are {', '.join(table.frame.columns)}.",
            file=table.name,
            remedy="Give a table with columns item and rating.",
        )
    return item, rating
