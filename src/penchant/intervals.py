"""Prediction intervals: where a rating will be, with a probability that is asked for.

A model that knows its own uncertainty (`Model.deviations`) gives score ± normal quantile × deviation. For every other
model the validation ratings say how far off it is: split conformal prediction (Vovk, Gammerman and Shafer 2005,
"Algorithmic learning in a random world"), locally weighted (Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018,
"Distribution-free predictive inference for regression", section 5.2). Of new ratings that are exchangeable with the
validation ratings, an interval of level p covers a part of at least p, whatever the model and however wrong it is.

Both are clipped to the scale of training, which costs no coverage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.context import Context
from penchant.data.interactions import Interactions
from penchant.data.split import Split
from penchant.errors import SettingError, UnsupportedError
from penchant.models.base import Floats, Model, Rows
from penchant.models.biases import at_rows
from penchant.newcomers import Questions

# How many ratings with how many times the mean squared residual are added to a user's (an item's) own: above 1, as
# few ratings leave a bias and factors uncertain, and training residuals do not show it. Chosen by the coverage of
# 90 % intervals in bands of activity and popularity, of bias and mf on four splits (docs/accuracy.md).
USER_DAMPING, USER_FACTOR = 20.0, 1.3
ITEM_DAMPING, ITEM_FACTOR = 5.0, 2.0
LEAST_SQUARE = 1e-12  # of a residual: a model without errors has intervals of no width, but not 0 / 0

RATINGS_A_TIME = 1_000_000
KEPT_SCORES = 1_000  # quantiles that are kept of the conformity scores, when there are more scores
ROUNDING = np.float32(1 + 1e-6)  # wider by what float32 loses, so that a rating at the very end is inside


def check_level(level: float) -> float:
    """Return a level, or raise SettingError when it is not between 0 and 1."""
    if isinstance(level, bool) or not isinstance(level, (int, float, np.floating)) or not 0 < level < 1:
        raise SettingError(f"The level of an interval is {level!r}.", remedy="Give a number between 0 and 1, as 0.9.")
    return float(level)


@dataclass(frozen=True, eq=False)
class Spreads:
    """How far off a model usually is, by user and item: that of a pair is the product of both.

    Attributes:
        users: float32 (n_users,), in rating steps.
        items: float32 (n_items,), as a multiple.
        unknown: float32 (2,), of a user and of an item that training did not have.
    """

    users: Floats
    items: Floats
    unknown: Floats

    @classmethod
    def of(cls, model: Model, train: Interactions) -> Spreads:
        """By the residuals of training, damped so that users and items with few ratings are near the others."""
        user_sums, item_sums = np.zeros(train.n_users), np.zeros(train.n_items)
        context = Context(train.times)
        for at in range(0, len(train), RATINGS_A_TIME):
            some = slice(at, at + RATINGS_A_TIME)
            users, items = train.user_rows[some], train.item_rows[some]
            squares = (train.ratings[some] - model.predict(users, items, context.take(some))).astype(np.float64) ** 2
            user_sums += np.bincount(users, squares, train.n_users)
            item_sums += np.bincount(items, squares, train.n_items)
        mean = max(float(user_sums.sum()) / len(train), LEAST_SQUARE)
        of_users = (user_sums + USER_DAMPING * USER_FACTOR * mean) / (train.user_counts + USER_DAMPING)
        of_items = (item_sums / mean + ITEM_DAMPING * ITEM_FACTOR) / (train.item_counts + ITEM_DAMPING)
        unknown = np.array([USER_FACTOR * mean, ITEM_FACTOR])
        return cls(*(np.sqrt(squares).astype(np.float32) for squares in (of_users, of_items, unknown)))

    def pairs(self, user_rows: Rows, item_rows: Rows) -> Floats:
        """Of pairs, float32 (n,); -1 stands for an unknown user or item."""
        return at_rows(self.users, user_rows, self.unknown[0]) * at_rows(self.items, item_rows, self.unknown[1])


@dataclass(frozen=True, eq=False)
class Quantiles:
    """The conformity scores of validation ratings, |rating - prediction| / spread: all, or enough of them.

    Attributes:
        scores: float32 (m,), ascending; m > 0.
        ranks: int64 (m,), the place of each among all n scores, from 1; the last is n.
    """

    scores: Floats
    ranks: NDArray[np.int64]

    @classmethod
    def of(cls, scores: Floats) -> Quantiles:
        """Of all scores; of more than KEPT_SCORES only those at the levels 1 / KEPT_SCORES, 2 / KEPT_SCORES, …"""
        n = len(scores)
        ranks = np.arange(1, n + 1, dtype=np.int64)
        if n > KEPT_SCORES:
            steps = np.arange(1, KEPT_SCORES + 1, dtype=np.int64)
            ranks = np.unique(np.minimum(-(-(n + 1) * steps // KEPT_SCORES), n))  # the last two may be one
        return cls(np.sort(scores)[ranks - 1], ranks)

    def at(self, level: float) -> float:
        """The ceil((n + 1) level)-th smallest of n scores; infinite where that is beyond n.

        A level between those kept is answered by the next higher one.
        """
        rank = math.ceil((int(self.ranks[-1]) + 1) * Fraction(str(level)))  # exact: 100 * 0.07 is above 7 in floats
        place = int(np.searchsorted(self.ranks, rank))
        return float(self.scores[place]) if place < len(self.ranks) else math.inf


@dataclass(frozen=True, eq=False)
class Conformal:
    """What conformal intervals are made from."""

    spreads: Spreads
    quantiles: Quantiles

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it, by name."""
        return {
            "user_spreads": self.spreads.users,
            "item_spreads": self.spreads.items,
            "unknown_spreads": self.spreads.unknown,
            "scores": self.quantiles.scores,
            "ranks": self.quantiles.ranks,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Conformal | None:
        """The inverse of `arrays`; None of no arrays.

        Raises:
            LookupError: there are some, but not all.
        """
        if not arrays:
            return None
        spreads = Spreads(*(arrays[f"{of}_spreads"] for of in ("user", "item", "unknown")))
        return cls(spreads, Quantiles(arrays["scores"], arrays["ranks"]))

    def without_users(self) -> Conformal:
        """The same for users whom training did not have alone."""
        return replace(self, spreads=replace(self.spreads, users=np.empty(0, np.float32)))

    def check(self, n_users: int, n_items: int) -> None:
        """Raise ValueError when types, shapes or numbers cannot be those of a fit on so many users and items."""
        kept = len(np.atleast_1d(self.quantiles.ranks))
        shapes = {"user_spreads": n_users, "item_spreads": n_items, "unknown_spreads": 2, "scores": kept, "ranks": kept}
        for name, array in self.arrays().items():
            dtype = np.int64 if name == "ranks" else np.float32
            if array.dtype != dtype or array.shape != (shapes[name],):
                raise ValueError(f"intervals/{name} is {array.dtype} {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"intervals/{name} has numbers that are not finite")
            if name.endswith("_spreads") and not (array > 0).all():
                raise ValueError(f"intervals/{name} has a spread of 0 or less")
        scores, ranks = self.quantiles.scores, self.quantiles.ranks
        if not kept or ranks[0] < 1 or (ranks[1:] <= ranks[:-1]).any():
            raise ValueError("intervals/ranks does not go up from 1 or more")
        if scores[0] < 0 or (scores[1:] < scores[:-1]).any():
            raise ValueError("intervals/scores does not go up from 0 or more")


@dataclass(frozen=True, eq=False)
class Around:
    """Intervals of n pairs, of any level: centre ± multiple(level) × unit, clipped to the scale.

    Attributes:
        centres, units: float32 (n,), units above 0.
        multiple: level -> how many units from the centre to an end, for all pairs or for each (n,); infinite for all
            of the scale.
        scale: the lowest and the highest rating of training.
    """

    centres: Floats
    units: Floats
    multiple: Callable[[float], float | Floats]
    scale: tuple[float, float]

    def ends(self, level: float) -> tuple[Floats, Floats]:
        """The lower and the upper ends, float32 (n,) each."""
        half = np.asarray(self.multiple(check_level(level)), np.float32) * ROUNDING * self.units
        low, high = (np.nextafter(self.centres + sign * half, sign * np.float32(np.inf)) for sign in (-1, 1))
        return np.clip(low, *self.scale), np.clip(high, *self.scale)


def normal_multiple(level: float) -> float:
    """How many standard deviations from the mean of a normal distribution its middle part of a size reaches."""
    return NormalDist().inv_cdf((1 + level) / 2)


def has_deviations(model: Model) -> bool:
    """Whether a fitted model knows its own uncertainty."""
    nobody, first = np.full(1, -1, np.int32), np.zeros(1, np.int32)
    return model.deviations(nobody, first, None) is not None


def has_intervals(model: Model, conformal: Conformal | None) -> bool:
    """Whether `around` has an answer."""
    return conformal is not None or has_deviations(model)


def around(
    model: Model,
    conformal: Conformal | None,
    user_rows: Rows,
    item_rows: Rows,
    context: Context | None = None,
    scores: Floats | None = None,
) -> Around:
    """The intervals of pairs; -1 stands for an unknown user or item.

    Args:
        scores: of the pairs, float32 (n,), where they are not those of their rows: of users who are folded in.

    Raises:
        UnsupportedError: the model knows no deviations, and was not calibrated.
    """
    if scores is None:
        scores = model.pair_scores(user_rows, item_rows, context)
    deviations = model.deviations(user_rows, item_rows, context)
    if deviations is not None:
        return Around(scores, deviations, normal_multiple, model.scale)
    if conformal is None:
        raise UnsupportedError(
            "This model has no intervals: it was fitted without validation ratings, which say how far off it is.",
            remedy="Fit it again with some held out: give --valid FILE, or leave --valid-fraction 0 out.",
        )
    spreads = conformal.spreads.pairs(user_rows, item_rows)
    return Around(model.clip(scores), spreads, conformal.quantiles.at, model.scale)


def around_questions(questions: Questions, conformal: Conformal | None) -> Around:
    """The intervals of held-out interactions. A user who is folded in has the scores of a new user, and the deviation
    or spread of one that is unknown, which are wider.

    Raises:
        UnsupportedError: as for `around`.
    """
    if questions.model.ranks_only:
        questions.predictions()  # raises: what has no predictions has no intervals
    scores = None if questions.newcomers is None else questions.scores
    rows = questions.user_rows, questions.item_rows
    return around(questions.model, conformal, *rows, questions.context, scores)


def conformity(around: Around, ratings: Floats) -> Floats:
    """How many units ratings are from their centres, float32 (n,)."""
    return np.abs(ratings - around.centres) / around.units


def calibrate(model: Model, split: Split, questions: Questions | None = None) -> Conformal | None:
    """What the validation part of a split says of a model that was fitted on the training part.

    Args:
        questions: `Questions.of_split`, where they are there already: then nobody is folded in twice.

    None for a model that knows its own uncertainty, and where there is nothing to calibrate on.
    """
    valid = split.valid
    if valid is None or not len(valid) or has_deviations(model):
        return None
    asked, spreads = questions or Questions.of_split(model, split), Spreads.of(model, split.train)
    scores = np.abs(valid.ratings - asked.predictions()) / spreads.pairs(asked.user_rows, asked.item_rows)
    if not np.isfinite(scores).all():  # a module of somebody's own that predicts NaN
        return None
    return Conformal(spreads, Quantiles.of(scores))
