"""Any table file or frame -> a polars frame of its columns, with the line of every row at hand.

Text columns stay text here: what a column means is known only to the caller (an id of "007" must keep
its zeros). A table that is well formed takes one pass of polars' parallel reader. Only when something is
wrong does a slow second pass with Python's csv module find the exact line, so that errors can name it.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import narwhals.stable.v2 as nw
import polars as pl

from penchant.errors import DataError

SNIFFED_BYTES = 65_536
SNIFFED_LINES = 100
SEPARATORS = ("::", "\t", ";", "|", ",")
INNER_SEPARATOR = "\x1f"  # stands for '::', which no fast CSV reader takes
TABLE_SUFFIXES = (
    ".csv",
    ".tsv",
    ".txt",
    ".dat",
    ".data",
    ".base",
    ".test",
    ".parquet",
    ".item",
    ".user",
)

MENDABLE = "Mend that line, or remove it; every line needs the same number of fields."


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    Attributes:
        separator: what stands between fields: one of SEPARATORS, or " " for runs of blanks and tabs.
        quoted: whether double quotes may enclose a field.
        encoding: "utf-8", "utf-16" or "latin-1".
    """

    separator: str
    quoted: bool
    encoding: str


@dataclass(frozen=True)
class Table:
    """A table in memory, and where it came from.

    Attributes:
        frame: one column a field; String columns when it was read from text.
        name: the file (and member of an archive) or kind of frame, for messages.
        has_header: False when the first line was data and the columns are called "column 1", ….
        content: the bytes or the path that `frame` was read from; None for frames and Parquet.
        dialect: how the text is written; None for frames and Parquet.
    """

    frame: pl.DataFrame
    name: str
    has_header: bool = True
    content: bytes | Path | None = None
    dialect: Dialect | None = None

    def line_of(self, row: int) -> int:
        """The 1-based line in the file at which a row starts (1-based row of a frame)."""
        if self.content is None or self.dialect is None:
            return row + 1
        records = _records(self.content, self.dialect)
        wanted = row + int(self.has_header)
        for number, (line, _) in enumerate(records):
            if number == wanted:
                return line
        return row + 1


def is_frame(source: Any) -> bool:
    """True for a pandas, polars, Arrow or any other frame that narwhals knows."""
    return isinstance(nw.from_native(source, pass_through=True), nw.DataFrame | nw.LazyFrame)


def from_frame(source: Any) -> Table:
    """A frame of any library as a Table, in the same order of rows."""
    frame = nw.from_native(source)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    columns = {str(name): _series(frame[name]) for name in frame.columns}
    return Table(pl.DataFrame(columns), f"the {frame.implementation.value} frame")


def _series(column: nw.Series[Any]) -> pl.Series:
    """One column in polars; by way of Python lists only for text, which NumPy holds no better."""
    if column.implementation.is_polars():
        return column.to_native()
    if column.dtype.is_numeric() and not column.is_null().any():
        return pl.Series(column.to_numpy())
    return pl.Series(column.to_list(), strict=False)


def read_table(
    source: Path | bytes,
    name: str,
    *,
    columns: tuple[str, ...] | None = None,
    truncate: bool = False,
    known_names: frozenset[str] = frozenset(),
) -> Table:
    """Read CSV, TSV, '::', ';', '|' or blank-separated text, or Parquet; plain, gz or zip.

    Args:
        source: the file, or its content.
        name: what to call it in messages.
        columns: the names of the columns of a file that is known to have no header.
        truncate: drop fields beyond the header's number instead of raising (a known fault of one
            published file).
        known_names: simplified column names by which a first line is recognised as a header.

    Raises:
        DataError: the file is missing, empty, binary, ragged or not decodable; the line is named.
    """
    source = _unpack(source, name)
    head = _head(source, name)
    if head.startswith(b"PAR1"):
        return Table(_read_parquet(source, name), name)
    dialect = _sniff(head, name)
    first = next(_records(head, dialect), (1, []))[1]
    has_header = columns is None and _is_header(first, known_names)
    names = list(columns) if columns else ([] if has_header else [f"column {i + 1}" for i in range(len(first))])
    frame, dialect = _read_text(source, name, dialect, has_header, names, truncate)
    if frame.height == 0:
        raise DataError("There are no rows, only a header.", file=name, remedy="Check that the export finished.")
    return Table(frame, name, has_header, source, dialect)


