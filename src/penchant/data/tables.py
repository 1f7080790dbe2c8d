"""Any table file or frame -> a polars frame of its columns, with the line of every row at hand.

Text columns stay text here: what a column means is known only to the caller (an id of "007" must keep
its zeros).
"""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import narwhals.stable.v2 as nw
import polars as pl
from narwhals.exceptions import NarwhalsError

from penchant.data import text as text_tables
from penchant.data.downloads import DAMAGED_ZIP
from penchant.data.json_lines import JsonLines, is_json, read_json_lines
from penchant.data.numbers import Meanings, read_numbers
from penchant.data.text import CHECK_EXPORT, SNIFFED_BYTES, Dialect, Text, first_line
from penchant.errors import DataError

TABLE_SUFFIXES = (
    ".csv", ".tsv", ".txt", ".dat", ".data", ".base", ".test", ".parquet", ".jsonl", ".ndjson", ".item", ".user",
)  # fmt: skip
PARQUET_MARK = b"PAR1"
FETCH_AGAIN = "Write or fetch it again."


@dataclass(frozen=True)
class Table:
    """A table in memory, and where it came from.

    Attributes:
        frame: one column a field; String columns when it was read from text, but for those read as numbers.
        name: the file (and member of an archive) or kind of frame, for messages.
        has_header: False when the first line was data, and the names of the columns are the caller's.
        text: what `frame` was read from; None for frames, Parquet and JSON lines.
        json: what `frame` was read from, where that is JSON lines.
    """

    frame: pl.DataFrame
    name: str
    has_header: bool = True
    text: Text | None = None
    json: JsonLines | None = None

    def column(self, name: str) -> pl.Series:
        """The values of one column, without its name, which polars may take for a pattern ("^a.*$")."""
        return self.frame[name].alias("")

    def line_of(self, row: int) -> int:
        """The 1-based line in the file at which a row starts (1-based row of a frame). Slow, for errors."""
        if self.json is not None:
            return self.json.line_of(row)
        if self.text is None:
            return row + 1
        records = self.text.records()
        if self.has_header:
            next(records)
        filled = (line for line, record in records if not self.text.is_blank(record, self.frame.width))
        return next((line for number, line in enumerate(filled) if number == row), row + 1)


def simplify(column: str) -> str:
    """A column's name without case, blanks and punctuation: "User_ID" -> "userid"."""
    return re.sub(r"[\W_]+", "", column).lower()


# --- frames -----------------------------------------------------------------------------------------


def is_frame(source: Any) -> bool:
    """True for a pandas, polars, Arrow or any other frame that narwhals knows."""
    try:
        return isinstance(nw.from_native(source, pass_through=True), nw.DataFrame | nw.LazyFrame)
    except NarwhalsError:  # a frame, but not one that can be used: `from_frame` says why
        return True


def from_frame(source: Any) -> Table:
    """A frame of any library as a Table, in the same order of rows.

    Raises:
        DataError: it has two columns of one name, cannot be computed, or has no rows.
    """
    kind = f"the {type(source).__module__.partition('.')[0]} frame"
    try:
        frame = nw.from_native(source)
        if isinstance(frame, nw.LazyFrame):
            frame = frame.collect()
        columns = [_series(column) for column in frame.iter_columns()]
        names = [str(name) for name in frame.columns]
        if len(set(names)) < len(names):
            raise ValueError("two columns have one name")
        taken = pl.DataFrame(dict(zip(names, columns, strict=True)))
    except Exception as error:  # any library may be behind a frame, and a lazy one may do anything
        raise DataError(
            f"The frame cannot be read ({first_line(error)}).",
            file=kind,
            remedy="Give every column a name of its own, and a lazy frame what it needs.",
        ) from error
    return _with_rows(Table(taken, kind))


def _series(column: nw.Series[Any]) -> pl.Series:
    """One column in polars; by way of Python lists only for what NumPy holds no better."""
    if column.implementation.is_polars():
        return _without_objects(column.to_native())
    if column.implementation.is_pyarrow():
        return pl.Series(pl.from_arrow(column.to_native()))
    if not column.is_null().any():
        if column.dtype.is_numeric():
            return pl.Series(column.to_numpy())
        if isinstance(column.dtype, nw.Datetime):
            in_utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if column.dtype.time_zone else column
            return pl.Series(in_utc.to_numpy().astype("datetime64[us]"))
    missing = column.is_null().to_list()
    values = [None if is_missing else value for value, is_missing in zip(column.to_list(), missing, strict=True)]
    try:
        return _without_objects(pl.Series(values, strict=False))
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)


def _without_objects(column: pl.Series) -> pl.Series:
    """Values of a type that polars does not have (a UUID, a period of pandas) as text."""
    if column.dtype != pl.Object:
        return column
    return pl.Series([None if value is None else str(value) for value in column.to_list()], dtype=pl.String)


# --- files ------------------------------------------------------------------------------------------


