"""Top-k, by the kernel and by NumPy, against a plain sort."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from penchant.kernels.topk import topk
from penchant.ranking import rank_by_partition

# Few distinct values, so that ties are the rule.
SCORES = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, 3e38, -3e38, float("inf"), float("-inf"), float("nan")])


def run(scores: list[list[float]], excluded: list[list[int]], k: int) -> list[list[int]]:
    starts = np.concatenate(([0], np.cumsum([len(row) for row in excluded]))).astype(np.int64)
    columns = np.array([column for row in excluded for column in row], np.int32)
    asked = np.array(scores, np.float32), starts, columns, k
    found: list[list[int]] = topk(*asked).tolist()
    assert rank_by_partition(*asked).tolist() == found
    return found


def by_sorting(row: list[float], excluded: list[int], k: int) -> list[int]:
    """The twin: what is left, highest score first, of equals the smaller column; -1 fills up."""
    left = [column for column, score in enumerate(row) if column not in excluded and score == score]
    best = sorted(left, key=lambda column: (-row[column], column))[:k]
    return best + [-1] * (k - len(best))


@st.composite
def cases(draw: Any) -> tuple[list[list[float]], list[list[int]], int]:
    columns = draw(st.integers(1, 24))
    rows = draw(st.integers(1, 4))
    scores = draw(st.lists(st.lists(SCORES, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    excluded = draw(st.lists(st.lists(st.integers(0, columns - 1), max_size=8), min_size=rows, max_size=rows))
    return scores, excluded, draw(st.integers(0, columns + 5))


@given(cases())
@settings(max_examples=400, deadline=None)
def test_it_is_a_sort_cut_off(case: tuple[list[list[float]], list[list[int]], int]) -> None:
    scores, excluded, k = case
    assert run(scores, excluded, k) == [by_sorting(row, out, k) for row, out in zip(scores, excluded, strict=True)]


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=300), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_any_floats_and_long_rows(row: list[float], k: int) -> None:
    assert run([row], [[]], k) == [by_sorting(row, [], k)]


def test_ties_go_to_the_smaller_column() -> None:
    assert run([[1, 2, 2, 1, 2]], [[]], 4) == [[1, 2, 4, 0]]


def test_what_one_row_excludes_the_next_may_have() -> None:
    assert run([[3, 2, 1], [3, 2, 1], [3, 2, 1]], [[0, 0], [], [1, 2]], 2) == [[1, 2], [0, 1], [0, -1]]


def test_nan_is_never_returned_and_minus_infinity_last() -> None:
    nan, inf = float("nan"), float("inf")
    assert run([[nan, -inf, 0, nan, inf]], [[]], 5) == [[4, 2, 1, -1, -1]]


def test_nothing_left() -> None:
    assert run([[5, 4]], [[1, 0]], 3) == [[-1, -1, -1]]


def test_no_places_no_rows_no_answers() -> None:
    assert run([[5, 4, 3]], [[]], 0) == [[]]
    assert topk(np.empty((0, 5), np.float32), np.zeros(1, np.int64), np.empty(0, np.int32), 3).shape == (0, 3)


def test_rows_of_a_larger_array_need_not_be_contiguous() -> None:
    wide: NDArray[np.float32] = np.arange(24, dtype=np.float32).reshape(4, 6)
    starts, nothing = np.zeros(3, np.int64), np.empty(0, np.int32)
    assert topk(wide[::2, ::3], starts, nothing, 2).tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize("k", [1, 7, 50])
def test_many_random_rows(k: int) -> None:
    draw = np.random.default_rng(k)
    scores = draw.integers(0, 20, (30, 50)).astype(np.float32)
    starts = np.zeros(31, np.int64)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(topk(scores, starts, np.empty(0, np.int32), k), expected)
