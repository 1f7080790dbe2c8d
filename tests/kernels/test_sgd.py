"""The SGD kernel against a slow twin that reads like the formulas."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import exp, sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penchant.kernels.sgd import AT_A_TIME, pair_sums, sgd_tiles

USERS, ITEMS, K = 12, 9, 8
BIAS, SQUARE, WIDTH = K, K + 1, 16
UNNAMED_USER, UNNAMED_ITEM = 7, 4  # no rating names them
COMBINATIONS = [(bias_rate, squashed) for bias_rate in (0.0, 1.7) for squashed in (False, True)]


@dataclass(frozen=True)
class Ratings:
    starts: NDArray[np.int64]
    user_rows: NDArray[np.int32]
    item_rows: NDArray[np.int32]
    ratings: NDArray[np.float32]

    @classmethod
    def random(cls, n: int, seed: int, tiles: int = 1) -> Ratings:
        draw = np.random.default_rng(seed)
        users = draw.choice(np.delete(np.arange(USERS), UNNAMED_USER), n).astype(np.int32)
        items = draw.choice(np.delete(np.arange(ITEMS), UNNAMED_ITEM), n).astype(np.int32)
        starts = np.linspace(0, n, tiles + 1).astype(np.int64)
        return cls(starts, users, items, (draw.integers(1, 11, n) / 2).astype(np.float32))

    @property
    def bounds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.starts[:-1].copy(), self.starts[1:].copy()

    @classmethod
    def one(cls, user: int, item: int, rating: float) -> Ratings:
        rows = np.array([user], np.int32), np.array([item], np.int32)
        return cls(np.array([0, 1]), *rows, np.array([rating], np.float32))


@dataclass(frozen=True)
class Numbers:
    """The kernel's other arguments, in its order."""

    k: int = K
    mean: float = 0.3
    low: float = 0.0
    span: float = 5.5
    squashed: bool = True
    rate_from: float = 0.09
    rate_to: float = 0.03
    bias_rate: float = 1.7
    decay: float = 0.05
    bias_decay: float = 0.02

    def typed(self) -> list[Any]:
        values = [getattr(self, field.name) for field in fields(self)]
        return [value if isinstance(value, (bool, int)) else np.float32(value) for value in values]


