"""Files of every make become the same table; a bad line is named by its number in the file."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penchant.data import text
from penchant.data.columns import HEADERLESS, KNOWN_NAMES
from penchant.data.tables import Table, from_frame, is_frame, read_table, simplify
from penchant.errors import DataError

HEADER = ["user", "item", "rating", "time"]
ROWS = [["1", "10", "4", "100"], ["1", "20", "3.5", "101"], ["2", "10", "5", "102"], ["3", "30", "0.5", "103"]]


def read(content: bytes | str | Path, **options: Any) -> Table:
    source = content.encode() if isinstance(content, str) else content
    return read_table(source, "some file", headerless=HEADERLESS, known_names=KNOWN_NAMES, **options)


def error_of(content: bytes | str | Path, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        read(content, **options)
    assert caught.value.file.startswith("some file")
    assert "some file" in str(caught.value)
    assert caught.value.remedy
    return caught.value


def rows(table: Table) -> list[list[str]]:
    return [list(row) for row in table.frame.rows()]


def written(separator: str, *, header: bool = True, end: str = "\n", last: str = "\n") -> str:
    lines = [separator.join(line) for line in ([HEADER] if header else []) + ROWS]
    return end.join(lines) + last


# --- how a file may be written ----------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::", " ", "   "], ids=repr)
@pytest.mark.parametrize("header", [True, False], ids=["header", "no header"])
@pytest.mark.parametrize(("end", "last"), [("\n", "\n"), ("\r\n", "\r\n"), ("\n", ""), ("\r\n", ""), ("\r", "\r")])
def test_separators_and_line_ends(separator: str, header: bool, end: str, last: str) -> None:
    table = read(written(separator, header=header, end=end, last=last))
    assert rows(table) == ROWS
    assert table.has_header is header
    assert table.frame.columns == (HEADER if header else list(HEADERLESS))
    assert set(table.frame.dtypes) == {pl.String}
    assert [table.line_of(row) for row in range(4)] == [row + 1 + header for row in range(4)]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::", " "], ids=repr)
@pytest.mark.parametrize("quoted", [False, True])
def test_files_on_disk_are_read_as_bytes_are(separator: str, quoted: bool, tmp_path: Path) -> None:
    content = written(separator)
    if quoted and separator in ",;":
        content = re.sub("[^,;\n]+", '"\\g<0>"', content)
    (tmp_path / "[a]{b}.csv").write_text(content)
    table = read(tmp_path / "[a]{b}.csv")
    assert rows(table) == rows(read(content)) == ROWS
    assert table.line_of(3) == 5


def test_blanks_and_tabs_in_any_mixture() -> None:
    """The copies of u.data that are handed round have some lines with blanks."""
    content = "0 50  5 881250949\n0 172  5 881250949\n196\t242\t3\t881250949\n 22 \t 377\t1  878887116\t \n"
    assert rows(read(content)) == [
        ["0", "50", "5", "881250949"],
        ["0", "172", "5", "881250949"],
        ["196", "242", "3", "881250949"],
        ["22", "377", "1", "878887116"],
    ]
    assert rows(read(content.replace("\n", "\r\n"))) == rows(read(content))
    later = "196\t242\t3\t881250949\n22\t377\t1\t878887116\n0 50  5 881250949\n"
    assert rows(read(later))[2] == ["0", "50", "5", "881250949"]


def test_a_title_with_blanks_does_not_make_blanks_the_separator() -> None:
    content = "item\ttitle\n1\tA big film\n2\tAnother\n3\tThe third film\n"
    assert read(content).frame["title"].to_list() == ["A big film", "Another", "The third film"]


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("utf-8", b""), ("utf-8-sig", b""), ("latin-1", b""), ("utf-16", b""), ("utf-16-le", b"\xff\xfe"),
     ("utf-16-be", b"\xfe\xff")],
)  # fmt: skip
@pytest.mark.parametrize("separator", [",", "::"])
def test_encodings(encoding: str, mark: bytes, separator: str, tmp_path: Path) -> None:
    content = separator.join(["user", "item", "rating"]) + "\n\n" + separator.join(["Jürgen", "Amélie", "5"]) + "\n"
    path = tmp_path / "file"
    path.write_bytes(mark + content.encode(encoding))
    for table in (read(path), read(path.read_bytes())):
        assert table.frame.columns == ["user", "item", "rating"]
        assert rows(table) == [["Jürgen", "Amélie", "5"]]
        assert table.line_of(0) == 3


def test_latin_1_after_the_first_bytes_looked_at() -> None:
    plain = "user,item,rating\n" + "anna,ants,5\n" * 10_000
    assert len(plain) > text.SNIFFED_BYTES
    table = read(plain.encode() + "jürgen,bees,4\n".encode("latin-1"))
    assert rows(table)[-1] == ["jürgen", "bees", "4"]
    assert table.line_of(10_000) == 10_002


@pytest.mark.parametrize("before", range(4))
def test_a_character_cut_by_the_end_of_the_sample(before: int) -> None:
    start = "user,item,rating\n"
    padding = "x" * (text.SNIFFED_BYTES - len(start) - before) + "\N{GRINNING FACE},i,5\n"
    assert rows(read(start + padding))[0][0].endswith("x\N{GRINNING FACE}")


def test_quoted_fields() -> None:
    content = (
        'user,item,rating,title\n"1","10",4,"Ants, the ""film"""\n'
        '2,20,3,"two\nlines\n\n and more"\n3,30,5,""\n4,1,2,x\n'
    )
    table = read(content)
    assert table.frame["title"].to_list() == ['Ants, the "film"', "two\nlines\n\n and more", "", "x"]
    assert [table.line_of(row) for row in range(4)] == [2, 3, 7, 8]
    assert rows(read(content.replace("\n", "\r\n")))[1][3] == "two\r\nlines\r\n\r\n and more"


