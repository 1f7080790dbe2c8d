"""Kernels of embedding networks against NumPy, one number after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penchant.kernels.network import adam_step, drop_out, gather_rows, step_rows

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15


def mixed(state: int) -> int:
    value = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def kept(seed: int, number: int, width: int, left_out: int) -> list[bool]:
    """The twin, in Python's unbounded integers: byte f % 8 of draw f // 8."""
    draws = -(-width // 8)
    state = (seed + number * draws * GOLDEN) & MASK
    noise = [mixed((state + (draw + 1) * GOLDEN) & MASK) for draw in range(draws)]
    return [(noise[f // 8] >> (8 * (f % 8))) & 255 >= left_out for f in range(width)]


@pytest.mark.parametrize("width", [1, 7, 8, 9, 33])
def test_dropout_is_that_of_its_twin(width: int) -> None:
    x = np.random.default_rng(0).standard_normal((5, width), np.float32)
    out = x.copy()
    drop_out(out, 64, np.uint64(123456789), 10)
    for row in range(5):
        mask = kept(123456789, 10 + row, width, 64)
        np.testing.assert_allclose(out[row], np.where(mask, x[row] * np.float32(256 / 192), 0), rtol=1e-6)


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    x = np.ones((400, 500), np.float32)
    drop_out(x, 64, np.uint64(1), 0)
    assert (x == 0).mean() == pytest.approx(0.25, abs=0.005)
    assert x.mean() == pytest.approx(1, abs=0.01)
    columns, rows = (x == 0).mean(axis=0), (x == 0).mean(axis=1)
    assert columns.std() < 0.03
    assert rows.std() < 0.03


def test_a_rating_is_masked_alike_whatever_part_it_is_in() -> None:
    whole, part = np.ones((20, 30), np.float32), np.ones((8, 30), np.float32)
    drop_out(whole, 100, np.uint64(5), 40)
    drop_out(part, 100, np.uint64(5), 52)
    np.testing.assert_array_equal(whole[12:], part)


def test_rows_are_gathered_side_by_side() -> None:
    draw = np.random.default_rng(1)
    users, items = draw.standard_normal((4, 3), np.float32), draw.standard_normal((5, 6), np.float32)
    rows = np.array([3, 0, 3], np.int32), np.array([1, 1, 4], np.int32)
    out = np.empty((3, 9), np.float32)
    gather_rows(*rows, users, items, out)
    np.testing.assert_array_equal(out, np.concatenate((users[rows[0]], items[rows[1]]), axis=1))


def test_steps_of_rows_are_adagrads() -> None:
    draw = np.random.default_rng(2)
    table, squares = draw.standard_normal((6, 5), np.float32), draw.uniform(0.5, 2, 6).astype(np.float32)
    before = table.copy()
    rows, gradients = np.array([1, 4, 1, 0], np.int32), draw.standard_normal((4, 9), np.float32)
    slow_table, slow_squares = table.astype(np.float64), squares.astype(np.float64)
    own = gradients[:, 3:8].astype(np.float64)
    for row, gradient in zip(rows, own, strict=True):
        slow_squares[row] += np.mean(gradient**2)
    for row, gradient in zip(rows, own, strict=True):
        slow_table[row] -= 0.3 * (gradient / np.sqrt(slow_squares[row]) + 0.01 * slow_table[row])
    step_rows(rows, table, squares, gradients, 3, np.float32(0.3), np.float32(0.01))
    np.testing.assert_allclose(squares, slow_squares, rtol=1e-5)
    np.testing.assert_allclose(table, slow_table, rtol=1e-4, atol=1e-6)
    assert table[[2, 3, 5]].tobytes() == before[[2, 3, 5]].tobytes()


def test_adams_step_is_the_formula() -> None:
    draw = np.random.default_rng(3)
    weights, means, gradients = (draw.standard_normal(20).astype(np.float32) for _ in range(3))
    squares = draw.uniform(0.1, 1, 20).astype(np.float32)
    numbers: tuple[Any, ...] = (0.9, 0.99, 0.02, 0.3, 0.995, 1e-5)
    mean = 0.9 * means.astype(np.float64) + 0.1 * gradients
    square = 0.99 * squares.astype(np.float64) + 0.01 * gradients.astype(np.float64) ** 2
    expected = 0.995 * weights - 0.02 * mean / (np.sqrt(square / 0.3) + 1e-5)
    adam_step(weights, means, squares, gradients, *map(np.float32, numbers))
    np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(means, mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(squares, square, rtol=1e-5)
