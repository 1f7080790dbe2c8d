"""Reading numbers as numbers gives what reading them as text gives, or the same message."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penchant.data import numbers, tables
from penchant.data.numbers import BLOCK, STRETCH, Look, is_plain, read_numbers
from penchant.data.read import read_ratings
from penchant.data.text import SNIFFED_BYTES, Text
from penchant.errors import DataError

HEADER = "user,item,rating,time\n"
UNHURRIED = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@contextmanager
def as_text() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "read_numbers", lambda *_: None)
        yield


def outcome(path: Path, **options: Any) -> Any:
    """All of the interactions, or all of the error."""
    try:
        data = read_ratings(path, **options)
    except DataError as error:
        return str(error), error.file, error.line, error.column
    times = None if data.times is None else data.times.tolist()
    columns = (data.user_rows.tolist(), data.item_rows.tolist(), data.ratings.tolist(), times)
    ids = (data.users.ids.to_list(), data.items.ids.to_list(), data.users.is_integer, data.items.is_integer)
    table = None if data.item_table is None else (data.item_table.schema, data.item_table.rows())
    return columns, ids, data.names.to_list(), table, data.notes, data.source


def assert_same(path: Path, content: bytes, **options: Any) -> Any:
    path.write_bytes(content)
    found = outcome(path, **options)
    with as_text():
        assert found == outcome(path, **options)
    return found


def read(content: str | bytes | Path, separator: str = ",", names: list[str] | None = None) -> pl.DataFrame | None:
    source = content.encode() if isinstance(content, str) else content
    meanings = {"user": "id", "item": "id", "rating": "rating", "time": "time"}
    return read_numbers(Text(source, separator, True), names or [], lambda _: meanings)  # type: ignore[arg-type,return-value]


# --- what is read as numbers ------------------------------------------------------------------------

NUMBERS = [pl.Int64, pl.Int64, pl.Float32, pl.Int64]
TEXT_IDS = [pl.String, pl.String, pl.Float32, pl.Int64]


@pytest.mark.parametrize(
    ("rows", "types"),
    [
        ("1,10,4,100\n2,20,3.5,-1\n", TEXT_IDS),  # a sign somewhere
        ("1,10,4,100\n2,20,0.5,0\n", NUMBERS),
        ("10,100,.5,100\n2,20,10.05,1000\n", NUMBERS),
        ("1,10,4,100\r\n2,20,3.5,101\r\n", NUMBERS),
        ('"1","10","4","100"\n2,20,3.5,101', NUMBERS),
        ("0,0,0,0\n9223372036854775807,20,3.5,101\n", NUMBERS),
        ("9223372036854775808,10,4,100\n2,20,3.5,101\n", TEXT_IDS),
        ("007,10,4,100\n2,20,3.5,101\n", TEXT_IDS),
        ('"007",10,4,100\n2,20,3.5,101\n', TEXT_IDS),
        (" 007,10,4,100\n2,20,3.5,101\n", TEXT_IDS),
        ("1,00,4,100\n2,20,3.5,101\n", TEXT_IDS),
        ("1,10,4,100\n+2,20,3.5,101\n", TEXT_IDS),
        ("1,10,4,100\n2,-0,3.5,101\n", TEXT_IDS),
        ("u1,10,4,100\nu2,20,3.5,101\n", TEXT_IDS),
        ("1.0,10,4,100\n2,20,3.5,101\n", TEXT_IDS),
    ],
)
def test_types(rows: str, types: list[Any]) -> None:
    frame = read(HEADER + rows)
    assert frame is not None
    assert frame.dtypes == types


@pytest.mark.parametrize(
    "rows",
    [
        "1,10,4,100\n\n2,20,3.5,101\n",
        "1,10,4,100\n2,20,3.5\n",
        "1,10,4,100\n2,20,3.5,101,5\n",
        "1,10,,100\n2,20,3.5,101\n",
        "1,10,4 ,100\n2,20,3.5,101\n",
        "1,10,NA,100\n2,20,3.5,101\n",
        "1,10,nan,100\n2,20,3.5,101\n",
        "1,10,1e400,100\n2,20,3.5,101\n",
        '1,10,"4,5",100\n2,20,3.5,101\n',
        "1,10,4,1.5\n2,20,3.5,101\n",
        "1,10,4,2020-01-01\n2,20,3.5,2020-01-02\n",
        f"1,10,4,{2**53 + 1}\n2,20,3.5,101\n",
        "# a comment\n1,10,4,100\n",
        '1,10,4,"100\n2,20,3.5,101\n',
    ],
)
def test_what_is_left_to_the_reading_as_text(rows: str) -> None:
    assert read(HEADER + rows) is None


def test_other_columns_stay_text_and_blanks_around_names_do_not_matter() -> None:
    frame = read("user, item,rating ,note\n1,2,3,007\n4,5,6,\n")
    assert frame is not None
    assert frame.dtypes == [*TEXT_IDS[:3], pl.String]
    assert frame.to_series(3).to_list() == ["007", None]


def test_names_that_become_one_without_blanks() -> None:
    assert read("user,user ,item,rating\n1,2,3,4\n") is None


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "\x1f"])
@pytest.mark.parametrize("header", [True, False])
def test_every_separator(separator: str, header: bool, tmp_path: Path) -> None:
    names = [] if header else HEADER.strip().split(",")
    good, bad = "10,20,0.5,100\n2,0,10.05,0\n", "10,20,0.5,100\n2,05,3,0\n"
    for rows, ids in (
        (good, pl.Int64),
        (bad, pl.String),
        (bad[::-1].strip()[::-1].replace("10,", "010,", 1), pl.String),
    ):
        content = ((HEADER if header else "") + rows).replace(",", separator)
        (tmp_path / "file").write_text(content)
        for source in (content, tmp_path / "file"):
            frame = read(source, separator, names)
            assert frame is not None
            assert frame.dtypes == [ids, ids, pl.Float32, pl.Int64]


@pytest.mark.parametrize("odd", [b"\n007,", b",007,", b'"07"', b"+7", b"-7", b"\t00"])
def test_an_odd_number_anywhere_in_a_large_file(odd: bytes) -> None:
    zeros = b"0,10.0,20\n" * ((STRETCH + 3 * BLOCK) // 10)
    assert is_plain(Text(zeros, ",", True), has_header=False)
    for place in (0, *range(BLOCK - 12, BLOCK + 3), *range(STRETCH - 12, STRETCH + 3), len(zeros) - 20):
        at = zeros.index(odd[:1] if odd[:1] in b"\n," else b",", place)
        content = zeros[:at] + (odd if odd[:1] in b"\n," else b"," + odd) + zeros[at + 1 :]
        assert not is_plain(Text(content, ",", True), has_header=False), place
    with_header = b"item-id,001\n" + zeros
    assert is_plain(Text(with_header, ",", True), has_header=True)
    assert not is_plain(Text(with_header, ",", True), has_header=False)


@given(st.text('0123456789.,\n "', max_size=30), st.sampled_from(",;"))
def test_blocks_against_a_pattern(text: str, separator: str) -> None:
    needless = re.search(r'[,\n "]0[0-9]', f"\n{text}\n")
    block = f"\n{text}\n".replace(",", separator).encode()
    assert Look(ord(separator)).is_plain(block) is (needless is None)


# --- the same as the reading as text ----------------------------------------------------------------

IDS = st.one_of(
    st.integers(0, 20).map(str),
    st.integers(-(2**64), 2**64).map(str),
    st.sampled_from(["007", "+7", " 7", "7 ", "-0", "0", "00", "u1", "1.0", "1e3", "", " ", "NA", '"7"', '"a,b"', "\r7",
                     '"1\n2"', "1\r2", "7\t", "9223372036854775808", "ä", "1_0", "0x1", '"7', '""', "nan",
                     "\N{NO-BREAK SPACE}7"]),
)  # fmt: skip
RATINGS = st.one_of(
    st.sampled_from(["4", "3.5", "0.5", "5.0"]),
    st.floats(width=64).map(repr),
    st.decimals(-1000, 1000).map(str),
    st.from_regex(r"[+-]?[0-9]{0,12}\.?[0-9]{0,30}([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(
        ["", " 4", "4 ", "nan", "inf", "-inf", "1e400", '"3,5"', "05", "true", "4.", ".5", "NA", "0x4", '"4"']
    ),
)
TIMES = st.one_of(
    st.integers(0, 2**31).map(str),
    st.integers(-(2**65), 2**65).map(str),
    st.sampled_from(
        [
            "",
            "1.5",
            "1e9",
            "2020-01-01",
            "007",
            "+5",
            " 5",
            "nan",
            "1600000000000",
            '"5"',
            "1994",
            "20240103",
            "20240230",
            "2.1.2020",
            "2020/1/2",
        ]
    ),
)
GOOD_IDS = st.integers(0, 12).map(str)
GOOD = st.tuples(GOOD_IDS, GOOD_IDS, st.sampled_from(["4", "3.5", "0.5"]), st.integers(0, 99).map(str))
LINES = st.one_of(
    st.tuples(IDS, IDS, RATINGS, TIMES).map(",".join),
    st.tuples(IDS, GOOD_IDS, GOOD_IDS, GOOD_IDS).map(",".join),
    st.tuples(GOOD_IDS, GOOD_IDS, RATINGS, TIMES).map(",".join),
    st.lists(GOOD_IDS, max_size=6).map(",".join),
    st.sampled_from(["", " ", ",,,", "# no data", "user,item,rating,time"]),
)
HEADERS = st.sampled_from(
    [HEADER, "", "\ufeff" + HEADER, "\n" + HEADER, "item,user,time,rating\n", "user,user,item,rating\n",
     "title,user,rating,x\n",
     "User-ID, item ,rating,title\n", "user,item,rating,rating\n", '"user","item","rating","time"\n'],
)  # fmt: skip


@UNHURRIED
@given(HEADERS, st.lists(GOOD.map(",".join), max_size=6), st.lists(LINES, max_size=2), st.lists(GOOD.map(",".join)),
       st.sampled_from([",", ";", "\t", "::"]), st.sampled_from(["\n", "\r\n"]), st.booleans())  # fmt: skip
@example(HEADER, ["1,2,3,4", "2,3,4,5"], ["007,2,3,4"], [], ",", "\n", True)
@example(HEADER, ["1,2,3,4", "2,3,4,5"], [f"1,7,3,{2**53 + 1}", f"1,8,3,{10**18 - 1}"], [], ",", "\n", True)
def test_numbers_and_text_give_the_same(
    tmp_path: Path,
    header: str,
    before: list[str],
    odd: list[str],
    after: list[str],
    separator: str,
    end: str,
    last: bool,
) -> None:
    content = header + "\n".join([*before, *odd, *after]) + ("\n" if last else "")
    assert_same(tmp_path / "file", content.replace(",", separator).replace("\n", end).encode())


@UNHURRIED
@given(st.lists(st.tuples(GOOD_IDS, GOOD_IDS, RATINGS, TIMES).map(",".join), min_size=2, max_size=5))
@example(["1,2,3,0", "2,3,4,20240103"])
def test_ratings_and_times_of_any_spelling(tmp_path: Path, lines: list[str]) -> None:
    assert_same(tmp_path / "file", (HEADER + "\n".join(lines)).encode())


@pytest.mark.parametrize(
    "options",
    [{"item_name": "item"}, {"item_name": "rating"}, {"user": "time"}, {"rating": "time"}, {"time": "rating"},
     {"item": "no such"}, {"item": "rating"}, {"duplicates": "mean"}],
)  # fmt: skip
def test_names_given_by_the_caller(options: dict[str, str], tmp_path: Path) -> None:
    assert_same(tmp_path / "file", (HEADER + "1,10,4,100\n2,20,3.5,101\n2,20,3,101\n").encode(), **options)


@pytest.mark.parametrize(
    "bad", ["007,1,3,1", "x,1,3,1", "1,1,good,1", "1,,3,1", "1,1,3", "1,1,3,1,1", "", "1,1,3,2020-01-01"]
)
def test_an_odd_line_after_the_first_lines_looked_at(bad: str, tmp_path: Path) -> None:
    lines = [f"{row % 97},{row % 89},{row % 5}.5,{row}" for row in range(8_000)]
    content = HEADER + "\n".join([*lines, bad, "5,6,3,7\n"])
    assert content.rindex("\n5,6") - len(bad) > SNIFFED_BYTES
    path = tmp_path / "file"
    assert assert_same(path, content.encode()) == assert_same(path, gzip.compress(content.encode()))


def test_a_wrong_byte_after_the_first_lines_looked_at(tmp_path: Path) -> None:
    lines = "".join(f"u{row % 97},{row % 89},{row % 5}.5,{row}\n" for row in range(8_000))
    assert_same(tmp_path / "file", (HEADER + lines + "jürgen,1,2,3\n").encode("latin-1"))


def test_a_usual_file_is_read_as_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_read_as_text", lambda *_: pytest.fail("read as text"))
    lines = "".join(f"{row % 97},{row % 89},{row % 5}.5,{row}\n" for row in range(8_000))
    for content in (lines.encode(), (HEADER + lines).encode(), gzip.compress(lines.replace(",", "::").encode())):
        (tmp_path / "file").write_bytes(content)
        assert len(read_ratings(tmp_path / "file")) == 8_000


def test_times_at_the_edge(tmp_path: Path) -> None:
    for time in (2**53 - 1, 2**53, 2**53 + 1, -(2**53), 10**11, 10**11 - 1, 10**14, 10**17 - 1):
        assert_same(tmp_path / "file", f"{HEADER}1,1,3,{time}\n2,2,4,{time - 1}\n".encode())


def test_numbers_are_checked_whole() -> None:
    assert not numbers._is_whole(pl.Series([1, None]), "id")
    assert not numbers._is_whole(pl.Series([1.0, np.nan]), "rating")
    assert numbers._is_whole(pl.Series([2**62]), "id")