def simplify(column: str) -> str:
    """A column's name without case, blanks and punctuation: "User_ID" -> "userid"."""
    return re.sub(r"[\W_]+", "", column).lower()


# --- containers -------------------------------------------------------------------------------------


def _unpack(source: Path | bytes, name: str) -> Path | bytes:
    """Undo gzip or zip; everything else is returned as it is."""
    head = _head(source, name, allow_empty=True)
    if head.startswith(b"\x1f\x8b"):
        try:
            return gzip.decompress(_content(source))
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"The gzip file is damaged ({error}).", file=name, remedy="Fetch it again.") from error
    if head.startswith(b"PK\x03\x04"):
        return _only_member(source, name)
    return source


def _only_member(source: Path | bytes, name: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            members = [m for m in archive.namelist() if PurePosixPath(m).suffix.lower() in TABLE_SUFFIXES]
            members = [m for m in members if not m.startswith("__MACOSX")]
            if len(members) != 1:
                found = ", ".join(members) if members else "none"
                raise DataError(
                    f"A zip file must hold one table; this one's tables: {found}.",
                    file=name,
                    remedy="Unpack it, and give the folder or the one file.",
                )
            return archive.read(members[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"The zip file is damaged ({error}).", file=name, remedy="Fetch it again.") from error


def _content(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _head(source: Path | bytes, name: str, *, allow_empty: bool = False) -> bytes:
    if isinstance(source, bytes):
        head = source[:SNIFFED_BYTES]
    else:
        try:
            with source.open("rb") as file:
                head = file.read(SNIFFED_BYTES)
        except OSError as error:
            raise DataError(
                f"The file cannot be read: {error.strerror or error}.",
                file=name,
                remedy="Check the path.",
            ) from error
    if not head.strip() and not allow_empty:
        raise DataError("The file is empty.", file=name, remedy="Check that the export finished.")
    return head


def _read_parquet(source: Path | bytes, name: str) -> pl.DataFrame:
    try:
        return pl.read_parquet(io.BytesIO(source) if isinstance(source, bytes) else source)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"The Parquet file is damaged ({_first_line(error)}).",
            file=name,
            remedy="Write or fetch it again.",
        ) from error


# --- text -------------------------------------------------------------------------------------------


def _sniff(head: bytes, name: str) -> Dialect:
    """How the text is written, from its first lines."""
    encoding, text = _decode_head(head, name)
    lines = [line for line in text.splitlines() if line.strip()]
    if len(head) == SNIFFED_BYTES and len(lines) > 1:
        lines = lines[:-1]  # the last one may be cut
    lines = lines[:SNIFFED_LINES]
    best = max(SEPARATORS, key=lambda separator: _fit(lines, separator))
    agreeing, fields = _fit(lines, best)
    if agreeing < len(lines) and _fields_by_blanks(lines) > max(fields - 1, 1):
        return Dialect(" ", quoted=False, encoding=encoding)
    if not agreeing:
        best = ","
    quoted = best in ",;" or (best == "\t" and lines[0].startswith('"'))
    return Dialect(best, quoted, encoding)


def _decode_head(head: bytes, name: str) -> tuple[str, str]:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and len(head) > 2:
        try:
            return "utf-16", head[: len(head) // 2 * 2].decode("utf-16")
        except UnicodeDecodeError:
            pass
    control = sum(byte < 9 or 13 < byte < 32 for byte in head)
    if b"\x00" in head or control > len(head) // 100:
        raise DataError(
            "This is not a text table or Parquet, but binary data.",
            file=name,
            remedy="Give CSV, TSV, '::'-separated text or Parquet (gz and zip are unpacked).",
        )
    try:
        return "utf-8", head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start > len(head) - 4:  # a character cut by the end of the sample
            return "utf-8", head[: error.start].decode("utf-8-sig")
        return "latin-1", head.decode("latin-1")


def _fit(lines: list[str], separator: str) -> tuple[int, int]:
    """(how many lines agree with the first, how many fields it has), for choosing a separator."""
    if separator == "::":
        counts = [line.count("::") + 1 for line in lines]
    else:
        counts = [len(row) for row in csv.reader(lines, delimiter=separator)]
    if not counts or counts[0] < 2:
        return 0, 0
    return sum(count == counts[0] for count in counts), counts[0]


def _fields_by_blanks(lines: list[str]) -> int:
    """The number of blank-separated fields when every line has the same, else 0."""
    counts = {len(line.split()) for line in lines}
    return counts.pop() if len(counts) == 1 else 0


def _is_header(first: list[str], known_names: frozenset[str]) -> bool:
    """Whether the first line holds names: one that is known, or nothing that looks like a number."""
    if any(simplify(field) in known_names for field in first):
        return True
    return not any(_is_number(field) for field in first)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _read_text(
    source: Path | bytes,
    name: str,
    dialect: Dialect,
    has_header: bool,
    names: list[str],
    truncate: bool,
) -> tuple[pl.DataFrame, Dialect]:
    prepared, separator = _prepare(source, dialect)
    try:
        frame = pl.read_csv(
            prepared,
            separator=separator,
            has_header=has_header,
            new_columns=names or None,
            quote_char='"' if dialect.quoted else None,
            infer_schema=False,
            truncate_ragged_lines=truncate,
            raise_if_empty=False,
        )
    except pl.exceptions.PolarsError as error:
        if "utf-8" in str(error).lower() and dialect.encoding == "utf-8":
            dialect = Dialect(dialect.separator, dialect.quoted, "latin-1")
            return _read_text(source, name, dialect, has_header, names, truncate)
        _explain_failure(source, name, dialect, error)
    return _drop_blank_lines(frame), dialect


def _prepare(source: Path | bytes, dialect: Dialect) -> tuple[Path | bytes, str]:
    """Bytes or a path in a form that polars reads, and the one-character separator to use."""
    if dialect.encoding != "utf-8":
        source = _content(source).decode(dialect.encoding).encode()
    if dialect.separator == "::":
        return _content(source).replace(b"::", INNER_SEPARATOR.encode()), INNER_SEPARATOR
    if dialect.separator == " ":
        return re.sub(rb"(?m)^[ \t]+|[ \t]+$", b"", re.sub(rb"[ \t]+", b"\t", _content(source))), "\t"
    return source, dialect.separator


def _drop_blank_lines(frame: pl.DataFrame) -> pl.DataFrame:
    """Without the rows that blank lines became."""
    first = frame.columns[0] if frame.columns else None
    if first is None or not frame[first].null_count():
        return frame
    return frame.filter(~pl.all_horizontal(pl.all().is_null()))


def _records(content: bytes | Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """(1-based line at which it starts, fields) of every record that is not blank. Slow and exact."""
    text = io.TextIOWrapper(
        io.BytesIO(content) if isinstance(content, bytes) else content.open("rb"),
        encoding="utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding,
        errors="replace",
        newline="",
    )
    with text:
        if dialect.separator in ("::", " "):
            separator = None if dialect.separator == " " else "::"
            for line, record in enumerate(text, start=1):
                if record.strip():
                    yield line, record.rstrip("\r\n").split(separator)
            return
        quoting = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
        reader = csv.reader(text, delimiter=dialect.separator, quoting=quoting, strict=True)
        start = 1
        for fields in reader:
            if fields:
                yield start, fields
            start = reader.line_num + 1


def _explain_failure(source: Path | bytes, name: str, dialect: Dialect, error: Exception) -> NoReturn:
    """Find the line that the fast reader stumbled over, and raise."""
    expected = 0
    line = 1
    try:
        for line, fields in _records(source, dialect):
            expected = expected or len(fields)
            if len(fields) > expected:
                raise DataError(
                    f"{len(fields)} fields where the first line has {expected}.",
                    file=name,
                    line=line,
                    remedy=MENDABLE,
                ) from error
    except csv.Error as problem:
        raise DataError(f"The quotes do not match ({problem}).", file=name, line=line, remedy=MENDABLE) from error
    raise DataError(
        f"The file cannot be read ({_first_line(error)}).",
        file=name,
        remedy="Check for unmatched quotes.",
    ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
