"""Context: what is known of pairs beside which user and which item they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.interactions import Interactions

Rows = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Newcomers:
    """Users, or items, that a model does not know by their ids.

    Attributes:
        rows: int32 (n,), for each pair a row of `table`; -1 where the pair's is known, or nothing is said of it.
        table: what is known of them.
    """

    rows: Rows
    table: pl.DataFrame

    @classmethod
    def of(cls, known: Rows, own: Rows, table: pl.DataFrame | None) -> Newcomers | None:
        """Of pairs: their rows in the model (-1 if unknown), in their own vocabulary, and its table."""
        unknown = known < 0
        if table is None or not unknown.any():
            return None
        kept, numbers = np.unique(own[unknown], return_inverse=True)
        rows = np.full(len(known), -1, np.int32)
        rows[unknown] = numbers
        return cls(rows, table[kept.astype(np.uint32)])

    def take(self, positions: NDArray[Any] | slice) -> Newcomers:
        """Of some of the pairs."""
        return Newcomers(self.rows[positions], self.table)


@dataclass(frozen=True, eq=False)
class Context:
    """What is known of n pairs beside their rows; a model makes use of what it can.

    Attributes:
        times: int64 (n,), seconds since 1970, or None for now: later than all of training.
        users, items: those that the model does not know by their ids.
    """

    times: NDArray[np.int64] | None = None
    users: Newcomers | None = None
    items: Newcomers | None = None

    @classmethod
    def of(cls, ratings: Interactions, user_rows: Rows, item_rows: Rows) -> Context:
        """Of ratings whose users and items are these rows of a model, -1 for unknown ones."""
        users = Newcomers.of(user_rows, ratings.user_rows, ratings.user_table)
        items = Newcomers.of(item_rows, ratings.item_rows, ratings.item_table)
        return cls(ratings.times, users, items)

    def take(self, positions: NDArray[Any] | slice) -> Context:
        """Of some of the pairs."""
        times = None if self.times is None else self.times[positions]
        users, items = (side.take(positions) if side else None for side in (self.users, self.items))
        return Context(times, users, items)
