"""The SGD kernel against a slow twin that reads like the formulas."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import exp, sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penchant.kernels.sgd import sgd_steps

USERS, ITEMS, K = 12, 9, 5
UNNAMED_USER, UNNAMED_ITEM = 7, 4  # no rating names them
COMBINATIONS = [(biased, squashed) for biased in (False, True) for squashed in (False, True)]


@dataclass
class State:
    """All that the kernel changes."""

    user_factors: NDArray[Any]
    item_factors: NDArray[Any]
    user_biases: NDArray[Any]
    item_biases: NDArray[Any]
    user_squares: NDArray[Any]
    item_squares: NDArray[Any]
    user_bias_squares: NDArray[Any]
    item_bias_squares: NDArray[Any]

    @classmethod
    def random(cls, seed: int) -> State:
        draw = np.random.default_rng(seed)

        def normal(*shape: int) -> NDArray[np.float32]:
            return (0.4 * draw.standard_normal(shape)).astype(np.float32)

        def positive(n: int) -> NDArray[np.float32]:
            return draw.uniform(0.5, 2, n).astype(np.float32)

        factors = normal(USERS, K), normal(ITEMS, K)
        biases = normal(USERS), normal(ITEMS)
        return cls(*factors, *biases, positive(USERS), positive(ITEMS), positive(USERS), positive(ITEMS))

    def copy(self, dtype: Any = np.float32) -> State:
        return State(*(array.astype(dtype) for array in self.arrays()))

    def arrays(self) -> list[NDArray[Any]]:
        return [getattr(self, field.name) for field in fields(self)]


@dataclass(frozen=True)
class Ratings:
    order: NDArray[np.int32]
    user_rows: NDArray[np.int32]
    item_rows: NDArray[np.int32]
    ratings: NDArray[np.float32]

    @classmethod
    def random(cls, steps: int, seed: int) -> Ratings:
        draw = np.random.default_rng(seed)
        users = draw.choice(np.delete(np.arange(USERS), UNNAMED_USER), 80).astype(np.int32)
        items = draw.choice(np.delete(np.arange(ITEMS), UNNAMED_ITEM), 80).astype(np.int32)
        ratings = (draw.integers(1, 11, 80) / 2).astype(np.float32)
        return cls(draw.integers(0, 80, steps).astype(np.int32), users, items, ratings)


@dataclass(frozen=True)
class Numbers:
    """The kernel's other arguments, in its order."""

    mean: float = 0.3
    low: float = 0.0
    high: float = 5.5
    biased: bool = True
    squashed: bool = True
    rate_from: float = 0.09
    rate_to: float = 0.03
    bias_rate: float = 1.7
    decay: float = 0.05
    bias_decay: float = 0.02

    def typed(self) -> list[Any]:
        values = [getattr(self, field.name) for field in fields(self)]
        return [value if isinstance(value, bool) else np.float32(value) for value in values]


def run_kernel(state: State, given: Ratings, numbers: Numbers) -> float:
    return float(
        sgd_steps(given.order, given.user_rows, given.item_rows, given.ratings, *state.arrays(), *numbers.typed())
    )


def predict(state: State, numbers: Numbers, user: int, item: int) -> tuple[float, float]:
    """The prediction of a pair, and its derivative by z."""
    z = numbers.mean + float(state.user_factors[user] @ state.item_factors[item])
    if numbers.biased:
        z += float(state.user_biases[user] + state.item_biases[item])
    if not numbers.squashed:
        return z, 1.0
    sigmoid = 1 / (1 + exp(-z))
    span = numbers.high - numbers.low
    return numbers.low + span * sigmoid, span * sigmoid * (1 - sigmoid)


def run_twin(state: State, given: Ratings, numbers: Numbers) -> float:
    """The same in float64, a rating at a time."""
    n = len(given.order)
    total = 0.0
    for step, at in enumerate(given.order):
        user, item = given.user_rows[at], given.item_rows[at]
        prediction, derivative = predict(state, numbers, user, item)
        error = float(given.ratings[at]) - prediction
        total += error**2
        slope = error * derivative  # minus half the derivative of error**2 by z
        rate = numbers.rate_from + (numbers.rate_to - numbers.rate_from) * step / n

        p, q = state.user_factors[user].copy(), state.item_factors[item].copy()
        state.user_squares[user] += np.mean((slope * q) ** 2)
        state.item_squares[item] += np.mean((slope * p) ** 2)
        state.user_factors[user] += rate / sqrt(state.user_squares[user]) * (slope * q - numbers.decay * p)
        state.item_factors[item] += rate / sqrt(state.item_squares[item]) * (slope * p - numbers.decay * q)
        if numbers.biased:
            for biases, squares, row in (
                (state.user_biases, state.user_bias_squares, user),
                (state.item_biases, state.item_bias_squares, item),
            ):
                squares[row] += slope**2
                step_length = rate * numbers.bias_rate / sqrt(squares[row])
                biases[row] += step_length * (slope - numbers.bias_decay * biases[row])
    return total


