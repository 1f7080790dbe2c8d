"""One column of a table -> ids, ratings or times; the first value that cannot be one is named."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.tables import Table
from penchant.errors import DataError

MILLISECONDS_FROM = 100_000_000_000  # as seconds this would be the year 5138


def ids(table: Table, column: str, kind: str) -> pl.Series:
    """A column of ids as Int64 or String, exactly as given.

    Text becomes integers only when every value is the usual spelling of one, so that "007" stays text.

    Raises:
        DataError: a value is missing or empty, or is a fractional number.
    """
    values = table.frame[column]
    if values.dtype in (pl.Categorical, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        _refuse(values.is_null() | (values == ""), table, column, f"The {kind} is missing.", _MISSING_ID)
        return _integers_or_text(values)
    _refuse(values.is_null(), table, column, f"The {kind} is missing.", _MISSING_ID)
    if values.dtype.is_float():
        fractional = values.is_nan() | values.is_infinite() | (values != values.round())
        _refuse(
            fractional,
            table,
            column,
            f"The {kind} {{}} is not a whole number.",
            "Give ids as integers or text.",
        )
    elif not values.dtype.is_integer():
        raise DataError(
            f"Ids of type {values.dtype} cannot be used.",
            file=table.name,
            column=column,
            remedy="Make them text or integers.",
        )
    return values.cast(pl.Int64)


def ratings(table: Table, column: str) -> NDArray[np.float32]:
    """A column of ratings as float32 (n,), all finite.

    Raises:
        DataError: a value is missing, is text, NaN or infinite.
    """
    values = table.frame[column]
    _refuse(values.is_null(), table, column, "The rating is missing.", _BAD_RATING)
    text = values.str.strip_chars() if values.dtype == pl.String else values
    numbers = text.cast(pl.Float32, strict=False)
    _refuse(numbers.is_null(), table, column, "The rating {} is not a number.", _BAD_RATING)
    _refuse(~numbers.is_finite(), table, column, "The rating {} is not finite.", _BAD_RATING)
    return numbers.to_numpy().astype(np.float32, copy=False)


def times(table: Table, column: str) -> NDArray[np.int64]:
    """A column of times as int64 (n,) seconds since 1970-01-01 UTC.

    Numbers are seconds, or milliseconds where they would be beyond the year 5138; text is read as ISO
    dates and times; a time without a zone is taken as UTC.

    Raises:
        DataError: a value is missing or neither a number nor a date.
    """
    values = table.frame[column]
    if values.dtype == pl.String:
        values = _parse_times(values, table, column)
    _refuse(values.is_null(), table, column, "The time is missing.", _BAD_TIME)
    if values.dtype == pl.Date:
        values = values.cast(pl.Datetime("us"))
    if values.dtype == pl.Datetime:
        return values.dt.epoch("s").to_numpy().astype(np.int64, copy=False)
    if not values.dtype.is_numeric():
        raise DataError(
            f"Times of type {values.dtype} cannot be used.",
            file=table.name,
            column=column,
            remedy=_BAD_TIME,
        )
    _refuse(~values.cast(pl.Float64).is_finite(), table, column, "The time {} is not finite.", _BAD_TIME)
    seconds = values.to_numpy().astype(np.int64, copy=False)
    return seconds // 1000 if len(seconds) and np.abs(seconds).max() >= MILLISECONDS_FROM else seconds


_MISSING_ID = "Fill it in, or remove the line."
_BAD_RATING = "Write ratings as numbers with a decimal point, such as 4 or 3.5; remove lines without one."
_BAD_TIME = "Give seconds since 1970, or dates such as 2026-11-24 or 2026-11-24T10:00:00."


def _integers_or_text(values: pl.Series) -> pl.Series:
    numbers = values.cast(pl.Int64, strict=False)
    if numbers.null_count() == 0 and (numbers.cast(pl.String) == values).all():
        return numbers
    return values


def _parse_times(values: pl.Series, table: Table, column: str) -> pl.Series:
    stripped = values.str.strip_chars()
    numbers = stripped.cast(pl.Float64, strict=False)
    if numbers.null_count() < len(numbers):
        _refuse(numbers.is_null(), table, column, "The time {} is not a number.", _BAD_TIME)
        return numbers
    for parse in (
        lambda: stripped.str.to_datetime(strict=False, time_unit="us", time_zone="UTC"),
        lambda: stripped.str.to_datetime(strict=False, time_unit="us"),
        lambda: stripped.str.to_date(strict=False),
    ):
        try:
            parsed = parse()
        except pl.exceptions.PolarsError:
            continue
        if parsed.null_count() < len(parsed):
            _refuse(parsed.is_null(), table, column, "The time {} is not a date.", _BAD_TIME)
            return parsed
    _refuse(
        stripped.is_not_null(),
        table,
        column,
        "The time {} is neither a number nor a date.",
        _BAD_TIME,
    )
    return numbers


def _refuse(bad: pl.Series, table: Table, column: str, problem: str, remedy: str) -> None:
    """Raise for the first row that is bad, with its value and its line."""
    bad = bad.fill_null(True)
    count = int(bad.sum())
    if not count:
        return
    row = int(bad.arg_true()[0])
    value = table.frame[column][row]
    more = f" ({count:,} lines are so.)" if count > 1 else ""
    raise DataError(
        problem.format(repr(value)) + more,
        file=table.name,
        line=table.line_of(row),
        column=column,
        remedy=remedy,
    )
