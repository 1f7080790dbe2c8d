"""Split: what to train on, what to validate on, and what the way of splitting may leak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions, stable_order
from penchant.errors import InputError, SettingError
from penchant.seeds import numpy_generator

RANDOM_LEAK = (
    "A random split lets a model learn from ratings given after the ones it is tested on; --split time does not."
)
USERS_LEAK = (
    "Users are held out whatever their times, so a model learns from others' later ratings; --split time does not."
)


@dataclass(frozen=True, eq=False)
class Split:
    """Training and validation interactions.

    The vocabularies of `train` hold only what occurs in training. `valid` has its own; a row of it whose
    user or item never occurs in training stays and is -1 in `valid_user_rows` or `valid_item_rows`.

    Attributes:
        train, valid: the two parts; `valid` is None when everything is trained on.
        how: the way of splitting in words, for people and the manifest.
        may_leak: what the split lets through from the future, "" for nothing.
        given: what is told of users who were held out altogether, to fold them in before they are measured; None where
            no user was. With the vocabularies of `valid`.
    """

    train: Interactions
    valid: Interactions | None
    how: str
    may_leak: str = ""
    given: Interactions | None = None

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
        """Validation rows whose item never occurs in training, or whose user neither occurs there nor is folded in."""
        strange_users = self.valid_user_rows < 0
        if self.given is not None and self.valid is not None:
            given = np.append(self.given.user_counts, 0)  # -1 is the row after the last
            rows = self.given.users.rows(self.valid.users.ids, missing="minus one")
            strange_users &= given[rows][self.valid.user_rows] == 0
        return int((strange_users | (self.valid_item_rows < 0)).sum())

    @property
    def to_learn_from(self) -> Split:
        """The split as a fit may see it.

        Of held-out users nothing is there: not even a validation loss, which would be that of an average user.
        """
        return self if self.given is None else replace(self, valid=None, given=None)

    def __str__(self) -> str:
        if self.valid is None:
            return f"{len(self.train):,} ratings to train on, none to validate on"
        text = f"{len(self.train):,} ratings to train on, {len(self.valid):,} to validate on ({self.how})"
        if self.n_unknown:
            text += f"; {self.n_unknown:,} of these have a user or item that is not in training"
        if self.given is not None:
            text += f"; {len(self.given):,} of the users held out are given to fold them in"
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
    leak = "Users are cut at different times, so others' later ratings are trained on; --split time does not."
    return _cut(interactions, held_out, f"the last {n} of each user", leak)


def split_users(interactions: Interactions, fraction: float = 0.2, given_fraction: float = 0.8, seed: int = 0) -> Split:
    """Hold out a random fraction of the users altogether, and measure on a part of what they took.

    Strong generalisation (Liang, Krishnan, Hoffman and Jebara 2018, "Variational autoencoders for collaborative
    filtering", section 4.2): nothing of these users is trained on. The rest of what they took is given to fold them in.

    Args:
        fraction: of all users; drawn among those with 2 ratings or more.
        given_fraction: of each user's ratings; rounded, at least 1, and at least 1 is left to measure. Where there are
            times these are the earliest (ties: by line), otherwise random ones.

    Raises:
        SettingError: a fraction is not between 0 and 1, or there would be nobody to hold out or to train on.
    """
    check_given_fraction(given_fraction)
    if not 0 < fraction < 1:
        raise SettingError(f"The fraction to hold out is {fraction}.", remedy="Give a number between 0 and 1.")
    there, can_be_parted = (np.flatnonzero(interactions.user_counts >= least) for least in (1, 2))
    count = round(fraction * len(there))
    if not 0 < count <= len(can_be_parted) or count == len(there):
        raise SettingError(
            f"{fraction:.2%} of {len(there):,} users are {count:,}, and {len(can_be_parted):,} users have 2 ratings or"
            " more, of which one can be given and one measured.",
            remedy="Choose another fraction, or another way to split.",
        )
    generator = numpy_generator(seed, "split")
    held_out = np.zeros(interactions.n_users, bool)
    held_out[generator.permutation(can_be_parted)[:count]] = True
    is_given = _first_of_each(interactions, given_fraction, generator)
    is_held_out = held_out[interactions.user_rows]
    which = "a random" if interactions.times is None else "the earliest"
    return Split(
        interactions.take(np.flatnonzero(~is_held_out)).compact(),
        interactions.take(np.flatnonzero(is_held_out & ~is_given)),
        f"{100 * fraction:g}% of users, seed {seed}; {which} {100 * given_fraction:g}% of each given",
        USERS_LEAK if interactions.times is not None else "",
        interactions.take(np.flatnonzero(is_held_out & is_given)),
    )


def _first_of_each(interactions: Interactions, fraction: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Which ratings are among the first fraction of their user's, by time or else at random, (n,); never all of 2."""
    if interactions.times is not None:
        order = _by_user_and_time(interactions)
    else:
        shuffled = generator.permutation(len(interactions))
        order = shuffled[stable_order(interactions.user_rows[shuffled])]
    counts = interactions.user_counts
    places = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    wanted = np.clip(np.rint(fraction * counts), 1, np.maximum(counts - 1, 1)).astype(np.int64)
    is_first = np.zeros(len(interactions), bool)
    is_first[order] = places < np.repeat(wanted, counts)
    return is_first


def check_given_fraction(fraction: float) -> None:
    """Raise SettingError unless a part of what held-out users took is given, and a part left."""
    if not 0 < fraction < 1:
        raise SettingError(
            f"The fraction to give of each held-out user is {fraction}.", remedy="Give a number between 0 and 1."
        )


class Folds(Sequence[Split]):
    """The splits of a cross-validation, each made when it is asked for: only one is in memory at a time."""

    def __init__(self, interactions: Interactions, shuffled: NDArray[np.int64], folds: int, seed: int) -> None:
        self._interactions, self._shuffled, self._folds, self._seed = interactions, shuffled, folds, seed

    def __len__(self) -> int:
        return self._folds

    @overload
    def __getitem__(self, fold: int) -> Split: ...
    @overload
    def __getitem__(self, fold: slice) -> list[Split]: ...
    def __getitem__(self, fold: int | slice) -> Split | list[Split]:
        if isinstance(fold, slice):
            return [self[one] for one in range(self._folds)[fold]]
        number = range(self._folds)[fold]
        held_out = self._shuffled[number :: self._folds]
        leak = RANDOM_LEAK if self._interactions.times is not None else ""
        return _cut(self._interactions, held_out, f"fold {number + 1} of {self._folds}, seed {self._seed}", leak)


def split_folds(interactions: Interactions, folds: int = 5, seed: int = 0) -> Folds:
    """Cross-validation: as many splits as folds, of which every rating is held out in exactly one.

    Each fold is a random part of the ratings; the sizes differ by one rating at most.

    Raises:
        SettingError: fewer than 2 folds, or more than ratings.
    """
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or not 2 <= folds <= len(interactions):
        raise SettingError(
            f"folds is {folds!r}, of {len(interactions):,} ratings.",
            remedy="Give a whole number from 2 to the number of ratings, such as 5.",
        )
    shuffled = numpy_generator(seed, "split").permutation(len(interactions))
    return Folds(interactions, shuffled, int(folds), seed)


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