def test_quotes_inside_unquoted_fields() -> None:
    assert rows(read('user,item,title\n1,2,The "best" film\n3,4,5" and 7"\n')) == [
        ["1", "2", 'The "best" film'],
        ["3", "4", '5" and 7"'],
    ]


@pytest.mark.parametrize("separator", ["\t", "|"])
def test_quotes_are_data_where_the_first_line_has_none(separator: str) -> None:
    content = 'item,title\n1,"A" film\n2,"\n3,x\n'.replace(",", separator)
    assert read(content).frame["title"].to_list() == ['"A" film', '"', "x"]
    quoted = '"item","title"\n"1","A\n film"\n2,x\n'.replace(",", separator)
    assert read(quoted).frame["title"].to_list() == ["A\n film", "x"]


def test_backslashes_before_quotes() -> None:
    content = (
        '"isbn";"title";"author"\n'
        '"1";"The \\"real\\" one; or not";"A"\n'
        '"2";"\\"Quoted\\"";"B\\\\"\n'
        '"3";"two\nlines \\" here";"C:\\dir"\n'
        '"4";"\\\\\\"";NULL\n'
    )
    table = read(content, backslash=True)
    assert rows(table) == [
        ["1", 'The "real" one; or not', "A"],
        ["2", '"Quoted"', "B\\"],
        ["3", 'two\nlines " here', "C:\\dir"],
        ["4", '\\"', "NULL"],
    ]
    assert [table.line_of(row) for row in range(4)] == [2, 3, 4, 6]


def test_blank_lines_are_no_rows_and_still_count() -> None:
    content = "\n \t\nuser,item,rating\n\n1,2,3\n   \n\t\n4,5,6\n,,\n , ,\n7,8,9\n\n\n,,\n"
    for table in (read(content), read("\ufeff" + content), read(content.replace("\n", "\r\n"))):
        assert rows(table) == [["1", "2", "3"], ["4", "5", "6"], ["7", "8", "9"]]
        assert [table.line_of(row) for row in range(3)] == [5, 8, 11]


@pytest.mark.parametrize("separator", ["\t", "::", "|", " "])
def test_blank_lines_of_other_separators(separator: str) -> None:
    content = "\n1,2,3\n\n4,5,6\n  \n\n7,8,9\n\n".replace(",", separator)
    table = read(content)
    assert rows(table) == [["1", "2", "3"], ["4", "5", "6"], ["7", "8", "9"]]
    assert [table.line_of(row) for row in range(3)] == [2, 4, 7]


def test_names_lose_the_blanks_around_them() -> None:
    assert read("user , item,\trating\n1,2,3\n").frame.columns == ["user", "item", "rating"]


