"""The one ranking in the project: the best k of each row of scores, ties to the smaller column."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

KERNEL = "penchant.kernels.topk"
FEW = 1_000_000  # scores


def best_columns(
    scores: NDArray[np.float32], excluded_starts: NDArray[np.int64], excluded: NDArray[np.int32], k: int
) -> NDArray[np.int32]:
    """Columns of the k highest scores of each row, highest first; (rows, k), -1 where fewer remain.

    A few scores are ranked with NumPy as long as nothing else has loaded Numba, which takes three times as long to
    import as one user's list takes to answer. The result is the same.

    Args:
        scores: (rows, columns); a NaN is never returned.
        excluded_starts: (rows + 1,); row r excludes excluded[excluded_starts[r]:excluded_starts[r + 1]].
        excluded: columns never returned.
        k: how many, 0 or more.
    """
    if scores.size > FEW or KERNEL in sys.modules:
        from penchant.kernels.topk import topk

        return topk(scores, excluded_starts, excluded, k)
    return rank_by_partition(scores, excluded_starts, excluded, k)


def rank_by_partition(
    scores: NDArray[np.float32], excluded_starts: NDArray[np.int64], excluded: NDArray[np.int32], k: int
) -> NDArray[np.int32]:
    """As `best_columns`, by NumPy alone: a partial sort that finds the k-th score, a sort of what is not below."""
    best = np.full((len(scores), k), -1, np.int32)
    for row, of_row in enumerate(scores):
        is_left = ~np.isnan(of_row)
        is_left[excluded[excluded_starts[row] : excluded_starts[row + 1]]] = False
        columns = np.flatnonzero(is_left)
        negated = -of_row[columns]
        if 0 < k < len(columns):
            chosen = np.flatnonzero(negated <= np.partition(negated, k - 1)[k - 1])
            columns, negated = columns[chosen], negated[chosen]
        order = np.argsort(negated, kind="stable")[:k]
        best[row, : len(order)] = columns[order]
    return best
