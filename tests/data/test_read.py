"""Tables of ratings become Interactions, or an error that names the file, the line, the column and a remedy."""

from __future__ import annotations

import gzip
import io
import os
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penchant.data.datasets import DATASETS
from penchant.data.interactions import Interactions
from penchant.data.read import open_table, read_ratings
from penchant.errors import DataError, InputError, SettingError

REAL_DATA = os.environ.get("PENCHANT_DATA")

RATINGS = "user,item,rating,time\n1,10,4,100\n1,20,3.5,101\n2,10,5,102\n3,30,0.5,103\n"


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file and gives its path."""

    def write(content: str | bytes, name: str = "ratings.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


Put = Callable[..., Path]


def triples(data: Interactions) -> list[tuple[Any, Any, float]]:
    users, items = data.users.take(data.user_rows), data.items.take(data.item_rows)
    return list(zip(users, items, data.ratings.tolist(), strict=True))


def error_of(source: Any, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read_ratings(source, **options)
    assert caught.value.remedy
    if isinstance(source, Path):
        assert str(source) in str(caught.value) or options
    return caught.value


def assert_place(error: DataError, path: Path, line: int | None, column: str | None) -> None:
    assert (error.file, error.line, error.column) == (str(path), line, column)
    assert str(error).startswith(
        f"{path}" + (f", line {line}" if line else "") + (f", column '{column}'" if column else "") + ": "
    )


# --- what comes out ---------------------------------------------------------------------------------


def test_everything_about_a_small_table(put: Put) -> None:
    path = put(RATINGS)
    data = read_ratings(path)
    assert triples(data) == [(1, 10, 4.0), (1, 20, 3.5), (2, 10, 5.0), (3, 30, 0.5)]
    assert data.times is not None
    assert data.times.tolist() == [100, 101, 102, 103]
    assert (data.user_rows.dtype, data.item_rows.dtype, data.ratings.dtype, data.times.dtype) == (
        np.int32, np.int32, np.float32, np.int64,
    )  # fmt: skip
    assert (data.users.kind, data.items.kind) == ("user", "item")
    assert data.scale == (0.5, 5.0)
    assert data.source == str(path)
    assert data.notes == ()
    assert data.item_names is None
    assert data.item_table is data.user_table is None
    assert data.names.to_list() == ["10", "20", "30"]


@pytest.mark.parametrize(
    "header",
    [
        "userId,movieId,rating,timestamp",
        "user_id,item_id,score,time",
        "USER ID,Item,Rating,DATE",
        "uid,iid,stars,date",
        "User-ID,ISBN,Book-Rating,Timestamp",
        "reviewerID,asin,overall,unixReviewTime",
        "Member,Song ID,Grade,created_at",
        "customer,product_id,Star Rating,Datetime",
        "username,title,value,Rated-At",
        " user , item , rating , time ",
        '"user","item","rating","time"',
    ],
)
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0]])
def test_usual_names_in_any_spelling_and_order(header: str, order: list[int], put: Put) -> None:
    names = header.split(",")
    lines = [",".join(line.split(",")[column] for column in order) for line in RATINGS.splitlines()[1:]]
    data = read_ratings(put("\n".join([",".join(names[column] for column in order), *lines])))
    assert triples(data) == [(1, 10, 4.0), (1, 20, 3.5), (2, 10, 5.0), (3, 30, 0.5)]
    assert data.times is not None
    assert data.times.tolist() == [100, 101, 102, 103]


def test_names_given_by_the_caller(put: Put) -> None:
    path = put("2020,wer,was,wie,rating,item,user\n7,1,10,4,9,9,9\n8,2,20,5,9,9,9\n")
    data = read_ratings(path, user="wer", item="was", rating="wie", time="2020")
    assert triples(data) == [(1, 10, 4.0), (2, 20, 5.0)]
    assert data.times is not None
    assert data.times.tolist() == [7, 8]


@pytest.mark.parametrize("name", ["*", "^a.*$", "user name, or so", "\N{GRINNING FACE}", ""])
def test_names_that_mean_something_to_polars(name: str, put: Put) -> None:
    frame = pl.DataFrame({name: ["a", "b"], "x": [1, 2], "a2": [3, 4]})
    frame.write_csv(put(""))
    if name:
        data = read_ratings(frame, user=name, item="x", rating="a2", item_name=name)
        assert data.users.ids.to_list() == data.names.to_list() == ["a", "b"]
    data = read_ratings(frame, user="x", item="x", rating="a2", items=frame, item_name=name or None)
    assert data.n_items == 2


def test_an_id_is_preferred_to_a_title(put: Put) -> None:
    data = read_ratings(put("title,movieId,user,rating\nAnts,1,1,5\nBees,2,2,4\n"))
    assert data.items.ids.to_list() == [1, 2]
    assert data.names.to_list() == ["Ants", "Bees"]


def test_headerless_u_data(put: Put) -> None:
    path = put("196\t242\t3\t881250949\n186\t302\t3\t891717742\n0 50  5 881250949\n", "u.data")
    data = read_ratings(path)
    assert triples(data) == [(196, 242, 3.0), (186, 302, 3.0), (0, 50, 5.0)]
    assert data.times is not None
    assert data.times[0] == 881250949
    assert read_ratings(put("1,2,3\n2,3,4\n")).times is None


@pytest.mark.parametrize("name", ["ratings.csv", "ratings.tsv", "ratings", "r.data.gz", "r.zip", "r.parquet", "r.dat"])
def test_formats(name: str, put: Put) -> None:
    content: bytes = RATINGS.encode()
    if name.endswith("tsv"):
        content = content.replace(b",", b"\t")
    elif name.endswith("gz"):
        content = gzip.compress(content)
    elif name.endswith("zip"):
        with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
            archive.writestr("folder/r.csv", content)
        content = buffer.getvalue()
    elif name.endswith("parquet"):
        pl.read_csv(content).write_parquet(buffer := io.BytesIO())
        content = buffer.getvalue()
    elif name.endswith("dat"):
        content = content.partition(b"\n")[2].replace(b",", b"::")
    path = put(content, name)
    for source in (path, str(path)):
        assert triples(read_ratings(source)) == [(1, 10, 4.0), (1, 20, 3.5), (2, 10, 5.0), (3, 30, 0.5)]


def test_open_table_takes_paths_and_frames(put: Put) -> None:
    assert open_table(put("5\n6\n")).frame.to_dict(as_series=False) == {"user": ["5", "6"]}
    assert open_table(pd.DataFrame({"user": [5]})).frame.to_dict(as_series=False) == {"user": [5]}
    with pytest.raises(DataError, match="A list is not a table"):
        open_table([1, 2])


# --- ids --------------------------------------------------------------------------------------------

IDS: list[tuple[list[str], list[Any]]] = [
    (["1", "2", "10"], [1, 2, 10]),
    (["-1", "0", "7"], [-1, 0, 7]),
    (["007", "8", "9"], ["007", "8", "9"]),
    (["1", "A2", "3"], ["1", "A2", "3"]),
    (["+1", "2", "3"], ["+1", "2", "3"]),
    (["1.0", "2.0", "3"], ["1.0", "2.0", "3"]),
    (["1e3", "2", "3"], ["1e3", "2", "3"]),
    (["-0", "2", "3"], ["-0", "2", "3"]),
    (["9223372036854775807", "-9223372036854775808", "0"], [9223372036854775807, -9223372036854775808, 0]),
    (["9223372036854775808", "1", "2"], ["9223372036854775808", "1", "2"]),
    (["1" * 40, "1", "2"], ["1" * 40, "1", "2"]),
    ([" 31", "32 ", " 33 "], [31, 32, 33]),
    ([" a", "b ", " c d "], ["a", "b", "c d"]),
    (["nan", "NULL", "None"], ["nan", "NULL", "None"]),
    (["true", "false", "x"], ["true", "false", "x"]),
    (["ä", "\N{GRINNING FACE}", "x" * 1000], ["ä", "\N{GRINNING FACE}", "x" * 1000]),
]


@pytest.mark.parametrize(("given_ids", "expected"), IDS)
@pytest.mark.parametrize("separator", [",", "::"])
def test_ids_in_files(given_ids: list[str], expected: list[Any], separator: str, put: Put) -> None:
    lines = [separator.join((id_, id_, "3")) for id_ in given_ids]
    data = read_ratings(put("\n".join([separator.join(("user", "item", "rating")), *lines])))
    assert data.users.take(data.user_rows) == expected
    assert data.items.take(data.item_rows) == expected
    assert [data.items.row(id_) for id_ in expected] == data.item_rows.tolist()


FRAME_IDS: list[tuple[Any, list[Any]]] = [
    ([3, 1], [3, 1]),
    (["3", "1"], [3, 1]),
    ([" a", "b "], [" a", "b "]),  # in a frame, as they are
    ([1, "A2"], ["1", "A2"]),
    ([1.0, 2.0], [1, 2]),
    ([2**64 - 1, 1], ["18446744073709551615", "1"]),
    (np.array([2**64 - 1, 1], dtype=np.uint64), ["18446744073709551615", "1"]),
    ([2**70, 1], [str(2**70), "1"]),
    (np.array([1, 2], dtype=np.int8), [1, 2]),
    (pd.Categorical(["x", "y"]), ["x", "y"]),
    (pd.Categorical([5, 4]), [5, 4]),
    (pd.array(["x", "y"], dtype="string"), ["x", "y"]),
    (pd.array([2, 1], dtype="Int64"), [2, 1]),
    (pd.Series(["x", "y"], dtype=object), ["x", "y"]),
]


@pytest.mark.parametrize(("given_ids", "expected"), FRAME_IDS)
def test_ids_in_pandas(given_ids: Any, expected: list[Any]) -> None:
    data = read_ratings(pd.DataFrame({"user": given_ids, "item": given_ids, "rating": [1, 2]}))
    assert data.users.take(data.user_rows) == expected
    assert data.items.take(data.item_rows) == expected
    assert data.source == "a frame"


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT])
@pytest.mark.parametrize("others", [[1, 2], ["a", "b"], [1, "b"]])
def test_missing_ids_in_pandas(missing: Any, others: list[Any]) -> None:
    frame = pd.DataFrame({"user": [*others, missing], "item": [1, 2, 3], "rating": [1, 2, 3]})
    error = error_of(frame)
    assert (error.file, error.line, error.column) == ("the pandas frame", 3, "user")
    assert "The user is missing." in error.problem


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1.0, 2.5], "The user 2.5 is not a whole number."),
        ([1.0, float("inf")], "The user inf is not a whole number."),
        ([1.0, 2.0**53], "too large for a float"),
        ([True, False], "Ids of type Boolean cannot be used."),
        ([date(2020, 1, 1), date(2020, 1, 2)], "Ids of type Date cannot be used."),
        ([["a"], ["b"]], "Ids of type List(String) cannot be used."),
        ([b"a", b"b"], "Ids of type Binary cannot be used."),
        ([None, None], "The user is missing. (2 lines are so.)"),
        (["a", ""], "The user is missing."),
        (["a", "  "], "The user is missing."),
    ],
)
def test_values_that_are_no_ids(column: list[Any], message: str) -> None:
    error = error_of(pl.DataFrame({"user": column, "item": [1, 2], "rating": [1, 2]}, strict=False))
    assert message in error.problem
    assert error.column == "user"
    assert error.file == "the polars frame"


# --- frames -----------------------------------------------------------------------------------------


def with_dictionary(table: pl.DataFrame) -> pa.Table:
    return pa.table({**table.to_dict(as_series=False), "user": pa.array(table["user"].to_list()).dictionary_encode()})


@pytest.mark.parametrize(
    "make",
    [
        lambda table: table,
        lambda table: table.lazy(),
        lambda table: table.to_arrow(),
        lambda table: pd.DataFrame(table.to_dict(as_series=False)),
        lambda table: table.with_columns(pl.col("user").cast(pl.Categorical)),
        with_dictionary,
    ],
)
def test_frames(make: Callable[[pl.DataFrame], Any]) -> None:
    when = [datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    table = pl.DataFrame(
        {"user": ["x", "y", "x"], "item": [2, 1, 1], "rating": [1, 2.5, 3.0], "time": when}, strict=False
    )
    data = read_ratings(make(table))
    assert triples(data) == [("x", 2, 1.0), ("y", 1, 2.5), ("x", 1, 3.0)]
    assert data.times is not None
    assert data.times.tolist() == [int(moment.timestamp()) for moment in when]


def test_a_frame_is_not_changed() -> None:
    frame = pd.DataFrame({"user": [1, 2, 2], "item": [3, 4, 4], "rating": [1.0, 2.0, 3.0]})
    before = frame.copy()
    data = read_ratings(frame)
    assert len(data) == 2
    pd.testing.assert_frame_equal(frame, before)


def test_unused_columns_may_hold_anything() -> None:
    frame = pd.DataFrame({"user": [1, 2], "item": [3, 4], "rating": [1, 2]})
    frame["when"] = pd.period_range("2020-01", periods=2, freq="M")
    frame["how"] = [{"a": 1}, object()]
    frame["z"] = [1 + 2j, 3]
    assert len(read_ratings(frame)) == 2


# --- ratings ----------------------------------------------------------------------------------------

BAD_RATINGS = [
    ("good", "The rating 'good' is not a number."),
    ('"3,5"', "The rating '3,5' is not a number."),
    ("NaN", "The rating 'NaN' is not finite."),
    ("inf", "The rating 'inf' is not finite."),
    ("-inf", "The rating '-inf' is not finite."),
    ("1e400", "The rating '1e400' is not finite."),
    ("", "The rating is missing."),
    ('""', "The rating is missing."),
    ("  ", "The rating is missing."),
    ("5 stars", "The rating '5 stars' is not a number."),
    ("true", "The rating 'true' is not a number."),
    ("4/5", "The rating '4/5' is not a number."),
]


@pytest.mark.parametrize(("bad", "message"), BAD_RATINGS)
def test_bad_ratings(bad: str, message: str, put: Put) -> None:
    path = put(f'user,rating,item,title\n1,4,1,"two\nlines"\n\n2,3,2,x\n  \n3,{bad},3,"y\n"\n4,5,4,z\n')
    error = error_of(path)
    assert_place(error, path, 7, "rating")
    assert message in error.problem
    assert "decimal point" in error.remedy


@pytest.mark.parametrize("separator", [";", "\t", "|", "::", " "], ids=repr)
@pytest.mark.parametrize("header", [True, False], ids=["header", "no header"])
def test_decimal_commas_where_the_separator_is_none(separator: str, header: bool, put: Put) -> None:
    lines = [["user", "item", "rating", "time"]] * header + [["1", "1", "4,5", "7"], ["2", "2", "3", "7"]]
    lines += [["3", "3", "-0,125", "7"]]
    path = put("\n".join(separator.join(line) for line in lines) + "\n")
    assert read_ratings(path).ratings.tolist() == [4.5, 3, -0.125]


def test_decimal_commas_in_weights(put: Put) -> None:
    path = put("user;item;hours\n1;1;0,5\n2;2;1,250\n3;3;12\n")
    assert read_ratings(path, weight="hours").ratings.tolist() == [0.5, 1.25, 12]


@pytest.mark.parametrize(
    ("ratings", "line", "message"),
    [
        (["4", "3,5", "2.5"], 3, "The rating '3,5' has a comma, and the column has points too"),
        (["4", "1.234,5", "3,5"], 3, "The rating '1.234,5' has a comma, and the column has points too"),
        (["4", "1,234", "22,000"], 3, "The comma of the rating '1,234' may be between thousands"),
        (["4", "1,234,567", "2"], 3, "The comma of the rating '1,234,567' may be between thousands"),
        (["4,5", "good", "2,5"], 3, "The rating 'good' is not a number."),
        (["4,5", "4,5,6", "2,5"], 3, "The rating '4,5,6' is not a number."),
    ],
)
def test_commas_that_may_be_none_of_decimals(ratings: list[str], line: int, message: str, put: Put) -> None:
    path = put("user;item;rating\n" + "".join(f"{row};{row};{text}\n" for row, text in enumerate(ratings)))
    error = error_of(path)
    assert_place(error, path, line, "rating")
    assert message in error.problem
    assert "decimal point" in error.remedy


def test_commas_where_they_separate_are_no_decimal_commas(put: Put) -> None:
    assert "The rating '4,5' is not a number." in error_of(put('user,item,rating\n1,1,"4,5"\n2,2,"3,5"\n')).problem


@pytest.mark.parametrize("spelt", [str, str.lower, str.upper])
def test_truth_values_as_ratings(spelt: Callable[[str], str], put: Put) -> None:
    path = put(f"user,item,rating\n1,1,{spelt('True')}\n2,2, {spelt('False')}\n")
    assert read_ratings(path).ratings.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([4, 5], [4, 5]),
        ([True, False], [1, 0]),
        (["4", " 3.5 "], [4, 3.5]),
        (pl.Series(["4", "3.5"], dtype=pl.Categorical), [4, 3.5]),
        (pl.Series([4, 3], dtype=pl.Decimal(10, 2)), [4, 3]),
        ([-10.0, 0.0], [-10, 0]),
    ],
)
def test_good_ratings_in_frames(column: Any, expected: list[float]) -> None:
    data = read_ratings(pl.DataFrame({"user": [1, 2], "item": [1, 2], "rating": column}))
    assert data.ratings.tolist() == expected


@pytest.mark.parametrize(
    ("column", "message", "line"),
    [
        ([4.0, None], "The rating is missing.", 2),
        ([4.0, float("nan")], "The rating nan is not finite.", 2),
        ([1e300, 4.0], "The rating 1e+300 is not finite.", 1),
        ([date(2020, 1, 1), date(2020, 1, 2)], "Ratings of type Date cannot be used.", None),
        ([[1], [2]], "Ratings of type List(Int64) cannot be used.", None),
        ([timedelta(1), timedelta(2)], "Ratings of type Duration", None),
    ],
)
def test_bad_ratings_in_frames(column: list[Any], message: str, line: int | None) -> None:
    error = error_of(pl.DataFrame({"user": [1, 2], "item": [1, 2], "rating": column}))
    assert message in error.problem
    assert (error.line, error.column) == (line, "rating")


# --- times ------------------------------------------------------------------------------------------

BERLIN = timezone(timedelta(hours=1))
TIMES: list[tuple[list[str], list[int]]] = [
    (["0", "881250949"], [0, 881250949]),
    (["-5", "1.5"], [-5, 1]),
    (["1.6e9", "1"], [1_600_000_000, 1]),
    (["1600000000000", "1600000001999"], [1_600_000_000, 1_600_000_001]),
    (["1600000000000000", "1"], [1_600_000_000, 0]),
    (["1600000000000000000", "1"], [1_600_000_000, 0]),
    (["2020-01-02", "1969-12-31"], [1577923200, -86400]),
    (["2020-01-02 03:04:05", "2020-01-02"], [1577934245, 1577923200]),
    (["2020-01-02T03:04:05Z", "2020-01-02T03:04"], [1577934245, 1577934240]),
    (["2020-01-02T03:04:05.678Z", "2020-01-02T03:04:05,9 UTC"], [1577934245, 1577934245]),
    (["2020-01-02T03:04:05+02:00", "2020-01-02 03:04:05 -0130"], [1577934245 - 7200, 1577934245 + 5400]),
    (["2020-01-02T03:04:05+02", " 2020-01-02 "], [1577934245 - 7200, 1577923200]),
    (["02.01.2020", "2.1.2020"], [1577923200, 1577923200]),
    (["02.01.2020 03:04:05", "2.1.2020T03:04Z"], [1577934245, 1577934240]),
    (["2020/01/02", "2020/1/2"], [1577923200, 1577923200]),
    (["2020/01/02 03:04:05+02:00", "31.12.1969"], [1577934245 - 7200, -86400]),
]


@pytest.mark.parametrize(("given_times", "expected"), TIMES)
def test_times_in_files(given_times: list[str], expected: list[int], put: Put) -> None:
    lines = "\n".join(f'{row},{row},3,"{time}"' for row, time in enumerate(given_times))
    data = read_ratings(put(f"user,item,rating,date\n{lines}\n"))
    assert data.times is not None
    assert data.times.tolist() == expected


FRAME_TIMES: list[tuple[Any, list[int]]] = [
    ([1, 2], [1, 2]),
    ([1.9, -1.5], [1, -2]),
    ([date(1970, 1, 2), date(1969, 12, 31)], [86400, -86400]),
    ([datetime(1970, 1, 1, 1), datetime(1969, 12, 31, 23)], [3600, -3600]),
    ([datetime(1970, 1, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, 1, tzinfo=BERLIN)], [3600, 0]),
    (["1970-01-02", "1970-01-01T00:00:01"], [86400, 1]),
]


@pytest.mark.parametrize(("given_times", "expected"), FRAME_TIMES)
@pytest.mark.parametrize("library", [pl.DataFrame, pd.DataFrame, pa.table])
def test_times_in_frames(given_times: list[Any], expected: list[int], library: Callable[..., Any]) -> None:
    if library is pa.table and expected == [3600, 0]:
        given_times = [moment.astimezone(UTC) for moment in given_times]
    data = read_ratings(library({"user": [1, 2], "item": [1, 2], "rating": [1, 2], "time": given_times}))
    assert data.times is not None
    assert data.times.tolist() == expected


DATES = [20240103, 19000101, 21001231, 20240229]
YEARS = [1994, 1900, 2100]


@pytest.mark.parametrize(
    ("numbers", "expected", "note"),
    [
        (DATES, [1704240000, -2208988800, 4133894400, 1709164800], "as dates: 20240103 is 2024-01-03."),
        (YEARS, [757382400, -2208988800, 4102444800], "as years: 1994 is 1994-01-01."),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "blank line", "decimals", "parquet", "pandas", "int32", "float", "text"])
def test_years_and_dates_as_numbers(numbers: list[int], expected: list[int], note: str, kind: str, put: Put) -> None:
    frame = pd.DataFrame({"user": range(len(numbers)), "item": range(len(numbers)), "rating": 3, "date": numbers})
    types = {"int32": "int32", "float": float, "text": str, "decimals": float}
    frame["date"] = frame["date"].astype(types.get(kind, "int64"))
    source: Any = frame
    if kind in ("csv", "blank line", "decimals"):
        source = put(frame.to_csv(index=False) + "\n" * (kind == "blank line"))
    elif kind == "parquet":
        source = put(b"")
        frame.to_parquet(source)
    data = read_ratings(source)
    assert data.times is not None
    assert data.times.tolist() == expected
    assert data.notes == (f"The times in 'date' are read {note}",)


@pytest.mark.parametrize(
    "numbers",
    [
        [1899, 1950],
        [1950, 2101],
        [1994.5, 1995],
        [20240103.5, 20240103],
        [19_000_100, 20_000_000, 20_231_301],  # seconds of August 1970 with the digits of a date
        [1_704_240_000, 20240103, 0],
        [881250949, 1994],
    ],
)
def test_numbers_that_are_seconds_after_all(numbers: list[float]) -> None:
    places = range(len(numbers))
    times = pl.Series(numbers, strict=False)
    data = read_ratings(pl.DataFrame({"user": places, "item": places, "rating": 3, "time": times}))
    assert data.times is not None
    assert data.times.tolist() == [int(number) for number in numbers]
    assert data.notes == ()


@pytest.mark.parametrize("bad", [20240230, 0, 20241301, 1994, 22240103])
def test_a_number_that_is_no_date_among_dates(bad: int, put: Put) -> None:
    path = put(f"user,item,rating,date\n1,1,4,20240103\n2,2,3,{bad}\n3,3,3,20240105\n")
    error = error_of(path)
    assert_place(error, path, 3, "date")
    assert f"The time {bad} is no date, as others of the column are." in error.problem


@given(st.lists(st.dates(date(1900, 1, 1), date(2100, 12, 31)), min_size=2, max_size=9))
def test_dates_of_any_form_are_the_same(days: list[date]) -> None:
    forms = [
        [f"{day:%Y-%m-%d}" for day in days],
        [f"{day:%Y/%m/%d}" for day in days],
        [f"{day:%d.%m.%Y}" for day in days],
        [f"{day.day}.{day.month}.{day.year}" for day in days],
        [int(f"{day:%Y%m%d}") for day in days],
        days,
    ]
    places = range(len(days))
    for form in forms:
        data = read_ratings(pl.DataFrame({"user": places, "item": places, "rating": 3, "time": form}))
        assert data.times is not None
        assert data.times.tolist() == [(day - date(1970, 1, 1)).days * 86_400 for day in days]


def test_pandas_times_with_a_zone() -> None:
    when = pd.to_datetime(["2020-01-01", "2020-07-01"]).tz_localize("Europe/Berlin")
    for unit in ("s", "ms", "us", "ns"):
        frame = pd.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [1, 2], "time": when.as_unit(unit)})
        data = read_ratings(frame)
        assert data.times is not None
        assert data.times.tolist() == [1577833200, 1593554400]


BAD_TIMES = [
    ("", "The time is missing."),
    ("yesterday", "The time 'yesterday' is not a number."),
    ("2020-01-01", "The time '2020-01-01' is not a number."),
    ("nan", "The time 'nan' is not finite."),
    ("inf", "The time 'inf' is not finite."),
    ("1e30", "The time '1e30' is too large."),
]


@pytest.mark.parametrize(("bad", "message"), BAD_TIMES)
def test_bad_times_among_numbers(bad: str, message: str, put: Put) -> None:
    path = put(f"user,item,rating,time\n1,1,4,5\n\n2,2,3,{bad}\n3,3,3,7\n")
    error = error_of(path)
    assert_place(error, path, 4, "time")
    assert message in error.problem
    assert "seconds since 1970" in error.remedy


@pytest.mark.parametrize(
    "bad",
    [
        "01/02/2020",
        "2020-13-01",
        "2020-02-30",
        "2020-01-01T25:00",
        "2020-01-01 10:61",
        "2020",
        "Jan 2020",
        "2020-01-01 9",
        "2020-1-2",
        "31.02.2020",
        "1.1.20200",
        "2020/01/011",
        "2020/13/01",
        "1.1.20",
    ],
)
def test_bad_times_among_dates(bad: str, put: Put) -> None:
    path = put(f"user,item,rating,time\n1,1,4,2020-01-01\n2,2,3,{bad}\n3,3,3,2020-01-02\n")
    error = error_of(path)
    assert error.column == "time"
    assert error.line in (2, 3)
    assert "The time " in error.problem


@pytest.mark.parametrize("unsure", ["07/12/2023", "7/12/23", "07-12-2023", "13/12/2023 10:00"])
def test_dates_whose_day_may_be_their_month(unsure: str, put: Put) -> None:
    path = put(f"user,item,rating,time\n1,1,4,2020-01-01\n2,2,3,{unsure}\n")
    error = error_of(path)
    assert_place(error, path, 3, "time")
    assert f"The time '{unsure}' does not say which number is the day and which the month." in error.problem
    assert "year-month-day" in error.remedy


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, None], "The time is missing."),
        ([timedelta(1), timedelta(2)], "Times of type Duration"),
        ([True, False], "Times of type Boolean cannot be used."),
        ([[1], [2]], "Times of type List(Int64) cannot be used."),
        ([2**64 - 1, 1], "The time 18446744073709551615 is too large."),
        ([1e300, 1.0], "The time 1e+300 is too large."),
        ([float("nan"), 1.0], "The time nan is not finite."),
    ],
)
def test_bad_times_in_frames(column: list[Any], message: str) -> None:
    error = error_of(pl.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [1, 2], "time": column}))
    assert message in error.problem
    assert error.column == "time"


# --- tables of items and users ----------------------------------------------------------------------

FILMS = "movieId,title,genres\n10,Ants (1998),Comedy\n20,Bees (2001),Drama|War\n30,Cats (2019),\n40,Dogs,War\n"


def test_items(put: Put) -> None:
    data = read_ratings(put(RATINGS), items=put(FILMS, "movies.csv"))
    assert data.names.to_list() == ["Ants (1998)", "Bees (2001)", "Cats (2019)"]
    assert data.item_table is not None
    assert data.item_table.to_dict(as_series=False) == {
        "movieId": ["10", "20", "30"],
        "title": ["Ants (1998)", "Bees (2001)", "Cats (2019)"],
        "genres": ["Comedy", "Drama|War", None],
    }
    assert data.notes == ()


@pytest.mark.parametrize(
    "make",
    [
        lambda films: films,
        lambda films: films.with_columns(pl.col("movieId").cast(pl.String)),
        lambda films: films.with_columns(pl.col("movieId").cast(pl.Float64)),
        lambda films: films.rename({"movieId": "Item"}),
        lambda films: films.rename({"movieId": "item", "title": "name"}),
        lambda films: films.lazy(),
        lambda films: pd.DataFrame(films.to_dict(as_series=False)),
        lambda films: films.to_arrow(),
        lambda films: films.reverse().select("title", pl.lit(1).alias("bookId"), "movieId"),
        lambda films: films.with_columns(asin=pl.lit("x"), item=pl.lit("y")),
        lambda films: pl.concat([films, films.head(1).with_columns(movieId=pl.lit(None, pl.Int64), title=pl.lit("?"))]),
        lambda films: films.select(pl.col("movieId").alias("item id"), "title"),
        lambda films: films.select(pl.col("movieId").alias("*"), pl.col("movieId").alias("^m.*$"), "title", "movieId"),
    ],
)
@pytest.mark.parametrize("ids", ["int", "text"])
def test_items_joined_by_the_fitting_column(make: Callable[[pl.DataFrame], Any], ids: str, put: Put) -> None:
    films = pl.read_csv(FILMS.encode())
    text = RATINGS if ids == "int" else RATINGS + "1,x9,3,104\n"
    data = read_ratings(put(text), items=make(films))
    assert dict(zip(data.items.ids.to_list(), data.names, strict=True)) == (
        {10: "Ants (1998)", 20: "Bees (2001)", 30: "Cats (2019)"}
        if ids == "int"
        else {"10": "Ants (1998)", "20": "Bees (2001)", "30": "Cats (2019)", "x9": "x9"}
    )


def test_leading_zeros_join_only_themselves(put: Put) -> None:
    ratings = put("user,isbn,rating\n1,007,4\n2,08,5\n", "r.csv")
    data = read_ratings(ratings, items=put("isbn,title\n007,Bond\n7,Seven\n8,Eight\n08,Oh eight\n", "books.csv"))
    assert data.names.to_list() == ["Bond", "Oh eight"]
    data = read_ratings(
        put("user,isbn,rating\n1,7,4\n2,8,5\n"), items=put("isbn,title\n007,Bond\n7,Seven\n8,Eight\nx,X\n", "b.csv")
    )
    assert data.items.ids.to_list() == [7, 8]
    assert data.names.to_list() == ["Seven", "Eight"]


def test_items_and_users_without_a_header(put: Put) -> None:
    items = put("10|Ants (1998)|01-Jan-1998|0\n20|Bees (2001)|01-Jan-2001|1\n30|Cats (2019)|01-Jan-2019|1\n", "u.item")
    users = put("1|24|M\n2|53|F\n3|23|M\n", "u.user")
    data = read_ratings(put("\n".join(RATINGS.splitlines()[1:])), items=items, users=users)
    assert data.names.to_list() == ["Ants (1998)", "Bees (2001)", "Cats (2019)"]
    assert data.user_table is not None
    assert data.user_table["column 2"].to_list() == ["24", "53", "23"]


def test_books_have_several_ids(put: Put) -> None:
    books = put(
        "Book_ID,ISBN,Book-Title,Book-Author\n1,0060973129,Decision,Carlo\n2,0374157065,Flu,Gina\n", "books.csv"
    )
    by_number = read_ratings(put("user,item,rating\n1,1,7\n2,2,8\n"), items=books)
    by_isbn = read_ratings(put("User-ID,ISBN,Book-Rating\n1,0374157065,7\n2,0060973129,8\n"), items=books)
    assert by_number.names.to_list() == ["Decision", "Flu"]
    assert dict(zip(by_isbn.items.ids, by_isbn.names, strict=True)) == {"0374157065": "Flu", "0060973129": "Decision"}


def test_item_name(put: Put) -> None:
    films = put(FILMS.replace("Ants (1998)", " "), "movies.csv")
    data = read_ratings(put(RATINGS), items=films)
    assert data.names.to_list() == ["10", "Bees (2001)", "Cats (2019)"]
    assert data.notes == ("1 items have no 'title' and are shown by their id.",)
    data = read_ratings(put(RATINGS), items=films, item_name="genres")
    assert data.names.to_list() == ["Comedy", "Drama|War", "30"]
    data = read_ratings(put(RATINGS), items=films, item_name="movieId")
    assert data.names.to_list() == ["10", "20", "30"]
    error = error_of(put(RATINGS), items=films, item_name="titel")
    assert "There is no column 'titel'; the columns are movieId, title, genres." in error.problem
    assert error.file == str(films)


def test_names_that_cannot_be_shown() -> None:
    items = pl.DataFrame({"item": [1, 2], "title": [[1], [2]], "year": [1999, 2000]})
    ratings = pl.DataFrame({"user": [1, 2], "item": [1, 2], "rating": [1, 2]})
    assert read_ratings(ratings, items=items, item_name="year").names.to_list() == ["1999", "2000"]
    struct = items.with_columns(title=pl.struct("year"))
    for table in (items, struct):
        error = error_of(ratings, items=table)
        assert error.column == "title"
        assert "--item-name" in error.remedy


def test_names_in_the_ratings_themselves(put: Put) -> None:
    path = put('user,item,rating,title\n1,7,5,\n2,7,4,"Ants, all"\n3,8,3,Bees\n1,9,1,\n')
    data = read_ratings(path)
    assert data.names.to_list() == ["Ants, all", "Bees", "9"]
    assert data.notes == ("1 items have no 'title' and are shown by their id.",)
    assert read_ratings(path, item_name="rating").names.to_list() == ["5", "3", "1"]
    assert error_of(path, item_name="x").column is None


def test_title_as_item(put: Put) -> None:
    films = put("movieId,title,year\n1,Emma,1996\n2,Ants,1998\n3,Emma,2020\n4,Emma,2021\n5,,\n", "movies.csv")
    ratings = put("user,item,rating\n1,1,5\n1,2,4\n2,3,3\n3,2,1\n", "r.csv")
    data = read_ratings(ratings, items=films, item="title")
    assert triples(data) == [(1, "Emma", 5.0), (1, "Ants", 4.0), (2, "Emma", 3.0), (3, "Ants", 1.0)]
    assert data.names.to_list() == ["Ants", "Emma"]
    assert data.item_table is not None
    assert data.item_table["year"].to_list() == ["1998", "1996"]
    assert data.notes == ("1 items share their 'title' with another and are one item now.",)
    data = read_ratings(ratings, items=films, item="year", item_name="title")
    assert data.items.ids.to_list() == [1996, 1998, 2020]
    assert data.names.to_list() == ["Emma", "Ants", "Emma"]


def test_title_as_item_makes_duplicates(put: Put) -> None:
    films = put("movieId,title\n1,Emma\n2,Ants\n3,Emma\n", "movies.csv")
    ratings = put("user,item,rating\n1,1,5\n1,2,4\n1,3,3\n3,2,1\n", "r.csv")
    data = read_ratings(ratings, items=films, item="title")
    assert triples(data) == [(1, "Ants", 4.0), (1, "Emma", 3.0), (3, "Ants", 1.0)]
    assert data.notes == (
        "1 items share their 'title' with another and are one item now.",
        "1 rating repeats a user and an item: the last by line is kept.",
    )
    assert_place(error_of(ratings, items=films, item="title", duplicates="error"), ratings, 4, None)


@pytest.mark.parametrize("films", ["movieId,title\n1,Emma\n2,Ants\n", "movieId,title\n1,Emma\n2,Ants\n3,\n"])
def test_items_that_are_missing_in_their_table(films: str, put: Put) -> None:
    items = put(films, "movies.csv")
    ratings = put('user,item,rating,"a\nb"\n1,1,5,x\n\n1,2,4,x\n2,3,3,x\n3,3,1,x\n', "r.csv")
    data = read_ratings(ratings, items=items)
    assert data.names.to_list() == ["Emma", "Ants", "3"]
    assert data.notes == ("1 items have no 'title' and are shown by their id.",)
    error = error_of(ratings, items=items, item="title")
    assert_place(error, ratings, 6, "item")
    assert f"Item 3 has no 'title' in {items} (2 ratings are so)." in error.problem
    assert "--item-name title" in error.remedy


def test_the_first_of_repeated_items_is_taken(put: Put) -> None:
    items = put(FILMS + "20,Another,\n20,And another,\n", "movies.csv")
    data = read_ratings(put(RATINGS), items=items)
    assert data.names.to_list()[1] == "Bees (2001)"
    assert data.notes == (f"2 lines of {items} repeat the item of an earlier one, which is taken.",)


def test_items_of_which_none_occurs(put: Put) -> None:
    items = put("movieId,isbn,title\n1,x,A\n2,y,B\n", "movies.csv")
    error = error_of(put(RATINGS), items=items)
    assert "None of its items occurs in the ratings (looked at: movieId, isbn, title)." in error.problem
    assert "those of the ratings begin 10" in error.remedy
    assert error.file == str(items)


def test_items_without_a_column_of_ids(put: Put) -> None:
    items = put("number,what\n1,A\n2,B\n", "movies.csv")
    error = error_of(put(RATINGS), items=items)
    assert "No column looks like the item; the columns are number, what." in error.problem
    assert "'item'" in error.remedy
    frame = pl.DataFrame({"movieId": [[1], [2]]})
    assert "Ids of type List(Int64)" in error_of(put(RATINGS), items=frame).problem


def test_items_that_cannot_be_read(put: Put, tmp_path: Path) -> None:
    ratings = put(RATINGS)
    assert error_of(ratings, items=tmp_path / "missing.csv").file == str(tmp_path / "missing.csv")
    assert "not a table" in error_of(ratings, items={"movieId": [1]}).problem
    assert error_of(ratings, items=put("movieId,title\n1,2,3\n", "movies.csv")).line == 2
    assert "There is no column 'title'" in error_of(ratings, item="title").problem
    assert "There is no column 'x'" in error_of(ratings, items=put(FILMS, "movies.csv"), item="x").problem


def test_short_lines_of_items_are_taken(put: Put) -> None:
    data = read_ratings(put(RATINGS), items=put("movieId,title,genres\n10,Ants\n20\n", "movies.csv"))
    assert data.names.to_list() == ["Ants", "20", "30"]


def test_users(put: Put) -> None:
    users = put("User,age,zip\n3,30,01002\n1,10,00501\n9,90,x\n", "users.csv")
    data = read_ratings(put(RATINGS), users=users)
    assert data.user_table is not None
    assert data.user_table.to_dict(as_series=False) == {
        "User": ["1", None, "3"], "age": ["10", None, "30"], "zip": ["00501", None, "01002"],
    }  # fmt: skip
    data = read_ratings(put(RATINGS.replace("user", "who")), user="who", users=put("age,Who\n10,1\n", "users.csv"))
    assert data.user_table is not None
    assert data.user_table["age"].to_list() == ["10", None, None]
    error = error_of(put(RATINGS), users=put("user,age\n77,10\n", "users.csv"))
    assert "None of its users occurs" in error.problem


# --- duplicates -------------------------------------------------------------------------------------

REPEATED = ["1,1,1,50", "2,2,2,40", "1,1,3,90", "1,1,5,10", "2,2,4,40", "1,2,9,60", "1,1,4.5,90", "2,1,8,20"]
WITH_TIMES = "\n".join(["user,item,rating,time", *REPEATED])
WITHOUT_TIMES = "\n".join(["user,item,rating", *(line[:-3] for line in REPEATED)])


@pytest.mark.parametrize(
    ("content", "policy", "expected"),
    [
        (WITH_TIMES, "last", [(2, 2, 4.0), (1, 2, 9.0), (1, 1, 4.5), (2, 1, 8.0)]),
        (WITH_TIMES, "first", [(2, 2, 2.0), (1, 1, 5.0), (1, 2, 9.0), (2, 1, 8.0)]),
        (WITH_TIMES, "mean", [(2, 2, 3.0), (1, 2, 9.0), (1, 1, 3.375), (2, 1, 8.0)]),
        (WITHOUT_TIMES, "last", [(2, 2, 4.0), (1, 2, 9.0), (1, 1, 4.5), (2, 1, 8.0)]),
        (WITHOUT_TIMES, "first", [(1, 1, 1.0), (2, 2, 2.0), (1, 2, 9.0), (2, 1, 8.0)]),
        (WITHOUT_TIMES, "mean", [(2, 2, 3.0), (1, 2, 9.0), (1, 1, 3.375), (2, 1, 8.0)]),
    ],
)
def test_duplicates(content: str, policy: Any, expected: list[Any], put: Put) -> None:
    data = read_ratings(put(content), duplicates=policy)
    assert triples(data) == expected
    by = "time" if content == WITH_TIMES else "line"
    how = "their mean is kept" if policy == "mean" else f"the {policy} by {by} is kept"
    assert data.notes == (f"4 ratings repeat a user and an item: {how}.",)


def test_duplicates_by_default_keep_the_last(put: Put) -> None:
    assert triples(read_ratings(put(WITH_TIMES))) == triples(read_ratings(put(WITH_TIMES), duplicates="last"))


@pytest.mark.parametrize("policy", ["last", "first", "mean", "error"])
def test_without_duplicates_every_policy_is_the_same(policy: Any, put: Put) -> None:
    data = read_ratings(put(RATINGS), duplicates=policy)
    assert len(data) == 4
    assert data.notes == ()


def test_duplicates_as_errors_name_the_first_repetition(put: Put) -> None:
    lines = ["user,item,rating,note", "", '1,1,1,"a\nb"', "2,2,1,x", "3,3,3,x", "2,2,5,x", "1,1,1,x"]
    path = put("\n".join(lines))
    error = error_of(path, duplicates="error")
    assert_place(error, path, 7, None)
    assert "2 ratings repeat a user and an item." in error.problem
    assert "--duplicates last, first, mean or sum" in error.remedy


def test_unknown_policy(put: Put) -> None:
    with pytest.raises(SettingError, match="duplicates is 'latest'") as caught:
        read_ratings(put(RATINGS), duplicates="latest")  # type: ignore[arg-type]
    assert "last, first, mean, sum, error" in caught.value.remedy


# --- what cannot be used ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "missing"),
    [("item,rating,x", "user"), ("user,rating,x", "item"), ("user,item,x", "rating")],
)
def test_missing_columns(header: str, missing: str, put: Put) -> None:
    path = put(f"{header}\n1,2,3\n2,3,4\n")
    error = error_of(path)
    assert_place(error, path, None, None)
    assert f"No column looks like the {missing}; the columns are {header.replace(',', ', ')}." in error.problem
    assert f"--{missing} COLUMN ({missing}=… in Python)" in error.remedy


@pytest.mark.parametrize("option", ["user", "item", "rating", "time"])
def test_columns_that_are_not_there(option: str, put: Put) -> None:
    path = put(RATINGS)
    error = error_of(path, **{option: "Rating"})
    assert "There is no column 'Rating'; the columns are user, item, rating, time." in error.problem
    assert error.file == str(path)


CONTENTS: list[tuple[bytes, str, int | None, str | None]] = [
    (b"", "The file is empty.", None, None),
    (b" \n\r\n\t\n", "The file is empty.", None, None),
    (b"user,item,rating\n", "There are no rows, only a header.", None, None),
    (b"user,item,rating\n\n  \n,,\n", "There are no rows, only a header.", None, None),
    (b"\n\nuser,item,rating\n1,2,3\n\n1,3,3,4\n", "4 fields where the first line has 3.", 6, None),
    (b"user,item,rating,t\n1,2,3,4\n\n1,3,3\n2,2,2,2\n", "The line has 3 fields where the first has 4", 4, "t"),
    (b"user,item,rating\n1,2,3\n\n1,3\n", "The line has 2 fields where the first has 3", 4, "rating"),
    (b"user,item,rating\n1,2,3\n5\n", "The line has 1 field where the first has 3", 3, "item"),
    (b'user,item,rating\n1,"2",3\n1,"3,3\n2,2,2\n', "The quotes of this line do not match.", 3, None),
    (b'user,item,rating\n"1\n\n",2,3\n1,x,"3\n2,2,2\n', "The quotes of this line do not match.", 5, None),
    (b"user,item,rating\n7,1,3\n7,2,4\n", "There is only one user (7)", None, None),
    (b"user,item,rating\n1,a,3\n2,a,4\n", "There is only one item ('a')", None, None),
    (b"user,item,rating\n,1,3\n2,2,4\n", "The user is missing.", 2, "user"),
    (b'user,item,rating\n1,1,3\n2,"",4\n', "The item is missing.", 3, "item"),
    (b"user,item,rating\n1,1,3\n\n2, ,4\n3,,3\n", "The item is missing. (2 lines are so.)", 4, "item"),
    (bytes(range(256)) * 3, "binary data", None, None),
    (b"\x7fELF\x02\x01\x01\x00" + bytes(64), "binary data", None, None),
    (gzip.compress(RATINGS.encode())[:-9], "The gzip file is damaged", None, None),
    (b"PK\x03\x04" + bytes(40), "The zip file is damaged", None, None),
    (b"PAR1" + bytes(40), "The Parquet file is damaged", None, None),
]


@pytest.mark.parametrize(("content", "message", "line", "column"), CONTENTS, ids=range(len(CONTENTS)))
def test_contents_that_cannot_be_used(
    content: bytes, message: str, line: int | None, column: str | None, put: Put
) -> None:
    path = put(content)
    error = error_of(path)
    assert_place(error, path, line, column)
    assert message in error.problem


def test_parquet_with_nested_columns(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"user": [1, 2], "item": [1, 2], "rating": [1, 2], "tags": [["a"], []], "o": [{"a": 1}, {"a": 2}]}
    )
    frame.write_parquet(tmp_path / "r.parquet")
    assert len(read_ratings(tmp_path / "r.parquet")) == 2
    for option, message in (("user", "Ids of"), ("item", "Ids of"), ("rating", "Ratings of"), ("time", "Times of")):
        for column in ("tags", "o"):
            error = error_of(tmp_path / "r.parquet", **{option: column})
            assert (error.file, error.column) == (str(tmp_path / "r.parquet"), column)
            assert message in error.problem


def test_parquet_names_its_rows(tmp_path: Path) -> None:
    pl.DataFrame({"user": [1, 2], "item": ["a", None], "rating": [1, 2]}).write_parquet(tmp_path / "r.parquet")
    assert_place(error_of(tmp_path / "r.parquet"), tmp_path / "r.parquet", 2, "item")


def test_paths_that_lead_nowhere(tmp_path: Path, put: Put) -> None:
    error = error_of(tmp_path / "missing.csv")
    assert "There is no such file or folder, and no data set of that name." in error.problem
    assert "ml-100k" in error.remedy
    assert "cannot be read" in error_of("x" * 5000).problem or "no such file" in error_of("x" * 5000).problem
    assert "no such file" in error_of("a\0b").problem
    put(RATINGS)
    assert "not laid out like" in error_of(tmp_path).problem


@pytest.mark.skipif(os.name == "nt", reason="Windows lets not everybody make links")
def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "gone.csv")
    assert "No such file" in error_of(tmp_path / "link.csv").problem


@pytest.mark.parametrize("source", [None, 5, [1, 2], {"user": [1]}, np.zeros((3, 3)), b"user,item"])
def test_sources_that_are_no_tables(source: Any) -> None:
    error = error_of(source)
    assert f"A {type(source).__name__} is not a table." in error.problem


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable(put: Put, tmp_path: Path) -> None:
    path = put(RATINGS, "locked/ratings.csv")
    path.chmod(0)
    assert "Permission denied" in error_of(path).problem
    path.parent.chmod(0)
    try:
        assert "Permission denied" in error_of(path.parent).problem
        assert "ermission" in error_of(path).problem or "no such file" in error_of(path).problem
    finally:
        path.parent.chmod(0o755)


def test_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "The folder cannot be read: Permission denied." in error_of(tmp_path).problem


# --- anything at all --------------------------------------------------------------------------------

GOOD = (
    b'userId,movieId,rating,timestamp,title\n1,10,4.0,100,"Ants, the ""film"""\n1,20,3.5,101,Bees\n'
    b'2,10,5.0,102,"two\nlines"\n2,30,1.0,103,\n\n3,10,2,104,x\n'
)
SPECIAL = [
    *(bytes([byte]) for byte in b'",\n\r\t ;|\x00\xff\\-*\x1f'), b"::", b"\xef\xbb\xbf", b"nan", b"1e400", b"9" * 30,
    "\N{LINE SEPARATOR}".encode(), b",,,\n", b"^a$", b"title", b"PAR1",
]  # fmt: skip
UNHURRIED = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_or_explain(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    error: DataError | None = None
    try:
        data = read_ratings(path)
    except DataError as raised:
        error = raised
    if error is None:
        assert data.n_users >= 2
        assert np.isfinite(data.ratings).all()
        return
    assert error.file == str(path) or error.file.startswith(f"{path} (")
    assert error.remedy
    if error.line is not None:
        is_packed = content.startswith((b"\x1f\x8b", b"PK"))
        assert 1 <= error.line <= (20 if is_packed else content.count(b"\n") + content.count(b"\r") + 1)


@UNHURRIED
@example(b"\xff\xfe\xff\xfe")
@example(b'user,item,rating,title\n1,1,3,"a ""b""')
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_explained(tmp_path: Path, content: bytes) -> None:
    read_or_explain(tmp_path / "file", content)


@UNHURRIED
@given(st.text(alphabet='user,item\n\r\t";|:1 .é', max_size=200))
def test_any_text_is_read_or_explained(tmp_path: Path, content: str) -> None:
    read_or_explain(tmp_path / "file", content.encode())
    read_or_explain(tmp_path / "file", GOOD + content.encode())


def mutated(content: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    mutant = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        start = rng.randint(0, len(mutant))
        stop = start + rng.choice([0, 0, 1, 1, 5, 30])
        mutant[start:stop] = rng.choice([b"", rng.choice(SPECIAL), rng.randbytes(1), mutant[start : start + 20] * 2])
    return bytes(mutant)


@UNHURRIED
@given(
    st.integers(0, 2**32), st.sampled_from(["utf-8", "latin-1", "utf-16"]), st.sampled_from([",", "\t", "::", ";", "|"])
)
def test_mutations_are_read_or_explained(tmp_path: Path, seed: int, encoding: str, separator: str) -> None:
    content = GOOD.decode().replace(",", separator).encode(encoding)
    read_or_explain(tmp_path / "file", mutated(content, seed))


@UNHURRIED
@given(st.integers(0, 2**32), st.sampled_from(["gz", "zip"]))
def test_mutated_archives_are_read_or_explained(tmp_path: Path, seed: int, kind: str) -> None:
    buffer = io.BytesIO()
    if kind == "gz":
        buffer.write(gzip.compress(GOOD))
    else:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("r.csv", GOOD)
    read_or_explain(tmp_path / "file", mutated(buffer.getvalue(), seed))


@pytest.mark.parametrize("member", [".", "/", "./"])
def test_a_zip_whose_member_has_no_name(tmp_path: Path, member: str) -> None:
    with zipfile.ZipFile(tmp_path / "r.zip", "w") as archive:
        archive.writestr(member, RATINGS)
    assert "A zip file must hold one table" in error_of(tmp_path / "r.zip").problem


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_truncated_parquet(kept: float, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pl.read_csv(GOOD).write_parquet(buffer)
    content = buffer.getvalue()
    path = tmp_path / "r.parquet"
    path.write_bytes(content[: int(kept * len(content))])
    assert "The Parquet file is damaged" in error_of(path).problem


# --- speed ------------------------------------------------------------------------------------------


def test_a_good_file_is_never_read_line_by_line(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow pass is for errors; a table with every kind of blemish that is no error does without."""
    from penchant.data.text import Text

    first = Text.records
    calls: list[int] = []

    def counted(self: Text) -> Any:
        for number, record in enumerate(first(self)):
            calls.append(number)
            yield record

    monkeypatch.setattr(Text, "records", counted)
    lines = [f'{row},{row % 7},{row % 5},2020-01-01T00:00:{row % 60:02},"a, ""b""\n{row}",' for row in range(3000)]
    data = read_ratings(put("\n\nuser,item,rating,date,title,note\n" + "\n\n".join(lines)))
    assert len(data) == 3000
    assert calls == [0]


# --- folders and published data ---------------------------------------------------------------------


def test_a_folder_with_another_number_of_ratings(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "ml-20m", replace(DATASETS["ml-20m"], n_ratings=4))
    for folder, n_ratings in (("ml-20m", 4), ("ml-25m", 25_000_095), ("other", 4)):
        put(RATINGS.replace("item", "movieId"), f"{folder}/ratings.csv")
        put(FILMS, f"{folder}/movies.csv")
        expected = f"This copy of MovieLens 25M has 4 ratings; its publisher's has {n_ratings:,}."
        assert read_ratings(tmp_path / folder).notes == ((expected,) if folder == "ml-25m" else ())
    monkeypatch.setenv("PENCHANT_DATA", str(tmp_path))
    assert "publisher's has 25,000,095" in read_ratings("ml-25m").notes[0]


def test_any_folder_with_ratings_and_items(put: Put, tmp_path: Path) -> None:
    put(RATINGS, "mine/ratings.csv")
    put(FILMS.replace("movieId", "item"), "mine/items.csv")
    data = read_ratings(tmp_path / "mine")
    assert data.names.to_list() == ["Ants (1998)", "Bees (2001)", "Cats (2019)"]
    assert data.source == str(tmp_path / "mine")


def test_book_crossing_as_dumped(put: Put, tmp_path: Path) -> None:
    """Latin-1, quotes escaped by backslashes, HTML entities, 0 for implicit feedback, NULL for nothing."""
    ratings = (
        '"User-ID";"ISBN";"Book-Rating"\r\n"276725";"034545104X";"0"\r\n"276726";"0155061224";"5"\r\n'
        '"276727";"0446520802";"0"\r\n"276729";"052165615X";"3"\r\n"276729";"0521795028";"6"\r\n'
        '"276726";"0155061224";"7"\r\n'
    )
    books = (
        '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication"\r\n'
        '"0155061224";"The \\"Real\\" J. Peterman; Life &amp; more";"Ren\u00e9";"2001"\r\n'
        '"052165615X";"\\"Quoted\\" to the \\"end\\"";"B";"1999"\r\n'
        '"0521795028";"The Amsterdam Connection : Level 4";"C";"2001"\r\n'
    )
    users = (
        '"User-ID";"Location";"Age"\r\n'
        '"276726";"seattle, \\"wa\\", usa";NULL\r\n'
        '"276729";"rijeka, n/a, croatia";"16"\r\n'
    )
    for name, content in (("BX-Book-Ratings.csv", ratings), ("BX-Books.csv", books), ("BX-Users.csv", users)):
        put(content.encode("latin-1"), f"book-crossing/{name}")
    data = read_ratings(tmp_path / "book-crossing")
    assert triples(data) == [(276729, "052165615X", 3.0), (276729, "0521795028", 6.0), (276726, "0155061224", 7.0)]
    assert data.names.to_list() == [
        'The "Real" J. Peterman; Life & more', '"Quoted" to the "end"', "The Amsterdam Connection : Level 4",
    ]  # fmt: skip
    assert data.item_table is not None
    assert data.item_table["Book-Author"].to_list()[0] == "René"
    assert data.user_table is not None
    assert data.user_table["Location"].to_list() == ['seattle, "wa", usa', "rijeka, n/a, croatia"]
    assert data.notes == (
        "BX-Books.csv is published with some lines too long; surplus fields are dropped.",
        "2 lines with a rating of 0 (implicit feedback) are left out.",
        "1 rating repeats a user and an item: the last by line is kept.",
    )
    path = tmp_path / "book-crossing" / "BX-Book-Ratings.csv"
    error = error_of(tmp_path / "book-crossing", duplicates="error")
    assert_place(error, path, 7, None)
    put(ratings.replace('"3"', '"three"').encode(), "book-crossing/BX-Book-Ratings.csv")
    assert_place(error_of(tmp_path / "book-crossing"), path, 5, "Book-Rating")


def test_only_implicit_feedback(put: Put, tmp_path: Path) -> None:
    put('"User-ID";"ISBN";"Book-Rating"\n"1";"a";"0"\n"2";"b";"0"\n', "bx/BX-Book-Ratings.csv")
    put('"ISBN";"Book-Title"\n"a";"A"\n', "bx/BX-Books.csv")
    put('"User-ID";"Age"\n"1";"1"\n', "bx/BX-Users.csv")
    assert "Every rating is 0" in error_of(tmp_path / "bx").problem


def folder_of(name: str) -> Path:
    folder = Path(REAL_DATA or "") / name
    if not REAL_DATA or not folder.is_dir():
        pytest.skip(f"PENCHANT_DATA names no folder that has {name}")
    return folder


def test_movielens_100k() -> None:
    data = read_ratings(folder_of("ml-100k"))
    note = f"This copy of MovieLens 100K has {len(data):,} ratings; its publisher's has 100,000."
    if len(data) == 100_000:
        assert (data.n_users, data.n_items, data.notes) == (943, 1682, ())
    else:  # a copy with three more lines, of a user 0
        assert (len(data), data.n_users, data.n_items, data.notes) == (100_003, 944, 1682, (note,))
    assert data.names[0] == "Toy Story (1995)"
    assert data.item_table is not None
    assert data.item_table["genres"][0] == "Animation|Children's|Comedy"
    assert data.user_table is not None
    assert data.scale == (1.0, 5.0)
    assert data.times is not None


def test_movielens_latest_small() -> None:
    folder = folder_of("ml-latest-small")
    data = read_ratings(folder)
    if len(data) != 100_836:
        pytest.skip("PENCHANT_DATA has another edition of ml-latest-small, which is made anew now and then")
    assert (data.n_users, data.n_items) == (610, 9_724)
    assert data.notes == ()
    by_title = read_ratings(folder, item="title")
    assert (len(by_title), by_title.n_users, by_title.n_items) == (100_832, 610, 9_719)
    assert by_title.notes == (
        "5 items share their 'title' with another and are one item now.",
        "4 ratings repeat a user and an item: the last by time is kept.",
    )


def test_book_crossing() -> None:
    data = read_ratings(folder_of("book-crossing"))
    assert data.items.kind == "item"
    assert data.names.null_count() == 0
    titles = set(data.names)
    assert any("Decision in Normandy" in title for title in titles)
    assert len(titles) > data.n_items * 0.9
    assert data.scale[0] >= 1
    assert data.scale[1] == 10


def test_a_name_that_is_no_data_set() -> None:
    with pytest.raises(InputError, match="no data set of that name"):
        read_ratings("ml-100")
