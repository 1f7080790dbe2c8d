"""Items by items: the kernels against dense products and plain sorts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from penchant.kernels.itemitem import ROWS, gram_rows, nearest_rows, sparse_scores

Doubles = NDArray[np.float64]


def sparse(dense: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Compressed sparse rows of a dense matrix."""
    rows, columns = np.nonzero(dense)
    starts = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=len(dense))))).astype(np.int64)
    return starts, columns.astype(np.int32), dense[rows, columns].astype(np.float32)


def taken(seed: int, n_users: int = 40, n_items: int = 70, *, binary: bool = False) -> Doubles:
    """Users by items, a quarter of it not 0, each item taken at least once."""
    generator = np.random.default_rng(seed)
    weights = np.ones((n_users, n_items)) if binary else generator.integers(1, 40, (n_users, n_items)) / 8
    dense: Doubles = np.where(generator.random((n_users, n_items)) < 0.25, weights, 0)
    dense[generator.integers(0, n_users, n_items), np.arange(n_items)] = 1
    return dense


def similar_items(dense: Doubles, shrinkage: float) -> NDArray[np.float32]:
    """The twin: cosines with shrinkage, 0 on the diagonal."""
    lengths = np.sqrt((dense**2).sum(axis=0))
    similar = dense.T @ dense / (np.outer(lengths, lengths) + shrinkage)
    np.fill_diagonal(similar, 0)
    return similar.astype(np.float32)


def nearest_of(dense: Doubles, k: int, shrinkage: float) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    n_items = dense.shape[1]
    nearest, similarities = np.full((n_items, k), 77, np.int32), np.full((n_items, k), np.nan, np.float32)
    blocks = np.arange(-(-n_items // ROWS))
    lengths = np.sqrt((dense**2).sum(axis=0))
    nearest_rows(blocks, *sparse(dense.T), *sparse(dense), lengths, shrinkage, nearest, similarities)
    return nearest, similarities


def test_gram_is_the_product_of_columns() -> None:
    dense = taken(1)
    gram = np.zeros((70, 70))
    for block in (2, 0, 1):
        gram_rows(np.array([block]), *sparse(dense.T), *sparse(dense), gram)
    np.testing.assert_array_equal(gram, dense.T @ dense)  # eighths are added exactly


def test_gram_touches_only_the_rows_of_its_blocks() -> None:
    dense = taken(2)
    gram = np.zeros((70, 70))
    gram_rows(np.array([1]), *sparse(dense.T), *sparse(dense), gram)
    expected = dense.T @ dense
    expected[:ROWS] = expected[2 * ROWS :] = 0
    np.testing.assert_array_equal(gram, expected)


@given(st.integers(0, 1000), st.integers(1, 75), st.sampled_from([0.0, 0.5, 20.0]), st.booleans())
@settings(max_examples=40, deadline=None)
def test_nearest_are_a_sort_cut_off(seed: int, k: int, shrinkage: float, binary: bool) -> None:
    """Equal weights make many ties, which go to the smaller row."""
    dense = taken(seed, 12, binary=binary)
    nearest, similarities = nearest_of(dense, k, shrinkage)
    similar = similar_items(dense, shrinkage)
    for item, row in enumerate(similar):
        best = sorted(np.flatnonzero(row), key=lambda other, row=row: (-row[other], other))[:k]
        assert nearest[item].tolist() == [*best, *[-1] * (k - len(best))]
        assert similarities[item].tolist() == [*row[best], *[0] * (k - len(best))]


def test_nothing_is_similar_to_what_only_another_user_took() -> None:
    dense = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    nearest, similarities = nearest_of(dense, 2, 1)
    assert nearest.tolist() == [[1, -1], [0, -1], [-1, -1]]
    assert similarities.tolist() == [[0.5, 0], [0.5, 0], [0, 0]]


@pytest.mark.parametrize("n", [0, 1, 9])
def test_sparse_scores_are_a_product(n: int) -> None:
    vectors = taken(4, 9)[:n].astype(np.float32)
    matrix = taken(5, 70)
    scores = sparse_scores(vectors, *sparse(matrix))
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, (vectors.astype(np.float64) @ matrix).astype(np.float32))