def random_tables(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    draw = np.random.default_rng(seed)
    tables = []
    for n in (USERS, ITEMS):
        table = np.zeros((n, WIDTH), np.float32)
        table[:, : K + 1] = 0.4 * draw.standard_normal((n, K + 1))
        table[:, SQUARE] = draw.uniform(0.5, 2, n)
        tables.append(table)
    return tables[0], tables[1]


def run_kernel(users: Any, items: Any, data: Ratings, numbers: Numbers) -> NDArray[np.float64]:
    errors = np.full(len(data.starts) - 1, np.nan)
    tiles = np.arange(len(errors))
    sgd_tiles(tiles, *data.bounds, data.user_rows, data.item_rows, data.ratings, users, items, *numbers.typed(), errors)
    return errors


def predict(users: Any, items: Any, numbers: Numbers, user: int, item: int) -> tuple[float, float]:
    """The prediction of a pair, and its derivative by z."""
    z = numbers.mean + float(users[user, :K] @ items[item, :K] + users[user, BIAS] + items[item, BIAS])
    if not numbers.squashed:
        return z, 1.0
    sigmoid = 1 / (1 + exp(-z))
    return numbers.low + numbers.span * sigmoid, numbers.span * sigmoid * (1 - sigmoid)


def run_twin(users: Any, items: Any, data: Ratings, numbers: Numbers) -> list[float]:
    """The same in float64: eight gradients, then eight steps."""
    totals = []
    for start, end in zip(data.starts[:-1], data.starts[1:], strict=True):
        total = 0.0
        for at in range(start, end, AT_A_TIME):
            group = range(at, min(at + AT_A_TIME, end))
            rate = numbers.rate_from + (numbers.rate_to - numbers.rate_from) * (at - start) / (end - start)
            slopes, squares, rates = [], [], []
            for one in group:
                user, item = data.user_rows[one], data.item_rows[one]
                prediction, derivative = predict(users, items, numbers, user, item)
                error = float(data.ratings[one]) - prediction
                total += error**2
                slopes.append(error * derivative)  # minus half the derivative of error**2 by z
                squares.append((np.mean(items[item, :K] ** 2), np.mean(users[user, :K] ** 2)))
            for one, slope, (of_user, of_item) in zip(group, slopes, squares, strict=True):
                users[data.user_rows[one], SQUARE] += slope**2 * of_user
                items[data.item_rows[one], SQUARE] += slope**2 * of_item
                rates.append([rate / sqrt(t[r, SQUARE]) for t, r in _rows(users, items, data, one)])
            for one, slope, (user_rate, item_rate) in zip(group, slopes, rates, strict=True):
                (_, user), (_, item) = _rows(users, items, data, one)
                p, q = users[user, :K].copy(), items[item, :K].copy()
                users[user, :K] += user_rate * (slope * q - numbers.decay * p)
                items[item, :K] += item_rate * (slope * p - numbers.decay * q)
                for table, row in _rows(users, items, data, one):
                    table[row, BIAS] += rate * numbers.bias_rate * (slope - numbers.bias_decay * table[row, BIAS])
        totals.append(total)
    return totals


def _rows(users: Any, items: Any, data: Ratings, one: int) -> tuple[tuple[Any, int], tuple[Any, int]]:
    return (users, int(data.user_rows[one])), (items, int(data.item_rows[one]))


@pytest.mark.parametrize(("bias_rate", "squashed"), COMBINATIONS)
@pytest.mark.parametrize(("n", "tiles"), [(1, 1), (AT_A_TIME, 1), (300, 1), (301, 4)])
def test_the_kernel_does_what_its_twin_does(bias_rate: float, squashed: bool, n: int, tiles: int) -> None:
    users, items = random_tables(1)
    slow_users, slow_items = users.astype(np.float64), items.astype(np.float64)
    data, numbers = Ratings.random(n, 2, tiles), Numbers(bias_rate=bias_rate, squashed=squashed)
    totals = run_kernel(users, items, data, numbers)
    np.testing.assert_allclose(totals, run_twin(slow_users, slow_items, data, numbers), rtol=2e-5)
    np.testing.assert_allclose(users, slow_users, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(items, slow_items, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("bias_rate", "squashed"), COMBINATIONS)
def test_rows_that_no_rating_names_keep_their_bits(bias_rate: float, squashed: bool) -> None:
    users, items = random_tables(3)
    before = users[UNNAMED_USER].tobytes(), items[UNNAMED_ITEM].tobytes()
    run_kernel(users, items, Ratings.random(300, 4), Numbers(bias_rate=bias_rate, squashed=squashed))
    assert (users[UNNAMED_USER].tobytes(), items[UNNAMED_ITEM].tobytes()) == before


def test_zeros_that_pad_factors_stay_zeros() -> None:
    users, items = random_tables(9)
    users[:, 5:K] = items[:, 5:K] = 0
    run_kernel(users, items, Ratings.random(300, 4), Numbers())
    assert not users[:, 5:K].any()
    assert not items[:, 5:K].any()


def test_a_tile_that_was_not_named_is_not_worked_on() -> None:
    data = Ratings.random(100, 5, tiles=5)
    users, items = random_tables(4)
    errors = np.full(5, -1.0)
    some = np.array([3, 1])
    sgd_tiles(
        some, *data.bounds, data.user_rows, data.item_rows, data.ratings, users, items, *Numbers().typed(), errors
    )
    assert (errors >= 0).tolist() == [False, True, False, True, False]


@pytest.mark.parametrize(("bias_rate", "squashed"), COMBINATIONS)
def test_a_step_goes_down_the_measured_slope(bias_rate: float, squashed: bool) -> None:
    """Without decay a step is minus half the derivative of the squared error, times the rate of its row."""
    tables = random_tables(5)
    numbers = Numbers(bias_rate=bias_rate, squashed=squashed, decay=0, bias_decay=0, rate_from=0.01, rate_to=0.01)
    rows, rating = (3, 2), 4.5
    after = [table.copy() for table in tables]
    run_kernel(after[0], after[1], Ratings.one(*rows, rating), numbers)

    def squared_error(side: int, column: int, shift: float) -> float:
        moved = [table.astype(np.float64) for table in tables]
        moved[side][rows[side], column] += shift
        return (rating - predict(moved[0], moved[1], numbers, *rows)[0]) ** 2

    for side in (0, 1):
        for column in range(K + 1):
            derivative = (squared_error(side, column, 1e-6) - squared_error(side, column, -1e-6)) / 2e-6
            rate = 0.01 * numbers.bias_rate if column == BIAS else 0.01 / sqrt(after[side][rows[side], SQUARE])
            moved = float(after[side][rows[side], column]) - float(tables[side][rows[side], column])
            assert moved == pytest.approx(-derivative / 2 * rate, rel=1e-3, abs=1e-6), (side, column)


def test_no_ratings_no_steps() -> None:
    users, items = random_tables(6)
    before = users.tobytes() + items.tobytes()
    assert run_kernel(users, items, Ratings.random(0, 1), Numbers()).tolist() == [0]
    assert users.tobytes() + items.tobytes() == before


def test_decay_alone_shrinks_by_the_rate_and_stays_out_of_the_accumulators() -> None:
    """A rating that is met exactly leaves only the decay: p * (1 - rate / sqrt(square) * decay)."""
    users, items = random_tables(7)
    start = users.copy()
    numbers = Numbers(bias_rate=0, squashed=False, decay=0.5, rate_from=0.1, rate_to=0.1)
    met = predict(users.astype(np.float64), items.astype(np.float64), numbers, 1, 1)[0]
    assert run_kernel(users, items, Ratings.one(1, 1, met), numbers)[0] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(users[1, :K], start[1, :K] * (1 - 0.1 / sqrt(start[1, SQUARE]) * 0.5), rtol=1e-5)
    np.testing.assert_allclose(users[:, SQUARE], start[:, SQUARE], rtol=1e-6)


@pytest.mark.parametrize(("z", "end"), [(300.0, 5.5), (-300.0, 0.0)])
def test_where_the_sigmoid_is_flat_nothing_breaks(z: float, end: float) -> None:
    """exp overflows in float32 there; the prediction is the range's end and the slope 0."""
    users, items = random_tables(8)
    before = users[:, : K + 1].copy()
    total = run_kernel(users, items, Ratings.one(1, 1, 3), Numbers(mean=z, decay=0, bias_decay=0))[0]
    assert total == pytest.approx((3 - end) ** 2)
    np.testing.assert_array_equal(users[:, : K + 1], before)


def test_pair_sums_are_those_of_the_formula() -> None:
    users, items = random_tables(10)
    data = Ratings.random(50, 11)
    sums = pair_sums(data.user_rows, data.item_rows, users, items, K, np.float32(0.3))
    numbers = Numbers(squashed=False)
    expected = [predict(users, items, numbers, u, i)[0] for u, i in zip(data.user_rows, data.item_rows, strict=True)]
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-6)
