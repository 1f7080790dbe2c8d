"""Tables that are not ratings: users, pairs, a few ratings of somebody new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from penchant.data.pairs import lists_table, read_ids, read_pairs, read_rated
from penchant.data.vocabulary import Vocabulary
from penchant.errors import DataError, UnknownIdError

NUMBERS = Vocabulary(pl.Series([1, 2, 7]), "user")
WORDS = Vocabulary(pl.Series(["007", "ann", "bob"]), "user")


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def write(text: str, name: str = "table.csv") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("text", "vocabulary", "ids"),
    [
        ("user\n7\n1\n7\n", NUMBERS, [7, 1]),
        ("userId,age\n2,30\n1,40\n", NUMBERS, [2, 1]),
        ("7\n1\n", NUMBERS, [7, 1]),
        ("who\n7\n", NUMBERS, [7]),
        ("user\nbob\n007\n", WORDS, ["bob", "007"]),
        ("user;n\nbob;1\nann;2\n", WORDS, ["bob", "ann"]),
    ],
)
def test_ids_are_those_of_the_vocabulary_in_the_order_of_the_table(
    table: Any, text: str, vocabulary: Vocabulary, ids: list[Any]
) -> None:
    assert read_ids(table(text), vocabulary) == (ids, 0)


def test_ids_come_from_frames_too() -> None:
    assert read_ids(pl.DataFrame({"user": [2, 1]}), NUMBERS) == ([2, 1], 0)


def test_an_unknown_id_is_named_with_its_line_and_their_number(table: Any) -> None:
    path = table("user\n1\n\n99\n2\n98\n")
    with pytest.raises(UnknownIdError) as caught:
        read_ids(path, NUMBERS)
    assert f"{path}, line 4: There is no user 99 in this model (2 of 4 lines are so)." in str(caught.value)
    assert "such as 1, 2, 7" in caught.value.remedy
    assert "--skip-unknown" in caught.value.remedy


def test_unknown_ids_can_be_left_out_but_not_all(table: Any) -> None:
    assert read_ids(table("user\n1\n99\n2\n99\n"), NUMBERS, skip_unknown=True) == ([1, 2], 2)
    with pytest.raises(DataError, match="knows none of its users"):
        read_ids(table("user\nx\ny\n"), NUMBERS, skip_unknown=True)


@pytest.mark.parametrize(
    "read",
    [lambda path: read_ids(path, NUMBERS), read_rated],
    ids=["ids", "rated"],
)
def test_a_column_that_is_not_found_has_to_be_renamed(table: Any, read: Any) -> None:
    with pytest.raises(DataError, match="the columns are a, b") as caught:
        read(table("a,b\n1,2\n"))
    assert caught.value.remedy in ("Call it 'user'.", "Call it 'item'.")


def test_pairs_by_usual_names_and_by_given_ones(table: Any) -> None:
    users, items, _, _ = read_pairs(table("movieId,userId,rating\n3,1,5\n4,2,5\n"))
    assert (users.to_list(), items.to_list()) == ([1, 2], [3, 4])
    users, items, _, _ = read_pairs(table("who,what\na,x\n"), user="who", item="what")
    assert (users.to_list(), items.to_list()) == (["a"], ["x"])


def test_times_of_pairs_are_read_where_there_are_some(table: Any) -> None:
    assert read_pairs(table("user,item\n2,3\n")).times is None
    assert read_pairs(table("user,item,timestamp\n2,3,86400\n")).times.tolist() == [86_400]
    assert read_pairs(table("user,item,when\n2,3,1970-01-02\n")).times is None
    assert read_pairs(table("user,item,when\n2,3,1970-01-02\n"), time="when").times.tolist() == [86_400]
    dated = read_pairs(table("user,item,date\n2,3,19700102\n"))
    assert dated.times.tolist() == [86_400]
    assert dated.notes == ("The times in 'date' are read as dates: 19700102 is 1970-01-02.",)
    with pytest.raises(DataError, match="column 'date'"):
        read_pairs(table("user,item,date\n2,3,soon\n"))


def test_pairs_keep_repetitions_and_their_order(table: Any) -> None:
    users, items, _, _ = read_pairs(table("user,item\n2,3\n1,3\n2,3\n"))
    assert (users.to_list(), items.to_list()) == ([2, 1, 2], [3, 3, 3])


@pytest.mark.parametrize(
    ("text", "rated"),
    [
        ("item,rating\n3,5\n4,2.5\n", {3: 5.0, 4: 2.5}),
        ("title,stars\nToy Story (1995),5\n", {"Toy Story (1995)": 5.0}),
        ("rating,movieId,title\n5,3,A\n", {3: 5.0}),
        ("item,rating\n3,5\n3,1\n", {3: 1.0}),
        ("Toy Story (1995),5\nHeat,4\n", {"Toy Story (1995)": 5.0, "Heat": 4.0}),
    ],
)
def test_a_few_ratings(table: Any, text: str, rated: dict[Any, float]) -> None:
    assert read_rated(table(text)) == rated


def test_a_rating_that_is_none_is_named(table: Any) -> None:
    with pytest.raises(DataError, match="line 3, column 'rating'"):
        read_rated(table("item,rating\n3,5\n4,good\n"))


def test_a_table_of_lists_has_ids_and_names_in_their_types() -> None:
    items, names = Vocabulary(pl.Series(["x", "y"])), pl.Series(["X", "Y"])
    rows, ranks = np.array([1, 1], np.int32), np.array([1, 2])
    scores = np.array([4.5, 6.0], np.float32)
    found = lists_table(NUMBERS, items, names, rows, ranks, np.array([1, 0], np.int32), np.minimum(scores, 5), scores)
    assert found.rows() == [(2, 1, "y", "Y", 4.5, 4.5), (2, 2, "x", "X", 5.0, 6.0)]
    assert found.dtypes == [pl.Int64, pl.Int32, pl.String, pl.String, pl.Float32, pl.Float32]
