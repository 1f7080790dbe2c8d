"""What a recommender's users have rated: to leave it out of their lists, and to count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penchant.data.split import Split

LATEST = np.iinfo(np.int64).max


@dataclass(frozen=True)
class History:
    """What each user has rated, all of it: also the ratings that were held out for validation.

    Attributes:
        starts: int64 (n_users + 1,); user row u owns the entries starts[u]:starts[u + 1].
        item_rows: int32 (n,).
        ratings: float32 (n,).
        in_training: bool (n,), False for what was held out.
    """

    starts: NDArray[np.int64]
    item_rows: NDArray[np.int32]
    ratings: NDArray[np.float32]
    in_training: NDArray[np.bool_]

    def of(self, user_row: int) -> slice:
        """The entries of one user."""
        return slice(int(self.starts[user_row]), int(self.starts[user_row + 1]))

    @property
    def training_counts(self) -> NDArray[np.int64]:
        """Training ratings of each user, (n_users,)."""
        before = np.concatenate(([0], np.cumsum(self.in_training, dtype=np.int64)))
        return np.diff(before[self.starts])

    @property
    def training(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Where the training entries of each user start, (n_users + 1,), and their item rows."""
        starts = np.concatenate(([0], np.cumsum(self.training_counts))).astype(np.int64)
        return starts, self.item_rows[self.in_training]

    def check(self, n_users: int, n_items: int) -> None:
        """Raise ValueError when a row points outside, or types and lengths do not fit."""
        columns = (self.starts, self.item_rows, self.ratings, self.in_training)
        n = len(self.item_rows)
        if [c.dtype for c in columns] != [np.int64, np.int32, np.float32, np.bool_]:
            raise ValueError(f"the history is of types {', '.join(str(c.dtype) for c in columns)}")
        if [c.shape for c in columns] != [(n_users + 1,), (n,), (n,), (n,)]:
            raise ValueError(f"the history has shapes {', '.join(str(c.shape) for c in columns)}")
        if self.starts[0] != 0 or self.starts[-1] != n or (self.starts[1:] < self.starts[:-1]).any():
            raise ValueError("the history does not start at 0, go up and end at its length")
        if n and not (self.item_rows.min() >= 0 and self.item_rows.max() < n_items):
            raise ValueError(f"the history has an item row outside 0 to {n_items - 1}")
        if not np.isfinite(self.ratings).all():
            raise ValueError("the history has a rating that is not finite")

    @classmethod
    def of_nobody(cls) -> History:
        """Without users."""
        return cls(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.bool_))

    @classmethod
    def of_split(cls, split: Split, *, in_order: bool = False) -> History:
        """Training and validation together; what the model does not know is left out.

        Args:
            in_order: each user's entries by time, for models to which the order tells something.
        """
        known = (split.valid_user_rows >= 0) & (split.valid_item_rows >= 0)
        valid_ratings = split.valid.ratings[known] if split.valid is not None else np.empty(0, np.float32)
        users = np.concatenate((split.train.user_rows, split.valid_user_rows[known]))
        starts = np.concatenate(([0], np.cumsum(np.bincount(users, minlength=split.train.n_users))))
        order = np.lexsort((_times(split, known), users)) if in_order else np.argsort(users, kind="stable")
        del users  # 4 bytes a rating, while 20 more are needed
        return cls(
            starts.astype(np.int64),
            np.concatenate((split.train.item_rows, split.valid_item_rows[known]))[order],
            np.concatenate((split.train.ratings, valid_ratings))[order],
            order < len(split.train),
        )


def _times(split: Split, known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """When each training rating was given and each known validation rating; those without times come last."""
    train, valid = split.train.times, None if split.valid is None else split.valid.times
    given = np.zeros(len(split.train), np.int64) if train is None else train
    held_out = np.full(len(known), LATEST) if valid is None else valid
    return np.concatenate((given, held_out[known]))
