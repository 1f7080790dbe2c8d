"""Split: what to train on, what to validate on, and what the way of splitting may leak."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions, stable_order
from penchant.errors import InputError, SettingError
from penchant.seeds import numpy_generator

RANDOM_LEAK = "A random split lets a model learn from ratings given after the ones it is tested on."


@dataclass(frozen=True, eq=False)
class Split:
    """Training and validation interactions.

    The vocabularies of `train` hold only what occurs in training. `valid` has its own; a row of it whose
    user or item never occurs in training stays and is -1 in `valid_user_rows` or `valid_item_rows`.

    Attributes:
        train, valid: the two parts; `valid` is None when everything is trained on.
        how: the way of splitting in words, for people and the manifest.
        may_leak: what the split lets through from the future, "" for nothing.
    """

    train: Interactions
    valid: Interactions | None
    how: str
    may_leak: str = ""

    @cached_property
    def _valid_rows(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        if self.valid is None:
            return np.empty(0, np.int32), np.empty(0, np.int32)
        return self.valid.rows_in(self.train.users, self.train.items)

    @property
    def valid_user_rows(self) -> NDArray[np.int32]:
        """The users of `valid` as rows of `train`, (n,), -1 for those not in training."""
        return self._valid_rows[0]

    @property
    def valid_item_rows(self) -> NDArray[np.int32]:
        """The items of `valid` as rows of `train`, (n,), -1 for those not in training."""
        return self._valid_rows[1]

    @property
    def n_unknown(self) -> int:
        """Validation rows whose user or item never occurs in training."""
        return int(((self.valid_user_rows < 0) | (self.valid_item_rows < 0)).sum())

    def __str__(self) -> str:
        if self.valid is None:
            return f"{len(self.train):,} ratings to train on, none to validate on"
        text = f"{len(self.train):,} ratings to train on, {len(self.valid):,} to validate on ({self.how})"
        if self.n_unknown:
            text += f"; {self.n_unknown:,} of these have a user or item that is not in training"
        return text


def split_none(interactions: Interactions) -> Split:
    """Train on everything."""
    return Split(interactions, None, "everything is trained on")


def split_random(interactions: Interactions, fraction: float = 0.2, seed: int = 0) -> Split:
    """Hold out a random fraction of the ratings.

    Raises:
        SettingError: fraction is not between 0 and 1, or leaves one side empty.
    """
    count = _count(interactions, fraction)
    shuffled = numpy_generator(seed, "split").permutation(len(interactions))
    how = f"random {100 * fraction:g}%, seed {seed}"
    return _cut(interactions, shuffled[:count], how, RANDOM_LEAK if interactions.times is not None else "")


def split_time(interactions: Interactions, fraction: float = 0.2, after: int | None = None) -> Split:
    """Hold out what happened last: nothing from the future of the cut is trained on.

    Args:
        fraction: how much to hold out; ratings at the very time of the cut all stay in training.
        after: hold out what is later than this time (seconds since 1970) instead.

    Raises:
        InputError: the interactions have no times.
        SettingError: one side would be empty.
    """
    times = _times(interactions, "time")
    cut = after
    if cut is None:
        _count(interactions, fraction)
        cut = int(np.quantile(times, 1 - fraction, method="lower"))
    held_out = np.flatnonzero(times > cut)
    when = np.datetime64(cut, "s")
    if not 0 < len(held_out) < len(interactions):
        raise SettingError(
            f"A cut at {when} leaves {len(interactions) - len(held_out):,} ratings to train on and"
            f" {len(held_out):,} to validate on.",
            remedy=f"The times reach from {np.datetime64(int(times.min()), 's')} to"
            f" {np.datetime64(int(times.max()), 's')}; cut between them.",
        )
    return _cut(interactions, held_out, f"later than {when}", "")


def split_last(interactions: Interactions, n: int = 1) -> Split:
    """Hold out the last n ratings of each user who has more than n (by time; ties and no times: by line).

    Raises:
        SettingError: n is below 1, or no user has more than n ratings.
    """
    if n < 1:
        raise SettingError(f"n is {n}.", remedy="Hold out at least the last 1 rating of each user.")
    counts = interactions.user_counts
    order = _by_user_and_time(interactions)
    from_the_end = np.repeat(np.cumsum(counts), counts) - 1 - np.arange(len(order))
    held_out = order[(from_the_end < n) & np.repeat(counts > n, counts)]
    if not len(held_out):
        raise SettingError(f"No user has more than {n} ratings.", remedy="Choose a smaller n.")
    leak = "Users are cut at different times, so others' later ratings are trained on."
    return _cut(interactions, held_out, f"the last {n} of each user", leak)


def _by_user_and_time(interactions: Interactions) -> NDArray[np.int64]:
    """Positions ordered by user, then time, then position."""
    if interactions.times is None:
        return interactions.by_user.positions
    times, first = interactions.times, int(interactions.times.min())
    if int(times.max()) - first < 2**31:  # 68 years
        order = stable_order((times - first).astype(np.int32))  # several times faster
    else:
        order = np.argsort(times, kind="stable")
    return np.take(order, stable_order(np.take(interactions.user_rows, order)))


def split_file(train: Interactions, valid: Interactions) -> Split:
    """Validate on a table of its own.

    Raises:
        InputError: no user and no item of the validation table occurs in training.
    """
    split = Split(train, valid, f"validated on {valid.source}")
    if (split.valid_user_rows < 0).all() and (split.valid_item_rows < 0).all():
        raise InputError(
            f"No user and no item of {valid.source} occurs in {train.source}.",
            remedy="Check that both tables use the same ids, and that --user and --item fit both.",
        )
    return split


def _count(interactions: Interactions, fraction: float) -> int:
    if not 0 < fraction < 1:
        raise SettingError(f"The fraction to hold out is {fraction}.", remedy="Give a number between 0 and 1.")
    count = round(fraction * len(interactions))
    if not 0 < count < len(interactions):
        raise SettingError(
            f"{fraction:.2%} of {len(interactions):,} ratings are {count:,}: one side would be empty.",
            remedy="Choose another fraction.",
        )
    return count


def _times(interactions: Interactions, kind: str) -> NDArray[np.int64]:
    if interactions.times is None:
        raise InputError(
            f"A split by {kind} needs times, and {interactions.source or 'this table'} has none.",
            remedy="Name the column (--time COLUMN), or split at random.",
        )
    return interactions.times


def _cut(interactions: Interactions, held_out: NDArray[np.int64], how: str, may_leak: str) -> Split:
    kept = np.ones(len(interactions), bool)
    kept[held_out] = False
    # Both parts keep the order of the file: an order by the shuffle would be one more thing to reproduce.
    train = interactions.take(np.flatnonzero(kept)).compact()
    return Split(train, interactions.take(np.flatnonzero(~kept)), how, may_leak)
