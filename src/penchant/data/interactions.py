"""Interactions: the one data type that all later stations take, checked when it is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.vocabulary import Vocabulary
from penchant.errors import DataError


@dataclass(frozen=True)
class ByUser:
    """The same interactions grouped by user (compressed sparse rows).

    Attributes:
        starts: int64 (n_users + 1,); user row u owns `positions[starts[u]:starts[u + 1]]`.
        positions: int64 (n,), positions in the Interactions' columns, in the order of the file.
    """

    starts: NDArray[np.int64]
    positions: NDArray[np.int64]

    def of(self, user_row: int) -> NDArray[np.int64]:
        """Positions of one user's interactions."""
        return self.positions[self.starts[user_row] : self.starts[user_row + 1]]


@dataclass(frozen=True, eq=False)
class Interactions:
    """Who rated what, when; frozen columns of equal length n and two vocabularies.

    Args:
        users, items: the ids; every row index below points into them.
        user_rows, item_rows: int32 (n,), 0-based.
        ratings: float32 (n,), finite, on the scale of the source.
        times: int64 (n,), seconds since 1970-01-01 UTC, or None when the source has none.
        item_names: String Series (n_items,), what to call an item on screen (its id when not given).
        item_table, user_table: frames whose row r describes item (user) row r, or None.
        source: where the data came from, for messages and the manifest.
        notes: what reading did beside reading (duplicates dropped, names missing), one sentence each.
        is_implicit: nobody rated; `ratings` are weights above 0: plays, counts, hours, or 1.
        positive_from: they are of ratings from this one up; None where nobody rated at all, or `is_implicit` is false.
        columns: what the columns were called in the source, by meaning: user, item, rating or weight, time.

    Raises:
        DataError: when columns differ in length, a row points outside its vocabulary, or a rating is
            not finite.
    """

    users: Vocabulary
    items: Vocabulary
    user_rows: NDArray[np.int32]
    item_rows: NDArray[np.int32]
    ratings: NDArray[np.float32]
    times: NDArray[np.int64] | None = None
    item_names: pl.Series | None = None
    item_table: pl.DataFrame | None = None
    user_table: pl.DataFrame | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    is_implicit: bool = False
    positive_from: float | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_column(self.user_rows, np.int32, len(self), "user_rows")
        _check_column(self.item_rows, np.int32, len(self), "item_rows")
        _check_column(self.ratings, np.float32, len(self), "ratings")
        if self.times is not None:
            _check_column(self.times, np.int64, len(self), "times")
        _check_range(self.user_rows, len(self.users), "user_rows")
        _check_range(self.item_rows, len(self.items), "item_rows")
        if not np.isfinite(self.ratings).all():
            raise DataError("A rating is not a finite number.")
        if self.is_implicit and len(self) and not self.ratings.min() > 0:
            raise DataError("A weight of implicit feedback is not above 0.")
        if self.item_names is not None and len(self.item_names) != len(self.items):
            raise DataError(f"There are {len(self.item_names)} item names for {len(self.items)} items.")
        for table, vocabulary in ((self.item_table, self.items), (self.user_table, self.users)):
            if table is not None and table.height != len(vocabulary):
                raise DataError(f"The {vocabulary.kind} table has {table.height} rows for {len(vocabulary)}.")

    def __len__(self) -> int:
        return len(self.user_rows)

    @property
    def n_users(self) -> int:
        """How many distinct users the vocabulary has."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """How many distinct items the vocabulary has."""
        return len(self.items)

    @property
    def scale(self) -> tuple[float, float]:
        """The lowest and the highest rating that occur."""
        return float(self.ratings.min()), float(self.ratings.max())

    @property
    def names(self) -> pl.Series:
        """What to call each item on screen, String (n_items,)."""
        return self.items.ids.cast(pl.String) if self.item_names is None else self.item_names

    @cached_property
    def by_user(self) -> ByUser:
        """The interactions grouped by user."""
        counts = np.bincount(self.user_rows, minlength=self.n_users)
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return ByUser(starts, stable_order(self.user_rows))

    @cached_property
    def item_counts(self) -> NDArray[np.int64]:
        """How many ratings each item has, (n_items,)."""
        return np.bincount(self.item_rows, minlength=self.n_items).astype(np.int64)

    @cached_property
    def user_counts(self) -> NDArray[np.int64]:
        """How many ratings each user has, (n_users,)."""
        return np.bincount(self.user_rows, minlength=self.n_users).astype(np.int64)

    def take(self, positions: NDArray[np.integer[Any]]) -> Interactions:
        """The interactions at some positions, with the same vocabularies."""
        if positions.dtype == bool:  # np.take would read it as positions 0 and 1
            raise TypeError("Interactions.take needs positions; make them of a mask with np.flatnonzero.")
        return replace(
            self,
            user_rows=np.take(self.user_rows, positions),  # np.take is several times faster than brackets
            item_rows=np.take(self.item_rows, positions),
            ratings=np.take(self.ratings, positions),
            times=None if self.times is None else np.take(self.times, positions),
        )

    def compact(self) -> Interactions:
        """The same interactions with vocabularies of only the users and items that occur."""
        users, user_rows, kept_users = _shrink(self.users, self.user_rows)
        items, item_rows, kept_items = _shrink(self.items, self.item_rows)
        return replace(
            self,
            users=users,
            items=items,
            user_rows=user_rows,
            item_rows=item_rows,
            item_names=None if self.item_names is None else self.item_names.gather(kept_items),
            item_table=None if self.item_table is None else self.item_table[kept_items],
            user_table=None if self.user_table is None else self.user_table[kept_users],
        )

    def rows_in(self, users: Vocabulary, items: Vocabulary) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The user and item of each interaction as rows of other vocabularies; -1 where they lack it."""
        user_map = users.rows(self.users.ids, missing="minus one")
        item_map = items.rows(self.items.ids, missing="minus one")
        return user_map[self.user_rows], item_map[self.item_rows]

    def are_among(
        self, users: Vocabulary, items: Vocabulary, user_rows: NDArray[np.integer[Any]], item_rows: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """Which interactions have a user and an item that are a pair among others, (n,).

        Args:
            users, items: the vocabularies of the others.
            user_rows, item_rows: their pairs.
        """
        own_users, own_items = self.rows_in(users, items)
        n = len(items)
        own = np.multiply(own_users, n, dtype=np.int64) + own_items
        is_known = (own_users >= 0) & (own_items >= 0)
        return is_known & np.isin(own, np.multiply(user_rows, n, dtype=np.int64) + item_rows)


def entries_of(
    starts: NDArray[np.int64], rows: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The entries of some rows of compressed sparse rows one after the other, and the place in `rows` of each's row."""
    first, counts = starts[rows], starts[rows + 1] - starts[rows]
    of_row = np.repeat(np.arange(len(rows)), counts)
    before = np.cumsum(counts) - counts
    return np.arange(len(of_row)) + (first - before)[of_row], of_row


def stable_order(rows: NDArray[np.int32]) -> NDArray[np.int64]:
    """The positions of some rows (none negative) ordered by row, and by position where rows are equal.

    Row and position are sorted together as one number each, which is several times faster than np.argsort.
    """
    positions = np.arange(len(rows), dtype=np.int64)
    if (rows[1:] >= rows[:-1]).all():
        return positions
    positions += np.left_shift(rows, 32, dtype=np.int64)
    positions.sort()
    positions &= 2**32 - 1
    return positions


def _check_column(column: NDArray[Any], dtype: type, length: int, name: str) -> None:
    if column.dtype != dtype or column.shape != (length,):
        raise DataError(
            f"{name} is {column.dtype} of shape {column.shape}; it must be {np.dtype(dtype)} of ({length},)."
        )


def _check_range(rows: NDArray[np.int32], size: int, name: str) -> None:
    if len(rows) and not (rows.min() >= 0 and rows.max() < size):
        raise DataError(f"{name} reaches from {rows.min()} to {rows.max()}; the vocabulary has {size} ids.")


def _shrink(
    vocabulary: Vocabulary, rows: NDArray[np.int32]
) -> tuple[Vocabulary, NDArray[np.int32], NDArray[np.uint32]]:
    occurs = np.zeros(len(vocabulary), bool)
    occurs[rows] = True
    kept = np.flatnonzero(occurs).astype(np.uint32)
    new_rows = (np.cumsum(occurs) - 1).astype(np.int32)
    return Vocabulary(vocabulary.ids.gather(kept), vocabulary.kind), np.take(new_rows, rows), kept
