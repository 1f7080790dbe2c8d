"""Gibbs steps of a factorisation machine whose ratings share the rows of their blocks.

A block is a table of features with one row for each user (item, month, …); a rating points to one row of each
block. Sums over the ratings of a row stand in for the ratings, so that a feature costs its entries in the
block and not the ratings that have it (Rendle 2013, "Scaling factorization machines to relational data", section 4).

Of one factor, a rating with rows r of the blocks b has half of (sum of Q_b)^2 - (sum of v^2 x^2) in its score, where
Q_b[r] is the sum of v_j x_rj over the features j of row r. By v_j of block b that has the derivative x_rj (a + o), with
a = Q_b[r] - x_rj v_j and o the sum of the other blocks' Q. So all that a feature needs of the ratings of a row are sums
over them: of 1, o, o², of their errors e, and of e o, each times the rating's precision (one over the variance of its
noise). A row has a feature once: entries that repeat are not added up.

Errors are ratings minus scores, float32. Sums over ratings in arbitrary order are float64, since an item may have
millions of them; what a row keeps is float32, half a cache line.
"""

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
def sample_own(
    v: NDArray[Any],
    prior_mean: np.float32,
    prior_precision: np.float32,
    normals: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    """`sample_features` of a group in which row r has feature r alone, with the value 1.

    No feature waits for another's, nor for the end of a loop over few rows: four times as fast as without
    this distinction.
    """
    for j in range(len(v)):
        old, errors, others, squares = v[j], sums[j, ERRORS], sums[j, OTHERS], sums[j, SQUARES]
        rest, products = sums[j, NOW] - old, sums[j, PRODUCTS]
        reach = sums[j, WEIGHT] * rest + others
        curvature = rest * (reach + others) + squares
        inverse = np.float32(1) / np.sqrt(curvature + prior_precision)
        pull = rest * errors + products + old * curvature + prior_precision * prior_mean
        v[j] = inverse * (inverse * pull + normals[j])
        step = v[j] - old
        sums[j, ERRORS] = errors - step * reach
        sums[j, PRODUCTS] = products - step * (rest * others + squares)
        sums[j, WITHIN] += step * rest
        sums[j, NOW] += step


@njit(**FAST)
def sample_features(
    v: NDArray[Any],
    starts: NDArray[Any],
    entry_rows: NDArray[Any],
    entry_values: NDArray[Any],
    prior_mean: np.float32,
    prior_precision: np.float32,
    normals: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    """Sample one factor of a group of features, one after the other, each given all others.

    Args:
        v: float32 (features,), replaced.
        starts: int64 (features + 1,); feature j has the entries starts[j] to starts[j + 1].
        entry_rows, entry_values: int32 and float32 (entries,), the rows that have the feature, and its value there.
        prior_mean, prior_precision: of this factor in this group.
        normals: float32 (features,), standard normal.
        sums: float32 (rows, 8), kept up to date.
    """
    for j in range(len(v)):
        old = v[j]
        squares, products = np.float32(0), np.float32(0)
        for at in range(starts[j], starts[j + 1]):
            row, x = np.uint32(entry_rows[at]), entry_values[at]
            rest = sums[row, NOW] - x * old
            squares += x * x * (rest * (sums[row, WEIGHT] * rest + 2 * sums[row, OTHERS]) + sums[row, SQUARES])
            products += x * (rest * sums[row, ERRORS] + sums[row, PRODUCTS])
        inverse = np.float32(1) / np.sqrt(squares + prior_precision)
        pull = products + old * squares + prior_precision * prior_mean
        v[j] = inverse * (inverse * pull + normals[j])
        step = v[j] - old
        for at in range(starts[j], starts[j + 1]):
            row, x = np.uint32(entry_rows[at]), entry_values[at]
            rest = sums[row, NOW] - x * old
            moved = step * x
            others = sums[row, OTHERS]
            sums[row, ERRORS] -= moved * (sums[row, WEIGHT] * rest + others)
            sums[row, PRODUCTS] -= moved * (rest * others + sums[row, SQUARES])
            sums[row, WITHIN] += moved * rest
            sums[row, NOW] += moved


@njit(**FAST)
def sample_factor(
    v: NDArray[Any],
    group_bounds: NDArray[Any],
    is_own: NDArray[Any],
    starts: NDArray[Any],
    entry_rows: NDArray[Any],
    entry_values: NDArray[Any],
    prior_means: NDArray[Any],
    prior_precisions: NDArray[Any],
    normals: NDArray[Any],
    errors: NDArray[Any],
    precisions: NDArray[Any],
    q: NDArray[Any],
    rows: NDArray[Any],
    run_bounds: NDArray[Any],
    run_rows: NDArray[Any],
    now: NDArray[Any],
    within: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    """Sample one factor of a block, and bring the ratings' errors and q up to date.

    Args:
        group_bounds: int64 (groups + 1,); group g has the features group_bounds[g] to group_bounds[g + 1].
        is_own: bool (groups,), for which `sample_own` is enough.
        prior_means, prior_precisions: float64 (groups,).
        errors, precisions, q: float32 (n,).
        rows: int32 (n,), of this block.
        run_bounds, run_rows: as for `sum_runs`; empty where ratings that follow each other hardly share rows.
        now: float32 (rows,), this factor of each row; replaced.
        within: float64 (rows,), half of (Q^2 - sum of v^2 x^2), over all factors; kept up to date.
        sums: float32 (rows, 8), whose WEIGHT is set.
    """
    in_runs = len(run_rows) > 0
    for row in range(len(now)):
        sums[row, NOW] = sums[row, BEFORE] = now[row]
        sums[row, WITHIN] = 0
    if in_runs:
        sum_runs(errors, precisions, q, run_bounds, run_rows, now, sums)
    else:
        sum_anywhere(errors, precisions, q, rows, now, sums)
    for group in range(len(is_own)):
        some = slice(group_bounds[group], group_bounds[group + 1])
        mean, spread = np.float32(prior_means[group]), np.float32(prior_precisions[group])
        if is_own[group]:
            sample_own(v[some], mean, spread, normals[some], sums)
        else:
            own_starts = starts[group_bounds[group] : group_bounds[group + 1] + 1]
            sample_features(v[some], own_starts, entry_rows, entry_values, mean, spread, normals[some], sums)
    if in_runs:
        move_runs(errors, q, run_bounds, run_rows, sums)
    else:
        move_anywhere(errors, q, rows, sums)
    for row in range(len(now)):
        now[row] = sums[row, NOW]
        within[row] += np.float64(sums[row, WITHIN])


@njit(**FAST)
def sample_weights(
    w: NDArray[Any],
    starts: NDArray[Any],
    entry_rows: NDArray[Any],
    entry_values: NDArray[Any],
    groups: NDArray[Any],
    prior_mean: NDArray[Any],
    prior_precision: NDArray[Any],
    normals: NDArray[Any],
    rows: NDArray[Any],
    errors: NDArray[Any],
    precisions: NDArray[Any],
    sums: NDArray[Any],
    row_weights: NDArray[Any],
) -> None:
    """Sample the weights (the linear terms) of all features of a block, and bring the errors up to date.

    Args:
        groups: int32 (features,), which prior each has.
        prior_mean, prior_precision: float64 (groups,).
        rows: int32 (n,), of this block.
        errors, precisions: float32 (n,).
        sums: float32 (rows, 8), whose WEIGHT is set.
        row_weights: float64 (rows,), the sums of w x; kept up to date.

    The others are those of `sample_features`.
    """
    left = np.zeros(len(row_weights))
    moved = np.zeros(len(row_weights))
    for n in range(len(errors)):
        left[np.uint32(rows[n])] += np.float64(precisions[n] * errors[n])
    for j in range(len(w)):
        old = np.float64(w[j])
        squares, products = 0.0, 0.0
        for at in range(starts[j], starts[j + 1]):
            row, x = np.uint32(entry_rows[at]), np.float64(entry_values[at])
            squares += x * x * sums[row, WEIGHT]
            products += x * left[row]
        group = groups[j]
        total = squares + prior_precision[group]
        pull = products + old * squares + prior_precision[group] * prior_mean[group]
        w[j] = np.float32(pull / total + normals[j] / np.sqrt(total))
        step = np.float64(w[j]) - old
        for at in range(starts[j], starts[j + 1]):
            row, x = np.uint32(entry_rows[at]), np.float64(entry_values[at])
            left[row] -= step * x * sums[row, WEIGHT]
            moved[row] += step * x
    for n in range(len(errors)):
        errors[n] -= np.float32(moved[np.uint32(rows[n])])
    row_weights += moved


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
