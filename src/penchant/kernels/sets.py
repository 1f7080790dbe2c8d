"""Sums over sets: the items that a user rated, the users who rated an item, the genres of a film.

A pair that is learnt from is left out of both its sets, as it is in neither when it has to be predicted.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]

FAST = {"cache": True, "fastmath": True, "nogil": True, "error_model": "numpy"}


@njit(**FAST)
def add_members(
    first: int,
    last: int,
    starts: NDArray[np.int64],  # (rows + 1,); row r has the members starts[r] to starts[r + 1]
    members: Rows,  # (entries,)
    values: Floats,  # (entries,)
    table: Floats,  # (rows of members, d)
    out: Floats,  # (rows, d), added to
) -> None:
    """Add value times row of each member, for the rows from first to before last."""
    d = table.shape[1]
    for row in range(first, last):
        into = out[np.uint32(row)]
        for at in range(starts[row], starts[row + 1]):
            value, member = values[at], table[np.uint32(members[at])]
            for f in range(d):
                into[f] += value * member[f]


@njit(**FAST)
def gather_without(
    rows: Rows,  # (n,)
    others: Rows,  # (n,) the other side of each pair
    sums: Floats,  # (rows of all, d), over each row's set
    table: Floats,  # (rows of others, d), what each member brings into it
    scales: Floats,  # (rows of all,)
    rest: Floats,  # (rows of all, d)
    out: Floats,  # (n, d), written
) -> None:
    """Of each pair the scaled sum over its row's set without the pair's other side, and the rest."""
    for at in range(rows.shape[0]):
        row, other = np.uint32(rows[at]), np.uint32(others[at])
        for f in range(out.shape[1]):
            out[at, f] = (sums[row, f] - table[other, f]) * scales[row] + rest[row, f]


@njit(**FAST)
def scatter_without(
    rows: Rows,  # (n,) all as above
    others: Rows,
    gradients: Floats,  # (n, d), by what was gathered
    scales: Floats,
    of_sums: Floats,  # (rows of all, d), added to, as the two below
    of_table: Floats,  # (rows of others, d)
    of_rest: Floats,  # (rows of all, d)
) -> None:
    """The way back of `gather_without`."""
    for at in range(rows.shape[0]):
        row, other = np.uint32(rows[at]), np.uint32(others[at])
        for f in range(gradients.shape[1]):
            gradient = gradients[at, f]
            of_rest[row, f] += gradient
            of_sums[row, f] += gradient * scales[row]
            of_table[other, f] -= gradient * scales[row]
