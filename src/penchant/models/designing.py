"""From a table of ratings to the blocks of a factorisation machine, and from later pairs to rows of them.

Blocks: users (each its own feature; the set of items that it rated; its columns), items (each its own feature; the set
of users who rated it; its columns) and, where there are times, months and days of users. The sets are of training
ratings alone (Koren 2008, section 4; "flipped" for items: Rendle, Zhang and Koren 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.features import Columns, Feature, find_features
from penchant.data.interactions import Interactions
from penchant.models.blocks import Block, Design, Entries

Rows = NDArray[np.int32]

SECONDS_A_DAY = 86_400
USERS, ITEMS, TIMES = range(3)  # blocks; those of months and days are from TIMES on, where there are any
MOST_MONTHS = 1200


@dataclass(frozen=True)
class Wanted:
    """Which features to use of those that there are."""

    history: bool
    user_columns: Columns
    item_columns: Columns
    months: bool
    days: bool


@dataclass(frozen=True, eq=False)
class Coding:
    """What the rows of the blocks stand for: enough to find those of pairs that were not trained on.

    Every block has one row more, its last, for what it does not know.

    Attributes:
        n_users, n_items: in training.
        history: whether there are features for sets of items and users.
        user_features, item_features: of tables.
        first_month, n_months: in months since 1970; None and 0 where months are not used.
        days: int64 (days,), rising keys of a user and a day that have a rating; None where days are not used.
    """

    n_users: int
    n_items: int
    history: bool
    user_features: tuple[Feature, ...]
    item_features: tuple[Feature, ...]
    first_month: int | None
    n_months: int
    days: NDArray[np.int64] | None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Rows of each block, without the one for what it does not know."""
        timed = (self.n_months,) if self.first_month is not None else ()
        return (self.n_users, self.n_items, *timed, *(() if self.days is None else (len(self.days),)))

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where the rows of each block begin when all are numbered through, (blocks + 1,)."""
        return np.concatenate(([0], np.cumsum([size + 1 for size in self.sizes]))).astype(np.int64)

    def rows_of(self, side: int) -> slice:
        """The rows of users (USERS) or items (ITEMS) that are known, when all are numbered through."""
        return slice(int(self.starts[side]), int(self.starts[side + 1]) - 1)

    def rows(self, user_rows: Rows, item_rows: Rows, times: NDArray[np.int64] | None) -> NDArray[np.int32]:
        """Rows of pairs in all blocks, numbered through, int32 (blocks, n).

        Args:
            user_rows, item_rows: -1 for unknown ones.
            times: seconds since 1970. None stands for later than all of training: the last month, and a day
                that is not known.
        """
        found = [_or_last(user_rows, self.n_users), _or_last(item_rows, self.n_items)]
        if self.first_month is not None:
            last = np.full(len(user_rows), self.n_months - 1)
            month = last if times is None else np.clip(months_of(times) - self.first_month, 0, last)
            found.append(month)
        if self.days is not None:
            unknown = np.full(len(user_rows), len(self.days))
            found.append(unknown if times is None else self._day_rows(user_rows, times))
        return (np.stack(found) + self.starts[:-1, None]).astype(np.int32)

    def _day_rows(self, user_rows: Rows, times: NDArray[np.int64]) -> NDArray[np.int64]:
        assert self.days is not None
        keys = day_keys(user_rows, times)
        places = np.searchsorted(self.days, keys)
        known = places < len(self.days)
        known[known] = self.days[places[known]] == keys[known]
        return np.where(known & (user_rows >= 0), places, len(self.days))

    def shared(self, side: int) -> list[tuple[str, int]]:
        """Names and numbers of features that rows of a side (USERS or ITEMS) share, group by group."""
        of_table = self.user_features if side == USERS else self.item_features
        sets = [("rated", self.n_items if side == USERS else self.n_users)] if self.history else []
        return sets + [(feature.name, len(feature.members)) for feature in of_table]

    @property
    def rows_of_nobody(self) -> NDArray[np.bool_]:
        """Which rows, numbered through, are neither of a user nor of a day of one."""
        kept = np.ones(self.starts[-1], bool)
        kept[self.rows_of(USERS)] = False
        if self.days is not None:
            kept[self.starts[-2] : self.starts[-1] - 1] = False
        return kept

    @property
    def shared_by_nobody(self) -> NDArray[np.bool_]:
        """Which of the features that rows share, those of users before those of items, are not for a user's being in
        a set.
        """
        of_users, of_items = (sum(count for _, count in self.shared(side)) for side in (USERS, ITEMS))
        kept = np.ones(of_users + of_items, bool)
        if self.history:
            kept[of_users : of_users + self.n_users] = False
        return kept

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; the days are an array."""
        return {
            "history": self.history,
            "user_features": [feature.to_json() for feature in self.user_features],
            "item_features": [feature.to_json() for feature in self.item_features],
            "first_month": self.first_month,
            "n_months": self.n_months,
            "n_days": None if self.days is None else len(self.days),
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any], n_users: int, n_items: int, days: NDArray[np.int64] | None) -> Coding:
        """The inverse of `to_json`; ValueError, LookupError or TypeError when the fields are not of a coding."""
        users, items = (
            tuple(Feature.from_json(feature) for feature in fields[f"{side}_features"]) for side in ("user", "item")
        )
        first, count = fields["first_month"], int(fields["n_months"])
        if not 0 <= count <= MOST_MONTHS or (first is None) != (count == 0):
            raise ValueError(f"there are {count} months from {first!r}")
        first = None if first is None else int(first)
        if (fields["n_days"] is None) != (days is None) or (days is not None and fields["n_days"] != len(days)):
            raise ValueError(f"there are not {fields['n_days']} days")
        return cls(n_users, n_items, bool(fields["history"]), users, items, first, count, days)


