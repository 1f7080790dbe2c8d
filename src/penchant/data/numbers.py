"""Columns of numbers read as numbers, where that provably gives what reading them as text and converting gives.

A rating or a time is a value: however it is spelt, both ways of reading find the same one. An id is its spelling
("007" is not 7). Beside the usual spelling of an integer, the fast reader takes a plus sign, a minus before zero,
needless zeros, and blanks and quotes around it. Those last two say nothing in text either; so ids are read as
integers from a file that has no sign and no needless zero after its header. Whatever has empty fields, blank lines,
or values that are no numbers is left to the reading as text, which takes care of it or names the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from penchant.data.text import SNIFFED_BYTES, Text, read_columns
from penchant.machine import available_cores
from penchant.threads import in_order

Meaning = Literal["id", "rating", "time"]
Meanings = Callable[[list[str]], Mapping[str, Meaning]]  # the names of all columns -> what some of them mean

BLOCK = 1 << 20  # bytes that are looked at together: smaller ones were slower, as threads wait for each other
STRETCH = 8 * BLOCK  # what one thread looks at before it asks for more
MOST_THREADS = 8
EXACT_TIMES_BELOW = 2**53  # as text, times go by way of floats, which hold every whole number up to here
POINT, ZERO = b".0"
FAILURES = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


def read_numbers(text: Text, names: list[str], meanings: Meanings) -> pl.DataFrame | None:
    """The table with ratings as Float32, times as Int64, ids as Int64 or String, and other columns as String.

    None where the table has to be read as text, whatever the reason. Its first lines are tried before the whole.

    Args:
        text: the table.
        names: the columns of a table without a header.
        meanings: says which columns are to be numbers.
    """
    start = replace(text, content=_first_lines(text.content))
    try:
        columns = [column.strip() for column in read_columns(start, names).columns]
    except FAILURES:
        return None
    meant = meanings(columns) if len(set(columns)) == len(columns) else {}
    if not meant:
        return None
    for ids in (pl.Int64(), pl.String()):
        if _typed(start, names, columns, meant, ids) is None:
            continue
        frame = _typed(text, names, columns, meant, ids)
        if frame is not None:
            return frame
    return None


def _typed(
    text: Text, names: list[str], columns: list[str], meant: Mapping[str, Meaning], ids: pl.DataType
) -> pl.DataFrame | None:
    if ids == pl.Int64 and not is_plain(text, has_header=not names):
        return None
    types: dict[Meaning | None, pl.DataType] = {"id": ids, "rating": pl.Float32(), "time": pl.Int64()}
    try:
        frame = read_columns(text, names, [types.get(meant.get(column), pl.String()) for column in columns])
    except FAILURES:
        return None
    is_whole = [_is_whole(values, meant.get(column)) for column, values in zip(columns, frame, strict=True)]
    return frame if all(is_whole) else None


def _is_whole(values: pl.Series, meaning: Meaning | None) -> bool:
    """Whether every value of a column of numbers is one that both ways of reading take, and take alike."""
    if values.dtype == pl.String:
        return True
    if values.null_count():
        return False
    if meaning == "rating":
        return bool(values.is_finite().all())
    if meaning == "time":
        return bool((values.is_between(-EXACT_TIMES_BELOW, EXACT_TIMES_BELOW)).all())
    return True


# --- how the integers of a file are spelt -----------------------------------------------------------


def is_plain(text: Text, *, has_header: bool) -> bool:
    """Whether nothing after the header is a sign or a needless zero at the beginning of a number."""
    start = _first_lines(text.content).find(b"\n") + 1 if has_header else 0
    end = _size(text.content)

    def is_plain_stretch(begin: int) -> bool:
        look = Look(ord(text.separator))
        places = range(begin, min(begin + STRETCH, end), BLOCK)
        # The byte before and the one after, so that every three neighbours are in one block.
        return all(look.is_plain(_part(text.content, place - 1, BLOCK + 2)) for place in places)

    begins_well = bool(start) or Look(ord(text.separator)).is_plain(b"\n" + _part(text.content, 0, 2))
    stretches = range(max(start, 1), end, STRETCH)
    return begins_well and all(in_order(is_plain_stretch, stretches, min(available_cores(), MOST_THREADS)))


class Look:
    """Looks at blocks of a file. Memory for that is taken once, which is faster by half than for every block."""

    def __init__(self, separator: int) -> None:
        self._separator = separator
        self._memory = np.empty((2, BLOCK), bool)

    def is_plain(self, block: bytes) -> bool:
        """Whether it has no sign, and no number in it begins with a needless zero."""
        if b"+" in block or b"-" in block:
            return False
        values = np.frombuffer(block, np.uint8)
        before, this, after = values[:-2], values[1:-1], values[2:]
        begins, also = self._memory[:, : len(this)]
        np.less(before, POINT, out=begins)  # after a blank, a quote, a line end, and most separators
        if self._separator > POINT:
            begins |= np.equal(before, self._separator, out=also)
            begins &= np.not_equal(after, self._separator, out=also)
        begins &= np.equal(this, ZERO, out=also)
        begins &= np.greater_equal(after, ZERO, out=also)
        return not begins.any()


# --- parts of a file --------------------------------------------------------------------------------


def _first_lines(content: Path | bytes) -> bytes:
    """The first whole lines of a file; all of a small one."""
    head = _part(content, 0, SNIFFED_BYTES)
    return head if len(head) < SNIFFED_BYTES else head[: head.rfind(b"\n") + 1]


def _part(content: Path | bytes, start: int, size: int) -> bytes:
    if isinstance(content, bytes):
        return content[start : start + size]
    with content.open("rb") as file:
        file.seek(start)
        return file.read(size)


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
