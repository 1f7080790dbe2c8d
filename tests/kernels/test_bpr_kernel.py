"""The kernel of positives against drawn negatives, against a slow twin that reads like the formulas."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import exp, log, sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penchant.kernels.bpr import rank_tiles
from penchant.kernels.noise import FIRST, GOLDEN, mixed

USERS, ITEMS, K = 12, 20, 8
BIAS, SQUARE, WIDTH = K, K + 1, 16
FIRSTS = np.array([0, 8, ITEMS])  # two blocks of items
UNNAMED_USER = 7  # no positive names them
LOSSES = ["softmax", "bpr"]
MASK = 2**64 - 1


@dataclass(frozen=True)
class Positives:
    """Positives in four tiles of two blocks of users and two of items."""

    starts: NDArray[np.int64]
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]

    @classmethod
    def random(cls, of_a_tile: int, seed: int) -> Positives:
        draw = np.random.default_rng(seed)
        users = [draw.choice([0, 1, 2, 3, 4, 5] if tile < 2 else [6, 8, 9, 10, 11], of_a_tile) for tile in range(4)]
        items = [draw.integers(FIRSTS[tile % 2], FIRSTS[tile % 2 + 1], of_a_tile) for tile in range(4)]
        weights = draw.uniform(0.5, 2, 4 * of_a_tile).astype(np.float32)
        rows = np.concatenate(users).astype(np.int32), np.concatenate(items).astype(np.int32)
        return cls(np.arange(5) * of_a_tile, *rows, weights)


@dataclass(frozen=True)
class Numbers:
    """The kernel's other arguments, in its order."""

    k: int = K
    negatives: int = 3
    softmax: bool = True
    rate_from: float = 0.3
    rate_to: float = 0.1
    bias_rate: float = 0.7
    decay: float = 0.05
    seed: int = 987_654_321_987

    def typed(self) -> list[Any]:
        values = [getattr(self, field.name) for field in fields(self)]
        typed = [np.float32(value) if isinstance(value, float) else value for value in values]
        return [*typed[:-1], np.uint64(self.seed)]


def random_tables(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    draw = np.random.default_rng(seed)
    tables = []
    for n in (USERS, ITEMS):
        table = np.zeros((n, WIDTH), np.float32)
        table[:, : K + 1] = 0.6 * draw.standard_normal((n, K + 1))
        table[:, SQUARE] = draw.uniform(0.5, 2, n)
        tables.append(table)
    return tables[0], tables[1]


def run_kernel(
    users: Any, items: Any, data: Positives, numbers: Numbers, tiles: Any = (0, 1, 2, 3), firsts: Any = FIRSTS
) -> NDArray[np.float64]:
    losses = np.full(len(data.starts) - 1, -1.0)
    bounds = data.starts[:-1].copy(), data.starts[1:].copy()
    rank_tiles(
        *(np.array(tiles), *bounds, data.users, data.items, data.weights),
        *(firsts, users, items, *numbers.typed(), losses),
    )
    return losses


def negatives_of(tile: int, positives: Any, numbers: Numbers) -> list[list[int]]:
    """What is drawn for each positive of a tile: an even choice of the other items of the block."""
    others = [list(range(FIRSTS[tile % 2], FIRSTS[tile % 2 + 1])) for _ in positives]
    state = (numbers.seed + tile * int(FIRST)) & MASK
    found = []
    for positive, items in zip(positives, others, strict=True):
        items.remove(positive)
        drawn = []
        for _ in range(numbers.negatives):
            state = (state + int(GOLDEN)) & MASK
            drawn.append(items[(int(mixed(np.uint64(state))) >> 32) * len(items) >> 32])
        found.append(drawn)
    return found


def loss_of(scores: Any, others: int, softmax: bool) -> float:
    """Of a positive, whose score comes first, and its negatives among so many others."""
    positive, negatives = scores[0], scores[1:]
    if softmax:
        return log(exp(positive) + others / len(negatives) * sum(map(exp, negatives))) - positive
    return float(np.mean([log(1 + exp(negative - positive)) for negative in negatives]))


def slopes_of(scores: Any, others: int, softmax: bool) -> NDArray[np.float64]:
    """Derivatives of the loss by the scores, measured."""
    found = np.zeros(len(scores))
    for at in range(len(scores)):
        step = np.zeros(len(scores))
        step[at] = 1e-5
        found[at] = (loss_of(scores + step, others, softmax) - loss_of(scores - step, others, softmax)) / 2e-5
    return found


def run_twin(users: Any, items: Any, data: Positives, numbers: Numbers) -> list[float]:
    """The same in float64."""
    totals = []
    for tile in range(4):
        start, end = data.starts[tile : tile + 2].tolist()
        others = int(FIRSTS[tile % 2 + 1] - FIRSTS[tile % 2]) - 1
        drawn = negatives_of(tile, data.items[start:end].tolist(), numbers)
        total = 0.0
        for at in range(start, end):
            rate = numbers.rate_from + (numbers.rate_to - numbers.rate_from) * (at - start) / (end - start)
            p, weight = users[data.users[at]], float(data.weights[at])
            rows = [int(data.items[at]), *drawn[at - start]]
            scores = items[rows, :K] @ p[:K] + items[rows, BIAS]
            total += weight * loss_of(scores, others, numbers.softmax)
            slopes = weight * slopes_of(scores, others, numbers.softmax)
            _steps(p, items, rows, slopes, rate, numbers)
        totals.append(total)
    return totals


def _steps(p: Any, items: Any, rows: list[int], slopes: Any, rate: float, numbers: Numbers) -> None:
    before, gradient = p[:K].copy(), np.zeros(K)
    for row, slope in zip(rows, slopes, strict=True):
        items[row, SQUARE] += np.mean((slope * before) ** 2)
    for place, (row, slope) in enumerate(zip(rows, slopes, strict=True)):
        gradient += slope * items[row, :K]
        decay = numbers.decay * items[row, :K] if place == 0 else 0
        items[row, :K] -= rate / sqrt(items[row, SQUARE]) * (slope * before + decay)
        items[row, BIAS] -= rate * numbers.bias_rate * slope
    p[SQUARE] += np.mean(gradient**2)
    p[:K] -= rate / sqrt(p[SQUARE]) * (gradient + numbers.decay * before)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("of_a_tile", "negatives"), [(1, 1), (1, 5), (30, 1), (30, 4)])