def make_design(train: Interactions, wanted: Wanted) -> tuple[Design, Coding, NDArray[np.int64]]:
    """The blocks of training ratings, what their rows stand for, and the order of ratings that the design has.

    Raises:
        SettingError: a column that was asked for is not there, or is no feature.
    """
    times = train.times
    order = np.lexsort((np.arange(len(train)) if times is None else times, train.user_rows))
    user_features = find_features(train.user_table, wanted.user_columns, "user")
    item_features = find_features(train.item_table, wanted.item_columns, "item")
    users, items = train.user_rows[order], train.item_rows[order]
    n_users, n_items = train.n_users, train.n_items
    blocks = [
        _block("user", n_users, (users, items, n_items), wanted.history, user_features, train.user_table),
        _block("item", n_items, (items, users, n_users), wanted.history, item_features, train.item_table),
    ]
    rows, first_month, n_months, days = [users, items], None, 0, None
    if times is not None and wanted.months:
        months = months_of(times[order])
        first_month = max(int(months.min()), int(months.max()) - MOST_MONTHS + 1)
        n_months = int(months.max()) - first_month + 1
        blocks.append(Block.of(n_months, [Entries.identity("month", n_months)]))
        rows.append(np.maximum(months - first_month, 0).astype(np.int32))
    if times is not None and wanted.days:
        days, of_ratings = np.unique(day_keys(users, times[order]), return_inverse=True)
        blocks.append(Block.of(len(days), [Entries.identity("day of a user", len(days))]))
        rows.append(of_ratings.astype(np.int32))
    coding = Coding(n_users, n_items, wanted.history, user_features, item_features, first_month, n_months, days)
    return Design(tuple(blocks), np.stack(rows)), coding, order


def _block(
    kind: str,
    n_rows: int,
    rated: tuple[Rows, Rows, int],
    history: bool,
    features: tuple[Feature, ...],
    table: Any,
) -> Block:
    groups = [Entries.identity(kind, n_rows)]
    if history:
        groups.append(Entries.sets("rated", rated[0], rated[1], n_rows, rated[2]))
    for feature in features:
        groups.append(Entries.sets(feature.name, *feature.entries(table), n_rows, len(feature.members)))
    return Block.of(n_rows, groups)


def months_of(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Months since 1970."""
    return times.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)


def day_keys(user_rows: Rows, times: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for a user and a day."""
    days = np.floor_divide(times, SECONDS_A_DAY)
    return np.left_shift(user_rows.astype(np.int64), 32) + days + 2**31


def _or_last(rows: Rows, last: int) -> NDArray[np.int64]:
    return np.where(rows < 0, last, rows).astype(np.int64)
