"""What the rows of blocks keep of their ratings, and how it comes back to the ratings (penchant.kernels.gibbs)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Columns of the sums of a row.
WEIGHT, OTHERS, SQUARES, ERRORS, PRODUCTS, NOW, BEFORE, WITHIN = range(8)
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
def sum_runs(
    errors: NDArray[Any],
    precisions: NDArray[Any],
    q: NDArray[Any],
    run_bounds: NDArray[Any],
    run_rows: NDArray[Any],
    now: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    """Sums over the ratings of each row, where many ratings that follow each other have the same row.

    Args:
        errors, precisions, q: float32 (n,).
        run_bounds: int64 (runs + 1,); run i has the ratings run_bounds[i] to run_bounds[i + 1].
        run_rows: int32 (runs,), the row of each run in this block.
        now: float32 (rows,), Q of the block.
        sums: float32 (rows, 8), OTHERS to PRODUCTS written.
    """
    sums[:, OTHERS : PRODUCTS + 1] = 0
    for run in range(len(run_rows)):
        row = np.uint32(run_rows[run])
        own = now[row]
        others, squares = np.float32(0), np.float32(0)
        total, products = np.float32(0), np.float32(0)
        for n in range(run_bounds[run], run_bounds[run + 1]):
            weight, other = precisions[n], q[n] - own
            others += weight * other
            squares += weight * other * other
            total += weight * errors[n]
            products += weight * errors[n] * other
        sums[row, OTHERS] += others
        sums[row, SQUARES] += squares
        sums[row, ERRORS] += total
        sums[row, PRODUCTS] += products


@njit(**FAST)
def sum_anywhere(
    errors: NDArray[Any],
    precisions: NDArray[Any],
    q: NDArray[Any],
    rows: NDArray[Any],
    now: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    """The same, where the ratings of a row lie anywhere.

    Args:
        rows: int32 (n,), of this block.
    """
    added = np.zeros((len(now), 4))
    for n in range(len(errors)):
        row = np.uint32(rows[n])
        error = np.float64(precisions[n] * errors[n])
        other = np.float64(q[n] - now[row])
        weighted = np.float64(precisions[n]) * other
        added[row, 0] += weighted
        added[row, 1] += weighted * other
        added[row, 2] += error
        added[row, 3] += error * other
    sums[:, OTHERS : PRODUCTS + 1] = added


@njit(**FAST)
def move_runs(
    errors: NDArray[Any], q: NDArray[Any], run_bounds: NDArray[Any], run_rows: NDArray[Any], sums: NDArray[Any]
) -> None:
    """Bring errors and q up to date with what was sampled in a block, run by run."""
    for run in range(len(run_rows)):
        row = np.uint32(run_rows[run])
        before, within = sums[row, BEFORE], sums[row, WITHIN]
        moved = sums[row, NOW] - before
        for n in range(run_bounds[run], run_bounds[run + 1]):
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
def squares_of_rows(errors: NDArray[Any], rows: NDArray[Any], n_rows: int) -> NDArray[np.float64]:
    """The sum of squared errors of the ratings of each row, float64 (n_rows,)."""
    found = np.zeros(n_rows)
    for n in range(len(errors)):
        error = np.float64(errors[n])
        found[np.uint32(rows[n])] += error * error
    return found


@njit(**FAST)
def spread_precisions(
    of_users: NDArray[Any], user_rows: NDArray[Any], rows: NDArray[Any], precisions: NDArray[Any], sums: NDArray[Any]
) -> None:
    """Give each rating the precision of its user, and each row of all blocks their sum.

    Args:
        of_users: float64 (users,).
        user_rows: int32 (n,).
        rows: int32 (blocks, n), rows of all blocks numbered through.
        precisions: float32 (n,), written.
        sums: float32 (rows, 8), WEIGHT written.
    """
    totals = np.zeros(len(sums))
    for n in range(len(user_rows)):
        precisions[n] = np.float32(of_users[np.uint32(user_rows[n])])
    for block in range(rows.shape[0]):
        for n in range(len(user_rows)):
            totals[np.uint32(rows[block, n])] += np.float64(precisions[n])
    for row in range(len(sums)):
        sums[row, WEIGHT] = np.float32(totals[row])


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
