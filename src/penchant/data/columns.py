"""Which column is the user, the item, the rating, the time: by usual names, or as the caller says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penchant.data.tables import Table, simplify
from penchant.errors import DataError

# Simplified names, the most telling first: an item's id is preferred to its title.
USER_NAMES = (
    "userid", "user", "uid", "userrow", "userindex", "reviewerid", "customerid", "customer", "memberid", "member",
    "visitorid", "accountid", "clientid", "username", "reviewer",
)  # fmt: skip
ITEM_NAMES = (
    "itemid", "item", "iid", "movieid", "mid", "isbn", "bookid", "productid", "asin", "sku", "songid", "trackid",
    "artistid", "jokeid", "gameid", "animeid", "articleid", "businessid", "recipeid", "movie", "book", "product",
    "song", "track", "artist", "joke", "game", "film", "filmid", "title",
)  # fmt: skip
RATING_NAMES = (
    "rating", "ratings", "score", "stars", "star", "starrating", "bookrating", "overall", "userrating", "grade",
    "value",
)  # fmt: skip
TIME_NAMES = (
    "timestamp", "time", "unixtime", "unixreviewtime", "date", "datetime", "reviewdate", "createdat", "ratedat",
)  # fmt: skip
WEIGHT_NAMES = ("weight", "weights")  # of tables in which ratings are not asked for
NAME_NAMES = ("title", "name", "itemname", "movietitle", "booktitle", "productname", "tracktitle", "joketext")

KNOWN_NAMES = frozenset((*USER_NAMES, *ITEM_NAMES, *RATING_NAMES, *TIME_NAMES))
IMPLICIT_REMEDY = " Where nobody rated, and a line says only who took what: --implicit (implicit=True)."
HEADERLESS = ("user", "item", "rating", "timestamp")  # as in MovieLens' u.data
HEADERLESS_ITEMS = ("item", "title")  # and in its u.item


@dataclass(frozen=True)
class Columns:
    """The columns' names in one ratings table; `time` is None where there is none."""

    user: str
    item: str
    rating: str
    time: str | None


MEANINGS = ("user", "item", "rating", "weight", "time")


def known_columns(about: Mapping[str, Any]) -> dict[str, str]:
    """The names that the columns of a model's ratings had, by meaning, from what is told about its fit.

    {} where nothing is told, as in artifacts written before names were kept.
    """
    data = about.get("data")
    told = data.get("columns") if isinstance(data, Mapping) else None
    if not isinstance(told, Mapping):
        return {}
    return {meaning: name for meaning, name in told.items() if meaning in MEANINGS and isinstance(name, str) and name}


def known_among(
    columns: Mapping[str, str] | None, meaning: str, given: str | None, among: Collection[str]
) -> str | None:
    """The name that the caller gave; or the one that a table read before had, if this table has it too; or None."""
    name = (columns or {}).get(meaning)
    return given or (name if name in among else None)


def with_known(columns: Mapping[str, str] | None) -> frozenset[str]:
    """Simplified names by which a first line is recognised as a header, those of a table read before among them."""
    return KNOWN_NAMES | {simplify(name) for name in (columns or {}).values()}


def find_columns(
    table: Table,
    *,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    time: str | None = None,
    without_rating: bool = False,
) -> Columns:
    """The four columns of a ratings table; a name given by the caller is taken as it is.

    Args:
        without_rating: for tables of pairs to predict: the rating's name is "" where there is none.

    Raises:
        DataError: a column is not there; the message lists those that are.
    """
    taken_user = user or require_column(table, "user", USER_NAMES, "--user")
    taken_item = item or require_column(table, "item", ITEM_NAMES, "--item")
    taken_rating = rating or find_column(table, RATING_NAMES) or ""
    if not taken_rating and not without_rating:
        taken_rating = require_column(table, "rating", RATING_NAMES, "--rating")
    found = Columns(taken_user, taken_item, taken_rating, time or find_column(table, TIME_NAMES))
    for column in (found.user, found.item, found.rating, found.time):
        if column:
            check_column(table, column)
    return found


def find_column(table: Table, names: Sequence[str]) -> str | None:
    """The first column that has one of the usual names, or None."""
    return next(iter(find_columns_named(table, names)), None)


def find_columns_named(table: Table, names: Sequence[str]) -> list[str]:
    """All columns that have one of the usual names, in the order of the names."""
    simplified: dict[str, str] = {}
    for column in table.frame.columns:
        simplified.setdefault(simplify(column), column)
    return [simplified[name] for name in names if name in simplified]


def require_column(table: Table, meaning: str, names: Sequence[str], option: str) -> str:
    """The column that has one of the usual names, or DataError."""
    column = find_column(table, names)
    if column is None:
        raise DataError(
            f"No column looks like the {meaning}; the columns are {_listed(table)}.",
            file=table.name,
            remedy=f"Name it: {option} COLUMN ({option.lstrip('-')}=… in Python)."
            + (IMPLICIT_REMEDY if meaning == "rating" else ""),
        )
    return column


def check_column(table: Table, column: str) -> str:
    """The column, or DataError when the table does not have it."""
    if column not in table.frame.columns:
        raise DataError(
            f"There is no column '{column}'; the columns are {_listed(table)}.",
            file=table.name,
            remedy="Give one of these names, spelt exactly so.",
        )
    return column


def _listed(table: Table) -> str:
    return ", ".join(table.frame.columns)
