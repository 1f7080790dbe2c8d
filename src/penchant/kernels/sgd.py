"""Stochastic gradient descent for matrix factorisation, eight ratings at a time.

The model of one rating (Koren, Bell and Volinsky 2009, equation 5) is

    z = mean + user_bias + item_bias + user_factors . item_factors
    prediction = low + span / (1 + exp(-z))      or z itself, when not squashed

The step for each row is Adagrad's (Duchi, Hazan and Singer 2011) with one accumulator a row instead of one
a number: the mean square of the row's gradient. It moves a third of the memory that Adam
does. Biases step at a constant multiple of the learning rate: accumulators of
their own gained nothing. Weight decay is decoupled: it never enters the accumulators (Loshchilov and Hutter 2019).

**Rows.** All that belongs to a user (or an item) lies in one row of a table, so that a rating touches two places
in memory and not eight: k factors (padded with zeros, which stay zeros, to a multiple of 8), then the bias at
column k, the accumulator at column k + 1, and padding to whole cache lines.

**Eight at a time.** A rating alone is a chain: sum, exponential, division, square root, step; most of the time the
processor waits for the link before. Eight independent chains side by side were measured at 1.6 times the speed.
The eight gradients are taken before their eight steps, as in a batch; a row that occurs twice gets both steps.

**Tiles.** Ratings come in tiles of one block of users and one block of items. Tiles that share no block can be
worked on at once without locks and without lost updates (Gemulla et al. 2011, Zhuang et al. 2013), and in a fixed
order, so that the result does not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]

AT_A_TIME = 8
FAST = {"cache": True, "fastmath": True, "nogil": True, "error_model": "numpy"}


@njit(**FAST)
def sgd_tiles(
    tiles: NDArray[np.int64],  # which tiles to work through, in this order
    starts: NDArray[np.int64],  # tile t has the ratings starts[t] up to ends[t]
    ends: NDArray[np.int64],
    user_rows: Rows,  # (n,) in the order of tiles, as the two below
    item_rows: Rows,
    ratings: Floats,
    users: Floats,  # (n_users, width) rows as above, changed in place
    items: Floats,  # (n_items, width)
    k: int,
    mean: np.float32,
    low: np.float32,
    span: np.float32,
    squashed: bool,
    rate_from: np.float32,  # learning rate at the first rating of each tile …
    rate_to: np.float32,  # … and after its last, linear in between
    bias_rate: np.float32,  # the biases' learning rate, as a multiple
    decay: np.float32,
    bias_decay: np.float32,
    errors: NDArray[np.float64],  # (tiles of all,) sum of squared errors of each, taken before the steps; written
) -> None:
    """Learn from the ratings of some tiles."""
    scratch = np.empty((5, AT_A_TIME), np.float32)
    for tile in tiles:
        start, end = starts[tile], ends[tile]
        slope = (rate_to - rate_from) / np.float32(max(end - start, 1))
        total = 0.0
        whole = end - (end - start) % AT_A_TIME
        for at in range(start, whole, AT_A_TIME):
            total += _learn(
                at, AT_A_TIME, user_rows, item_rows, ratings, users, items, k, mean, low, span, squashed,
                rate_from + slope * np.float32(at - start), bias_rate, decay, bias_decay, scratch,
            )  # fmt: skip
        if whole < end:
            total += _learn(
                whole, end - whole, user_rows, item_rows, ratings, users, items, k, mean, low, span, squashed,
                rate_from + slope * np.float32(whole - start), bias_rate, decay, bias_decay, scratch,
            )  # fmt: skip
        errors[tile] = total


@njit(inline="always", **FAST)
def _learn(
    at: int, count: int, user_rows: Rows, item_rows: Rows, ratings: Floats, users: Floats, items: Floats, k: int,
    mean: np.float32, low: np.float32, span: np.float32, squashed: bool, rate: np.float32,
    bias_rate: np.float32, decay: np.float32, bias_decay: np.float32, scratch: Floats,
) -> np.float32:  # fmt: skip
    """One step for each of a few ratings; returns the sum of their squared errors before it."""
    _gradients(at, count, user_rows, item_rows, users, items, k, mean, scratch)
    squares = _errors(at, count, ratings, low, span, squashed, scratch)
    _rates(at, count, user_rows, item_rows, users, items, k, rate, scratch)
    _steps(at, count, user_rows, item_rows, users, items, k, rate * bias_rate, decay, bias_decay, scratch)
    return squares


@njit(inline="always", **FAST)
def _gradients(
    at: int, count: int, user_rows: Rows, item_rows: Rows, users: Floats, items: Floats, k: int, mean: np.float32,
    scratch: Floats,
) -> None:  # fmt: skip
    """scratch[0]: z of each rating; [1] and [2]: mean square of the user's and of the item's factors."""
    share = np.float32(1) / np.float32(k)
    for j in range(count):
        p = users[np.uint32(user_rows[at + j])]
        q = items[np.uint32(item_rows[at + j])]
        dot = np.float32(0)
        p_square = np.float32(0)
        q_square = np.float32(0)
        for f in range(k):
            dot += p[f] * q[f]
            p_square += p[f] * p[f]
            q_square += q[f] * q[f]
        dot += p[k] + q[k]
        scratch[0, j] = mean + dot
        scratch[1, j] = p_square * share
        scratch[2, j] = q_square * share


@njit(inline="always", **FAST)
def _errors(
    at: int, count: int, ratings: Floats, low: np.float32, span: np.float32, squashed: bool, scratch: Floats
) -> np.float32:
    """scratch[0]: minus half the derivative of each squared error by z; returns the sum of squared errors."""
    one = np.float32(1)
    total = np.float32(0)
    for j in range(count):
        s = one / (one + np.exp(-scratch[0, j]))
        # Chosen value by value: two loops, one for each case, were measured at a fifth more time for all.
        prediction = low + span * s if squashed else scratch[0, j]
        slope = span * s * (one - s) if squashed else one
        error = ratings[at + j] - prediction
        total += error * error
        scratch[0, j] = error * slope
    return total


@njit(inline="always", **FAST)
def _rates(
    at: int, count: int, user_rows: Rows, item_rows: Rows, users: Floats, items: Floats, k: int, rate: np.float32,
    scratch: Floats,
) -> None:  # fmt: skip
    """Adds to the accumulators; scratch[3] and [4]: step lengths of the users' and the items' rows."""
    for j in range(count):
        square = scratch[0, j] * scratch[0, j]
        p = users[np.uint32(user_rows[at + j])]
        q = items[np.uint32(item_rows[at + j])]
        p[k + 1] += square * scratch[2, j]
        q[k + 1] += square * scratch[1, j]
        scratch[3, j] = p[k + 1]
        scratch[4, j] = q[k + 1]
    for j in range(count):
        scratch[3, j] = rate / np.sqrt(scratch[3, j])
        scratch[4, j] = rate / np.sqrt(scratch[4, j])


@njit(inline="always", **FAST)
def _steps(
    at: int, count: int, user_rows: Rows, item_rows: Rows, users: Floats, items: Floats, k: int,
    bias_step: np.float32, decay: np.float32, bias_decay: np.float32, scratch: Floats,
) -> None:  # fmt: skip
    """Moves the rows, one rating after the other."""
    one = np.float32(1)
    for j in range(count):
        p = users[np.uint32(user_rows[at + j])]
        q = items[np.uint32(item_rows[at + j])]
        gradient = scratch[0, j]
        p_kept = one - scratch[3, j] * decay
        q_kept = one - scratch[4, j] * decay
        p_step = scratch[3, j] * gradient
        q_step = scratch[4, j] * gradient
        for f in range(k):
            old = p[f]
            p[f] = p_kept * old + p_step * q[f]
            q[f] = q_kept * q[f] + q_step * old
        p[k] += bias_step * (gradient - bias_decay * p[k])
        q[k] += bias_step * (gradient - bias_decay * q[k])


@njit(**FAST)
def pair_sums(
    user_rows: Rows,  # (n,)
    item_rows: Rows,  # (n,)
    users: Floats,  # (n_users, width)
    items: Floats,  # (n_items, width)
    k: int,
    mean: np.float32,
) -> Floats:
    """The z of each pair, float32 (n,)."""
    n = user_rows.shape[0]
    sums = np.empty(n, np.float32)
    for at in range(n):
        p = users[user_rows[at]]
        q = items[item_rows[at]]
        dot = np.float32(0)
        for f in range(k):
            dot += p[f] * q[f]
        dot += p[k] + q[k]
        sums[at] = mean + dot
    return sums
