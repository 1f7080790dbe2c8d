"""One column of a table -> ids, ratings or times; the first value that cannot be one is named."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.tables import Table
from penchant.data.vocabulary import null_where, plain_integers
from penchant.errors import DataError

BLANK_AROUND = r"^\s|\s$"
LOOKED_AT = 1_000  # values, before all are
EXACT_FLOATS_BELOW = 2.0**53  # from here on, neighbouring whole numbers are one float
# Times as numbers: up to the year 5138 they are seconds; what would be later is milli-, micro- or nanoseconds.
UNITS = ((1e17, 1_000_000_000), (1e14, 1_000_000), (1e11, 1_000))
TIMES_BELOW = 2.0**63
ISO_TIME = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d|60)(?:[.,]\d+)?)?"
    r"(?: ?(?:Z|UTC|(?P<sign>[+-])(?P<zone_hour>[01]\d|2[0-3]):?(?P<zone_minute>[0-5]\d)?))?)?$"
)

_MISSING_ID = "Fill it in, or remove the line."
_BAD_ID = "Give ids as integers or text."
_BAD_RATING = "Write ratings as numbers with a decimal point, such as 4 or 3.5; remove lines without one."
_BAD_TIME = (
    "Give seconds since 1970, or dates such as 2026-11-24 or 2026-11-24T10:00:00; or remove the column, if times"
    " do not matter."
)


def ids(table: Table, column: str, kind: str) -> pl.Series:
    """A column of ids as Int64 or String, as given; from a text file without the blanks around them.

    Text becomes integers only when every value is the usual spelling of one, so that "007" stays text.
    Integers that do not fit into 64 bits become text.

    Raises:
        DataError: a value is missing or empty, or is a fractional number.
    """
    values = ids_or_missing(table, column, kind)
    _refuse_missing(values, table, column, f"The {kind} is missing.", _MISSING_ID)
    return values


def ids_or_missing(table: Table, column: str, kind: str) -> pl.Series:
    """As `ids`, with nulls where an id is missing.

    Raises:
        DataError: a value is a fractional number, or the column has another type.
    """
    values = _without_categories(table.column(column))
    if values.dtype == pl.String:
        return _integers_or_text(values, strip=table.text is not None)
    if values.dtype == pl.Null:
        return values.cast(pl.String)
    if values.dtype.is_float():
        values = values.fill_nan(None)
        whole = values.is_finite() & (values == values.round())
        _refuse(~whole & values.is_not_null(), table, column, f"The {kind} {{}} is not a whole number.", _BAD_ID)
        inexact = values.abs() >= EXACT_FLOATS_BELOW
        _refuse(inexact, table, column, f"The {kind} {{}} is too large for a float to hold it exactly.", _BAD_ID)
    elif not values.dtype.is_integer():
        raise DataError(
            f"Ids of type {values.dtype} cannot be used.",
            file=table.name,
            column=column,
            remedy="Make them text or integers.",
        )
    integers = values.cast(pl.Int64, strict=False)
    return integers if integers.null_count() == values.null_count() else values.cast(pl.String)


def ratings(table: Table, column: str) -> NDArray[np.float32]:
    """A column of ratings as float32 (n,), all finite.

    Raises:
        DataError: a value is missing, is text, NaN or infinite.
    """
    values = _stripped(_without_categories(table.column(column)))
    _refuse_missing(values, table, column, "The rating is missing.", _BAD_RATING)
    if not (values.dtype.is_numeric() or values.dtype in (pl.String, pl.Boolean)):
        raise DataError(
            f"Ratings of type {values.dtype} cannot be used.", file=table.name, column=column, remedy=_BAD_RATING
        )
    numbers = values.cast(pl.Float32, strict=False)
    _refuse(numbers.is_null(), table, column, "The rating {} is not a number.", _BAD_RATING)
    _refuse(~numbers.is_finite(), table, column, "The rating {} is not finite.", _BAD_RATING)
    return numbers.to_numpy().astype(np.float32, copy=False)


def times(table: Table, column: str) -> NDArray[np.int64]:
    """A column of times as int64 (n,) seconds since 1970-01-01 UTC.

    Numbers are seconds; where they would be beyond the year 5138, milli-, micro- or nanoseconds. Text is
    read as ISO dates and times; a time without a zone is taken as UTC.

    Raises:
        DataError: a value is missing or neither a number nor a date.
    """
    values = _stripped(_without_categories(table.column(column)))
    _refuse_missing(values, table, column, "The time is missing.", _BAD_TIME)
    if values.dtype == pl.String:
        numbers = values.cast(pl.Float64, strict=False)
        if numbers.null_count() == len(numbers):
            return _iso_times(values, table, column)
        _refuse(numbers.is_null(), table, column, "The time {} is not a number.", _BAD_TIME)
        values = numbers
    if values.dtype == pl.Date:
        values = values.cast(pl.Datetime("us"))
    if values.dtype == pl.Datetime:
        return values.dt.epoch("s").to_numpy().astype(np.int64, copy=False)
    if not values.dtype.is_numeric():
        raise DataError(
            f"Times of type {values.dtype} cannot be used.", file=table.name, column=column, remedy=_BAD_TIME
        )
    if values.dtype.is_float():
        _refuse(~values.is_finite(), table, column, "The time {} is not finite.", _BAD_TIME)
        values = values.floor()
    largest = max(float(abs(bound)) for bound in (values.min(), values.max()))  # type: ignore[arg-type]
    if largest >= TIMES_BELOW:
        too_large = values.cast(pl.Float64).abs() >= TIMES_BELOW
        _refuse(too_large, table, column, "The time {} is too large.", _BAD_TIME)
    per_second = next((unit for least, unit in UNITS if largest >= least), 1)
    seconds = values.cast(pl.Int64).to_numpy()
    return seconds if per_second == 1 else seconds // per_second


def _without_categories(values: pl.Series) -> pl.Series:
    return values.cast(pl.String) if values.dtype in (pl.Categorical, pl.Enum) else values


def _stripped(values: pl.Series) -> pl.Series:
    """Text without the blanks around it, and null where nothing is left; other types as they are."""
    return _null_if_empty(values.str.strip_chars()) if values.dtype == pl.String else values


def _null_if_empty(values: pl.Series) -> pl.Series:
    return null_where(values == "", values)


def _integers_or_text(values: pl.Series, *, strip: bool) -> pl.Series:
    values = _null_if_empty(values)
    numbers = _all_integers(values)
    if numbers is not None:
        return numbers
    if not values.str.contains(BLANK_AROUND).any():
        return values
    if strip:
        return _integers_or_text(_stripped(values), strip=False)
    return null_where(values.str.strip_chars() == "", values)  # blanks are no id


def _all_integers(values: pl.Series) -> pl.Series | None:
    """Text as Int64 when all of it is the usual spelling of integers; a few values say no at once for most text."""
    for some in (values.head(LOOKED_AT), values):
        numbers = plain_integers(some)
        if numbers.null_count() > some.null_count():
            return None
    return numbers


def _iso_times(values: pl.Series, table: Table, column: str) -> NDArray[np.int64]:
    parts = values.str.extract_groups(ISO_TIME).struct.unnest()
    dates = parts["date"].str.to_date("%Y-%m-%d", strict=False)
    _refuse(dates.is_null(), table, column, "The time {} is neither a number nor an ISO date.", _BAD_TIME)
    hours, minutes, seconds, zone_hours, zone_minutes = (
        parts[part].cast(pl.Int64).fill_null(0) for part in ("hour", "minute", "second", "zone_hour", "zone_minute")
    )
    zone = (zone_hours * 60 + zone_minutes) * pl.select(pl.when(parts["sign"] == "-").then(-1).otherwise(1)).to_series()
    epoch = dates.cast(pl.Int64) * 86_400 + hours * 3_600 + (minutes - zone) * 60 + seconds
    return epoch.to_numpy().astype(np.int64, copy=False)


def _refuse_missing(values: pl.Series, table: Table, column: str, problem: str, remedy: str) -> None:
    if values.null_count():
        _refuse(values.is_null(), table, column, problem, remedy)


def _refuse(bad: pl.Series, table: Table, column: str, problem: str, remedy: str) -> None:
    """Raise for the first row that is bad, with its value and its line."""
    bad = bad.fill_null(False)
    count = int(bad.sum())
    if not count:
        return
    row = int(bad.arg_true()[0])
    value = table.column(column)[row]
    more = f" ({count:,} lines are so.)" if count > 1 else ""
    raise DataError(
        problem.format(repr(value)) + more,
        file=table.name,
        line=table.line_of(row),
        column=column,
        remedy=remedy,
    )