def read_table(
    source: Path | bytes,
    name: str,
    *,
    columns: tuple[str, ...] | None = None,
    headerless: tuple[str, ...] = (),
    known_names: frozenset[str] = frozenset(),
    truncate: bool = False,
    backslash: bool = False,
    allow_short: bool = False,
    meanings: Meanings | None = None,
) -> Table:
    """Read CSV, TSV, '::', ';', '|' or blank-separated text, JSON lines or Parquet; plain, gz or zip.

    Args:
        source: the file, or its content.
        name: what to call it in messages.
        columns: the names of the columns of a file that is known to have no header.
        headerless: names for the first columns of a file that turns out to have no header.
        known_names: simplified column names by which a first line is recognised as a header.
        truncate: drop fields beyond the header's number instead of raising (a known fault of one
            published file).
        backslash: a quote inside a quoted field has a backslash before it.
        allow_short: take what a short line lacks as missing instead of raising.
        meanings: says which columns may be read as numbers where that gives the same ids, ratings and times;
            it is faster. All are text otherwise.

    Raises:
        DataError: the file is missing, empty, binary, ragged or not decodable; the line is named.
    """
    try:
        source, name = _unpack(source, name)
        head = _head(source)
        if head.startswith(PARQUET_MARK):
            return _with_rows(Table(_read_parquet(source, name), name))
        if is_json(head):
            lines = JsonLines(source)
            return _with_rows(Table(_with_stripped_names(read_json_lines(lines, name)), name, json=lines))
        dialect = replace(text_tables.sniff(head, name), backslash=backslash)
        text = text_tables.prepare(source, dialect, name)
        line, first = text_tables.first_record(text, name)
        has_header = columns is None and _is_header(first, known_names)
        names = [] if has_header else _names(columns, headerless, len(first), name, line)
        frame = read_numbers(text, names, meanings) if meanings and not truncate else None
        if frame is None:
            frame, text = _read_as_text(source, text, dialect, name, names, truncate)
    except OSError as error:
        raise DataError(
            f"The file cannot be read: {error.strerror or error}.",
            file=name,
            remedy="Check the path and its permissions.",
        ) from error
    frame = _with_stripped_names(frame)
    table = _with_rows(Table(frame, name, has_header, text))
    if not (allow_short or truncate):
        text_tables.check_whole_lines(frame, text, name, has_header)
    return table


def _read_as_text(
    source: Path | bytes, text: Text, dialect: Dialect, name: str, names: list[str], truncate: bool
) -> tuple[pl.DataFrame, Text]:
    """All columns as String without blank rows, and the text that they were read from."""
    try:
        frame = text_tables.read_text(text, name, names, truncate)
    except UnicodeError:  # the first bytes were UTF-8, a later one is not: an old export with few accents
        text = text_tables.prepare(source, replace(dialect, encoding="latin-1", is_plain=False), name)
        frame = text_tables.read_text(text, name, names, truncate)
    return text_tables.without_blank_rows(frame), text


def _with_rows(table: Table) -> Table:
    if table.frame.height == 0:
        raise DataError("There are no rows, only a header.", file=table.name, remedy=CHECK_EXPORT)
    return table


def _names(columns: tuple[str, ...] | None, headerless: tuple[str, ...], width: int, name: str, line: int) -> list[str]:
    """The names of the columns of a file without a header."""
    if columns is None:
        return [*headerless, *(f"column {i + 1}" for i in range(len(headerless), width))][:width]
    if len(columns) != width:
        raise DataError(
            f"The first line has {width} fields, and not the {len(columns)} of this file's layout"
            f" ({', '.join(columns)}).",
            file=name,
            line=line,
            remedy="Fetch it again, or give the file itself instead of its folder, with the names of its columns.",
        )
    return list(columns)


def _is_header(first: list[str], known_names: frozenset[str]) -> bool:
    """Whether the first line holds names: one that is known, or nothing that looks like a number."""
    if any(simplify(field) in known_names for field in first):
        return True
    return not any(_is_number(field) for field in first)


def _is_number(field: str) -> bool:
    try:
        float(field.replace(",", "."))  # a decimal comma, where another separator leaves it
    except ValueError:
        return False
    return True


def _with_stripped_names(frame: pl.DataFrame) -> pl.DataFrame:
    names = [name.strip() for name in frame.columns]
    return frame.rename(dict(zip(frame.columns, names, strict=True))) if len(set(names)) == len(names) else frame


# --- containers -------------------------------------------------------------------------------------


def _unpack(source: Path | bytes, name: str) -> tuple[Path | bytes, str]:
    """Undo gzip or zip, and add the member to the name; everything else is returned as it is."""
    head = _head(source)
    if not head.strip():
        raise DataError("The file is empty.", file=name, remedy=CHECK_EXPORT)
    if head.startswith(b"\x1f\x8b"):
        try:
            return gzip.decompress(source if isinstance(source, bytes) else source.read_bytes()), name
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"The gzip file is damaged ({error}).", file=name, remedy=FETCH_AGAIN) from error
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _only_member(source, name)
    return source, name


def _only_member(source: Path | bytes, name: str) -> tuple[bytes, str]:
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            member = _choose_member(archive.namelist(), name)
            return archive.read(member), f"{name} ({member})"
    except (*DAMAGED_ZIP, OSError) as error:  # OSError where it sends the reader to a negative place
        raise DataError(f"The zip file is damaged ({error}).", file=name, remedy=FETCH_AGAIN) from error


def _choose_member(members: list[str], name: str) -> str:
    if any(member.startswith("xl/") for member in members):
        raise DataError("This is an Excel workbook.", file=name, remedy="Save its sheet as CSV, and give that.")
    tables = [member for member in members if _is_table(PurePosixPath(member))]
    if len(tables) != 1:
        raise DataError(
            f"A zip file must hold one table; this one's tables: {', '.join(tables) or 'none'}.",
            file=name,
            remedy="Unpack it, and give the folder or the one file.",
        )
    return tables[0]


def _is_table(path: PurePosixPath) -> bool:
    is_about = path.stem.lower() in ("readme", "license") or path.parts[:1] == ("__MACOSX",)
    return path.suffix.lower() in TABLE_SUFFIXES and not is_about


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:SNIFFED_BYTES]
    with source.open("rb") as file:
        return file.read(SNIFFED_BYTES)


def _read_parquet(source: Path | bytes, name: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(source) if isinstance(source, bytes) else source, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"The Parquet file is damaged ({first_line(error)}).", file=name, remedy=FETCH_AGAIN) from error
