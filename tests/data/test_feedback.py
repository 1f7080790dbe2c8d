"""Reading interactions that nobody rated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from penchant.data.interactions import Interactions
from penchant.data.read import read_ratings
from penchant.errors import DataError, SettingError


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "table.csv"
        path.write_text(text)
        return path

    return write


def by_pair(found: Interactions) -> dict[tuple[str, str], float]:
    users, items = found.users.take(found.user_rows), found.items.take(found.item_rows)
    return dict(zip(zip(users, items, strict=True), found.ratings.tolist(), strict=True))


def test_a_table_of_users_and_items_alone_is_implicit_and_repetitions_are_summed(table: Callable[[str], Path]) -> None:
    found = read_ratings(table("user,item\na,x\na,y\nb,x\nb,x\n"))
    assert found.is_implicit
    assert by_pair(found) == {("a", "x"): 1, ("a", "y"): 1, ("b", "x"): 2}
    assert "their sum is kept" in found.notes[-1]


def test_times_and_names_do_not_make_ratings(table: Callable[[str], Path]) -> None:
    found = read_ratings(table("user,item,title,timestamp\na,x,X,5\nb,y,Y,6\n"))
    assert found.is_implicit
    assert found.times is not None


def test_a_file_without_a_header_too(table: Callable[[str], Path]) -> None:
    assert read_ratings(table("1,7\n2,8\n2,7\n")).is_implicit


def test_an_unknown_column_is_not_taken_for_nothing(table: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match="No column looks like the rating") as caught:
        read_ratings(table("user,item,plays\na,x,3\nb,y,4\n"))
    assert "--implicit" in caught.value.remedy


def test_weights_count_and_are_summed_or_not_as_asked(table: Callable[[str], Path]) -> None:
    text = "user,item,plays\na,x,3\na,y,1\nb,x,2\nb,x,5\n"
    assert by_pair(read_ratings(table(text), weight="plays"))["b", "x"] == 7
    assert by_pair(read_ratings(table(text), weight="plays", duplicates="last"))["b", "x"] == 5
    assert set(read_ratings(table(text), implicit=True, duplicates="last").ratings.tolist()) == {1.0}


@pytest.mark.parametrize("weight", ["0", "-2"])
def test_a_weight_of_nothing_is_refused_with_its_line(table: Callable[[str], Path], weight: str) -> None:
    with pytest.raises(DataError, match=f"The weight {weight} is not above 0") as caught:
        read_ratings(table(f"user,item,plays\na,x,3\nb,y,{weight}\n"), weight="plays")
    assert "line 3" in str(caught.value) or ":3" in str(caught.value)


def test_ratings_from_one_up_are_positives(table: Callable[[str], Path]) -> None:
    found = read_ratings(table("user,item,rating\na,x,5\na,y,3\nb,x,4\nb,z,1\nc,z,4.5\n"), positive_from=4)
    assert found.is_implicit
    assert by_pair(found) == {("a", "x"): 1, ("b", "x"): 1, ("c", "z"): 1}
    assert "2 below are left out" in found.notes[-1]


def test_no_rating_so_high(table: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match="No rating is 6 or more"):
        read_ratings(table("user,item,rating\na,x,5\nb,y,3\n"), positive_from=6)


@pytest.mark.parametrize("more", [{"rating": "rating"}, {"positive_from": 4}])
def test_implicit_and_rated_exclude_each_other(table: Callable[[str], Path], more: dict[str, float]) -> None:
    with pytest.raises(SettingError, match="have no ratings"):
        read_ratings(table("user,item,rating\na,x,5\nb,y,3\n"), implicit=True, **more)


def test_a_weight_of_zero_cannot_be_built(ratings: Interactions) -> None:
    from dataclasses import replace

    with pytest.raises(DataError, match="not above 0"):
        replace(ratings, ratings=np.zeros(len(ratings), np.float32), is_implicit=True)
