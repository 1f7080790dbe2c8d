"""Blocks against dense matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from penchant.models.blocks import Block, Design, Entries

N_ROWS = 4


def rows(*numbers: int) -> NDArray[np.int32]:
    return np.array(numbers, np.int32)


def table_of(group: Entries, n_rows: int) -> NDArray[np.float64]:
    table = np.zeros((n_rows, group.n_features))
    table[group.rows, group.features] = group.values
    return table


@st.composite
def groups(draw: Any) -> list[Entries]:
    """Groups of features for N_ROWS rows, entries in any order."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        n_features = draw(st.integers(1, 5))
        cells = draw(st.lists(st.integers(0, N_ROWS * n_features - 1), unique=True))
        values = draw(st.lists(st.floats(-4, 4, width=32), min_size=len(cells), max_size=len(cells)))
        own = (np.array(part, np.int32) for part in np.divmod(np.array(cells, np.int32), n_features))
        found.append(Entries(str(number), *own, np.array(values, np.float32), n_features))
    return found


def test_a_feature_of_its_own_for_each_row_is_the_identity() -> None:
    entries = Entries.identity("users", 3)
    np.testing.assert_array_equal(table_of(entries, 3), np.eye(3))
    assert (entries.name, entries.n_features) == ("users", 3)
    assert [part.dtype for part in (entries.rows, entries.features, entries.values)] == [np.int32, np.int32, np.float32]


def test_members_of_a_set_are_divided_by_the_root_of_its_size() -> None:
    entries = Entries.sets("words", rows(2, 0, 2, 2, 0), rows(0, 1, 1, 3, 4), N_ROWS, 5)
    expected = np.zeros((N_ROWS, 5))
    expected[0, [1, 4]] = 1 / np.sqrt(2)
    expected[2, [0, 1, 3]] = 1 / np.sqrt(3)  # rows 1 and 3 have the empty set
    np.testing.assert_allclose(table_of(entries, N_ROWS), expected, rtol=1e-6)
    lengths = np.bincount(entries.rows, entries.values**2, minlength=N_ROWS)
    np.testing.assert_allclose(lengths, [1, 0, 1, 0], rtol=1e-6)
    assert (entries.values.dtype, entries.n_features) == (np.float32, 5)


def test_sets_may_all_be_empty() -> None:
    entries = Entries.sets("words", rows(), rows(), N_ROWS, 3)
    block = Block.of(N_ROWS, [entries])
    assert block.n_features == 3
    assert block.starts.tolist() == [0, 0, 0, 0]
    assert block.row_sums(np.ones(3)).tolist() == [0] * N_ROWS


@given(groups(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_block_is_its_groups_side_by_side(found: list[Entries], seed: int) -> None:
    block = Block.of(N_ROWS, found)
    dense = np.hstack([table_of(group, N_ROWS) for group in found])
    assert block.n_features == dense.shape[1]
    assert block.names == tuple(group.name for group in found)
    columns = np.zeros_like(dense)
    for feature in range(block.n_features):
        own = slice(block.starts[feature], block.starts[feature + 1])
        assert (np.diff(block.entry_rows[own]) > 0).all()
        columns[block.entry_rows[own], feature] = block.entry_values[own]
    np.testing.assert_array_equal(columns, dense)
    of_features = np.random.default_rng(seed).standard_normal(block.n_features)
    np.testing.assert_allclose(block.row_sums(of_features), dense @ of_features, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(block.row_squares(of_features), dense**2 @ of_features**2, rtol=1e-6, atol=1e-6)


@given(groups())
@settings(max_examples=60, deadline=None)
def test_groups_have_their_own_features_and_numbers(found: list[Entries]) -> None:
    block = Block.of(N_ROWS, found)
    assert np.diff(block.bounds).tolist() == [group.n_features for group in found]
    assert block.groups.tolist() == [g for g, group in enumerate(found) for _ in range(group.n_features)]
    for own, group in zip(block.is_own, found, strict=True):
        table = table_of(group, N_ROWS)
        values_are_there = len(group.rows) == N_ROWS  # not only zeros that nobody stored
        expected = table.shape == (N_ROWS, N_ROWS) and (table == np.eye(N_ROWS)).all() and values_are_there
        assert own == expected


def test_arrays_have_the_types_that_kernels_take() -> None:
    block = Block.of(N_ROWS, [Entries.identity("own", N_ROWS), Entries.sets("set", rows(0), rows(1), N_ROWS, 2)])
    arrays = block.bounds, block.starts, block.entry_rows, block.entry_values, block.groups
    assert [array.dtype for array in arrays] == [np.int64, np.int64, np.int32, np.float32, np.int32]
    assert block.row_sums(np.ones(6, np.float32)).dtype == np.float64


@pytest.mark.parametrize(
    ("entries", "own"),
    [
        (Entries.identity("own", N_ROWS), True),
        (Entries("in any order", rows(2, 0, 3, 1), rows(2, 0, 3, 1), np.ones(4, np.float32), 4), True),
        (Entries("another's", rows(1, 0, 2, 3), rows(0, 1, 2, 3), np.ones(4, np.float32), 4), False),
        (Entries("another value", rows(0, 1, 2, 3), rows(0, 1, 2, 3), np.array([1, 1, 1, 2], np.float32), 4), False),
        (Entries("one row without", rows(0, 1, 2), rows(0, 1, 2), np.ones(3, np.float32), 4), False),
        (Entries("one row with two", rows(0, 1, 2, 3, 3), rows(0, 1, 2, 3, 0), np.ones(5, np.float32), 4), False),
        (Entries("fewer features", rows(0, 1, 2), rows(0, 1, 2), np.ones(3, np.float32), 3), False),
        (Entries("more features", rows(0, 1, 2, 3), rows(0, 1, 2, 3), np.ones(4, np.float32), 5), False),
    ],
    ids=lambda value: value.name if isinstance(value, Entries) else None,
)
def test_only_the_identity_is_own(entries: Entries, own: bool) -> None:
    assert Block.of(N_ROWS, [entries]).is_own.tolist() == [own]
    behind = Block.of(N_ROWS, [Entries.sets("first", rows(0), rows(0), N_ROWS, 2), entries])
    assert behind.is_own.tolist() == [False, own]


@pytest.fixture
def design() -> Design:
    users = Block.of(3, [Entries.identity("users", 3), Entries.sets("items rated", rows(0, 1), rows(3, 0), 3, 4)])
    items = Block.of(4, [Entries.identity("items", 4)])
    months = Block.of(2, [Entries.identity("months", 2), Entries.sets("none", rows(), rows(), 2, 1)])
    return Design((users, items, months), np.array([[0, 1], [3, 0], [1, 1]], np.int32))


def test_rows_features_and_groups_of_all_blocks_are_numbered_through(design: Design) -> None:
    assert design.row_starts.tolist() == [0, 3, 3 + 4, 3 + 4 + 2]
    assert design.feature_starts.tolist() == [0, 3 + 4, 7 + 4, 11 + 2 + 1]
    assert design.group_starts.tolist() == [0, 2, 3, 5]
    assert design.group_bounds.tolist() == [0, 3, 7, 11, 13, 14]
    assert (design.n_rows, design.n_features) == (9, 14)


def test_group_bounds_agree_with_the_numbers_of_groups_in_their_blocks(design: Design) -> None:
    through = np.repeat(np.arange(len(design.group_bounds) - 1), np.diff(design.group_bounds))
    parts = [block.groups + at for block, at in zip(design.blocks, design.group_starts, strict=False)]
    assert through.tolist() == np.concatenate(parts).tolist()
