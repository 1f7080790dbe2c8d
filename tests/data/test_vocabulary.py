"""Ids to rows and back, whatever an id is and however it is asked for."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penchant.data.vocabulary import Vocabulary, plain_integers
from penchant.errors import DataError, UnknownIdError

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=6)
EITHER = st.one_of(
    st.lists(INT64, max_size=30), st.lists(st.integers(-5, 20), max_size=30), st.lists(TEXT, max_size=30)
)


def vocabulary(ids: list[Any], kind: str = "item") -> Vocabulary:
    dtype = pl.Int64 if all(isinstance(id_, int) for id_ in ids) else pl.String
    return Vocabulary.from_ids(pl.Series(ids, dtype=dtype), kind)


NUMBERS = vocabulary([30, 7, -2, 7])
WORDS = vocabulary(["b", "007", "7", "ä", "b"])


@given(EITHER)
def test_rows_are_the_inverse_of_take(ids: list[Any]) -> None:
    known = vocabulary(ids)
    distinct = sorted(set(ids))
    everything = np.arange(len(known))
    assert len(known) == len(distinct)
    assert known.take(everything) == known.ids.to_list()
    assert sorted(known.take(everything)) == distinct
    rows = known.rows(ids)
    assert rows.dtype == np.int32
    assert known.take(rows) == ids
    assert known.rows(known.ids).tolist() == everything.tolist()
    assert [known.row(id_) for id_ in ids] == rows.tolist()


@given(EITHER)
def test_the_order_of_the_ids_never_matters(ids: list[Any]) -> None:
    assert vocabulary(ids).ids.equals(vocabulary(ids[::-1] * 2).ids)


@given(st.lists(INT64, min_size=1, max_size=20), st.lists(INT64, max_size=20))
@example([2**63 - 1, -(2**63)], [0, -1, -(2**63)])
@example([-(2**63)], [-(2**63), 0])
@example([5, 6, 8], list(range(-20, 40)))
def test_unknown_integers(ids: list[int], asked: list[int]) -> None:
    known = vocabulary(ids)
    expected = {id_: row for row, id_ in enumerate(sorted(set(ids)))}
    assert known.rows(asked, missing="minus one").tolist() == [expected.get(id_, -1) for id_ in asked]
    every = [*asked, *ids] * 5
    assert known.rows(every, missing="minus one").tolist() == [expected.get(id_, -1) for id_ in every]


@given(st.lists(TEXT, min_size=1, max_size=20), st.lists(TEXT, max_size=20))
def test_unknown_text(ids: list[str], asked: list[str]) -> None:
    known = vocabulary(ids)
    expected = dict(zip(known.ids.to_list(), range(len(known)), strict=True))
    assert known.rows(asked, missing="minus one").tolist() == [expected.get(id_, -1) for id_ in asked]
    every = [*asked, *ids, None] * 5
    assert known.rows(every, missing="minus one").tolist() == [expected.get(id_, -1) for id_ in every]


@given(st.lists(st.lists(st.integers(-3, 9), max_size=5), min_size=1), st.sampled_from([1, 2**40]), st.integers(-9, 9))
def test_a_column_in_several_parts(parts: list[list[int]], step: int, start: int) -> None:
    column = pl.concat(
        [pl.Series([start + step * id_ for id_ in part], dtype=pl.Int64) for part in parts], rechunk=False
    )
    known = Vocabulary.from_ids(column)
    assert known.ids.to_list() == sorted(set(column))
    assert known.take(known.rows(column)) == column.to_list()


ASKED: list[tuple[Vocabulary, Any, int]] = [
    (NUMBERS, 7, 1),
    (NUMBERS, "7", 1),
    (NUMBERS, "-2", 0),
    (NUMBERS, np.int32(30), 2),
    (NUMBERS, np.str_("30"), 2),
    (NUMBERS, 7.0, 1),
    (NUMBERS, "007", -1),
    (NUMBERS, "+7", -1),
    (NUMBERS, " 7", -1),
    (NUMBERS, "7.0", -1),
    (NUMBERS, "x", -1),
    (NUMBERS, "", -1),
    (NUMBERS, 7.5, -1),
    (NUMBERS, float("nan"), -1),
    (NUMBERS, None, -1),
    (NUMBERS, True, -1),
    (NUMBERS, 2**64, -1),
    (NUMBERS, str(2**64), -1),
    (NUMBERS, "9" * 5000, -1),
    (NUMBERS, date(2020, 1, 1), -1),
    (NUMBERS, (7,), -1),
    (NUMBERS, [7], -1),
    (WORDS, "7", 1),
    (WORDS, 7, 1),
    (WORDS, np.int64(7), 1),
    (WORDS, "007", 0),
    (WORDS, np.str_("ä"), 3),
    (WORDS, "a", -1),
    (WORDS, "", -1),
    (WORDS, "b ", -1),
    (WORDS, None, -1),
    (WORDS, 7.0, -1),
    (WORDS, False, -1),
    (WORDS, b"b", -1),
    (WORDS, {"b": 1}, -1),
    (vocabulary([]), 1, -1),
    (Vocabulary(pl.Series([], dtype=pl.String)), "x", -1),
]


@pytest.mark.parametrize(("known", "asked", "row"), ASKED)
def test_one_id_alone_and_in_a_list(known: Vocabulary, asked: Any, row: int) -> None:
    assert known.rows([asked], missing="minus one").tolist() == [row]
    if row >= 0:
        assert known.row(asked) == row
        assert known.rows([asked]).tolist() == [row]
        return
    for ask in (lambda: known.row(asked), lambda: known.rows([asked])):
        with pytest.raises(UnknownIdError) as caught:
            ask()
        shown = repr(asked.item() if isinstance(asked, np.generic) else asked)
        assert caught.value.problem == f"There is no item {shown} in this model."


@pytest.mark.parametrize(
    "asked",
    [
        [30, -2, 99, 7],
        ["30", "-2", "x", "7"],
        [30, "-2", "x", "7"],
        [30.0, -2.0, 1.5, 7.0],
        [30, -2, None, 7],
        (id_ for id_ in (30, -2, 99, 7)),
        np.array([30, -2, 99, 7], dtype=np.int16),
        np.array(["30", "-2", "x", "7"]),
        np.array([30, "-2", None, 7], dtype=object),
        pl.Series([30, -2, 99, 7]),
        pl.Series(["30", "-2", "x", "7"], dtype=pl.Categorical),
        pl.Series([30, -2, None, 7], dtype=pl.Int32),
        pl.Series([30.0, -2.0, 1.5, 7.0]),
        pd.Series([30, -2, 99, 7]),
        pd.Series([30, -2, None, 7], dtype="Int64"),
        pd.Series(["30", "-2", "x", "7"], dtype="category"),
    ],
)
def test_many_ids_in_any_container(asked: Any) -> None:
    assert NUMBERS.rows(asked, missing="minus one").tolist() == [2, 0, -1, 1]


@pytest.mark.parametrize("asked", [[], (), np.array([]), np.array([], dtype=np.int64), pl.Series([]), pd.Series([])])
@pytest.mark.parametrize("known", [NUMBERS, WORDS, vocabulary([])])
def test_no_ids(known: Vocabulary, asked: Any) -> None:
    rows = known.rows(asked)
    assert rows.tolist() == []
    assert rows.dtype == np.int32


@pytest.mark.parametrize("ids", [[f"u{n}" for n in range(50)], [2**40 * n for n in range(50)]])
def test_ids_that_are_joined_in_several_parts(ids: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penchant.data.vocabulary.JOINED", 7)
    known = vocabulary(ids)
    asked = [*ids[::-1], None, *ids]
    assert known.rows(asked, missing="minus one").tolist() == [known.row(id_) if id_ in ids else -1 for id_ in asked]


def test_the_first_unknown_id_is_named() -> None:
    with pytest.raises(UnknownIdError, match="There is no item 'x9' in this model") as caught:
        NUMBERS.rows(["7", "x9", "y"])
    assert caught.value.remedy == "The model knows 3 items, such as -2, 7, 30."
    with pytest.raises(UnknownIdError, match="There is no user 5 in this model") as caught:
        vocabulary(["a"], "user").rows(pl.Series([5, 6]))
    assert "such as 'a'" in caught.value.remedy
    assert "--rated FILE" in caught.value.remedy


def test_ids_as_typed_by_a_person() -> None:
    assert NUMBERS.parse("42") == 42
    assert NUMBERS.parse("042") is None
    assert WORDS.parse(42) == "42"
    assert WORDS.parse("42") == "42"


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pl.Series([1.0]), "of type Float64"),
        (pl.Series([1], dtype=pl.Int32), "of type Int32"),
        (pl.Series(["a", None]), "1 item ids are missing"),
        (pl.Series([2, 1]), "not distinct and ascending"),
        (pl.Series([1, 1]), "not distinct and ascending"),
        (pl.Series(["b", "a"]), "not distinct and ascending"),
    ],
)
def test_what_is_no_vocabulary(ids: pl.Series, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Vocabulary(ids)


@given(
    st.lists(st.one_of(st.none(), TEXT, INT64.map(str), st.text(alphabet="0123456789-+ .e_", max_size=4)), max_size=20)
)
def test_plain_integers(values: list[str | None]) -> None:
    def plain(value: str | None) -> int | None:
        try:
            number = int(value or "")
        except ValueError:
            return None
        return number if str(number) == value and -(2**63) <= number < 2**63 else None

    assert plain_integers(pl.Series(values, dtype=pl.String)).to_list() == [plain(value) for value in values]
