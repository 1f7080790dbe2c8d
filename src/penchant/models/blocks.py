"""Blocks: tables of features that ratings share, one row for each user, item, month or day.

A rating points to one row of every block; a row stored once is worked on once, however many ratings have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Runs = tuple[NDArray[np.int64], Rows]

RUN_LENGTH = 3  # ratings of one row that follow each other, on average, where it pays to go by runs


@dataclass(frozen=True)
class Entries:
    """A group of features that share their prior distribution, and the rows that have them.

    Attributes:
        name: what the group is, such as "items rated".
        rows, features: int32 (entries,).
        values: float32 (entries,).
        n_features: how many features there are.
    """

    name: str
    rows: Rows
    features: Rows
    values: Floats
    n_features: int

    @classmethod
    def identity(cls, name: str, n: int) -> Entries:
        """A feature of its own for each of n rows."""
        own = np.arange(n, dtype=np.int32)
        return cls(name, own, own, np.ones(n, np.float32), n)

    @classmethod
    def sets(cls, name: str, rows: Rows, members: Rows, n_rows: int, n_members: int) -> Entries:
        """Each row has a set of members, divided by the root of its size (Koren 2008, equation 15)."""
        sizes = np.bincount(rows, minlength=n_rows)
        values = (1 / np.sqrt(np.maximum(sizes, 1))).astype(np.float32)[rows]
        return cls(name, rows, members, values, n_members)


@dataclass(frozen=True, eq=False)
class Block:
    """A table of features in columns (compressed sparse columns).

    Attributes:
        n_rows: how many rows.
        names: of the groups of features, in order.
        bounds: int64 (groups + 1,); group g has the features bounds[g] to bounds[g + 1].
        starts: int64 (features + 1,); feature j has the entries starts[j] to starts[j + 1].
        entry_rows, entry_values: int32 and float32 (entries,).
    """

    n_rows: int
    names: tuple[str, ...]
    bounds: NDArray[np.int64]
    starts: NDArray[np.int64]
    entry_rows: Rows
    entry_values: Floats

    @classmethod
    def of(cls, n_rows: int, groups: Sequence[Entries]) -> Block:
        """Of groups of features, side by side."""
        bounds = np.concatenate(([0], np.cumsum([group.n_features for group in groups]))).astype(np.int64)
        features = np.concatenate([g.features + at for g, at in zip(groups, bounds[:-1], strict=True)])
        rows = np.concatenate([group.rows for group in groups])
        values = np.concatenate([group.values for group in groups])
        order = np.lexsort((rows, features))
        features, rows, values = features[order], rows[order], values[order]
        once = np.ones(len(rows), bool)  # a user may have rated an item twice: the kernels need each entry once
        once[1:] = (features[1:] != features[:-1]) | (rows[1:] != rows[:-1])
        features, rows, values = features[once], rows[once], values[once]
        counts = np.bincount(features, minlength=bounds[-1])
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        names = tuple(group.name for group in groups)
        return cls(n_rows, names, bounds, starts, rows.astype(np.int32), values.astype(np.float32))

    @property
    def n_features(self) -> int:
        """How many features all groups have."""
        return int(self.bounds[-1])

    @cached_property
    def groups(self) -> Rows:
        """The group of each feature, (features,)."""
        return np.repeat(np.arange(len(self.names), dtype=np.int32), np.diff(self.bounds))

    @cached_property
    def is_own(self) -> NDArray[np.bool_]:
        """Of which groups row r has feature r alone, with the value 1, (groups,)."""
        return np.array([self._is_own(group) for group in range(len(self.names))])

    def _is_own(self, group: int) -> bool:
        first, last = self.bounds[group], self.bounds[group + 1]
        if last - first != self.n_rows or (np.diff(self.starts[first : last + 1]) != 1).any():
            return False
        entries = slice(self.starts[first], self.starts[last])
        return bool(
            (self.entry_rows[entries] == np.arange(self.n_rows)).all() and (self.entry_values[entries] == 1).all()
        )

    @cached_property
    def _feature_of_entry(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(self.n_features), np.diff(self.starts))

    def row_sums(self, of_features: NDArray[Any]) -> NDArray[np.float64]:
        """The sum of value times x over the features of each row, float64 (rows,)."""
        products = of_features[self._feature_of_entry].astype(np.float64) * self.entry_values
        return np.asarray(np.bincount(self.entry_rows, products, minlength=self.n_rows), np.float64)

    def row_squares(self, of_features: NDArray[Any]) -> NDArray[np.float64]:
        """The sum of the squares of the same products, float64 (rows,)."""
        products = of_features[self._feature_of_entry].astype(np.float64) * self.entry_values
        return np.asarray(np.bincount(self.entry_rows, products * products, minlength=self.n_rows), np.float64)


@dataclass(frozen=True, eq=False)
class Design:
    """All blocks, and the rows of the training ratings in them.

    Attributes:
        blocks: in order; the first is that of users, the second that of items.
        rows: int32 (blocks, n), of each rating in each block.
    """

    blocks: tuple[Block, ...]
    rows: NDArray[np.int32]

    @cached_property
    def row_starts(self) -> NDArray[np.int64]:
        """Where the rows of each block begin when all are numbered through, (blocks + 1,)."""
        return np.concatenate(([0], np.cumsum([block.n_rows for block in self.blocks]))).astype(np.int64)

    @cached_property
    def numbered_rows(self) -> Rows:
        """The rows of each rating when those of all blocks are numbered through, int32 (blocks, n)."""
        return self.rows + self.row_starts[:-1, None].astype(np.int32)

    @cached_property
    def runs(self) -> list[Runs]:
        """For each block, where ratings that follow each other share a row."""
        return [find_runs(rows) for rows in self.rows]

    @cached_property
    def feature_starts(self) -> NDArray[np.int64]:
        """Where the features of each block begin when all are numbered through, (blocks + 1,)."""
        return np.concatenate(([0], np.cumsum([block.n_features for block in self.blocks]))).astype(np.int64)

    @cached_property
    def group_bounds(self) -> NDArray[np.int64]:
        """Where the features of each group begin when all are numbered through, (groups + 1,)."""
        parts = [block.bounds[:-1] + at for block, at in zip(self.blocks, self.feature_starts, strict=False)]
        return np.concatenate((*parts, [self.feature_starts[-1]])).astype(np.int64)

    @cached_property
    def group_starts(self) -> NDArray[np.int64]:
        """Where the groups of each block begin when all are numbered through, (blocks + 1,)."""
        return np.concatenate(([0], np.cumsum([len(block.names) for block in self.blocks]))).astype(np.int64)

    @property
    def n_rows(self) -> int:
        """Rows of all blocks."""
        return int(self.row_starts[-1])

    @property
    def n_features(self) -> int:
        """Features of all blocks."""
        return int(self.feature_starts[-1])


def find_runs(rows: Rows) -> Runs:
    """Where rows that follow each other are the same: bounds (runs + 1,) and rows (runs,); empty if they hardly are."""
    begins = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
    if RUN_LENGTH * len(begins) > len(rows):
        return np.zeros(1, np.int64), np.empty(0, np.int32)
    return np.append(begins, len(rows)).astype(np.int64), rows[begins]
