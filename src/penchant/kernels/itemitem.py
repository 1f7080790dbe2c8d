"""Items by items: what those who took one took of the others, and scores from the most similar."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from penchant.kernels.topk import topk

ROWS = 32  # of a block, the piece of work that threads share out
FAST = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**FAST)
def _add_products(
    row: int,
    item_starts: NDArray[Any],
    takers: NDArray[Any],
    taker_weights: NDArray[Any],
    user_starts: NDArray[Any],
    items: NDArray[Any],
    item_weights: NDArray[Any],
    products: NDArray[Any],
) -> None:
    """Add the products of one item's column with every item's column, (n_items,)."""
    for entry in range(item_starts[row], item_starts[row + 1]):
        user = takers[entry]
        weight = np.float64(taker_weights[entry])
        for place in range(user_starts[user], user_starts[user + 1]):
            products[np.uint32(items[place])] += weight * np.float64(item_weights[place])


@njit(**FAST)
def gram_rows(
    blocks: NDArray[Any],
    item_starts: NDArray[Any],
    takers: NDArray[Any],
    taker_weights: NDArray[Any],
    user_starts: NDArray[Any],
    items: NDArray[Any],
    item_weights: NDArray[Any],
    gram: NDArray[Any],
) -> None:
    """Some blocks of ROWS rows of X'X, X being users by items.

    Args:
        blocks: int64, their numbers.
        item_starts, takers, taker_weights: X by item; int64 (n_items + 1,), int32 (n,) and float32 (n,).
        user_starts, items, item_weights: X by user.
        gram: float64 (n_items, n_items), zeros where these rows are; written.
    """
    for block in blocks:
        for row in range(block * ROWS, min((block + 1) * ROWS, len(gram))):
            _add_products(row, item_starts, takers, taker_weights, user_starts, items, item_weights, gram[row])


@njit(**FAST)
def nearest_rows(
    blocks: NDArray[Any],
    item_starts: NDArray[Any],
    takers: NDArray[Any],
    taker_weights: NDArray[Any],
    user_starts: NDArray[Any],
    items: NDArray[Any],
    item_weights: NDArray[Any],
    lengths: NDArray[Any],
    shrinkage: float,
    nearest: NDArray[Any],
    similarities: NDArray[Any],
) -> None:
    """The most similar items of the items of some blocks, most similar first; of equals the smaller row.

    Memory of a thread is of one row of similarities, not of all.

    Args:
        blocks to item_weights: as of `gram_rows`.
        lengths: float64 (n_items,), of the columns.
        shrinkage: is added to the product of two lengths.
        nearest: int32 (n_items, k), written; -1 where there are no more that anybody took both of.
        similarities: float32 (n_items, k), written; 0 there.
    """
    n_items, k = len(lengths), nearest.shape[1]
    products = np.zeros(n_items)
    similar = np.zeros((1, n_items), np.float32)
    own, own_starts = np.zeros(1, np.int32), np.array([0, 1])
    for block in blocks:
        for row in range(block * ROWS, min((block + 1) * ROWS, n_items)):
            products[:] = 0
            _add_products(row, item_starts, takers, taker_weights, user_starts, items, item_weights, products)
            for other in range(n_items):
                product = products[other]
                similar[0, other] = product / (lengths[row] * lengths[other] + shrinkage) if product > 0 else 0
            own[0] = row
            best = topk(similar, own_starts, own, k)[0]
            for place in range(k):
                found = best[place]
                if found >= 0 and similar[0, found] > 0:
                    nearest[row, place] = found
                    similarities[row, place] = similar[0, found]
                else:
                    nearest[row, place] = -1
                    similarities[row, place] = 0


@njit(**FAST)
def sparse_scores(
    vectors: NDArray[Any], starts: NDArray[Any], columns: NDArray[Any], values: NDArray[Any]
) -> NDArray[np.float32]:
    """The product of vectors and S, float32 (n, n_items), by what is not 0 in either.

    Args:
        vectors: float32 (n, n_items).
        starts, columns, values: S in compressed sparse rows; int64 (n_items + 1,), int32 and float32.
    """
    scores = np.empty(vectors.shape, np.float32)
    sums = np.empty(vectors.shape[1])
    for row in range(len(vectors)):
        sums[:] = 0
        for item in range(vectors.shape[1]):
            weight = np.float64(vectors[row, item])
            if weight != 0:
                for entry in range(starts[item], starts[item + 1]):
                    sums[np.uint32(columns[entry])] += weight * np.float64(values[entry])
        scores[row] = sums
    return scores
