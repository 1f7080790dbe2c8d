"""What tables of items and users say, joined to the ratings by id: names to show, columns, another id."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data import columns as naming
from penchant.data import values
from penchant.data.tables import Table, simplify
from penchant.data.vocabulary import Vocabulary, null_where, plain_integers
from penchant.errors import DataError

ID = "\x00id"  # a name that no column has
NEW_ID = "\x00new id"


@dataclass(frozen=True)
class Described:
    """The item of every rating, and what is known about items.

    Attributes:
        ids: the item of every rating.
        table: the items' columns after a column ID, in which no id repeats; None when nothing is known.
        name_column: the column of `table` to show for an item, or None.
        notes: what joining did beside joining.
    """

    ids: pl.Series
    table: pl.DataFrame | None = None
    name_column: str | None = None
    notes: tuple[str, ...] = ()


def name_from_ratings(
    ratings: Table, item_ids: pl.Series, item_name: str | None, rows: NDArray[np.int64] | None = None
) -> Described:
    """Without an items table, a title may stand in the ratings table itself: the first of each item is taken.

    `rows` are those of the table that `item_ids` stand for, where not all are.
    """
    column = item_name or naming.find_column(ratings, naming.NAME_NAMES)
    if column is None:
        return Described(item_ids)
    names = ratings.frame[naming.check_column(ratings, column)]
    names = names if rows is None else names.gather(rows)
    named = pl.DataFrame({ID: item_ids, column: names}).filter(names.alias("").is_not_null())
    return Described(item_ids, named.unique(ID, keep="first", maintain_order=True), column)


def column_as_item(keyed: pl.DataFrame, item_ids: pl.Series, column: str) -> Described:
    """A column of the items table becomes the item: two films of one title are one item then.

    The new ids are null where an item is not in the table, or has nothing in the column.
    """
    joined = pl.DataFrame([item_ids.alias(ID)]).join(keyed.select(ID, NEW_ID), on=ID, how="left", maintain_order="left")
    occurring = keyed.filter(keyed[ID].is_in(item_ids.unique().implode()) & keyed[NEW_ID].is_not_null())
    renamed = occurring.drop(ID).rename({NEW_ID: ID})
    distinct = renamed.unique(ID, keep="first", maintain_order=True)
    lost = renamed.height - distinct.height
    notes = (f"{lost:,} items share their '{column}' with another and are one item now.",) if lost else ()
    return Described(joined[NEW_ID], distinct, column, notes)


def key(
    table: Table, key_name: str, ids: pl.Series, kind: str, names: tuple[str, ...], new_id: str | None = None
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """A table of items or users with a first column ID of the type that the ratings' ids have, and notes.

    Its id is the column called as in the ratings or by a usual name whose values occur most often in the
    ratings: a table of books has an ISBN and a number, and only one is meant.

    Args:
        new_id: a column whose values, read as ids, are to be in another column NEW_ID.

    Raises:
        DataError: no column can be the id, or none of its values occurs in the ratings.
    """
    keys = _possible_keys(table, key_name, ids, kind, names)
    wanted = ids.unique()
    matches = [int(own.is_in(wanted.implode()).sum()) for own in keys.values()]
    best = int(np.argmax(matches))
    if not matches[best]:
        raise DataError(
            f"None of its {kind}s occurs in the ratings (looked at: {', '.join(keys)}).",
            file=table.name,
            remedy=f"Check that both tables use the same {kind} ids; those of the ratings begin {wanted.sort()[0]!r}.",
        )
    own = list(keys.values())[best]
    added = [own.alias(ID)]
    if new_id is not None:
        added.append(values.ids_or_missing(table, naming.check_column(table, new_id), kind).alias(NEW_ID))
    keyed = pl.concat([pl.DataFrame(added), table.frame], how="horizontal").filter(own.is_not_null())
    distinct = keyed.unique(ID, keep="first", maintain_order=True)
    repeated = keyed.height - distinct.height
    notes = (
        (f"{repeated:,} lines of {table.name} repeat the {kind} of an earlier one, which is taken.",)
        if repeated
        else ()
    )
    return distinct, notes


def _possible_keys(
    table: Table, key_name: str, ids: pl.Series, kind: str, names: tuple[str, ...]
) -> dict[str, pl.Series]:
    """The columns that may be the id, as ids of the type that the ratings have."""
    called_alike = [column for column in table.frame.columns if simplify(column) == simplify(key_name)]
    exactly = [key_name] if key_name in called_alike else called_alike
    candidates = dict.fromkeys([*exactly, *naming.find_columns_named(table, names)])
    keys: dict[str, pl.Series] = {}
    problem = DataError(
        f"No column looks like the {kind}; the columns are {', '.join(table.frame.columns)}.",
        file=table.name,
        remedy=f"Call its column of ids as in the ratings: '{key_name}'.",
    )
    for column in candidates:
        try:
            keys[column] = _in_type_of(ids, values.ids_or_missing(table, column, kind))
        except DataError as error:
            problem = error
    if not keys:
        raise problem
    return keys


def _in_type_of(ids: pl.Series, own: pl.Series) -> pl.Series:
    if own.dtype == ids.dtype:
        return own
    return plain_integers(own) if own.dtype == pl.String else own.cast(pl.String)


def align(vocabulary: Vocabulary, keyed: pl.DataFrame) -> pl.DataFrame:
    """The columns of a keyed table with one row an id, in the order of the vocabulary, null where it lacks the id."""
    return pl.DataFrame([vocabulary.ids.alias(ID)]).join(keyed, on=ID, how="left", maintain_order="left").drop(ID)


def names_to_show(items: Vocabulary, given: pl.Series, column: str, file: str) -> tuple[pl.Series, tuple[str, ...]]:
    """What to call each item: its name, or its id where it has none; and a note on how many have none.

    Raises:
        DataError: the column's values cannot be text.
    """
    if given.dtype.is_nested() or given.dtype == pl.Binary:
        raise DataError(
            f"Names of type {given.dtype} cannot be shown.",
            file=file,
            column=column,
            remedy="Name another column: --item-name COLUMN (item_name=… in Python).",
        )
    names = given.alias("").cast(pl.String)
    names = null_where(names.str.strip_chars() == "", names)
    nameless = names.null_count()
    notes = (f"{nameless:,} items have no '{column}' and are shown by their id.",) if nameless else ()
    return names.fill_null(items.ids.cast(pl.String)), notes
