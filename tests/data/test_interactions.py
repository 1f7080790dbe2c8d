"""Interactions refuse columns that do not fit together, and keep their meaning when they are cut."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.data.interactions import Interactions, stable_order
from penchant.data.vocabulary import Vocabulary
from penchant.errors import DataError

# Users 0 to 4 and items "a" to "f": some of them never occur.
USERS = Vocabulary(pl.Series([10, 20, 30, 40, 50]), "user")
ITEMS = Vocabulary(pl.Series(list("abcdef")), "item")


@st.composite
def interactions(draw: st.DrawFn, min_size: int = 0) -> Interactions:
    size = draw(st.integers(min_size, 25))

    def column(strategy: st.SearchStrategy[Any], dtype: Any) -> Any:
        return np.array(draw(st.lists(strategy, min_size=size, max_size=size)), dtype=dtype)

    return Interactions(
        users=USERS,
        items=ITEMS,
        user_rows=column(st.integers(0, 4), np.int32),
        item_rows=column(st.integers(0, 5), np.int32),
        ratings=column(st.integers(1, 5), np.float32),
        times=draw(st.sampled_from([None, column(st.integers(0, 9), np.int64)])),
        item_names=pl.Series([f"Item {id_}" for id_ in ITEMS.ids]),
        item_table=pl.DataFrame({"twice": [id_ * 2 for id_ in ITEMS.ids]}),
        user_table=pl.DataFrame({"age": [id_ * 10 for id_ in USERS.ids]}),
        source="made up",
        notes=("A note.",),
    )


def told(data: Interactions) -> list[tuple[Any, ...]]:
    """All that a table says, by ids, without any rows."""
    assert data.item_table is not None
    assert data.user_table is not None
    times = [None] * len(data) if data.times is None else data.times.tolist()
    return [
        (
            data.users.ids[user], data.items.ids[item], rating, time, data.names[item],
            data.item_table["twice"][item], data.user_table["age"][user],
        )
        for user, item, rating, time in zip(
            data.user_rows.tolist(), data.item_rows.tolist(), data.ratings.tolist(), times, strict=True
        )
    ]  # fmt: skip


@given(interactions())
def test_compact_says_the_same_with_no_more_ids_than_occur(data: Interactions) -> None:
    small = data.compact()
    assert told(small) == told(data)
    assert small.users.ids.to_list() == sorted({USERS.ids[row] for row in data.user_rows.tolist()})
    assert small.items.ids.to_list() == sorted({ITEMS.ids[row] for row in data.item_rows.tolist()})
    assert (small.users.kind, small.items.kind) == ("user", "item")
    assert (small.user_rows.dtype, small.item_rows.dtype) == (np.int32, np.int32)
    assert (small.source, small.notes) == (data.source, data.notes)
    assert told(small.compact()) == told(small)


@given(interactions(min_size=1), st.data())
def test_take(data: Interactions, draw: st.DataObject) -> None:
    positions = draw.draw(st.lists(st.integers(0, len(data) - 1), max_size=30))
    taken = data.take(np.array(positions, dtype=np.int64))
    assert told(taken) == [told(data)[position] for position in positions]
    assert taken.users is data.users
    assert taken.items is data.items


@given(interactions(), interactions())
def test_rows_in_other_vocabularies(data: Interactions, other: Interactions) -> None:
    other = other.compact()
    user_rows, item_rows = data.rows_in(other.users, other.items)
    assert user_rows.dtype == item_rows.dtype == np.int32
    for own, there, mine, theirs in (
        (data.user_rows, user_rows, data.users, other.users),
        (data.item_rows, item_rows, data.items, other.items),
    ):
        for row, found in zip(own.tolist(), there.tolist(), strict=True):
            assert found == -1 or theirs.ids[found] == mine.ids[row]
            assert (found == -1) == (mine.ids[row] not in theirs.ids.to_list())


def test_rows_in_a_vocabulary_of_the_other_type() -> None:
    """A validation table whose ids happen to be text is still about the same users."""
    data = Interactions(
        users=Vocabulary(pl.Series(["10", "20", "x"]), "user"),
        items=ITEMS,
        user_rows=np.array([2, 0, 1], np.int32),
        item_rows=np.array([0, 1, 2], np.int32),
        ratings=np.ones(3, np.float32),
    )
    assert data.rows_in(USERS, ITEMS)[0].tolist() == [-1, 0, 1]


@given(interactions(min_size=1))
def test_by_user_and_counts(data: Interactions) -> None:
    seen: list[int] = []
    for user in range(data.n_users):
        positions = data.by_user.of(user).tolist()
        assert positions == sorted(positions)
        assert all(data.user_rows[position] == user for position in positions)
        assert len(positions) == data.user_counts[user]
        seen += positions
    assert sorted(seen) == list(range(len(data)))
    assert data.item_counts.tolist() == [int((data.item_rows == item).sum()) for item in range(data.n_items)]
    assert data.scale == (data.ratings.min(), data.ratings.max())


def small(**changes: Any) -> Interactions:
    return replace(
        Interactions(
            users=USERS,
            items=ITEMS,
            user_rows=np.array([0, 1], np.int32),
            item_rows=np.array([0, 1], np.int32),
            ratings=np.array([1, 2], np.float32),
            times=np.array([1, 2], np.int64),
        ),
        **changes,
    )


def test_names_are_ids_where_there_are_none() -> None:
    assert small().names.to_list() == list("abcdef")
    assert small(items=Vocabulary(pl.Series([5, 7]))).names.to_list() == ["5", "7"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user_rows": np.array([0, 1], np.int64)}, "user_rows is int64"),
        ({"item_rows": np.array([0, 1, 2], np.int32)}, r"item_rows is int32 of shape \(3,\)"),
        ({"ratings": np.array([1, 2], np.float64)}, "ratings is float64"),
        ({"ratings": np.array([[1], [2]], np.float32)}, r"shape \(2, 1\)"),
        ({"times": np.array([1.0, 2.0])}, "times is float64"),
        ({"user_rows": np.array([0, 5], np.int32)}, "user_rows reaches from 0 to 5; the vocabulary has 5 ids"),
        ({"item_rows": np.array([-1, 1], np.int32)}, "item_rows reaches from -1 to 1"),
        ({"ratings": np.array([1, np.nan], np.float32)}, "not a finite number"),
        ({"ratings": np.array([1, np.inf], np.float32)}, "not a finite number"),
        ({"item_names": pl.Series(["x"])}, "There are 1 item names for 6 items"),
        ({"item_table": pl.DataFrame({"x": [1]})}, "The item table has 1 rows for 6"),
        ({"user_table": pl.DataFrame({"x": [1]})}, "The user table has 1 rows for 5"),
    ],
)
def test_columns_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        small(**changes)


def test_interactions_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        small().ratings = np.zeros(2, np.float32)  # type: ignore[misc]


@given(st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**31 - 1))))
def test_stable_order(rows: list[int]) -> None:
    order = stable_order(np.array(rows, np.int32))
    assert order.dtype == np.int64
    assert order.tolist() == sorted(range(len(rows)), key=lambda position: rows[position])


@given(interactions(min_size=2))
def test_a_mask_is_no_positions(data: Interactions) -> None:
    with pytest.raises(TypeError, match="a mask"):
        data.take(np.ones(len(data), bool))  # type: ignore[arg-type]
