"""Text tables: how one is written, its rows by polars' parallel reader, and the line that a row is on.

A table that is well formed takes one pass of the fast reader. Only when something is wrong does a slow second
pass over the lines find the exact one, so that errors can name it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import polars as pl

from penchant.errors import DataError

SNIFFED_BYTES = 65_536
SNIFFED_LINES = 100
SEPARATORS = ("::", "\t", ";", "|", ",")
INNER_SEPARATOR = "\x1f"  # stands for '::', which no fast CSV reader takes
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BLANKS = " \t\r\n"
MENDABLE = "Mend that line, or remove it; every line needs the same number of fields."
CHECK_EXPORT = "Check that the export finished."

_LEADING_BLANK_LINES = re.compile(rb"(?:[ \t\r]*\n)+")
_QUOTED_FIELD = re.compile(r'"([^"]*(?:""[^"]*)*)"')


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    Attributes:
        separator: what stands between fields: one of SEPARATORS, or " " for runs of blanks and tabs.
        quoted: whether double quotes may enclose a field.
        encoding: "utf-8", "utf-16" or "latin-1".
        is_plain: the fast reader takes the file as it is: UTF-8 without a byte order mark, no blank lines
            before the first, lines that end in a line feed, a separator of one byte, quotes doubled.
        backslash: a quote inside a quoted field has a backslash before it and is not doubled.
    """

    separator: str
    quoted: bool
    encoding: str
    is_plain: bool = True
    backslash: bool = False


@dataclass(frozen=True)
class Text:
    """The text of a table in the form that the fast reader takes.

    Attributes:
        content: UTF-8, as bytes or in a file.
        separator: what stands between fields, one byte.
        quoted: whether double quotes may enclose a field.
        first_line: the 1-based line of the published file on which `content` begins.
    """

    content: Path | bytes
    separator: str
    quoted: bool
    first_line: int = 1

    def records(self) -> Iterator[tuple[int, str]]:
        """(1-based line on which it starts, text) of every record, blank ones too. Slow and exact."""
        with io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb") as file:
            start, lines, is_inside_quotes = self.first_line, [], False
            for number, line in enumerate(file, start=self.first_line):
                lines.append(line)
                is_inside_quotes ^= self.quoted and line.count(b'"') % 2 == 1
                if not is_inside_quotes:
                    yield start, b"".join(lines).decode(errors="replace")
                    start, lines = number + 1, []
            if lines:
                yield start, b"".join(lines).decode(errors="replace")

    def fields(self, record: str) -> list[str]:
        """The fields of one record, by the fast reader's rules.

        Raises:
            ValueError: its quotes do not match.
        """
        record = record.rstrip("\n").removesuffix("\r")
        return _quoted_fields(record, self.separator) if self.quoted else record.split(self.separator)

    def is_blank(self, record: str, n_fields: int) -> bool:
        """Whether `without_blank_rows` drops the row of this record."""
        if record.strip(f'{BLANKS}{self.separator}"'):
            return False
        try:
            fields = self.fields(record)
        except ValueError:
            return False
        return not any(field.strip(BLANKS) for field in fields) and (len(fields) < n_fields or fields[-1] == "")


def _quoted_fields(record: str, separator: str) -> list[str]:
    if record.count('"') % 2:
        raise ValueError("quotes do not match")
    fields: list[str] = []
    start = 0
    while True:
        if record.startswith('"', start):
            match = _QUOTED_FIELD.match(record, start)
            if match is None or not (match.end() == len(record) or record.startswith(separator, match.end())):
                raise ValueError("quotes do not match")
            field, end = match[1].replace('""', '"'), match.end()
        else:
            end = record.find(separator, start)
            end = len(record) if end < 0 else end
            field = record[start:end]
            if "\n" in field:
                raise ValueError("quotes do not match")
        fields.append(field)
        if end == len(record):
            return fields
        start = end + len(separator)


# --- how it is written ------------------------------------------------------------------------------