@pytest.mark.parametrize("name", ["^a.*$", "*", "^.*$", ""])
def test_names_that_polars_takes_for_patterns(name: str) -> None:
    content = f' {name},a1,a2,{name} \n1,2,"3,4",\n,,,\n5,6,7,8\n'
    assert rows(read(content)) == [["1", "2", "3,4", None], ["5", "6", "7", "8"]]
    assert error_of(content + "1,2,3").line == 5
    frame = pl.DataFrame({name: [1.5, None], "a": ["x", None]})
    for given_frame in (frame, frame.lazy(), frame.to_arrow(), pd.DataFrame(frame.to_dict(as_series=False))):
        assert from_frame(given_frame).frame.equals(frame)


def test_a_column_without_a_name_and_two_of_one_name() -> None:
    table = read(",user,item,rating,rating\n0,1,2,3,4\n")
    assert len(set(table.frame.columns)) == 5
    assert rows(table) == [["0", "1", "2", "3", "4"]]


@pytest.mark.parametrize(
    ("first", "is_header"),
    [
        ("userId,movieId,rating", True),
        ("USER ID,x,9", True),  # one name that is known
        ("who,what,how", True),  # nothing that looks like a number
        ("1,2,3", False),
        ("anna,ants,4.5", False),
        ("anna,ants,nan", False),
    ],
)
def test_header_or_not(first: str, is_header: bool) -> None:
    assert read(f"{first}\n5,6,7\n").has_header is is_header


def test_names_of_a_file_without_header() -> None:
    assert read("1,2,3\n").frame.columns == ["user", "item", "rating"]
    assert read("1,2,3,4,5,6\n").frame.columns == [*HEADERLESS, "column 5", "column 6"]
    assert read("user,item\n", columns=("a", "b")).frame.columns == ["a", "b"]


def test_simplify() -> None:
    assert {simplify(name) for name in ("userId", "user_id", "USER ID", "User-ID", " user.id ")} == {"userid"}


# --- containers -------------------------------------------------------------------------------------


def zipped(**members: str | bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_", ".").replace("MACOSX", "__MACOSX"), content)
    return buffer.getvalue()


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def test_gzip_and_zip(tmp_path: Path) -> None:
    content = written(",")
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(content.encode()))
    (tmp_path / "r.zip").write_bytes(
        zipped(a__r_csv=content, README_txt="Read me.", notes_md="x", MACOSX__r_csv="x", a__LICENSE_txt="Free.")
    )
    for name in ("r.csv.gz", "r.zip"):
        table = read(tmp_path / name)
        assert rows(table) == rows(read((tmp_path / name).read_bytes())) == ROWS
        assert table.line_of(3) == 5
    assert read(tmp_path / "r.zip").name == "some file (a/r.csv)"
    assert error_of(zipped(r_csv="user,item\n1,2,3\n")).file == "some file (r.csv)"


def test_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": [1, 2], "item": ["a", "b"], "tags": [["x"], []], "more": [{"a": 1}, {"a": 2}]})
    (tmp_path / "[r].parquet").write_bytes(parquet(frame))
    for source in (
        tmp_path / "[r].parquet",
        parquet(frame),
        gzip.compress(parquet(frame)),
        zipped(r_parquet=parquet(frame)),
    ):
        table = read(source)
        assert table.frame.equals(frame)
        assert table.line_of(1) == 2


DAMAGED: list[tuple[bytes, str]] = [
    (gzip.compress(written(",").encode())[:-10], "The gzip file is damaged"),
    (gzip.compress(os.urandom(500))[:30] + bytes(30), "The gzip file is damaged"),
    (b"\x1f\x8b", "The gzip file is damaged"),
    (zipped(r_csv=written(","))[:-30], "The zip file is damaged"),
    (zipped(r_csv=written(",")).replace(b"user", b"User", 1)[:40] + bytes(200), "The zip file is damaged"),
    (parquet(pl.DataFrame({"user": [1, 2]}))[:-20], "The Parquet file is damaged"),
    (b"PAR1", "The Parquet file is damaged"),
    (b"PAR1" + bytes(100) + b"PAR1", "The Parquet file is damaged"),
    (zipped(), "this one's tables: none"),
    (zipped(a_txt="a", b_csv="b"), "this one's tables: a.txt, b.csv"),
    (zipped(xl__workbook_xml="<x/>", b_csv="b"), "This is an Excel workbook"),
    (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "binary data"),
    (bytes(range(1, 9)) * 50, "binary data"),
    (gzip.compress(bytes(500)), "binary data"),
]


