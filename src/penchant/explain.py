"""Looking into a fitted model: items liked best and least, which are alike, what a history adds to a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.errors import UnsupportedError
from penchant.models.base import Floats, Floats64, Model, Rows
from penchant.ranking import best_columns

ENOUGH_RATINGS = 20


@dataclass(frozen=True)
class Ranked:
    """Some items in order.

    Attributes:
        rows: int32 (k,), best first.
        values: float32 (k,), what they are ordered by.
    """

    rows: NDArray[np.int32]
    values: Floats


def extreme_items(model: Model, k: int) -> tuple[Ranked, Ranked]:
    """The k items of the highest bias (highest first) and the k of the lowest (lowest first)."""
    biases = model.item_biases()
    best, worst = (np.argsort(order, kind="stable")[:k].astype(np.int32) for order in (-biases, biases))
    return Ranked(best, biases[best]), Ranked(worst, biases[worst])


@dataclass(frozen=True)
class Told:
    """A score by what each item of a history adds: average + the sum of adds + rest.

    Attributes:
        average: the score of an average user; 0 of a model that ranks only, whose scores come from the history alone.
        order: int64 (n,), places in the history, those first that add most.
        adds: float64 (n,), in that order.
        rest: what training has made of the user beyond folding in the same history.
        score: the model's.
    """

    average: float
    order: NDArray[np.int64]
    adds: NDArray[np.float64]
    rest: float
    score: float


def reasons_of(model: Model, user_row: int, item_rows: Rows, ratings: Floats, item_row: int) -> Told | None:
    """The score of a known user by what each item of a history adds; None where the model cannot tell.

    The user is explained as somebody new with this history would be. Of most models a fit gives the same user another
    vector than folding in does; what the score gains by that is `rest`.

    Args:
        item_rows, ratings: the training history, (n,).
    """
    try:
        adds = model.contributions(item_rows, ratings, item_row)
    except UnsupportedError:
        return None
    score = float(model.scores(np.array([user_row], np.int32))[0, item_row])
    average = 0.0 if model.ranks_only else float(_score_of_nobody(model)[item_row])
    order = np.argsort(-adds, kind="stable")
    return Told(average, order, adds[order], score - average - float(adds.sum()), score)


def _score_of_nobody(model: Model) -> Floats:
    nothing = np.empty(0, np.int32), np.empty(0, np.float32)
    scores: Floats = model.scores_of(model.fold_in(*nothing)[None])[0]
    return scores


class Neighbours:
    """Which items are most like which: by the cosine of their factors.

    Args:
        factors: float32 (n_items, d).
        counts: how many training ratings each item has, (n_items,).
    """

    def __init__(self, factors: Floats, counts: NDArray[np.int64]) -> None:
        self._factors = factors
        self._counts = counts
        lengths = np.linalg.norm(factors, axis=1)
        self._inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        self._ascending = np.sort(counts)
        self._scales: dict[int, Floats] = {}

    @classmethod
    def of(cls, model: Model, counts: NDArray[np.int64]) -> Neighbours:
        """Of a model's items.

        Raises:
            UnsupportedError: it has no item factors.
        """
        return cls(model.item_factors(), counts)

    def nearest(self, item_rows: Rows, k: int, min_ratings: int | None = None) -> list[Ranked]:
        """For each of some items the k others of the highest cosine with it; 0 with a row of zeros.

        The factors are gone through once, however many items are asked for.

        Args:
            item_rows: int32 (n,).
            min_ratings: leave out items with fewer. The factors of an item with two ratings say who rated it, not
                what it is like, and such items would fill every list. None chooses: 20, or as many as leave ten
                times k items.
        """
        least = self._enough_ratings(k) if min_ratings is None else min_ratings
        cosines = self._factors[item_rows] @ self._factors.T
        cosines *= self._inverse[item_rows, None]
        cosines *= self._scale(least)
        itself = np.arange(len(item_rows) + 1), np.asarray(item_rows, np.int32)
        best = best_columns(cosines, *itself, min(k, len(self._counts)))
        found = (rows[rows >= 0] for rows in best)
        return [Ranked(rows, of_item[rows]) for rows, of_item in zip(found, cosines, strict=True)]

    def _enough_ratings(self, k: int) -> int:
        wanted = min(10 * k, len(self._ascending))
        return min(ENOUGH_RATINGS, int(self._ascending[len(self._ascending) - wanted]))

    def _scale(self, least: int) -> Floats:
        """1 by the length of each item's factors; NaN, which is never ranked, where ratings are too few."""
        found = self._scales.get(least)
        if found is None:
            found = np.where(self._counts >= least, self._inverse, np.float32(np.nan)).astype(np.float32)
            if least <= ENOUGH_RATINGS:  # others are asked for by hand
                self._scales[least] = found
        return found


def principal_components(factors: NDArray[np.float32]) -> tuple[Floats64, Floats64]:
    """Points (n, d) along the two directions of their largest variance, and each one's share of it.

    Each direction points to where its largest entry is positive. What does not exist, as the second of d = 1,
    is zeros.

    Returns:
        Positions float64 (n, 2), shares float64 (2,).
    """
    centred = factors.astype(np.float64) - factors.mean(axis=0, dtype=np.float64)
    centred[np.abs(centred) < 1e-9 * np.abs(factors).max()] = 0  # below what float32 tells apart: rounding of the mean
    values, directions = np.linalg.svd(centred, full_matrices=False)[1:]
    k = min(2, len(values))
    largest = np.take_along_axis(directions[:k], np.abs(directions[:k]).argmax(1, keepdims=True), 1)
    positions, shares = np.zeros((len(factors), 2)), np.zeros(2)
    positions[:, :k] = centred @ (directions[:k] * np.where(largest < 0, -1, 1)).T
    variances = values**2
    if variances.sum() > 0:
        shares[:k] = variances[:k] / variances.sum()
    return positions, shares


def nearest_names(wanted: str, names: list[str], k: int = 5) -> list[int]:
    """Positions of the names most like the one asked for, best first: those that contain it, then near misses."""
    import difflib

    folded = wanted.casefold()
    lowered = [name.casefold() for name in names]
    containing = sorted((i for i, name in enumerate(lowered) if folded in name), key=lambda i: len(lowered[i]))
    close = difflib.get_close_matches(folded, lowered, n=k, cutoff=0.5)
    found: dict[int, Any] = dict.fromkeys(containing[:k])
    for match in close:
        found.setdefault(lowered.index(match))
    return list(found)[:k]