@pytest.mark.parametrize(("biased", "squashed"), COMBINATIONS)
@pytest.mark.parametrize("steps", [1, 300])
def test_the_kernel_does_what_its_twin_does(biased: bool, squashed: bool, steps: int) -> None:
    start, given = State.random(1), Ratings.random(steps, 2)
    numbers = Numbers(biased=biased, squashed=squashed)
    fast, slow = start.copy(), start.copy(np.float64)
    total, expected = run_kernel(fast, given, numbers), run_twin(slow, given, numbers)
    assert total == pytest.approx(expected, rel=1e-5)
    for field in fields(State):
        got, wanted = getattr(fast, field.name), getattr(slow, field.name)
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-5, err_msg=field.name)
    moved = [not np.array_equal(a, b) for a, b in zip(fast.arrays(), start.arrays(), strict=True)]
    assert moved == [True, True, biased, biased, True, True, biased, biased]


@pytest.mark.parametrize(("biased", "squashed"), COMBINATIONS)
def test_rows_that_no_rating_names_keep_their_bits(biased: bool, squashed: bool) -> None:
    start, given = State.random(3), Ratings.random(300, 4)
    after = start.copy()
    run_kernel(after, given, Numbers(biased=biased, squashed=squashed))
    for field in fields(State):
        row = UNNAMED_USER if field.name.startswith("user") else UNNAMED_ITEM
        before_row, after_row = getattr(start, field.name)[row], getattr(after, field.name)[row]
        assert before_row.tobytes() == after_row.tobytes(), field.name


@pytest.mark.parametrize(("biased", "squashed"), COMBINATIONS)
def test_a_step_goes_down_the_measured_slope(biased: bool, squashed: bool) -> None:
    """Without decay a step is minus half the derivative of the squared error, times the rate of its row."""
    start = State.random(5)
    numbers = Numbers(biased=biased, squashed=squashed, decay=0, bias_decay=0, rate_from=0.01, rate_to=0.01)
    one = np.zeros(1, np.int32)
    user, item, rating = 3, 2, 4.5
    given = Ratings(one, np.array([user], np.int32), np.array([item], np.int32), np.array([rating], np.float32))
    after = start.copy()
    run_kernel(after, given, numbers)

    def squared_error(name: str, place: Any, shift: float) -> float:
        state = start.copy(np.float64)
        getattr(state, name)[place] += shift
        return (rating - predict(state, numbers, user, item)[0]) ** 2

    places = [("user_factors", (user, f)) for f in range(K)] + [("item_factors", (item, f)) for f in range(K)]
    if biased:
        places += [("user_biases", (user,)), ("item_biases", (item,))]
    for name, place in places:
        derivative = (squared_error(name, place, 1e-6) - squared_error(name, place, -1e-6)) / 2e-6
        squares = getattr(after, name.replace("factors", "squares").replace("biases", "bias_squares"))[place[0]]
        rate = 0.01 * (numbers.bias_rate if "biases" in name else 1) / sqrt(squares)
        moved = float(getattr(after, name)[place]) - float(getattr(start, name)[place])
        assert moved == pytest.approx(-derivative / 2 * rate, rel=1e-3, abs=1e-6), (name, place)


def test_no_ratings_no_steps() -> None:
    start = State.random(6)
    after = start.copy()
    assert run_kernel(after, Ratings.random(0, 1), Numbers()) == 0
    for before, now in zip(start.arrays(), after.arrays(), strict=True):
        np.testing.assert_array_equal(before, now)


def test_decay_alone_shrinks_by_the_rate_and_stays_out_of_the_accumulators() -> None:
    """A rating that is met exactly leaves only the decay: p * (1 - rate / sqrt(squares) * decay)."""
    start = State.random(7)
    numbers = Numbers(biased=False, squashed=False, decay=0.5, rate_from=0.1, rate_to=0.1)
    met = np.array([predict(start.copy(np.float64), numbers, 1, 1)[0]], np.float32)
    after = start.copy()
    one, row = np.zeros(1, np.int32), np.ones(1, np.int32)
    assert run_kernel(after, Ratings(one, row, row, met), numbers) == pytest.approx(0, abs=1e-12)
    shrunk = start.user_factors[1] * (1 - 0.1 / sqrt(start.user_squares[1]) * 0.5)
    np.testing.assert_allclose(after.user_factors[1], shrunk, rtol=1e-5)
    np.testing.assert_allclose(after.user_squares, start.user_squares, rtol=1e-6)


@pytest.mark.parametrize(("z", "end"), [(300.0, 5.5), (-300.0, 0.0)])
def test_where_the_sigmoid_is_flat_nothing_breaks(z: float, end: float) -> None:
    """exp overflows in float32 there; the prediction is the range's end and the slope 0."""
    start = State.random(8)
    after = start.copy()
    one, row = np.zeros(1, np.int32), np.ones(1, np.int32)
    numbers = Numbers(mean=z, decay=0, bias_decay=0)
    total = run_kernel(after, Ratings(one, row, row, np.array([3], np.float32)), numbers)
    assert total == pytest.approx((3 - end) ** 2)
    np.testing.assert_array_equal(after.user_factors, start.user_factors)
    np.testing.assert_array_equal(after.item_biases, start.item_biases)
