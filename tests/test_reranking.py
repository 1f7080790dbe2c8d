"""Re-ranking: against a slow twin that is read line by line against the formula, and by what has to hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from penchant import reranking
from penchant.reranking import damped, pool_size, popularity, varied


def cosine(one: list[float], other: list[float]) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0


def slow_worths(scores: list[float], points: list[list[float]], chosen: list[int], diversity: float) -> list[float]:
    """What each candidate of a pool is worth next to those chosen."""
    low, high = min(scores), max(scores)
    worths = []
    for score, point in zip(scores, points, strict=True):
        relevance = (score - low) / (high - low) if high > low else 0.0
        nearest = max((cosine(point, points[other]) for other in chosen), default=0.0)
        worths.append((1 - diversity) * relevance - diversity * nearest)
    return worths


@given(st.data(), st.integers(1, 12), st.integers(1, 8), st.integers(1, 3), st.floats(0, 0.99))
def test_each_pick_is_the_best_of_the_slow_twin(
    data: st.DataObject, n_items: int, k: int, dimensions: int, diversity: float
) -> None:
    """Step by step, so that a tie that rounding decides is no difference."""
    numbers = st.integers(-4, 4).map(float)
    scores = np.array(data.draw(st.lists(numbers, min_size=n_items, max_size=n_items)), np.float32)
    points = data.draw(arrays(np.float32, (n_items, dimensions), elements=st.integers(-3, 3).map(float)))
    pool = np.argsort(-scores, kind="stable").astype(np.int32)
    picks = varied(np.append(pool, np.int32(-1))[None], scores[None], points, k, diversity)[0]
    assert len(picks) == min(k, n_items + 1)
    found = picks[picks >= 0].tolist()
    assert len(set(found)) == len(found) == min(k, n_items)
    assert found[0] == pool[0]
    for place, pick in enumerate(found):
        worths = slow_worths(scores.tolist(), points.tolist(), found[:place], diversity)
        left = [worth for item, worth in enumerate(worths) if item not in found[:place]]
        assert worths[pick] >= max(left) - 1e-5


def test_by_hand() -> None:
    """Two films that are the same and one that is not: with diversity, the other comes second."""
    scores = np.array([[3.0, 2.9, 1.0, 0.0]], np.float32)
    points = np.array([[1, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    pools = np.array([[0, 1, 2, 3]], np.int32)
    # worth of 1: .5 * 2.9 / 3 - .5 * 1 = -0.02; of 2: .5 * 1 / 3 - 0 = 0.17; of 3: 0 - .5 * 0.71 = -0.35
    assert varied(pools, scores, points, 3, 0.5).tolist() == [[0, 2, 1]]
    assert varied(pools, scores, points, 3, 0.0).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("at_once", [1, 500, 4_000_000])
def test_users_at_once_get_what_each_gets(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    scores, points = draw.normal(size=(9, 40)).astype(np.float32), draw.normal(size=(40, 5)).astype(np.float32)
    pools = np.argsort(-scores, axis=1)[:, :30].astype(np.int32)
    pools[3, 2:] = -1
    pools[4] = -1
    alone = [varied(pools[n : n + 1], scores[n : n + 1], points, 6, 0.6)[0].tolist() for n in range(9)]
    monkeypatch.setattr(reranking, "NUMBERS_A_TIME", at_once)
    assert varied(pools, scores, points, 6, 0.6).tolist() == alone
    assert alone[3][2:] == [-1] * 4
    assert alone[4] == [-1] * 6


@pytest.mark.parametrize("odd", [-np.inf, np.inf])
def test_infinite_scores_are_the_ends_of_relevance(odd: float) -> None:
    scores = np.array([[2.0, 1.0, odd]], np.float32)
    pool = np.array([[0, 1, 2] if odd < 0 else [2, 0, 1]], np.int32)
    assert varied(pool, scores, np.eye(3, dtype=np.float32), 3, 0.3).tolist() == pool.tolist()


def test_nothing_to_pick_from() -> None:
    points = np.ones((3, 2), np.float32)
    assert varied(np.empty((0, 3), np.int32), np.empty((0, 3), np.float32), points, 2, 0.5).shape == (0, 2)
    assert varied(np.empty((2, 0), np.int32), np.empty((2, 3), np.float32), points, 2, 0.5).shape == (2, 0)


def test_pools_are_larger_than_lists() -> None:
    assert [pool_size(k) for k in (1, 10, 20, 100)] == [100, 100, 100, 500]


# --- popularity -----------------------------------------------------------------------------------------


def test_popularity_is_standardised() -> None:
    found = popularity(np.array([0, 1, 10, 1000]))
    logs = [math.log(1 + n) for n in (0, 1, 10, 1000)]
    mean = sum(logs) / 4
    deviation = math.sqrt(sum((one - mean) ** 2 for one in logs) / 4)
    assert found.tolist() == pytest.approx([(one - mean) / deviation for one in logs], rel=1e-6)
    assert popularity(np.array([7, 7, 7])).tolist() == [0, 0, 0]


@given(
    arrays(np.float32, (3, 6), elements=st.floats(-100, 100, width=32)),
    arrays(np.int64, 6, elements=st.integers(0, 10**6)),
    st.floats(0, 5),
)
def test_damping_is_the_formula(scores: Any, counts: Any, damping: float) -> None:
    found = damped(scores, popularity(counts), damping)
    assert found.dtype == np.float32
    for row in range(3):
        off = damping * np.std(scores[row].astype(np.float64)) * popularity(counts).astype(np.float64)
        assert found[row] == pytest.approx(scores[row] - off, rel=1e-4, abs=1e-3)


def test_damping_looks_at_finite_scores_alone() -> None:
    scores = np.array([[1, 3, -np.inf], [-np.inf, -np.inf, np.nan]], np.float32)
    found = damped(scores, np.array([1, -1, 0], np.float32), 2.0)
    np.testing.assert_array_equal(found, np.array([[-1, 5, -np.inf], [-np.inf, -np.inf, np.nan]], np.float32))
