"""Metrics of ranked lists: one function each on plain arrays, and LIST_METRICS and CATALOGUE_METRICS, their tables.

Metrics of users' lists take, of n users and lists cut at k,

- hits: bool (n, k), whether the item at each place of a list is relevant; False where a list is shorter than k;
- n_relevant: int (n,), how many relevant items each user has, in their list or not;

and return float64 (n,), a value a user, NaN for a user without relevant items: nothing can be found where nothing is.
Such users are to be left out of means, and counted.

Metrics of the catalogue take the lists of all users together, int32 (n, k), -1 where a list is shorter, and return one
number; without any recommendation it is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
Counts = NDArray[np.integer[Any]]
Lists = NDArray[np.int32]
Values = NDArray[np.float64]


# --- of users' lists ----------------------------------------------------------------------------------


def precision(hits: Hits, n_relevant: Counts) -> Values:
    """Relevant items in the list, divided by k, also where the list is shorter or fewer items are relevant."""
    return _where_relevant(hits.sum(axis=1) / hits.shape[1], n_relevant)


def recall(hits: Hits, n_relevant: Counts) -> Values:
    """Relevant items in the list, divided by the user's number of relevant items, also where that is above k."""
    return _where_relevant(hits.sum(axis=1) / np.maximum(n_relevant, 1), n_relevant)


def hit_rate(hits: Hits, n_relevant: Counts) -> Values:
    """1 if any item of the list is relevant, otherwise 0."""
    return _where_relevant(np.asarray(hits.any(axis=1), np.float64), n_relevant)


def ndcg(hits: Hits, n_relevant: Counts) -> Values:
    """Normalised discounted cumulative gain of 0 and 1 (Järvelin and Kekäläinen 2002).

    The sum of 1 / log2(place + 1) over the places, from 1, of relevant items; divided by the same sum of a list that
    begins with as many relevant items as there are and fit.
    """
    k = hits.shape[1]
    gains = 1 / np.log2(np.arange(2, k + 2))
    best = np.concatenate(([1.0], np.cumsum(gains)))  # of a user without relevant items, 1 to divide by
    return _where_relevant((hits @ gains) / best[np.minimum(n_relevant, k)], n_relevant)


def average_precision(hits: Hits, n_relevant: Counts) -> Values:
    """The precision at the place of each relevant item of the list, summed, divided by min(k, relevant items)."""
    k = hits.shape[1]
    at_places = np.cumsum(hits, axis=1) / np.arange(1, k + 1)
    return _where_relevant((at_places * hits).sum(axis=1) / np.clip(n_relevant, 1, k), n_relevant)


def reciprocal_rank(hits: Hits, n_relevant: Counts) -> Values:
    """1 / place, from 1, of the first relevant item of the list; 0 if there is none."""
    first = hits.argmax(axis=1)
    return _where_relevant(np.where(hits.any(axis=1), 1 / (first + 1.0), 0.0), n_relevant)


LIST_METRICS: dict[str, Callable[[Hits, Counts], Values]] = {
    "precision": precision,
    "recall": recall,
    "hit": hit_rate,
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": reciprocal_rank,
}


def auc(places: Counts, owners: Counts, n_relevant: Counts, n_candidates: Counts) -> Values:
    """Area under the ROC curve: the part of pairs of a relevant and another candidate that are ranked in that order.

    Args:
        places: (m,), of every relevant item its place, from 1, in the ranking of all candidates of its user.
        owners: (m,), the user of each, 0 to n - 1.
        n_relevant, n_candidates: (n,).

    Returns:
        float64 (n,), NaN where all candidates are relevant or none.
    """
    n = len(n_relevant)
    behind = np.bincount(owners, np.asarray(n_candidates)[owners] - places, minlength=n)  # candidates after each
    relevant = np.asarray(n_relevant, np.float64)
    pairs = relevant * (n_candidates - relevant)
    ordered = behind - relevant * (relevant - 1) / 2
    return np.divide(ordered, pairs, out=np.full(n, np.nan), where=pairs > 0)


# --- of the catalogue ---------------------------------------------------------------------------------


def coverage(lists: Lists, counts: Counts) -> float:
    """The part of all items that are in at least one list.

    Args:
        counts: (n_items,), training ratings of each item.
    """
    return len(np.unique(_recommended(lists))) / len(counts) if (lists >= 0).any() else float("nan")


def novelty(lists: Lists, counts: Counts) -> float:
    """The mean over recommendations of -log2 of the item's part of training ratings, in bits (Zhou et al. 2010).

    An item without training ratings counts as if it had one.
    """
    items = _recommended(lists)
    bits = -np.log2(np.maximum(counts, 1) / max(int(np.sum(counts)), 1))
    return float(bits[items].mean()) if len(items) else float("nan")


def gini(lists: Lists, counts: Counts) -> float:
    """Gini index of how often each item of the catalogue is recommended: 0 all alike, almost 1 one item alone."""
    times = np.sort(np.bincount(_recommended(lists), minlength=len(counts)))
    if not times.sum():
        return float("nan")
    n = len(times)
    return float((2 * np.arange(1, n + 1) - n - 1) @ times / (n * times.sum()))


def popularity_bias(lists: Lists, counts: Counts) -> float:
    """The mean training ratings of recommended items, divided by those of the average rating's item.

    1 recommends as people rate; above 1, more of what is popular. The second mean is over ratings, not over items.
    """
    items, total = _recommended(lists), float(np.sum(counts))
    if not len(items) or not total:
        return float("nan")
    usual = float(np.sum(np.asarray(counts, np.float64) ** 2)) / total
    return float(np.asarray(counts, np.float64)[items].mean() / usual)


CATALOGUE_METRICS: dict[str, Callable[[Lists, Counts], float]] = {
    "coverage": coverage,
    "novelty": novelty,
    "gini": gini,
    "popularity_bias": popularity_bias,
}


def intra_list_diversity(lists: Lists, vectors: NDArray[np.floating[Any]]) -> Values:
    """The mean of 1 - cosine over all pairs of items of each list, float64 (n,); NaN for a list of fewer than two.

    Args:
        vectors: (n_items, d), such as item factors; an item of zeros is at distance 1 from all.
    """
    lengths = np.linalg.norm(vectors, axis=1)
    directions = vectors / np.where(lengths > 0, lengths, 1)[:, None]
    there = lists >= 0
    own = directions[np.maximum(lists, 0)] * there[:, :, None]  # (n, k, d)
    together = own.sum(axis=1)
    alike = ((together**2).sum(axis=1) - (own**2).sum(axis=(1, 2))) / 2  # the sum of cosines over pairs
    n = there.sum(axis=1)
    pairs = n * (n - 1) / 2
    return np.divide(pairs - alike, pairs, out=np.full(len(lists), np.nan), where=pairs > 0)


def _where_relevant(values: Values, n_relevant: Counts) -> Values:
    return np.where(np.asarray(n_relevant) > 0, values, np.nan)


def _recommended(lists: Lists) -> Lists:
    return lists[lists >= 0]