@pytest.mark.parametrize(("content", "message"), DAMAGED, ids=range(len(DAMAGED)))
def test_damaged(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    for source in (content, tmp_path / "file"):
        error = error_of(source)
        assert message in error.problem
        assert error.line is None


def test_a_zip_with_a_wrong_checksum() -> None:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("r.csv", written(","))
    assert "The zip file is damaged" in error_of(buffer.getvalue().replace(b"1,10,4", b"1,10,5", 1)).problem


def test_an_encrypted_zip() -> None:
    content = bytearray(zipped(r_csv=written(",")))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    assert "The zip file is damaged" in error_of(bytes(content)).problem


@pytest.mark.parametrize(
    "content", [b"", b"\n", b" \r\n\t\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n", "\n \n".encode("utf-16")]
)
def test_empty(content: bytes) -> None:
    assert error_of(content).problem.endswith("The file is empty.")
    assert error_of(gzip.compress(content)).problem.endswith("The file is empty.")


@pytest.mark.parametrize(
    "content", ["user,item,rating", "user,item,rating\n", "user::item::rating\r\n\r\n", "user\titem\n \t\n"]
)
def test_only_a_header(content: str) -> None:
    assert error_of(content).problem.endswith("There are no rows, only a header.")


def test_parquet_without_rows() -> None:
    assert "There are no rows" in error_of(parquet(pl.DataFrame({"user": [], "item": [], "rating": []}))).problem


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    assert "No such file" in error_of(tmp_path / "missing").problem
    assert "The file cannot be read" in error_of(tmp_path).problem


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "locked").write_text(written(","))
    monkeypatch.setattr(Path, "open", refuse)
    error = error_of(tmp_path / "locked")
    assert "The file cannot be read: Permission denied" in error.problem


def test_utf_16_that_is_cut() -> None:
    content = written(",").encode("utf-16") * 2000
    assert len(content) > text.SNIFFED_BYTES
    error = error_of(content[:-1])
    assert "The text is not UTF-16" in error.problem


# --- bad lines --------------------------------------------------------------------------------------


def odd_line(bad: str, separator: str = ",") -> str:
    """The bad line is line 6 of the file; lines before and after it are good."""
    good = separator.join(["1", "2", "3", "4"]) + "\n"
    return separator.join(HEADER) + "\n\n" + good + "  \n" + good + bad + "\n" + good * 3


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::"])
def test_too_many_fields(separator: str) -> None:
    error = error_of(odd_line(separator.join("12345"), separator))
    assert error.line == 6
    assert "5 fields where the first line has 4" in error.problem
    assert error_of(odd_line(separator.join("12345"), separator).replace("\n", "\r\n")).line == 6


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::"])
@pytest.mark.parametrize(("count", "column"), [(3, "time"), (2, "rating"), (1, "item")])
def test_too_few_fields(separator: str, count: int, column: str) -> None:
    for content in (odd_line(separator.join("1234"[:count]), separator), odd_line("1") if count == 1 else ""):
        if content:
            error = error_of(content)
            assert (error.line, error.column) == (6, column)
            assert f"{count} field" in error.problem
            assert "where the first has 4" in error.problem


def test_too_few_fields_by_blanks() -> None:
    lines = ["1 2 3 4"] * 200
    lines[150] = "1 2 3"
    error = error_of("\n".join(lines))
    assert (error.line, error.column) == (151, "timestamp")


def test_short_lines_may_be_allowed() -> None:
    table = read(odd_line("1,2"), allow_short=True)
    assert rows(table)[2] == ["1", "2", None, None]


def test_an_empty_last_field_is_no_short_line() -> None:
    content = 'user,item,"rating, or so",note\n1,2,3,\n1,3,4,"good, very"\n\n1,4,5,\n,,,\n1,5,2,"a\nb,c"\n'
    assert read(content).frame["note"].to_list() == [None, "good, very", None, "a\nb,c"]
    assert read(content.replace(",,,\n", "")).frame.height == 4
    error = error_of(content + "7,8,9")
    assert (error.line, error.column) == (9, "note")
    error = error_of(content.replace(",,,\n", "") + "7,8,9")
    assert (error.line, error.column) == (8, "note")


