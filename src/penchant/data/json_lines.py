"""Tables of JSON lines: one object a row, its keys the columns.

As with text, a well-formed table takes the fast reader alone. Only when it fails does a slow second pass over the
lines find the one that is no object.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from penchant.data.text import BYTE_ORDER_MARK, SNIFFED_BYTES, first_line
from penchant.errors import DataError

FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
MOST_COLUMNS = 1_000  # in the first lines; more are ids or titles that were taken for names of columns

_LOOKS_LIKE_JSON = re.compile(rb'\s*[\[{]\s*["\[{}\]]')
_EXAMPLE = 'Write one object a line, such as {"user": 1, "item": 10, "rating": 4.5}.'


@dataclass(frozen=True)
class JsonLines:
    """What a table was read from.

    Attributes:
        content: UTF-8, as bytes or in a file.
    """

    content: Path | bytes

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """(its 1-based number, line) of every line that is not blank."""
        with io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb") as file:
            for number, line in enumerate(file, start=1):
                content = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
                if content.strip():
                    yield number, content

    def line_of(self, row: int) -> int:
        """The line of a row. Slow, for errors."""
        return next((number for place, (number, _) in enumerate(self.lines()) if place == row), row + 1)


def is_json(head: bytes) -> bool:
    """Whether a file with these first bytes is JSON, as no table with separators begins so."""
    return _LOOKS_LIKE_JSON.match(head.removeprefix(BYTE_ORDER_MARK)) is not None


def read_json_lines(lines: JsonLines, name: str) -> pl.DataFrame:
    """All rows; a column's type is one that takes all its values, and what a line lacks is null.

    Raises:
        DataError: a line is no JSON object (it is named), or values of a column do not fit together.
    """
    content = lines.content if isinstance(lines.content, bytes) else lines.content.read_bytes()
    content = content.removeprefix(BYTE_ORDER_MARK)
    if content.lstrip()[:1] == b"[":
        raise DataError(
            "This is a JSON array, and not JSON lines.",
            file=name,
            remedy=f"{_EXAMPLE} The program jq does so: jq -c '.[]' FILE",
        )
    _check_columns(content, name)
    try:
        return _read(content)
    except FAILURES as error:
        _explain_failure(lines, name, error)


def _read(content: bytes) -> pl.DataFrame:
    return pl.read_ndjson(io.BytesIO(content), infer_schema_length=None)  # all rows say what type a column is of


def _check_columns(content: bytes, name: str) -> None:
    """Refuse lines with keys of their own, before there is a column for each: memory would not do for long."""
    end = content.rfind(b"\n", 0, SNIFFED_BYTES)
    try:
        columns = _read(content[:end]).columns if end > 0 else []
    except FAILURES:  # reading the whole says what is wrong
        return
    if len(columns) > MOST_COLUMNS:
        raise DataError(
            f"The first lines have {len(columns):,} different keys, such as {columns[0]!r} and {columns[-1]!r}.",
            file=name,
            remedy=f"Use the same keys in every line. {_EXAMPLE}",
        )


def _explain_failure(lines: JsonLines, name: str, error: BaseException) -> NoReturn:
    """Find the line that the fast reader stumbled over, and raise."""
    for number, line in lines.lines():
        problem = _problem(line)
        if problem:
            raise DataError(
                f"This line is no JSON object ({problem}).", file=name, line=number, remedy=_EXAMPLE
            ) from error
    raise DataError(
        f"The JSON lines cannot be read ({first_line(error)}).",
        file=name,
        remedy="Give all values of one key the same type: numbers, text, or truth values.",
    ) from error


def _problem(line: bytes) -> str | None:
    """Why a line is no JSON object, or None where it is one."""
    try:
        value = json.loads(line.rstrip().decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        return "not UTF-8"
    except RecursionError:
        return "nested too deeply"
    except json.JSONDecodeError as error:
        return f"{error.msg} at character {error.pos + 1}"
    except ValueError as error:
        return first_line(error)
    return None if isinstance(value, dict) else f"but {_KINDS.get(type(value), 'null')}"


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


_KINDS = {list: "an array", str: "text", bool: "a truth value", int: "a number", float: "a number"}
