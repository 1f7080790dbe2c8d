"""The best k of each row of scores, by a heap. Ties go to the smaller column."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

AT_A_TIME = 128  # scores


@njit(cache=True, nogil=True)
def topk(
    scores: NDArray[np.float32],  # (rows, columns)
    excluded_starts: NDArray[np.int64],  # (rows + 1,) row r excludes excluded[starts[r]:starts[r + 1]]
    excluded: NDArray[np.int32],  # columns never returned
    k: int,
) -> NDArray[np.int32]:
    """Columns of the k highest scores of each row, highest first; (rows, k), -1 where fewer remain.

    NaN scores are never returned. Costs one pass over the scores and a heap of k.
    """
    rows, columns = scores.shape
    best = np.full((rows, k), -1, np.int32)
    values = np.empty(k, np.float32)
    masked = np.zeros(columns, np.bool_)
    for row in range(rows):
        mine = excluded[excluded_starts[row] : excluded_starts[row + 1]]
        for column in mine:
            masked[column] = True
        size = 0
        heap = best[row]
        for start in range(0, columns, AT_A_TIME):
            end = min(start + AT_A_TIME, columns)
            # Once the heap is full nearly all scores lose, and one comparison of vectors tells it of many.
            if size == k and not _any_above(scores[row, start:end], values):
                continue
            for column in range(start, end):
                score = scores[row, column]
                # An equal score further right loses, and a NaN is above nothing.
                if size == k and not (k and score > values[0]):
                    continue
                if masked[column] or np.isnan(score):
                    continue
                if size < k:
                    _sift_up(values, heap, size, score, column)
                    size += 1
                else:
                    _sift_down(values, heap, size, score, column)
        _sort_heap(values, heap, size)
        for column in mine:
            masked[column] = False
    return best


@njit(cache=True, inline="always")
def _any_above(some: NDArray[np.float32], values: NDArray[np.float32]) -> bool:
    """Whether a score beats the worst of a full heap; a heap of none takes none.

    `some` is a slice that is gone through from 0: indices that might be negative are not compared many at a time.
    """
    if not len(values):
        return False
    worst, found = values[0], np.int32(0)
    for column in range(len(some)):
        found += np.int32(some[column] > worst)
    return bool(found > 0)


@njit(cache=True, inline="always")
def _worse(score_a: np.float32, column_a: int, score_b: np.float32, column_b: int) -> bool:
    return bool(score_a < score_b or (score_a == score_b and column_a > column_b))


@njit(cache=True)
def _sift_up(values: NDArray[np.float32], heap: NDArray[np.int32], size: int, score: np.float32, column: int) -> None:
    """Put an entry into a heap of `size` whose root is the worst."""
    at = size
    while at > 0:
        parent = (at - 1) // 2
        if not _worse(score, column, values[parent], heap[parent]):
            break
        values[at] = values[parent]
        heap[at] = heap[parent]
        at = parent
    values[at] = score
    heap[at] = column


@njit(cache=True)
def _sift_down(values: NDArray[np.float32], heap: NDArray[np.int32], size: int, score: np.float32, column: int) -> None:
    """Replace the root by an entry and restore the heap."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _worse(values[child + 1], heap[child + 1], values[child], heap[child]):
            child += 1
        if not _worse(values[child], heap[child], score, column):
            break
        values[at] = values[child]
        heap[at] = heap[child]
        at = child
    values[at] = score
    heap[at] = column


@njit(cache=True)
def _sort_heap(values: NDArray[np.float32], heap: NDArray[np.int32], size: int) -> None:
    """Take the worst off again and again, so that the best ends in front."""
    for end in range(size - 1, 0, -1):
        score = values[end]
        column = heap[end]
        values[end] = values[0]
        heap[end] = heap[0]
        _sift_down(values, heap, end, score, column)