def test_surplus_may_be_cut() -> None:
    assert rows(read(odd_line("1,2,3,4,5,6"), truncate=True))[2] == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "bad",
    ['1,2,3,"4', '1,2,"3,4', '"1,2,3,4', '1,2,3,"4"5', '1,2,3,4"', '1,2,x"y,4', '1,2,3,"4" ', '1,"x""y,3,4', '1,2,3,"'],
)
def test_unmatched_quotes(bad: str) -> None:
    for content in (odd_line(bad), odd_line(bad).replace("\n", "\r\n"), odd_line(bad).rstrip("\n")):
        error = error_of(content)
        assert error.line == 6, bad
        assert "The quotes of this line do not match." in error.problem


def test_an_unmatched_quote_after_quoted_line_feeds() -> None:
    good = 'user,item,rating,title\n1,2,3,"a\nb"\n\n1,2,3,"c"\n'
    for bad in ('1,2,3,"d\n', '1,2,3,d"\n', '1,2,3,"d"e\n'):
        assert error_of(good + bad + '1,2,3,"e"\n1,2,3,f\n').line == 6
    assert error_of('"user,item\n1,2\n').line == 1


def test_too_many_fields_after_quoted_line_feeds() -> None:
    good = 'user,item,rating,title\n1,2,3,"a\n\nb"\n\n'
    error = error_of(good + '1,2,3,"4",5\n' + '1,2,3,"e"\n')
    assert error.line == 6
    assert "5 fields" in error.problem


def test_a_layout_with_another_number_of_columns() -> None:
    error = error_of("1,2,3\n", columns=("a", "b"))
    assert error.line == 1
    assert "has 3 fields" in error.problem
    assert "(a, b)" in error.problem


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n\r"), max_size=8)


@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=20),
    st.sampled_from([",", ";"]),
)
def test_what_python_writes_is_read_back(cells: list[list[str]], separator: str) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([["user", "item", "rating"], *cells])
    content = buffer.getvalue().encode()
    filled = [row for row in cells if any(cell.strip(" \t\r\n") for cell in row) or row[2] != ""]
    if not filled:
        assert "There are no rows" in error_of(content).problem
        return
    table = read(content)
    assert rows(table) == filled
    heights = [1 + sum(cell.count("\n") for cell in row) for row in cells]
    lines = [2 + sum(heights[:position]) for position in range(len(cells))]
    kept = [line for line, row in zip(lines, cells, strict=True) if row in filled]
    assert [table.line_of(row) for row in range(len(filled))] == kept


# --- frames -----------------------------------------------------------------------------------------


def test_is_frame() -> None:
    frame = pl.DataFrame({"a": [1]})
    for source in (
        frame,
        frame.lazy(),
        frame.to_arrow(),
        pd.DataFrame({"a": [1]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
    ):
        assert is_frame(source)
    for source in ("file.csv", Path("file.csv"), {"a": [1]}, [1], None, np.zeros((2, 2)), pd.Series([1]), frame["a"]):
        assert not is_frame(source)


FRAMES: list[tuple[str, Callable[[], Any]]] = [
    ("polars", lambda: pl.DataFrame({"a": [1, 2], "b": ["x", None]})),
    ("polars", lambda: pl.LazyFrame({"a": [1, 2], "b": ["x", None]})),
    ("pyarrow", lambda: pa.table({"a": [1, 2], "b": ["x", None]})),
    ("pandas", lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]})),
    ("pandas", lambda: pd.DataFrame({"a": [1, 2], "b": ["x", float("nan")]}, dtype=object).astype({"a": int})),
    (
        "pandas",
        lambda: pd.DataFrame({"a": pd.array([1, 2], dtype="Int64"), "b": pd.array(["x", None], dtype="string")}),
    ),
    ("pandas", lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[7, 7])),
]


@pytest.mark.parametrize(("library", "make"), FRAMES)
def test_frames(library: str, make: Callable[[], Any]) -> None:
    table = from_frame(make())
    assert table.name == f"the {library} frame"
    assert table.frame.equals(pl.DataFrame({"a": [1, 2], "b": ["x", None]}))
    assert table.line_of(1) == 2


