"""Places of some columns in the ranking of each row, by counting what comes before: nothing is sorted."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def places_of(
    scores: NDArray[np.float32],  # (rows, columns)
    excluded_starts: NDArray[np.int64],  # (rows + 1,) row r excludes excluded[starts[r]:starts[r + 1]]
    excluded: NDArray[np.int32],  # columns that are not ranked; one may be there twice
    wanted_starts: NDArray[np.int64],  # (rows + 1,) of row r, wanted[starts[r]:starts[r + 1]] are asked for
    wanted: NDArray[np.int32],  # (n,) columns
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The place from 1 of each wanted column, (n,), 0 where it is not ranked; and how many each row ranks, (rows,).

    Ranked are the columns of a row that are not excluded and whose score is not NaN, the highest first, ties by column
    as in `topk`. A place costs one pass over the scores of its row, which are compared many at a time.
    """
    rows, columns = scores.shape
    places = np.zeros(len(wanted), np.int64)
    ranked = np.empty(rows, np.int64)
    left = np.empty(columns, np.float32)
    for row in range(rows):
        n_ranked = 0
        for column in range(columns):
            left[column] = scores[row, column]
            n_ranked += not np.isnan(left[column])
        for column in excluded[excluded_starts[row] : excluded_starts[row + 1]]:
            n_ranked -= not np.isnan(left[column])
            left[column] = np.nan  # which is neither above nor equal to any score
        ranked[row] = n_ranked
        for at in range(wanted_starts[row], wanted_starts[row + 1]):
            if not np.isnan(left[wanted[at]]):
                places[at] = _count_before(left, wanted[at]) + 1
    return places, ranked


@njit(cache=True, inline="always")
def _count_before(scores: NDArray[np.float32], column: int) -> int:
    """How many scores are above that of a column, or equal and further left."""
    score, before = scores[column], np.int32(0)
    for other in range(column):
        before += np.int32(scores[other] >= score)
    after = scores[column + 1 :]  # from 0, since indices that might be negative are not compared many at a time
    for other in range(len(after)):
        before += np.int32(after[other] > score)
    return int(before)
