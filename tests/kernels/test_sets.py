"""Sums over sets against loops in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from penchant.kernels.sets import add_members, gather_without, scatter_without

ROWS, OTHERS = np.array([2, 0, 2, 1], np.int32), np.array([1, 3, 0, 1], np.int32)


@pytest.fixture
def draw() -> np.random.Generator:
    return np.random.default_rng(4)


def test_members_are_added_up_for_the_rows_asked_for(draw: np.random.Generator) -> None:
    starts, members = np.array([0, 2, 2, 5], np.int64), np.array([1, 0, 3, 1, 3], np.int32)
    values, table = draw.standard_normal(5).astype(np.float32), draw.standard_normal((4, 3), np.float32)
    out = np.ones((3, 3), np.float32)
    add_members(1, 3, starts, members, values, table, out)
    expected = np.ones((3, 3))
    for at in range(2, 5):
        expected[2] += float(values[at]) * table[members[at]]
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_a_pair_is_left_out_of_its_set(draw: np.random.Generator) -> None:
    sums, rest, table = (draw.standard_normal((n, 3), np.float32) for n in (3, 3, 4))
    scales, out = np.array([0.5, 1, 2], np.float32), np.empty((4, 3), np.float32)
    gather_without(ROWS, OTHERS, sums, table, scales, rest, out)
    for at, (row, other) in enumerate(zip(ROWS, OTHERS, strict=True)):
        np.testing.assert_allclose(out[at], (sums[row] - table[other]) * scales[row] + rest[row], rtol=1e-5, atol=1e-6)


def test_the_way_back_is_the_transpose_of_the_way_there(draw: np.random.Generator) -> None:
    """Of any change, its product with the gradients is what it changes times what came back."""
    scales, gradients = np.array([0.5, 1, 2], np.float32), draw.standard_normal((4, 3), np.float32)
    changes = [draw.standard_normal((n, 3), np.float32) for n in (3, 4, 3)]  # of sums, table, rest
    moved, back = np.empty((4, 3), np.float32), [np.zeros_like(change) for change in changes]
    gather_without(ROWS, OTHERS, changes[0], changes[1], scales, changes[2], moved)
    scatter_without(ROWS, OTHERS, gradients, scales, *back)
    returned = sum(float((change * one).sum()) for change, one in zip(changes, back, strict=True))
    assert returned == pytest.approx(float((moved * gradients).sum()), rel=1e-4)