def sniff(head: bytes, name: str) -> Dialect:
    """How a text is written, from its first bytes.

    Raises:
        DataError: it is no text, or there is nothing but blanks in it.
    """
    encoding, sample = _decode_head(head, name)
    lines = [line for line in re.split("\r\n|\n|\r", sample) if line.strip()]
    if not lines:
        raise DataError("The file is empty.", file=name, remedy=CHECK_EXPORT)
    if len(head) == SNIFFED_BYTES and len(lines) > 1:
        lines = lines[:-1]  # the last one may be cut
    separator, quoted = _sniff_separator(lines[:SNIFFED_LINES])
    is_plain = (
        encoding == "utf-8"
        and not head.startswith(BYTE_ORDER_MARK)
        and not _LEADING_BLANK_LINES.match(head)
        and not ("\r" in sample and "\n" not in sample)
        and separator not in ("::", " ")
    )
    return Dialect(separator, quoted, encoding, is_plain)


def _decode_head(head: bytes, name: str) -> tuple[str, str]:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and len(head) > 2:
        return "utf-16", head[: len(head) // 2 * 2].decode("utf-16", errors="ignore")
    control = sum(byte < 9 or 13 < byte < 32 for byte in head)
    if b"\x00" in head or control > len(head) // 100:
        raise DataError(
            "This is not a text table, JSON lines or Parquet, but binary data.",
            file=name,
            remedy="Give CSV, TSV, '::'-separated text, JSON lines or Parquet (gz and zip are unpacked).",
        )
    try:
        return "utf-8", head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(head) == SNIFFED_BYTES and error.start > len(head) - 4:  # a character cut by the end of the sample
            return "utf-8", head[: error.start].decode("utf-8-sig")
        return "latin-1", head.decode("latin-1")


def _sniff_separator(lines: list[str]) -> tuple[str, bool]:
    """(separator, whether fields may be quoted) of some lines."""
    best = max(SEPARATORS, key=lambda separator: _fit(lines, separator))
    agreeing, fields = _fit(lines, best)
    if agreeing < len(lines) and _fields_by_blanks(lines) > max(fields - 1, 1):
        return " ", False
    if not agreeing:
        best = ","
    return best, best in ",;" or (best != "::" and lines[0].startswith('"'))


def _fit(lines: list[str], separator: str) -> tuple[int, int]:
    """(how many lines agree with the first, how many fields it has), for choosing a separator."""
    if separator == "::":
        counts = [line.count("::") + 1 for line in lines]
    else:
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=separator)]
        except csv.Error:  # a field of more than 128 KiB
            return 0, 0
    if not counts or counts[0] < 2:
        return 0, 0
    return sum(count == counts[0] for count in counts), counts[0]


def _fields_by_blanks(lines: list[str]) -> int:
    """The number of blank-separated fields when every line has the same, else 0."""
    counts = {len(line.split()) for line in lines}
    return counts.pop() if len(counts) == 1 else 0


# --- reading ----------------------------------------------------------------------------------------


def prepare(source: Path | bytes, dialect: Dialect, name: str) -> Text:
    """The text in the form that the fast reader takes; a plain file stays on disk.

    Raises:
        DataError: it is not in the encoding that its first bytes promise.
    """
    if dialect.is_plain and not dialect.backslash:
        return Text(source, dialect.separator, dialect.quoted)
    content = _decode(source if isinstance(source, bytes) else source.read_bytes(), dialect.encoding, name)
    content = content.removeprefix(BYTE_ORDER_MARK)
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")
    leading = _LEADING_BLANK_LINES.match(content)
    skipped = leading[0].count(b"\n") if leading else 0
    content = content[leading.end() :] if leading else content
    separator = dialect.separator
    if separator == "::":
        separator = INNER_SEPARATOR
        content = content.replace(b"::", separator.encode())
    elif separator == " ":
        separator = "\t"
        content = re.sub(rb"(?m)^\t|\t(?=\r?$)", b"", re.sub(rb"[ \t]+", b"\t", content))
    if dialect.backslash:
        content = re.sub(rb'\\(["\\])', lambda match: b'""' if match[1] == b'"' else b"\\", content)
    return Text(content, separator, dialect.quoted, 1 + skipped)


def _decode(content: bytes, encoding: str, name: str) -> bytes:
    if encoding == "utf-8":
        return content
    try:
        return content.decode(encoding).encode()
    except UnicodeError as error:
        raise DataError(
            f"The text is not {encoding.upper()} from its first byte to its last ({error}).",
            file=name,
            remedy="The file may be cut: fetch or export it again, as UTF-8.",
        ) from error


def first_record(text: Text, name: str) -> tuple[int, list[str]]:
    """(its line, its fields) of the first record.

    Raises:
        DataError: there is none, or its quotes do not match.
    """
    for line, record in text.records():
        return line, _fields(text, record, name, line)
    raise DataError("The file is empty.", file=name, remedy=CHECK_EXPORT)


