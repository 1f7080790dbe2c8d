"""Re-ranking: lists that are more varied, or less of what everybody knows, than the best scores alone.

Diversity is maximal marginal relevance (Carbonell and Goldstein 1998, "The use of MMR, diversity-based reranking for
reordering documents and producing summaries"): from a pool of the best candidates, the list is filled one by one with

    argmax over i  (1 - diversity) * relevance(i) - diversity * max over j in the list  cosine(i, j)

where relevance is the score, moved so that the pool reaches from 0 to 1, and the first place goes to the best score.

Popularity damping ranks by

    score(i) - damping * deviation * popularity(i)

where deviation is the standard deviation of the user's scores of all items, and popularity(i) is log(1 + ratings of i)
less its mean over all items, divided by its standard deviation over all items.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEAST_POOL = 100
POOL_FACTOR = 5  # times the length of the list
NUMBERS_A_TIME = 4_000_000  # 16 MB: of the points of pools in memory at once


def pool_size(k: int) -> int:
    """How many of the best candidates a varied list of k is picked from."""
    return max(LEAST_POOL, POOL_FACTOR * k)


def popularity(counts: NDArray[np.int64]) -> Floats:
    """The popularity of items by their ratings, float32 (n_items,): of mean 0 and standard deviation 1, or all 0."""
    logs = np.log1p(counts.astype(np.float64))
    deviation = logs.std()
    return ((logs - logs.mean()) / deviation if deviation > 0 else np.zeros_like(logs)).astype(np.float32)


def damped(scores: Floats, popularity: Floats, damping: float) -> Floats:
    """Scores (n, n_items) less what popularity (n_items,) takes off, float32 (n, n_items)."""
    deviations = np.zeros((len(scores), 1), np.float32)
    for row, of_row in enumerate(scores):
        finite = of_row[np.isfinite(of_row)]
        deviations[row] = finite.std(dtype=np.float64) if len(finite) else 0
    return scores - np.float32(damping) * deviations * popularity


def varied(pools: NDArray[np.int32], scores: Floats, points: Floats, k: int, diversity: float) -> NDArray[np.int32]:
    """Up to k of each pool by maximal marginal relevance, in the order of picking; ties to the better score.

    Args:
        pools: (n, m), columns of scores from the best to the worst, then -1.
        scores: (n, n_items).
        points: (n_items, d), whose directions say what is alike; a point of zeros is like nothing.

    Returns:
        int32 (n, min(k, m)), -1 where fewer remain.
    """
    n, m = pools.shape
    picks = np.full((n, min(k, m)), -1, np.int32)
    at_once = max(1, NUMBERS_A_TIME // max(1, m * points.shape[1]))
    for at in range(0, n if m else 0, at_once):
        some = slice(at, at + at_once)
        picks[some] = _varied(pools[some], scores[some], points, picks.shape[1], diversity)
    return picks


def _varied(pools: NDArray[np.int32], scores: Floats, points: Floats, k: int, diversity: float) -> NDArray[np.int32]:
    users, there = np.arange(len(pools)), pools >= 0
    relevance = _relevance(np.take_along_axis(scores, np.maximum(pools, 0), axis=1), there)
    units = _units(points[np.maximum(pools, 0)])
    value = np.where(there, np.float32(1 - diversity) * relevance, np.float32(-np.inf))
    worth, nearest = value.copy(), np.full(pools.shape, -np.inf, np.float32)
    picks = np.full((len(pools), k), -1, np.int32)
    for place in range(k):
        best = np.argmax(worth, axis=1)
        left = worth[users, best] > -np.inf
        if not left.any():
            break
        picks[left, place] = pools[left, best[left]]
        np.maximum(nearest, (units @ units[users, best][:, :, None])[:, :, 0], out=nearest)
        value[users, best] = -np.inf
        worth = value - np.float32(diversity) * nearest
    return picks


def _relevance(scores: Floats, there: NDArray[np.bool_]) -> Floats:
    """Scores of pools (n, m) moved to 0 to 1 by the least and the most finite one; 0 where all are equal."""
    finite = there & np.isfinite(scores)
    some = finite.any(axis=1, keepdims=True)
    low = np.where(some, np.min(scores, axis=1, keepdims=True, where=finite, initial=np.inf), 0)
    high = np.where(some, np.max(scores, axis=1, keepdims=True, where=finite, initial=-np.inf), 0)
    above = np.clip(scores, low, high) - low
    return np.divide(above, high - low, out=np.zeros_like(scores), where=(high > low) & there)


def _units(points: Floats) -> Floats:
    lengths = np.linalg.norm(points, axis=-1, keepdims=True)
    return np.divide(points, lengths, out=np.zeros_like(points), where=lengths > 0)
