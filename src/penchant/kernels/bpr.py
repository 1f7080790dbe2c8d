"""Stochastic gradient descent for rankings: an item that a user took against some that are drawn at random.

The score of an item is s = item_bias + user_factors . item_factors. A positive i of weight w, against negatives j that
are drawn evenly from the n - 1 other items of its block, has one of two losses:

    softmax   w log(exp(s_i) + (n - 1) / negatives * sum over j of exp(s_j)) - w s_i
    bpr       w / negatives * sum over j of log(1 + exp(s_j - s_i))

The first is minus the log-likelihood of i among all items, whose sum over the others is estimated from the negatives
(Bengio and Senecal 2008; Wu et al. 2022); the factor before the sum is what a correction by the log of the chance of
being drawn comes to when all have the same. The second is Rendle, Freudenthaler, Gantner and Schmidt-Thieme 2009,
section 4, averaged over the negatives.

Rows and steps are those of `sgd`: k factors, a bias at column k, an accumulator of Adagrad at column k + 1, decoupled
weight decay. All gradients of a positive and its negatives are taken before their steps; the user makes one step for
all of them. Weight decay pulls the user and the positive, not the negatives, so that it grows with how often each was
observed and not with how many negatives are drawn.

**Negatives of the block.** They come from the item block of the tile, so that tiles that share no block touch no row
in common and may be worked on at once. Items are dealt to new blocks in every epoch, or items of different blocks
would never be compared.

**Random numbers** are a function of the seed, of the tile and of how many were drawn in it before (see `noise`), so
that the number of threads does not matter.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from penchant.kernels.noise import FIRST, GOLDEN, mixed

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Longs = NDArray[np.int64]

FAST = {"cache": True, "fastmath": True, "nogil": True, "error_model": "numpy"}


@njit(**FAST)
def rank_tiles(
    tiles: Longs,  # which tiles to work through, in this order
    starts: Longs,  # tile t has the positives starts[t] up to ends[t], and the item block t % blocks
    ends: Longs,
    user_rows: Rows,  # (n,) in the order of tiles, as the two below
    item_rows: Rows,
    weights: Floats,
    firsts: Longs,  # (blocks + 1,) item block c has the rows firsts[c] up to firsts[c + 1]
    users: Floats,  # (n_users, width) rows as above, changed in place
    items: Floats,  # (n_items, width)
    k: int,
    negatives: int,  # for each positive
    softmax: bool,  # or else bpr
    rate_from: np.float32,  # learning rate at the first positive of each tile …
    rate_to: np.float32,  # … and after its last, linear in between
    bias_rate: np.float32,  # the biases' learning rate, as a multiple
    decay: np.float32,
    seed: np.uint64,
    losses: NDArray[np.float64],  # (tiles of all,) sum of the losses of each, taken before the steps; written
) -> None:
    """Learn from the positives of some tiles. In a block of one item there is nothing to learn."""
    rows = np.empty(negatives + 1, np.int64)  # the positive, then its negatives
    pulls = np.empty(negatives + 1, np.float32)  # their scores, then minus the derivatives of the loss by them
    gradient = np.empty(k, np.float32)
    for tile in tiles:
        block = tile % (len(firsts) - 1)
        first, count = firsts[block], firsts[block + 1] - firsts[block]
        start, end = starts[tile], ends[tile]
        slope = (rate_to - rate_from) / np.float32(max(end - start, 1))
        state = seed + np.uint64(tile) * FIRST
        lift = np.float32(np.log((count - 1) / negatives))
        total = 0.0
        for at in range(start, end if count > 1 else start):
            p = users[np.uint32(user_rows[at])]
            rows[0] = item_rows[at]
            state = _draw(state, first, count, rows)
            _score(p, items, k, rows, pulls)
            total += weights[at] * (_softmax(pulls, lift) if softmax else _pairs(pulls))
            rate = rate_from + slope * np.float32(at - start)
            _step(p, items, k, rows, pulls, weights[at], rate, bias_rate, decay, gradient)
        losses[tile] = total


@njit(inline="always", **FAST)
def _draw(state: np.uint64, first: int, count: int, rows: Longs) -> np.uint64:
    """Fill rows[1:] evenly with rows of the block other than rows[0]; returns the state after.

    The upper half of a random number, multiplied by n / 2**32, favours no item by more than that fraction.
    """
    others = np.uint64(count - 1)
    for j in range(1, rows.shape[0]):
        state += GOLDEN
        row = first + np.int64(((mixed(state) >> np.uint64(32)) * others) >> np.uint64(32))
        rows[j] = row + 1 if row >= rows[0] else row
    return state


@njit(inline="always", **FAST)
def _score(p: Floats, items: Floats, k: int, rows: Longs, scores: Floats) -> None:
    """The score of each item."""
    for j in range(rows.shape[0]):
        q = items[np.uint32(rows[j])]
        dot = np.float32(0)
        for f in range(k):
            dot += p[f] * q[f]
        scores[j] = dot + q[k]


@njit(inline="always", **FAST)
def _softmax(pulls: Floats, lift: np.float32) -> np.float32:
    """Scores become minus the derivatives of the loss by them, for a weight of 1; returns the loss."""
    one = np.float32(1)
    most = pulls[0]
    for j in range(1, pulls.shape[0]):
        pulls[j] += lift
        most = max(most, pulls[j])
    loss = most - pulls[0]
    total = np.float32(0)
    for j in range(pulls.shape[0]):
        pulls[j] = np.exp(pulls[j] - most)
        total += pulls[j]
    share = one / total
    for j in range(pulls.shape[0]):
        pulls[j] *= -share
    pulls[0] += one
    return loss + np.log(total)


@njit(inline="always", **FAST)
def _pairs(pulls: Floats) -> np.float32:
    """As `_softmax`, for the loss of pairs."""
    one, zero = np.float32(1), np.float32(0)
    share = one / np.float32(pulls.shape[0] - 1)
    loss, total = zero, zero
    for j in range(1, pulls.shape[0]):
        ahead = pulls[j] - pulls[0]
        small = np.exp(-abs(ahead))  # of the two exponentials the one that cannot overflow
        loss += max(ahead, zero) + np.log(one + small)
        pull = (one if ahead > zero else small) * share / (one + small)
        pulls[j] = -pull
        total += pull
    pulls[0] = total
    return loss * share


@njit(inline="always", **FAST)
def _step(
    p: Floats, items: Floats, k: int, rows: Longs, pulls: Floats, weight: np.float32, rate: np.float32,
    bias_rate: np.float32, decay: np.float32, gradient: Floats,
) -> None:  # fmt: skip
    """Moves the items, then the user."""
    one, zero = np.float32(1), np.float32(0)
    share = one / np.float32(k)
    square = zero
    for f in range(k):
        square += p[f] * p[f]
        gradient[f] = zero
    square *= share * weight * weight
    for j in range(rows.shape[0]):  # all accumulators first: a row that occurs twice steps twice by what both leave
        q = items[np.uint32(rows[j])]
        q[k + 1] += square * pulls[j] * pulls[j]
    for j in range(rows.shape[0]):
        q = items[np.uint32(rows[j])]
        length = rate / np.sqrt(q[k + 1])
        kept = one - length * decay if j == 0 else one
        pull = weight * pulls[j]
        step = length * pull
        for f in range(k):
            old = q[f]
            gradient[f] += pull * old
            q[f] = kept * old + step * p[f]
        q[k] += rate * bias_rate * pull
    square = zero
    for f in range(k):
        square += gradient[f] * gradient[f]
    p[k + 1] += square * share
    length = rate / np.sqrt(p[k + 1])
    kept = one - length * decay
    for f in range(k):
        p[f] = kept * p[f] + length * gradient[f]