def test_the_kernel_does_what_its_twin_does(loss: str, of_a_tile: int, negatives: int) -> None:
    users, items = random_tables(1)
    slow_users, slow_items = users.astype(np.float64), items.astype(np.float64)
    data, numbers = Positives.random(of_a_tile, 2), Numbers(softmax=loss == "softmax", negatives=negatives)
    losses = run_kernel(users, items, data, numbers)
    np.testing.assert_allclose(losses, run_twin(slow_users, slow_items, data, numbers), rtol=1e-4)
    np.testing.assert_allclose(users, slow_users, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(items, slow_items, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_that_no_positive_names_keep_their_bits(loss: str) -> None:
    users, items = random_tables(3)
    before = users.copy(), items.copy()
    run_kernel(users, items, Positives.random(30, 4), Numbers(softmax=loss == "softmax"), tiles=[0, 2])
    assert users[UNNAMED_USER].tobytes() == before[0][UNNAMED_USER].tobytes()
    assert items[8:].tobytes() == before[1][8:].tobytes()  # another block
    assert (items[:8, :K] != before[1][:8, :K]).any(axis=1).all()


def test_a_tile_that_was_not_named_is_not_worked_on() -> None:
    users, items = random_tables(4)
    losses = run_kernel(users, items, Positives.random(9, 5), Numbers(), tiles=[3, 0])
    assert (losses > 0).tolist() == [True, False, False, True]


def test_tiles_give_the_same_in_any_order_where_they_share_no_block() -> None:
    found = []
    for tiles in ([0, 3], [3, 0]):
        users, items = random_tables(6)
        run_kernel(users, items, Positives.random(30, 4), Numbers(), tiles=tiles)
        found.append(users.tobytes() + items.tobytes())
    assert found[0] == found[1]


def test_zeros_that_pad_factors_stay_zeros() -> None:
    users, items = random_tables(9)
    users[:, 5:K] = items[:, 5:K] = 0
    run_kernel(users, items, Positives.random(30, 4), Numbers())
    assert not users[:, 5:K].any()
    assert not items[:, 5:K].any()


def test_negatives_are_drawn_evenly_and_never_the_positive() -> None:
    """Without a rate for factors only biases move: of a bpr loss by the same for each time an item is drawn."""
    users, items = np.zeros((1, WIDTH), np.float32), np.zeros((ITEMS, WIDTH), np.float32)
    users[:, SQUARE] = items[:, SQUARE] = 1
    n, negatives, rate = 2000, 10, 1e-6
    rows = np.zeros(n, np.int32)
    data = Positives(np.array([0, n]), rows, rows + 3, np.ones(n, np.float32))
    numbers = Numbers(softmax=False, negatives=negatives, bias_rate=1.0, decay=0.0, rate_from=rate, rate_to=rate)
    run_kernel(users, items, data, numbers, tiles=[0], firsts=np.array([0, ITEMS]))
    counts = -np.delete(items[:, BIAS], 3) / (rate * 0.5 / negatives)
    assert items[3, BIAS] == pytest.approx(n * rate * 0.5, rel=1e-3)
    assert counts.sum() == pytest.approx(n * negatives, rel=1e-3)
    expected = n * negatives / (ITEMS - 1)
    assert ((counts - expected) ** 2 / expected).sum() < 45  # chi squared of 18 degrees: 0.0004


@pytest.mark.parametrize("loss", LOSSES)
def test_scores_far_apart_overflow_nothing(loss: str) -> None:
    users, items = random_tables(5)
    items[:, BIAS] = np.linspace(-2000, 2000, ITEMS)
    losses = run_kernel(users, items, Positives.random(30, 4), Numbers(softmax=loss == "softmax"))
    assert np.isfinite(losses).all()
    assert np.isfinite(users).all()
    assert np.isfinite(items).all()


def test_in_a_block_of_one_item_nothing_is_learnt() -> None:
    users, items = random_tables(6)
    before = users.tobytes() + items.tobytes()
    rows = np.zeros(4, np.int32)
    data = Positives(np.array([0, 4]), rows, rows, np.ones(4, np.float32))
    assert run_kernel(users, items, data, Numbers(), tiles=[0], firsts=np.array([0, 1])).tolist() == [0]
    assert users.tobytes() + items.tobytes() == before
