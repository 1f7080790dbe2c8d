"""Least squares of many rows, each with its own few entries and one matrix that all share.

A row's system (Hu, Koren and Volinsky 2008, equation 4; here as in Rendle, Krichene, Zhang and Koren 2022, section 3)

    (a Q'Q + Q_r' W Q_r + ridge I) p = Q_r' W t

with targets t, all 1 where nobody rated. The dense part, a Q'Q, is the same for all rows. Turned into its
eigenvectors (the caller does that, once for all rows) it is a diagonal, D together with the ridge. With
B = W^(1/2) Q_r D^(-1/2), s = W^(1/2) t, x = D^(1/2) p:

    (I + B'B) x = B's            a system of as many unknowns as factors, or
    x = B' y, (I + BB') y = s    one of as many unknowns as the row has entries.

The direct solver takes the smaller one: most rows have fewer entries than factors. Both have no eigenvalue below 1,
so that float32 is enough. Conjugate gradients do without matrices: a step costs two products per entry and factor, and
nothing per pair of factors, and since the dense part is gone into the scale, few steps are enough.

Every row is solved by itself, in the same order of operations wherever it stands, so that the result depends neither on
threads nor on blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from penchant.kernels.row_sums import FAST

UNIT = 8  # factors and entries are filled up with zeros to multiples of it: no loop has a remainder
TINY = np.float32(1e-30)  # a squared residual that is as good as 0: divisions by 0 are not far


@njit(**FAST)
def solve_rows(
    first: int,
    starts: NDArray[Any],
    columns: NDArray[Any],
    weights: NDArray[Any],
    targets: NDArray[Any],
    others: NDArray[Any],
    shared: NDArray[Any],
    ridges: NDArray[Any],
    steps: int,
    close: np.float32,
    found: NDArray[Any],
) -> None:
    """Solve the rows first, first + 1, …, as many as `found` has.

    Args:
        starts: int64 (rows + 1,); row r has the entries starts[r] to starts[r + 1].
        columns, weights, targets: int32, float32 and float32 (entries,).
        others: float32 (columns, k), what the columns are, turned; k is a multiple of UNIT.
        shared: float32 (k,), the diagonal that all rows share, at least 0.
        ridges: float32 (rows,), what each row adds to it, above 0.
        steps: of conjugate gradients at most, for rows of more than a few entries; 0 to solve all directly.
        close: they stop where |residual| is below this times |x|; as no eigenvalue is below 1, that bounds x's error.
        found: float32 (n, k), turned as `others` are; written, and where conjugate gradients start.
    """
    k = others.shape[1]
    matrix, rows = np.empty((k, k), np.float32), np.empty((k, k), np.float32)
    scale, right, work = np.empty(k, np.float32), np.empty(k, np.float32), np.empty((3, k), np.float32)
    for n in range(len(found)):
        row, x = first + n, found[n]
        begin, end = starts[row], starts[row + 1]
        for j in range(k):
            scale[j] = np.float32(1) / np.sqrt(shared[j] + ridges[row])
        if end == begin:
            x[:] = 0
        elif steps > 0 and end - begin > UNIT:  # fewer entries cost no more solved directly
            descend(
                columns[begin:end], weights[begin:end], targets[begin:end], others, scale, steps, close, right, work, x
            )
        elif end - begin < k:
            solve_by_entries(
                columns[begin:end], weights[begin:end], targets[begin:end], others, scale, matrix, rows, right, x
            )
        else:
            solve_by_factors(
                columns[begin:end], weights[begin:end], targets[begin:end], others, scale, matrix, rows, right, x
            )


@njit(**FAST)
def solve_by_factors(
    columns: NDArray[Any],
    weights: NDArray[Any],
    targets: NDArray[Any],
    others: NDArray[Any],
    scale: NDArray[Any],
    matrix: NDArray[Any],
    rows: NDArray[Any],
    right: NDArray[Any],
    x: NDArray[Any],
) -> None:
    """Solve one row by I + B'B, (k, k); B is gathered k entries at a time, however many there are."""
    k = len(x)
    set_identity(matrix, k)
    right[:] = 0
    for begin in range(0, len(columns), k):
        count = min(k, len(columns) - begin)
        for at in range(count):
            weight, other, into = weights[begin + at], others[columns[begin + at]], rows[at]
            root, pull = np.sqrt(weight), weight * targets[begin + at]
            for j in range(k):
                value = other[j] * scale[j]
                into[j] = root * value
                right[j] += pull * value
        padded = -(-count // UNIT) * UNIT
        rows[count:padded] = 0
        for at in range(0, padded, UNIT):
            add_products(matrix, rows, at, 0, k, np.float32(1))
    factorise(matrix, k)
    solve_factorised(matrix, k, right)
    for j in range(k):
        x[j] = scale[j] * right[j]


@njit(**FAST)
def solve_by_entries(
    columns: NDArray[Any],
    weights: NDArray[Any],
    targets: NDArray[Any],
    others: NDArray[Any],
    scale: NDArray[Any],
    matrix: NDArray[Any],
    rows: NDArray[Any],
    right: NDArray[Any],
    x: NDArray[Any],
) -> None:
    """Solve one row by I + BB', with fewer entries than factors."""
    k, count = len(x), len(columns)
    padded = -(-count // UNIT) * UNIT
    set_identity(matrix, padded)
    for at in range(count):
        other, root = others[columns[at]], np.sqrt(weights[at])
        right[at] = root * targets[at]
        for j in range(k):
            rows[j, at] = root * other[j] * scale[j]
    for at in range(count, padded):
        right[at] = 0
        for j in range(k):
            rows[j, at] = 0
    for j in range(0, k, UNIT):
        add_products(matrix, rows, j, 0, padded, np.float32(1))
    factorise(matrix, padded)
    solve_factorised(matrix, padded, right)
    for j in range(k):
        total, line = np.float32(0), rows[j]
        for at in range(padded):
            total += line[at] * right[at]
        x[j] = scale[j] * total


@njit(**FAST)
def set_identity(matrix: NDArray[Any], size: int) -> None:
    """The first rows and columns become the identity."""
    for i in range(size):
        for j in range(size):
            matrix[i, j] = 0
        matrix[i, i] = 1


@njit(**FAST)
def add_products(matrix: NDArray[Any], rows: NDArray[Any], at: int, first: int, size: int, sign: np.float32) -> None:
    """matrix[i, j] += sign * (rows[at:at + UNIT, i] . rows[at:at + UNIT, j]) for first <= i <= j < size.

    What is below the diagonal, left of it within UNIT columns, is changed too, and means nothing.
    """
    for i in range(first, size):
        begin = i // UNIT * UNIT
        # slices from `begin`, and a loop from 0: an index that might be negative is not computed eight at a time
        line, own = matrix[i, begin:size], i - begin
        r0, r1, r2, r3 = (
            rows[at, begin:size],
            rows[at + 1, begin:size],
            rows[at + 2, begin:size],
            rows[at + 3, begin:size],
        )
        r4, r5, r6, r7 = (
            rows[at + 4, begin:size],
            rows[at + 5, begin:size],
            rows[at + 6, begin:size],
            rows[at + 7, begin:size],
        )
        c0, c1, c2, c3 = sign * r0[own], sign * r1[own], sign * r2[own], sign * r3[own]
        c4, c5, c6, c7 = sign * r4[own], sign * r5[own], sign * r6[own], sign * r7[own]
        for j in range(len(line)):
            line[j] += (
                c0 * r0[j] + c1 * r1[j] + c2 * r2[j] + c3 * r3[j] + c4 * r4[j] + c5 * r5[j] + c6 * r6[j] + c7 * r7[j]
            )


@njit(**FAST)
def factorise(matrix: NDArray[Any], size: int) -> None:
    """The upper triangle A becomes U with U'U = A (Cholesky), UNIT rows at a time; U[i, i] is kept as its inverse."""
    for block in range(0, size, UNIT):
        for i in range(block, block + UNIT):
            line = matrix[i, i:size]
            inverse = np.float32(1) / np.sqrt(line[0])
            for j in range(len(line)):
                line[j] *= inverse
            for under in range(i + 1, block + UNIT):
                below, above = matrix[under, under:size], matrix[i, under:size]
                factor = above[0]
                for j in range(len(below)):
                    below[j] -= factor * above[j]
            line[0] = inverse
        add_products(matrix, matrix, block, block + UNIT, size, np.float32(-1))


@njit(**FAST)
def solve_factorised(matrix: NDArray[Any], size: int, right: NDArray[Any]) -> None:
    """`right` becomes the solution of U'U x = right."""
    for i in range(size):
        value = right[i] * matrix[i, i]
        line, rest = matrix[i, i + 1 : size], right[i + 1 : size]
        right[i] = value
        for j in range(len(line)):
            rest[j] -= value * line[j]
    for i in range(size - 1, -1, -1):
        line, rest, total = matrix[i, i + 1 : size], right[i + 1 : size], np.float32(0)
        for j in range(len(line)):
            total += line[j] * rest[j]
        right[i] = (right[i] - total) * matrix[i, i]


@njit(**FAST)
def descend(
    columns: NDArray[Any],
    weights: NDArray[Any],
    targets: NDArray[Any],
    others: NDArray[Any],
    scale: NDArray[Any],
    steps: int,
    close: np.float32,
    residual: NDArray[Any],
    work: NDArray[Any],
    x: NDArray[Any],
) -> None:
    """Steps of conjugate gradients on (I + B'B) x = B's, from p as it is (Takács, Pilászy and Tikk 2011)."""
    k = len(x)
    direction, scaled, image = work[0], work[1], work[2]
    for j in range(k):
        scaled[j] = x[j]
        image[j] = 0
    for at in range(len(columns)):
        other, total = others[columns[at]], np.float32(0)
        for j in range(k):
            total += other[j] * scaled[j]
        missing = weights[at] * (targets[at] - total)
        for j in range(k):
            image[j] += missing * other[j]
    square, size = np.float32(0), np.float32(0)
    for j in range(k):
        own = x[j] / scale[j]
        residual[j] = scale[j] * image[j] - own
        direction[j] = residual[j]
        square += residual[j] * residual[j]
        size += own * own
    for _ in range(steps):
        if square <= max(close * close * size, TINY):
            break
        for j in range(k):
            scaled[j] = scale[j] * direction[j]
            image[j] = 0
        for at in range(len(columns)):
            other, total = others[columns[at]], np.float32(0)
            for j in range(k):
                total += other[j] * scaled[j]
            total *= weights[at]
            for j in range(k):
                image[j] += total * other[j]
        curvature = np.float32(0)
        for j in range(k):
            image[j] = direction[j] + scale[j] * image[j]
            curvature += direction[j] * image[j]
        length, before = square / curvature, square
        square, size = np.float32(0), np.float32(0)
        for j in range(k):
            x[j] += length * scaled[j]
            own = x[j] / scale[j]
            size += own * own
            residual[j] -= length * image[j]
            square += residual[j] * residual[j]
        turn = square / before
        for j in range(k):
            direction[j] = residual[j] + turn * direction[j]


@njit(**FAST)
def row_losses(
    first: int,
    starts: NDArray[Any],
    columns: NDArray[Any],
    weights: NDArray[Any],
    targets: NDArray[Any],
    factors: NDArray[Any],
    others: NDArray[Any],
    losses: NDArray[Any],
) -> None:
    """Sums over the entries of a row of weight * (target - product)^2, for the rows first, first + 1, ….

    Args:
        factors: float32 (n, k), of those rows, where solve_rows has `found`.
        others: float32 (columns, k).
        losses: float64 (n,), written.
    """
    for n in range(len(factors)):
        row, own, sum_of_row = first + n, factors[n], 0.0
        for at in range(starts[row], starts[row + 1]):
            other, total = others[columns[at]], np.float32(0)
            for j in range(len(own)):
                total += own[j] * other[j]
            missing = targets[at] - total
            sum_of_row += np.float64(weights[at] * missing * missing)
        losses[n] = sum_of_row
