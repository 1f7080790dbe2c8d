"""Columns of every kind as features; what is no feature; tables that look other than those of training."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penchant.data.features import MOST_WORDS, Columns, Feature, find_features, texts
from penchant.data.read import read_ratings
from penchant.errors import SettingError

GENRES = ["Drama|War", "Comedy", " Drama ", None, "", "War|Comedy|War", "Drama"]


def found(wanted: Columns = "auto", **columns: Any) -> tuple[Feature, ...]:
    return find_features(pl.DataFrame(columns), wanted, "item")


def only(**columns: Any) -> Feature:
    (feature,) = found(**columns)
    return feature


def members(feature: Feature, **columns: Any) -> list[set[str]]:
    """The members of each row by name."""
    table = pl.DataFrame(columns)
    rows, numbers = feature.entries(table)
    assert rows.dtype == numbers.dtype == np.int32
    sets: list[set[str]] = [set() for _ in range(len(table))]
    for row, number in zip(rows, numbers, strict=True):
        assert feature.members[number] not in sets[row], "a row has a member twice"
        sets[row].add(feature.members[number])
    return sets


# Words.


def test_words_between_bars_are_a_set() -> None:
    feature = only(genres=GENRES)
    assert feature == Feature("words", ("genres",), ("Comedy", "Drama", "War"))
    assert feature.name == "genres"
    expected = [{"Drama", "War"}, {"Comedy"}, {"Drama"}, set(), set(), {"War", "Comedy"}, {"Drama"}]
    assert members(feature, genres=GENRES) == expected


def test_single_words_are_sets_of_one() -> None:
    feature = only(gender=["F", "M", "M", "F", "f"])
    assert (feature.kind, feature.members) == ("words", ("F", "M"))  # "f" is one row's alone
    assert members(feature, gender=["M", "f", "F"]) == [{"M"}, set(), {"F"}]


def test_words_of_any_alphabet_are_kept_as_they_are() -> None:
    column = ["Комедия|драма", "драма", "喜剧|Комедия", "喜剧", "e\u0301|é", "é|e\u0301", "🎬|драма", "🎬"]
    feature = only(genres=column)
    assert set(feature.members) == {"Комедия", "драма", "喜剧", "é", "e\u0301", "🎬"}
    assert members(feature, genres=column)[6] == {"🎬", "драма"}


def test_bars_and_blanks_alone_are_no_words() -> None:
    column = ["a||b", "|a|", " | ", "|", "b | a", "\t"]
    assert members(only(x=column), x=column) == [{"a", "b"}, {"a"}, set(), set(), {"a", "b"}, set()]


def test_of_very_many_words_those_of_most_rows_are_taken() -> None:
    words = [f"w{number:04}" for number in range(MOST_WORDS + 5)]
    column = ["|".join(words), "|".join(words), "|".join(words[5:])]
    assert only(x=column).members == tuple(words[5:])


def test_few_whole_numbers_are_taken_as_words() -> None:
    feature = only(code=[1, 2, 3, 1, 2, 3, 20])
    assert (feature.kind, feature.members) == ("words", ("1", "2", "3"))


# Flags.


def test_columns_of_zeros_and_ones_are_one_set() -> None:
    columns = {"war": ["0", "1", "0"], "drama": [1, 1, 0], "new": [True, False, False], "old": [0.0, 1.0, 0.0]}
    feature = only(**columns)
    assert feature == Feature("flags", tuple(columns), tuple(columns))
    assert feature.name == "flags"
    assert members(feature, **columns) == [{"drama", "new"}, {"war", "drama", "old"}, set()]


def test_flags_that_a_table_lacks_or_that_are_other_than_1_are_not_set() -> None:
    feature = only(a=[0, 1, 1], b=[1, 0, 1])
    assert members(feature, b=["1", " 1 ", None, "2", "yes", ""]) == [{"b"}, {"b"}, set(), set(), set(), set()]


@pytest.mark.parametrize("column", [["0", "1", None, "1"], ["0", "1", "2", "1"]])
def test_a_column_with_anything_but_0_and_1_is_no_flag(column: list[str | None]) -> None:
    assert only(x=column).kind == "words"


# Years.


def test_years_of_titles_are_in_steps_of_five() -> None:
    titles = ["Heat (1995)", "2001: A Space Odyssey (1968)", "Blade Runner 2049 (2017)", "Ran (1985)", "Up (2009)", "?"]
    feature = only(title=titles)
    assert feature.kind == "years"
    assert (feature.members[0], feature.members[-1], len(feature.members)) == ("1965 to 1969", "2015 to 2019", 11)
    expected = [{"1995 to 1999"}, {"1965 to 1969"}, {"2015 to 2019"}, {"1985 to 1989"}, {"2005 to 2009"}, set()]
    assert members(feature, title=titles) == expected


@pytest.mark.parametrize(
    "column",
    [
        ["01-Jan-1995", "14-Feb-1980", "03-Mar-1983"],
        [date(1995, 1, 1), date(1980, 2, 14), date(1983, 3, 3)],
        [datetime(1995, 1, 1), datetime(1980, 2, 14, 20, 30), datetime(1983, 3, 3)],
        [1995, 1980, 1983],
        [1995.0, 1980.0, 1983.0],
        ["1995", " 1980", "1983.0"],
    ],
    ids=["texts", "dates", "times", "integers", "floats", "numbers as text"],
)
def test_years_are_found_in_dates_and_numbers(column: list[Any]) -> None:
    feature = only(released=column)
    assert feature.members == ("1980 to 1984", "1985 to 1989", "1990 to 1994", "1995 to 1999")
    assert members(feature, released=column) == [{"1995 to 1999"}, {"1980 to 1984"}, {"1980 to 1984"}]


def test_years_outside_those_of_training_are_in_the_outer_steps() -> None:
    feature = only(year=[1980, 1983, 1995])
    assert members(feature, year=[1801, 2099, 1700, None]) == [{"1980 to 1984"}, {"1995 to 1999"}, set(), set()]


def test_digits_within_longer_numbers_are_no_years() -> None:
    assert found(x=["a 0195153448", "b 0195153555", "c 0200512345"]) == ()
    feature = only(title=["Ran (1985)", "Up (2009)"])
    assert members(feature, title=["No 19851 (x)", "1985th"]) == [set(), {"1985 to 1989"}]


def test_digits_of_other_alphabets_are_no_years() -> None:
    feature = only(title=["Ran (1985)", "Up (2009)", "Heat (1995)", "Kes (1969)", "١٩٩٠ 19٩٩"])
    assert members(feature, title=["١٩٩٠ 19٩٩"]) == [set()]


def test_columns_that_name_the_same_years_are_one() -> None:
    years = [1960 + 3 * n for n in range(20)]
    table = {"title": [f"film {n} ({year})" for n, year in enumerate(years)], "date": [f"01-Jan-{y}" for y in years]}
    assert [feature.name for feature in found(**table)] == ["title"]
    first_is_lacking = {**table, "date": [None, *table["date"][1:]]}
    assert [feature.name for feature in found(**first_is_lacking)] == ["title"]
    others = {**table, "date": [f"01-Jan-{year + 20}" for year in years]}
    assert [feature.name for feature in found(**others)] == ["title", "date"]


def test_columns_with_the_same_words_are_not_taken_for_the_same_years() -> None:
    assert len(found(a=GENRES, b=GENRES)) == 2


# Numbers.


def test_numbers_are_in_ten_bins_of_equally_many_rows() -> None:
    ages = [number / 2 for number in range(200)]
    feature = only(age=ages)
    assert (feature.kind, len(feature.members)) == ("numbers", 10)
    rows, bins = feature.entries(pl.DataFrame({"age": ages}))
    assert rows.tolist() == list(range(200))
    assert np.bincount(bins).tolist() == [20] * 10
    expected = [{"-inf to 10"}, {"-inf to 10"}, {"10 to 20"}, {"90 to inf"}, set(), set(), set()]
    assert members(feature, age=[-1e300, 9.9, 10, 1e300, None, math.nan, math.inf]) == expected


def test_where_most_numbers_are_the_least_a_bin_is_for_those_above_it() -> None:
    prizes = [0] * 400 + list(range(3, 33))
    feature = only(prizes=prizes)
    assert feature.members == ("-inf to 3", "3 to inf")
    assert members(feature, prizes=[0, 3, 4]) == [{"-inf to 3"}, {"3 to inf"}, {"3 to inf"}]


def test_numbers_that_are_close_or_huge_have_bins_with_names_of_their_own() -> None:
    close = only(x=[1_000_000.25 + number / 8 for number in range(40)])
    assert len(set(close.members)) == 10
    huge = [sign * 1.7e308 / (1 + number) for number in range(20) for sign in (-1, 1, 1)]
    feature = only(x=huge)
    assert len(feature.members) == len(feature.edges) + 1 > 5
    assert Feature.from_json(json.loads(json.dumps(feature.to_json()))) == feature


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "NaN", "1e400", "1e999"])
def test_texts_of_infinity_and_of_no_number_are_in_no_bin(text: str) -> None:
    feature = only(x=[number / 4 for number in range(40)])
    assert members(feature, x=[text, "3"]) == [set(), {"3 to 4"}]
    found(x=[text, *(str(number / 4) for number in range(40))])  # no traceback, whatever it is


def test_whole_numbers_that_look_like_years_but_are_written_otherwise_are_read() -> None:
    assert only(x=["1.98e3", "1.995e3", "1.983e3"]).kind == "years"


# What is no feature.


def test_ids_names_and_addresses_are_left_out() -> None:
    n = 40
    table = {
        "id": [str(number) for number in range(1, n + 1)],
        "code": [f"u{number}" for number in range(n)],
        "name": [f"Film {number} of {n}" for number in range(n)],
        "link": ["http://example.org/same"] * n,
        "words and links": ["a|b", "a|http://example.org"] * (n // 2),
    }
    assert [feature.name for feature in found(**table)] == ["words and links"]
    assert found(id=[101, 102, 103]) == ()


@pytest.mark.parametrize(
    "column",
    [
        *([None, None, None], ["", " ", None], ["a", None, None], ["a", "b", "c"], ["a", "a", "a"], ["1", "1", "1"]),
        *([0, 0, 0], [7.5, 7.5, 7.5], [1995, 1995, 1996], ["Heat (1995)", "Seven (1995)", "Casino (1995)"]),
        *([[1], [2], [1]], [{"a": 1}, {"a": 1}, None], [b"\xff", b"\xff", b"a"], [True, True, True]),
    ],
    ids=str,
)
def test_columns_that_tell_no_rows_apart_are_left_out(column: list[Any]) -> None:
    assert found(x=column) == ()
    with pytest.raises(SettingError, match="The column 'x' says nothing that some items share"):
        found(("x",), x=column)


def test_objects_of_python_are_left_out() -> None:
    column = pl.Series("x", [object(), object(), object()], dtype=pl.Object)
    assert found(x=column) == ()
    assert members(only(x=["a", "a", "b", "b"]), x=column) == [set(), set(), set()]


def test_one_word_that_some_rows_lack_tells_them_apart() -> None:
    assert members(only(club=["gold", None, "gold"]), club=["gold", None]) == [{"gold"}, set()]


def test_a_table_without_rows_or_columns_or_none_has_no_features() -> None:
    assert find_features(None, "auto", "user") == find_features(pl.DataFrame(), "auto", "user") == ()
    for dtype in (pl.String, pl.Float64, pl.Int8, pl.Boolean, pl.Date, pl.Null, pl.List(pl.Int8)):
        assert find_features(pl.DataFrame({"x": []}, schema={"x": dtype}), "auto", "user") == ()


# Columns named by the user.


def test_named_columns_alone_are_read() -> None:
    table = {"gender": ["F", "M", "F", "M"], "job": ["a", "b", "b", "a"], "war": [0, 1, 1, 0]}
    assert [feature.name for feature in found(**table)] == ["flags", "gender", "job"]
    assert [feature.name for feature in found(("job",), **table)] == ["job"]
    assert [feature.name for feature in found(("war", "job", "job"), **table)] == ["flags", "job"]
    assert found("none", **table) == found((), **table) == ()


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(SettingError) as caught:
        find_features(pl.DataFrame({"age": [1], "job": ["a"]}), ("age", "jobs"), "user")
    assert str(caught.value) == "The user table has no column 'jobs'.\nIts columns: age, job."


def test_a_column_of_no_table_is_an_error_in_words() -> None:
    with pytest.raises(SettingError, match="There is no user table, so no column 'job'"):
        find_features(None, ("job",), "user")


# Tables other than that of training.


@pytest.fixture
def features() -> tuple[Feature, ...]:
    """One of each kind."""
    n = 40
    return found(
        war=[number % 2 for number in range(n)],
        new=[number % 3 == 0 for number in range(n)],
        genres=["Drama|War", "Comedy"] * (n // 2),
        code=[number % 5 for number in range(n)],
        title=[f"film {number} ({1960 + number})" for number in range(n)],
        length=[60 + number / 3 for number in range(n)],
    )


def test_one_of_each_kind_is_found(features: tuple[Feature, ...]) -> None:
    kinds = [("flags", "flags"), ("genres", "words"), ("code", "words"), ("title", "years"), ("length", "numbers")]
    assert [(feature.name, feature.kind) for feature in features] == kinds


def test_a_table_that_lacks_the_columns_says_nothing(features: tuple[Feature, ...]) -> None:
    for table in (pl.DataFrame({"other": ["a", "b"]}), pl.DataFrame()):
        for feature in features:
            rows, numbers = feature.entries(table)
            assert (rows.tolist(), numbers.tolist()) == ([], [])
            assert rows.dtype == numbers.dtype == np.int32


def test_the_type_of_a_column_does_not_matter_to_what_it_says(features: tuple[Feature, ...]) -> None:
    flags, genres, code, _, length = features
    flags_as: list[list[Any]] = [[1, 0, None], ["1", "0", None], [1.0, 0.0, math.nan], [True, False, None]]
    assert [members(flags, war=column) for column in flags_as] == [[{"war"}, set(), set()]] * 4
    codes_as: list[list[Any]] = [[3, 9, None], ["3", "9", ""], [3.0, 9.0, math.nan], [3.0, 3.5, None]]
    assert [members(code, code=column) for column in codes_as] == [[{"3"}, set(), set()]] * 4
    assert members(length, length=[70]) == members(length, length=["70"]) == members(length, length=[70.0])
    for dtype in (pl.Categorical, pl.Enum(["Comedy", "Opera"])):
        assert members(genres, genres=pl.Series(["Comedy", "Opera"], dtype=dtype)) == [{"Comedy"}, set()]


@pytest.mark.parametrize(
    "column",
    [
        *([None, None], [["a"], ["b"]], [{"a": 1}, None], [b"\xff", b"1"]),
        *(["?", "Opera"], [date.max, None], [-1e308, 2**62]),
    ],
    ids=str,
)
def test_columns_that_say_nothing_known_are_no_error(features: tuple[Feature, ...], column: list[Any]) -> None:
    table = pl.DataFrame({name: pl.Series(column, strict=False) for name in ("war", "genres", "code", "title")})
    assert [len(feature.entries(table)[0]) for feature in features] == [0] * len(features)


# JSON.


def test_features_come_back_from_json(features: tuple[Feature, ...]) -> None:
    for feature in features:
        assert Feature.from_json(json.loads(json.dumps(feature.to_json()))) == feature


WORDS = {"kind": "words", "columns": ["x"], "members": ["a", "b"], "edges": []}
YEARS = {"kind": "years", "columns": ["x"], "members": ["a", "b", "c"], "edges": [1.0, 2.0]}


@pytest.mark.parametrize(
    "fields",
    [
        *(None, [], "words", 3, {}, {"kind": "words"}),
        *({**WORDS, "kind": kind} for kind in ("word", "", None, [], {}, "__class__", "flags", "numbers")),
        *({**WORDS, "columns": columns} for columns in ([], ["x", "y"], "x", None, [3], [["x"]], {"x": 1})),
        *({**WORDS, "members": members} for members in ([], ["a", "a"], "ab", None, [1, 2], [None], {"a": 1})),
        *({**WORDS, "edges": edges} for edges in ([1.0], None, "1", [None])),
        *({**YEARS, "edges": edges} for edges in ([2.0, 1.0], [1.0, 1.0], [1.0], [], [1.0, math.nan], [1.0, math.inf])),
        *({**YEARS, "edges": edges} for edges in ([-math.inf, 1.0], ["1", "2"], [1.0, 10**400], [1.0, [2.0]])),
    ],
    ids=lambda fields: str(fields)[:60],
)  # fmt: skip
def test_json_that_is_of_no_feature_is_refused(fields: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)) as caught:
        Feature.from_json(fields)
    assert len(str(caught.value)) < 300


# Any table of text.

TEXTS = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.sampled_from(
        ["0", "1", "a|b", "b", "", " ", "|", "1995", "x (1980)", "inf", "nan", "1e308", "-1e308", "http://x"]
    ),
    st.floats().map(str),
    st.integers(-(10**25), 10**25).map(str),
    st.integers(1790, 2110).map(str),
    st.dates().map(str),
)


@st.composite
def tables(draw: Any, names: st.SearchStrategy[set[str]] = st.sets(st.text(max_size=3), max_size=4)) -> pl.DataFrame:  # noqa: B008
    n = draw(st.integers(0, 25))
    pools = st.one_of(st.just(TEXTS), st.lists(TEXTS, min_size=1, max_size=8).map(st.sampled_from))
    columns = {name: draw(st.lists(draw(pools), min_size=n, max_size=n)) for name in draw(names)}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_any_table_of_text_has_features_whose_entries_are_in_range(data: st.DataObject) -> None:
    table = data.draw(tables())
    other = data.draw(tables(st.just(set(table.columns[1:]))))
    for feature in find_features(table, "auto", "item"):
        assert Feature.from_json(json.loads(json.dumps(feature.to_json()))) == feature
        assert len(np.unique(feature.entries(table)[0])) >= 2
        for answered in (table, table.head(1), other):
            rows, numbers = feature.entries(answered)
            assert rows.dtype == numbers.dtype == np.int32
            assert ((rows >= 0) & (rows < len(answered))).all()
            assert ((numbers >= 0) & (numbers < len(feature.members))).all()
            assert len(set(zip(rows.tolist(), numbers.tolist(), strict=True))) == len(rows)


@given(tables())
@settings(max_examples=40, deadline=None)
def test_naming_any_column_gives_features_or_an_error_in_words(table: pl.DataFrame) -> None:
    for name in table.columns:
        try:
            features = find_features(table, (name,), "item")
        except SettingError as error:
            assert f"'{name}'" in str(error)  # noqa: PT017
        else:
            assert len(features) == 1


def test_texts_are_without_blanks_and_null_where_there_are_none() -> None:
    assert texts(pl.Series([" a ", "\u3000", "", None, "b\n"])).to_list() == ["a", None, None, None, "b"]
    assert texts(pl.Series([1.0, 2.5, math.nan, None, -0.5])).to_list() == ["1", "2.5", None, None, "-0.5"]
    assert texts(pl.Series([True, False, None])).to_list() == ["1", "0", None]


# Published tables.


def real(published: Path, name: str, kind: str, **columns: str) -> dict[str, Feature]:
    if not (published / name).is_dir():
        pytest.skip(f"PENCHANT_DATA names no folder that has {name}")
    table = getattr(read_ratings(published / name, **columns), f"{kind}_table")
    features = {feature.name: feature for feature in find_features(table, "auto", kind)}
    assert all(len(np.unique(feature.entries(table)[0])) > 0.9 * len(table) for feature in features.values())
    return features


def test_films_of_ml_latest_small_have_years_and_genres(published: Path) -> None:
    features = real(published, "ml-latest-small", "item", item="title")
    assert {name: feature.kind for name, feature in features.items()} == {"title": "years", "genres": "words"}
    assert {"Drama", "Film-Noir", "Sci-Fi", "(no genres listed)"} < set(features["genres"].members)
    assert len(features["genres"].members) == 20


def test_films_and_users_of_ml_100k_have_what_its_readme_lists(published: Path) -> None:
    films = real(published, "ml-100k", "item")
    assert {name: feature.kind for name, feature in films.items()} == {"title": "years", "genres": "words"}
    users = real(published, "ml-100k", "user")
    kinds = {"age": "numbers", "gender": "words", "occupation": "words"}
    assert {name: feature.kind for name, feature in users.items()} == kinds
    assert len(users["occupation"].members) == 21


def test_readers_and_books_of_book_crossing_have_few_features(published: Path) -> None:
    readers, books = (real(published, "book-crossing", kind) for kind in ("user", "item"))
    assert {name: feature.kind for name, feature in readers.items()} == {"Age": "numbers"}
    kinds = {"Year-Of-Publication": "years", "Publisher": "words"}
    assert {name: feature.kind for name, feature in books.items()} == kinds