def _fields(text: Text, record: str, name: str, line: int) -> list[str]:
    try:
        return text.fields(record)
    except ValueError as error:
        raise DataError(
            "The quotes of this line do not match.",
            file=name,
            line=line,
            remedy='Mend that line: a quote inside a quoted field is written twice ("").',
        ) from error


def read_text(text: Text, name: str, names: list[str], truncate: bool) -> pl.DataFrame:
    """All rows as String columns, blank lines as rows of nulls; `names` are those of a table without a header.

    Raises:
        UnicodeError: it is not UTF-8.
        DataError: a line has too many fields, or quotes do not match; the line is named.
    """
    try:
        return read_columns(text, names, truncate=truncate)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if "utf-8" in str(error).lower():
            raise UnicodeError from error
        _explain_failure(text, name, truncate, error)


def read_columns(
    text: Text, names: list[str], types: list[pl.DataType] | None = None, *, truncate: bool = False
) -> pl.DataFrame:
    """All rows by the fast reader, with its own errors; a type for every column, or String for all."""
    return pl.read_csv(
        text.content,
        separator=text.separator,
        has_header=not names,
        new_columns=names or None,
        schema_overrides=types,
        quote_char='"' if text.quoted else None,
        infer_schema=False,
        truncate_ragged_lines=truncate,
        raise_if_empty=False,
        glob=False,
    )


def without_blank_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Without the rows that blank lines became, and those of separators only, as spreadsheets append them."""
    last = frame.to_series(frame.width - 1).alias("")  # polars takes some names for patterns
    if not (last.null_count() or (last == "").any()):
        return frame
    blank = pl.all_horizontal(pl.all().is_null() | (pl.all().str.strip_chars(BLANKS) == ""))
    ends_empty = last.is_null() | (last == "")
    return frame.filter(~(frame.select(blank).to_series() & ends_empty))


def check_whole_lines(frame: pl.DataFrame, text: Text, name: str, has_header: bool) -> None:
    """Refuse lines that have fewer fields than the first; the fast reader fills them up with nulls.

    That is only possible where the last column has a null, so nothing is counted for most tables. Elsewhere
    the separators are, and lines are looked at one by one only when some are missing.

    Raises:
        DataError: a line is too short; the first column that it lacks is named.
    """
    width = frame.width
    if width < 2 or not frame[frame.columns[-1]].null_count():
        return
    expected = (frame.height + has_header) * (width - 1)
    if _count(text.content, text.separator.encode()) - _separators_inside(frame, text, has_header) == expected:
        return
    for line, record in text.records():
        n_fields = len(_fields(text, record, name, line))
        if n_fields < width and not text.is_blank(record, width):
            raise DataError(
                f"The line has {n_fields} {'field' if n_fields == 1 else 'fields'} where the first has {width};"
                " this column's is missing.",
                file=name,
                line=line,
                column=frame.columns[n_fields],
                remedy=MENDABLE,
            )


def _separators_inside(frame: pl.DataFrame, text: Text, has_header: bool) -> int:
    """How many separators are part of quoted fields."""
    if not text.quoted:
        return 0
    in_text = pl.col(pl.String).str.count_matches(text.separator, literal=True)
    in_rows = frame.select(in_text.sum()).sum_horizontal().item()
    return int(in_rows) + sum(column.count(text.separator) for column in frame.columns if has_header)


def _count(content: Path | bytes, sought: bytes) -> int:
    if isinstance(content, bytes):
        return content.count(sought)
    with content.open("rb") as file:
        return sum(chunk.count(sought) for chunk in iter(lambda: file.read(1 << 20), b""))


def _explain_failure(text: Text, name: str, truncate: bool, error: BaseException) -> NoReturn:
    """Find the line that the fast reader stumbled over, and raise."""
    expected = 0
    for line, record in text.records():
        fields = _fields(text, record, name, line)
        expected = expected or len(fields)
        if len(fields) > expected and not truncate:
            raise DataError(
                f"{len(fields)} fields where the first line has {expected}.", file=name, line=line, remedy=MENDABLE
            ) from error
    raise DataError(
        f"The file cannot be read ({first_line(error)}).", file=name, remedy="Check for unmatched quotes."
    ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without its full stop."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
