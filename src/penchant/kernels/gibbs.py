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

from penchant.kernels.row_sums import (
    BEFORE,
    ERRORS,
    FAST,
    NOW,
    OTHERS,
    PRODUCTS,
    SQUARES,
    WEIGHT,
    WITHIN,
    move_anywhere,
    move_runs,
    sum_anywhere,
    sum_runs,
)


@njit(**FAST)
def sample_own(
    v: NDArray[Any],
    prior_mean: np.float32,
    prior_precision: np.float32,
    normals: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    """`sample_features` of a group in which row r has feature r alone, with the value 1.

    No feature waits for another's, nor for the end of a loop over one entry.
    """
    for j in range(len(v)):
        old, rest = v[j], sums[j, NOW] - v[j]
        curvature = rest * (sums[j, WEIGHT] * rest + 2 * sums[j, OTHERS]) + sums[j, SQUARES]
        inverse = np.float32(1) / np.sqrt(curvature + prior_precision)
        pull = rest * sums[j, ERRORS] + sums[j, PRODUCTS] + old * curvature + prior_precision * prior_mean
        v[j] = inverse * (inverse * pull + normals[j])
        move_row(sums[j], rest, v[j] - old)


@njit(**FAST)
def stretch(
    likelihood: float, pull: float, precision: float, prior: tuple[float, float], normal: float, uniform: float
) -> float:
    """A number to multiply a group of features, and the deviation of their prior, by; 1 where none was accepted.

    Features that say little one by one are held where they are by the precision of their prior, and that by them:
    together they move by a per cent or two a sweep, and hundreds of sweeps may not be enough. To move both at once is a
    Gibbs step over a group of transformations (Liu and Sabatti 2000, "Generalised Gibbs sampler and multigrid Monte
    Carlo"). The priors of features and of their mean only change units, so that c has the density

        likelihood of c × prior density of precision / c² × c^-3

    Scores are linear in c. It is proposed from the likelihood, which is normal, and accepted or not by the rest. With
    75 sweeps the error is then what it is with 150 without it.

    Args:
        likelihood, pull: of (c - 1): one over the variance, and that times the mean.
        precision: of the group's prior.
        prior: shape and rate of the precision's Gamma distribution.
        normal, uniform: random numbers.
    """
    if likelihood <= 0:
        return 1.0
    c = 1 + pull / likelihood + normal / np.sqrt(likelihood)
    if c <= 0:
        return 1.0
    gained = -(2 * prior[0] + 1) * np.log(c) - prior[1] * precision * (1 / (c * c) - 1)
    return c if np.log(uniform) < gained else 1.0


@njit(**FAST)
def stretch_own(
    v: NDArray[Any], precision: float, prior: tuple[float, float], normal: float, uniform: float, sums: NDArray[Any]
) -> float:
    """`stretch` one factor of a group in which row r has feature r alone, with the value 1; v and sums are kept up."""
    likelihood, pull = 0.0, 0.0
    for j in range(len(v)):
        old, rest = v[j], sums[j, NOW] - v[j]
        curvature = rest * (sums[j, WEIGHT] * rest + 2 * sums[j, OTHERS]) + sums[j, SQUARES]
        likelihood += np.float64(old * old * curvature)
        pull += np.float64(old * (rest * sums[j, ERRORS] + sums[j, PRODUCTS]))
    c = stretch(likelihood, pull, precision, prior, normal, uniform)
    if c != 1.0:
        for j in range(len(v)):
            rest, step = sums[j, NOW] - v[j], np.float32(c - 1) * v[j]
            v[j] += step
            move_row(sums[j], rest, step)
    return c


@njit(inline="always", **FAST)
def move_row(of_row: NDArray[Any], rest: float, step: float) -> None:
    """Bring the sums of a row up to date with a step of a feature's part of it, `rest` being the other part."""
    others = of_row[OTHERS]
    of_row[ERRORS] -= step * (of_row[WEIGHT] * rest + others)
    of_row[PRODUCTS] -= step * (rest * others + of_row[SQUARES])
    of_row[WITHIN] += step * rest
    of_row[NOW] += step


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

    Entries are summed two a round, written out: left to itself the compiler gathers eight rows' sums into vectors,
    which takes half as long again.
    """
    rebase(sums, np.float32(1))
    for j in range(len(v)):
        old, first, last = v[j], np.uint64(starts[j]), np.uint64(starts[j + 1])
        squares, more_squares = np.float32(0), np.float32(0)
        products, more_products = np.float32(0), np.float32(0)
        here = first
        while here + np.uint64(1) < last:
            following = here + np.uint64(1)
            curvature, slope = of_entry(old, entry_values[here], np.uint32(entry_rows[here]), sums)
            squares += curvature
            products += slope
            curvature, slope = of_entry(old, entry_values[following], np.uint32(entry_rows[following]), sums)
            more_squares += curvature
            more_products += slope
            here += np.uint64(2)
        if here < last:
            curvature, slope = of_entry(old, entry_values[here], np.uint32(entry_rows[here]), sums)
            squares += curvature
            products += slope
        squares += more_squares
        products += more_products
        inverse = np.float32(1) / np.sqrt(squares + prior_precision)
        pull = products + old * squares + prior_precision * prior_mean
        v[j] = inverse * (inverse * pull + normals[j])
        step = v[j] - old
        for at in range(first, last):
            row, x = np.uint32(entry_rows[at]), entry_values[at]
            now = sums[row, NOW]
            sums[row, WITHIN] += step * x * (now - x * old)
            sums[row, NOW] = now + step * x
    rebase(sums, np.float32(-1))


@njit(**FAST)
def rebase(sums: NDArray[Any], sign: float) -> None:
    """Turn the errors and products of rows into what they would be at a Q of 0 and nothing within (1), and back (-1).

    Both follow from Q and what is within it, so that a step has two sums of a row to bring up to date, and not four.
    """
    for row in range(len(sums)):
        now, within = sign * sums[row, NOW], sign * sums[row, WITHIN]
        sums[row, ERRORS] += now * sums[row, OTHERS] + within * sums[row, WEIGHT]
        sums[row, PRODUCTS] += now * sums[row, SQUARES] + within * sums[row, OTHERS]


@njit(inline="always", **FAST)
def of_entry(old: float, x: float, row: int, sums: NDArray[Any]) -> tuple[float, float]:
    """What one row adds to a feature that it has with the value x."""
    now, within, weight = sums[row, NOW], sums[row, WITHIN], sums[row, WEIGHT]
    others, of_squares = sums[row, OTHERS], sums[row, SQUARES]
    rest = now - x * old
    slope, flat = weight * rest + others, others * rest + of_squares
    left = rest * sums[row, ERRORS] + sums[row, PRODUCTS] - now * flat - within * slope
    return x * x * (rest * (slope + others) + of_squares), x * left


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
    prior: tuple[float, float],
    normals: NDArray[Any],
    chance: NDArray[Any],
    stretched: bool,
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
        prior_means, prior_precisions: float64 (groups,); stretched.
        prior: shape and rate of the precisions' Gamma distribution.
        chance: float64 (groups, 2), a normal and a uniform random number for each.
        stretched: whether to stretch groups of own features.
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
        if is_own[group] and stretched:
            c = stretch_own(v[some], prior_precisions[group], prior, chance[group, 0], chance[group, 1], sums)
            prior_means[group] *= c
            prior_precisions[group] /= c * c
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
    prior: tuple[float, float],
    normals: NDArray[Any],
    chance: NDArray[Any],
    stretched: bool,
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
        chance: float64 (groups, 2), a normal and a uniform random number for each.
        stretched: whether to stretch all groups.
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
    for group in range(len(prior_mean) if stretched else 0):
        first, last = np.searchsorted(groups, group), np.searchsorted(groups, group + 1)
        own = np.zeros(len(row_weights))
        for j in range(first, last):
            for at in range(starts[j], starts[j + 1]):
                own[np.uint32(entry_rows[at])] += np.float64(entry_values[at]) * w[j]
        likelihood, pull = 0.0, 0.0
        for row in range(len(own)):
            likelihood += own[row] * own[row] * sums[row, WEIGHT]
            pull += own[row] * left[row]
        c = stretch(likelihood, pull, prior_precision[group], prior, chance[group, 0], chance[group, 1])
        prior_mean[group] *= c
        prior_precision[group] /= c * c
        for j in range(first, last):
            w[j] = np.float32(c * w[j])
        for row in range(len(own)):
            left[row] -= (c - 1) * own[row] * sums[row, WEIGHT]
            moved[row] += (c - 1) * own[row]
    for j in range(len(w)):
        old = np.float64(w[j])
        squares, products = 0.0, 0.0
        for at in range(starts[j], starts[j + 1]):
            own_row, x = np.uint32(entry_rows[at]), np.float64(entry_values[at])
            squares += x * x * sums[own_row, WEIGHT]
            products += x * left[own_row]
        group = groups[j]
        total = squares + prior_precision[group]
        pull = products + old * squares + prior_precision[group] * prior_mean[group]
        w[j] = np.float32(pull / total + normals[j] / np.sqrt(total))
        step = np.float64(w[j]) - old
        for at in range(starts[j], starts[j + 1]):
            own_row, x = np.uint32(entry_rows[at]), np.float64(entry_values[at])
            left[own_row] -= step * x * sums[own_row, WEIGHT]
            moved[own_row] += step * x
    for n in range(len(errors)):
        errors[n] -= np.float32(moved[np.uint32(rows[n])])
    row_weights += moved
