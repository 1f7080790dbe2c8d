"""The parts of an embedding network that are no matrix product: rows gathered and stepped, dropout, Adam.

Which numbers a dropout leaves out is a pure function of a seed, a rating's number and a column, so that the way back
computes the same again and nothing is stored. One random byte decides for one number.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from penchant.kernels.noise import GOLDEN, mixed

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]

FAST = {"cache": True, "fastmath": True, "nogil": True, "error_model": "numpy"}
BYTE = np.uint64(255)


@njit(inline="always", **FAST)
def _mask(row: Floats, start: int, count: int, noise: np.uint64, limit: np.uint64, share: np.float32) -> None:
    """Up to eight numbers, each by a byte of the noise: no branch, so that eight are the work of one instruction."""
    for f in range(count):
        kept = ((noise >> np.uint64(8 * f)) & BYTE) >= limit
        row[start + f] *= share * np.float32(kept)


@njit(**FAST)
def drop_out(
    x: Floats,  # (n, width), changed in place
    left_out: int,  # of 256
    seed: np.uint64,
    first: int,  # the number of the first row
) -> None:
    """Set each number to 0 with probability left_out / 256, and scale up the others; always the same ones."""
    width = x.shape[1]
    whole = width - width % 8
    share, limit = np.float32(256 / (256 - left_out)), np.uint64(left_out)
    draws = np.uint64(-(-width // 8))
    for at in range(x.shape[0]):
        row = x[at]
        state = seed + np.uint64(first + at) * draws * GOLDEN
        for start in range(0, whole, 8):
            state += GOLDEN
            _mask(row, start, 8, mixed(state), limit, share)
        if whole < width:
            _mask(row, whole, width - whole, mixed(state + GOLDEN), limit, share)


@njit(**FAST)
def gather_rows(
    user_rows: Rows,  # (n,)
    item_rows: Rows,
    users: Floats,  # (n_users, du)
    items: Floats,  # (n_items, di)
    out: Floats,  # (n, du + di), written
) -> None:
    """[user's row, item's row] of each rating."""
    split = users.shape[1]
    for at in range(user_rows.shape[0]):
        user, item = users[np.uint32(user_rows[at])], items[np.uint32(item_rows[at])]
        for f in range(split):  # loops and not slices, each of which is a call
            out[at, f] = user[f]
        for f in range(items.shape[1]):
            out[at, split + f] = item[f]


@njit(**FAST)
def step_rows(
    rows: Rows,  # (n,) may repeat
    table: Floats,  # (rows of all, d), changed in place
    squares: Floats,  # (rows of all,) Adagrad's accumulators, changed in place
    gradients: Floats,  # (n, at least column + d)
    column: int,  # where the table's gradients start
    rate: np.float32,
    decay: np.float32,
) -> None:
    """Adagrad (Duchi, Hazan and Singer 2011) with one accumulator a row, and decoupled weight decay.

    All of a batch enter the accumulators before anything moves.
    """
    d = table.shape[1]
    for at in range(rows.shape[0]):
        total = np.float32(0)
        for f in range(d):
            total += gradients[at, column + f] * gradients[at, column + f]
        squares[np.uint32(rows[at])] += total / np.float32(d)
    kept = np.float32(1) - rate * decay
    for at in range(rows.shape[0]):
        row = table[np.uint32(rows[at])]
        step = rate / np.sqrt(squares[np.uint32(rows[at])])
        for f in range(d):
            row[f] = kept * row[f] - step * gradients[at, column + f]


@njit(**FAST)
def adam_step(
    weights: Floats,  # (n,) changed in place, as the two below
    means: Floats,
    squares: Floats,
    gradients: Floats,  # (n,)
    momentum: np.float32,
    square_momentum: np.float32,
    mean_rate: np.float32,  # learning rate / what the means have of their full weight
    square_share: np.float32,  # what the squares have of theirs
    kept: np.float32,  # what weight decay leaves
    epsilon: np.float32,
) -> None:
    """AdamW (Loshchilov and Hutter 2019) in one pass."""
    one = np.float32(1)
    for at in range(weights.shape[0]):
        gradient = gradients[at]
        mean = momentum * means[at] + (one - momentum) * gradient
        square = square_momentum * squares[at] + (one - square_momentum) * gradient * gradient
        means[at], squares[at] = mean, square
        weights[at] = kept * weights[at] - mean_rate * mean / (np.sqrt(square / square_share) + epsilon)