PANDAS_COLUMNS: list[tuple[Any, list[Any]]] = [
    ([1, 2], [1, 2]),
    (pd.array([1, None], dtype="Int64"), [1, None]),
    ([1.5, None], [1.5, None]),
    (["a", float("nan")], ["a", None]),
    (pd.array(["a", pd.NA], dtype="string"), ["a", None]),
    (pd.Categorical(["x", "y"]), ["x", "y"]),
    (pd.Categorical([3, None]), [3, None]),
    ([1, "A2"], ["1", "A2"]),
    (["A2", 1], ["A2", "1"]),
    ([None, 1, "x"], [None, "1", "x"]),
    ([True, False], [True, False]),
    (
        pd.to_datetime(["2020-01-01T00:00:01", "2020-01-02T00:00:00"]),
        ["2020-01-01 00:00:01.000000", "2020-01-02 00:00:00.000000"],
    ),
    (pd.to_datetime(["2020-01-01", None]), ["2020-01-01 00:00:00.000000", None]),
    (
        pd.to_datetime(["2020-01-01", "2020-07-01"]).tz_localize("Europe/Berlin"),
        ["2019-12-31 23:00:00.000000", "2020-06-30 22:00:00.000000"],
    ),
    (pd.period_range("2020-01", periods=2, freq="M"), ["2020-01", "2020-02"]),
    (pd.arrays.SparseArray([1, 2]), [1, 2]),
    (np.array([1, 2], dtype="float16"), [1.0, 2.0]),
    ([2**70, 1], [2**70, 1]),
]


@pytest.mark.parametrize(("column", "expected"), PANDAS_COLUMNS)
def test_pandas_columns(column: Any, expected: list[Any]) -> None:
    series = from_frame(pd.DataFrame({"a": column})).frame["a"]
    if series.dtype == pl.Datetime:
        series = series.dt.replace_time_zone(None).cast(pl.Datetime("us")).cast(pl.String)
    assert series.to_list() == expected


def test_names_of_pandas_columns() -> None:
    assert from_frame(pd.DataFrame([[1, 2]])).frame.columns == ["0", "1"]
    assert from_frame(pd.DataFrame([[3, 4]], columns=[1, 0])).frame.row(0, named=True) == {"1": 3, "0": 4}


def missing_file() -> pl.LazyFrame:
    return pl.scan_parquet("no such file.parquet")


BAD_FRAMES: list[tuple[Callable[[], Any], str]] = [
    (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), "cannot be read"),
    (lambda: pd.DataFrame([[1, 2]], columns=[1, "1"]), "cannot be read"),
    (lambda: pl.DataFrame(), "There are no rows"),
    (lambda: pd.DataFrame({"a": []}), "There are no rows"),
    (lambda: pl.LazyFrame({"a": [1]}).select("b"), "cannot be read"),
    (missing_file, "cannot be read"),
    (lambda: pl.LazyFrame({"a": ["x"]}).select(pl.col("a").cast(pl.Int64)), "cannot be read"),
]


@pytest.mark.parametrize(("make", "message"), BAD_FRAMES)
def test_bad_frames(make: Callable[[], Any], message: str) -> None:
    frame = make()
    assert is_frame(frame)
    with pytest.raises(DataError, match=message) as caught:
        from_frame(frame)
    assert caught.value.remedy
    assert caught.value.file.startswith("the ")


def test_objects_become_text() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd"

    for frame in (pd.DataFrame({"a": [Odd(), None]}), pl.DataFrame({"a": pl.Series([Odd(), None], dtype=pl.Object)})):
        assert from_frame(frame).frame["a"].to_list() == ["odd", None]


def test_pandas_without_pyarrow() -> None:
    code = """
import sys
sys.modules["pyarrow"] = None
import pandas as pd
from penchant.data.read import read_ratings
frame = pd.DataFrame({
    "user": ["anna", "bert", "anna"], "item": pd.Categorical(["x", "y", "y"]), "rating": [1, 2.5, 3],
    "time": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"]),
    "title": pd.array(["X", None, "Y"], dtype="string"),
})
data = read_ratings(frame)
print(data.users.ids.to_list(), data.names.to_list(), data.ratings.tolist(), data.times.tolist())
assert "pyarrow.lib" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['anna', 'bert'] ['X', 'Y'] [1.0, 2.5, 3.0] [1577836800, 1577923200, 1578009600]\n"
