"""Gibbs steps of a factorisation machine whose ratings share the rows of their blocks.

A block is a table of features with one row for each user (item, month, …); a rating points to one row of each
block. Sums over the ratings of a row stand in for the ratings, so that a feature costs its entries in the
block and not the ratings that have it (Rendle 2013, "Scaling factorization machines to relational data", section 4).

Of one factor, a rating with rows r of the blocks b has half of (sum of Q_b)^2 - (sum of v^2 x^2) in its score, where Q_b[r] is
the sum of v_j x_rj over the features j of row r. By v_j of block b that has the derivative x_rj (a + o), with a = Q_b[r] - x_rj v_j
and o the sum of the other blocks' Q. So all that a feature needs of the ratings of a row is how many they are, and the sums of
o, o², of their errors e, and of e o.

Errors are ratings minus scores, float32. Sums over ratings in arbitrary order are float64, since an item may have
millions of them; what a row keeps is float32, half a cache line.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Columns of the sums of a row.
COUNT, OTHERS, SQUARES, ERRORS, PRODUCTS, NOW, BEFORE, WITHIN = range(8)
N_SUMS = 8
FAST = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"}}


@njit(**FAST)
def gather_factor(q: NDArray[Any], rows: NDArray[Any], row_factor: NDArray[Any]) -> None:
    """q[n] = the sum over blocks of one factor of the rating's rows.

    Args:
        q: float32 (n,), written.
        rows: int32 (blocks, n), rows of all blocks numbered through.
        row_factor: float32 (rows,).
    """
    for n in range(len(q)):
        q[n] = row_factor[np.uint32(rows[0, n])]
    for block in range(1, rows.shape[0]):
        for n in range(len(q)):
            q[n] += row_factor[np.uint32(rows[block, n])]


@njit(**FAST)
def sum_in_order(
    errors: NDArray[Any], q: NDArray[Any], bounds: NDArray[Any], now: NDArray[Any], sums: NDArray[Any]
) -> None:
    """Sums over the ratings of each row, where row r has the ratings bounds[r] to bounds[r + 1].

    Args:
        errors, q: float32 (n,).
        bounds: int64 (rows + 1,).
        now: float32 (rows,), Q of the block.
        sums: float32 (rows, 8), OTHERS to PRODUCTS written.
    """
    for row in range(len(now)):
        own = now[row]
        others, squares = np.float32(0), np.float32(0)
        total, products = np.float32(0), np.float32(0)
        for n in range(bounds[row], bounds[row + 1]):
            other = q[n] - own
            others += other
            squares += other * other
            total += errors[n]
            products += errors[n] * other
        sums[row, OTHERS], sums[row, SQUARES] = others, squares
        sums[row, ERRORS], sums[row, PRODUCTS] = total, products


@njit(**FAST)
def sum_anywhere(
    errors: NDArray[Any], q: NDArray[Any], rows: NDArray[Any], now: NDArray[Any], sums: NDArray[Any]
) -> None:
    """The same, where the ratings of a row lie anywhere.

    Args:
        rows: int32 (n,), of this block.
    """
    added = np.zeros((len(now), 4))
    for n in range(len(errors)):
        row = np.uint32(rows[n])
        error = np.float64(errors[n])
        other = np.float64(q[n] - now[row])
        added[row, 0] += other
        added[row, 1] += other * other
        added[row, 2] += error
        added[row, 3] += error * other
    for row in range(len(now)):
        for column in range(4):
            sums[row, OTHERS + column] = np.float32(added[row, column])


@njit(**FAST)
def move_in_order(errors: NDArray[Any], q: NDArray[Any], bounds: NDArray[Any], sums: NDArray[Any]) -> None:
    """Bring errors and q up to date with what `sample_features` changed in a block."""
    for row in range(len(sums)):
        before, within = sums[row, BEFORE], sums[row, WITHIN]
        moved = sums[row, NOW] - before
        for n in range(bounds[row], bounds[row + 1]):
            errors[n] -= moved * (q[n] - before) + within
            q[n] += moved


@njit(**FAST)
def move_anywhere(errors: NDArray[Any], q: NDArray[Any], rows: NDArray[Any], sums: NDArray[Any]) -> None:
    """The same, where the ratings of a row lie anywhere."""
    for n in range(len(errors)):
        row = np.uint32(rows[n])
        before = sums[row, BEFORE]
        moved = sums[row, NOW] - before
        errors[n] -= moved * (q[n] - before) + sums[row, WITHIN]
        q[n] += moved


@njit(**FAST)
def sample_features(
    v: NDArray[Any],
    starts: NDArray[Any],
    entry_rows: NDArray[Any],
    entry_values: NDArray[Any],
    groups: NDArray[Any],
    prior_mean: NDArray[Any],
    prior_precision: NDArray[Any],
    precision: float,
    normals: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    """Sample one factor of all features of a block, one after the other, each given all others.

    Args:
        v: float32 (features,), replaced.
        starts: int64 (features + 1,); feature j has the entries starts[j] to starts[j + 1].
        entry_rows, entry_values: int32 and float32 (entries,), the rows that have the feature, and its value there.
        groups: int32 (features,), which prior each has.
        prior_mean, prior_precision: float64 (groups,), of this factor.
        precision: one over the variance of a rating.
        normals: float32 (features,), standard normal.
        sums: float32 (rows, 8), kept up to date.
    """
    for j in range(len(v)):
        old = v[j]
        squares, products = np.float32(0), np.float32(0)
        for at in range(starts[j], starts[j + 1]):
            row, x = np.uint32(entry_rows[at]), entry_values[at]
            rest = sums[row, NOW] - x * old
            squares += x * x * (rest * (sums[row, COUNT] * rest + 2 * sums[row, OTHERS]) + sums[row, SQUARES])
            products += x * (rest * sums[row, ERRORS] + sums[row, PRODUCTS])
        group = groups[j]
        total = precision * squares + prior_precision[group]
        pull = precision * (products + np.float64(old) * squares) + prior_precision[group] * prior_mean[group]
        new = np.float32(pull / total + normals[j] / np.sqrt(total))
        step = new - old
        v[j] = new
        for at in range(starts[j], starts[j + 1]):
            row, x = np.uint32(entry_rows[at]), entry_values[at]
            rest = sums[row, NOW] - x * old
            moved = step * x
            others = sums[row, OTHERS]
            sums[row, ERRORS] -= moved * (sums[row, COUNT] * rest + others)
            sums[row, PRODUCTS] -= moved * (rest * others + sums[row, SQUARES])
            sums[row, WITHIN] += moved * rest
            sums[row, NOW] += moved


@njit(**FAST)
def sample_weights(
    w: NDArray[Any],
    starts: NDArray[Any],
    entry_rows: NDArray[Any],
    entry_values: NDArray[Any],
    groups: NDArray[Any],
    prior_mean: NDArray[Any],
    prior_precision: NDArray[Any],
    precision: float,
    normals: NDArray[Any],
    rows: NDArray[Any],
    errors: NDArray[Any],
    counts: NDArray[Any],
    row_weights: NDArray[Any],
) -> None:
    """Sample the weights (the linear terms) of all features of a block, and bring the errors up to date.

    Args:
        rows: int32 (n,), of this block.
        errors: float32 (n,).
        counts: float32 (rows, …), of which the first column is how many ratings a row has.
        row_weights: float64 (rows,), the sums of w x; kept up to date.

    The others are those of `sample_features`.
    """
    left = np.zeros(len(row_weights))
    moved = np.zeros(len(row_weights))
    for n in range(len(errors)):
        left[np.uint32(rows[n])] += np.float64(errors[n])
    for j in range(len(w)):
        old = np.float64(w[j])
        squares, products = 0.0, 0.0
        for at in range(starts[j], starts[j + 1]):
            row, x = np.uint32(entry_rows[at]), np.float64(entry_values[at])
            squares += x * x * counts[row, COUNT]
            products += x * left[row]
        group = groups[j]
        total = precision * squares + prior_precision[group]
        pull = precision * (products + old * squares) + prior_precision[group] * prior_mean[group]
        w[j] = np.float32(pull / total + normals[j] / np.sqrt(total))
        step = np.float64(w[j]) - old
        for at in range(starts[j], starts[j + 1]):
            row, x = np.uint32(entry_rows[at]), np.float64(entry_values[at])
            left[row] -= step * x * counts[row, COUNT]
            moved[row] += step * x
    for n in range(len(errors)):
        errors[n] -= np.float32(moved[np.uint32(rows[n])])
    row_weights += moved


@njit(**FAST)
def moments(v: NDArray[Any], bounds: NDArray[Any], around: NDArray[Any]) -> NDArray[np.float64]:
    """Sums of each group of features, and of their squared distances from a value of the group.

    Args:
        v: float32 (factors, features).
        bounds: int64 (groups + 1,); group g has the features bounds[g] to bounds[g + 1].
        around: float64 (factors, groups).

    Returns:
        float64 (2, factors, groups).
    """
    found = np.zeros((2, v.shape[0], len(bounds) - 1))
    for factor in range(v.shape[0]):
        for group in range(len(bounds) - 1):
            total, squares = 0.0, 0.0
            for j in range(bounds[group], bounds[group + 1]):
                away = np.float64(v[factor, j]) - around[factor, group]
                total += np.float64(v[factor, j])
                squares += away * away
            found[0, factor, group] = total
            found[1, factor, group] = squares
    return found


@njit(**FAST)
def score_rows(
    scores: NDArray[Any], rows: NDArray[Any], row_biases: NDArray[Any], row_factors: NDArray[Any], level: float
) -> None:
    """Add the score of each rating to `scores`: level, biases of its rows, and products of each two of them.

    Args:
        scores: float64 (n,).
        rows: int32 (blocks, n), rows of all blocks numbered through.
        row_biases: float64 (rows,), what a row adds by itself.
        row_factors: float32 (rows, factors).
    """
    n_blocks, k = rows.shape[0], row_factors.shape[1]
    for n in range(len(scores)):
        score = level
        for block in range(n_blocks):
            score += row_biases[rows[block, n]]
        twice = np.float32(0)
        for factor in range(k):
            together, squares = np.float32(0), np.float32(0)
            for block in range(n_blocks):
                value = row_factors[rows[block, n], factor]
                together += value
                squares += value * value
            twice += together * together - squares
        scores[n] += score + 0.5 * np.float64(twice)
