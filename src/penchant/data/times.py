"""One column of a table -> times; the first value that cannot be one is named."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.tables import Table
from penchant.data.values import refuse, refuse_missing, stripped, without_categories
from penchant.data.vocabulary import null_where
from penchant.errors import DataError

# Times as numbers: up to the year 5138 they are seconds; what would be later is milli-, micro- or nanoseconds.
UNITS = ((1e17, 1_000_000_000), (1e14, 1_000_000), (1e11, 1_000))
TIMES_BELOW = 2.0**63
# Of numbers that are years, 1994, or dates, 19940131, instead of seconds:
FIRST_YEAR, LAST_YEAR = 1900, 2100
FIRST_DAY, LAST_DAY = 101, 1231  # of any year
FIRST_DATE, LAST_DATE = FIRST_YEAR * 10_000 + FIRST_DAY, LAST_YEAR * 10_000 + LAST_DAY
# How many of a column's numbers are dates where it is one of dates. Of seconds in 1970 with as many digits, one in 27
# looks like a date.
MOSTLY = 0.5
SECONDS_A_DAY = 86_400

ISO_TIME = (
    r"^(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d|60)(?:[.,]\d+)?)?"
    r"(?: ?(?:Z|UTC|(?P<sign>[+-])(?P<zone_hour>[01]\d|2[0-3]):?(?P<zone_minute>[0-5]\d)?))?)?$"
)
# Other ways to begin with a date whose order of day and month is sure, and the same in the order of ISO.
OTHER_DATES = (
    (r"^(\d{1,2})\.(\d{1,2})\.(\d{4})([T ]|$)", "$3-$2-$1$4"),
    (r"^(\d{4})/(\d{1,2})/(\d{1,2})([T ]|$)", "$1-$2-$3$4"),
)
ONE_DIGIT = ((r"^(\d{4})-(\d)-", "$1-0$2-"), (r"^(\d{4}-\d{2})-(\d)([T ]|$)", "$1-0$2$3"))
UNSURE_DATE = r"^\d{1,2}[/-]\d{1,2}[/-](\d{4}|\d{2})\b"

_BAD_TIME = (
    "Give seconds since 1970, or dates such as 2026-11-24 or 2026-11-24T10:00:00; or remove the column, if times"
    " do not matter."
)
_UNSURE_TIME = "Write year-month-day, such as 2026-11-24; or remove the column, if times do not matter."


def times(table: Table, column: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """A column of times as int64 (n,) seconds since 1970-01-01 UTC, and a note where numbers are no seconds.

    Numbers are seconds; where they would be beyond the year 5138, milli-, micro- or nanoseconds. Where all are
    between 1900 and 2100 they are years, and where they are dates such as 20261124, those. Text is read as dates
    with or without a time of day: 2026-11-24, 2026/11/24 or 24.11.2026; a time without a zone is taken as UTC.

    Raises:
        DataError: a value is missing or neither a number nor a date.
    """
    values = stripped(without_categories(table.column(column)))
    refuse_missing(values, table, column, "The time is missing.", _BAD_TIME)
    if values.dtype == pl.String:
        numbers = values.cast(pl.Float64, strict=False)
        if numbers.null_count() == len(numbers):
            return _written(values, table, column), ()
        refuse(numbers.is_null(), table, column, "The time {} is not a number.", _BAD_TIME)
        values = numbers
    if values.dtype == pl.Date:
        values = values.cast(pl.Datetime("us"))
    if values.dtype == pl.Datetime:
        return values.dt.epoch("s").to_numpy().astype(np.int64, copy=False), ()
    if not values.dtype.is_numeric():
        raise DataError(
            f"Times of type {values.dtype} cannot be used.", file=table.name, column=column, remedy=_BAD_TIME
        )
    return _counted(values, table, column)


# --- numbers ----------------------------------------------------------------------------------------


def _counted(values: pl.Series, table: Table, column: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    whole = values
    if values.dtype.is_float():
        refuse(~values.is_finite(), table, column, "The time {} is not finite.", _BAD_TIME)
        whole = values.floor()
    least, most = (float(bound) for bound in (whole.min(), whole.max()))  # type: ignore[arg-type]
    largest = max(abs(least), abs(most))
    if largest >= TIMES_BELOW:
        too_large = whole.cast(pl.Float64).abs() >= TIMES_BELOW
        refuse(too_large, table, column, "The time {} is too large.", _BAD_TIME)
    numbers = whole.cast(pl.Int64)
    are_whole = whole is values or bool((values == whole).all())
    if are_whole and least >= FIRST_YEAR and most <= LAST_YEAR:
        days = _days(numbers * 10_000 + FIRST_DAY)
        return _midnights(days), _note(column, "years", numbers, days)
    if are_whole and _mostly(numbers.is_between(FIRST_DATE, LAST_DATE)):
        days = _days(numbers)
        if _mostly(days.is_not_null()):
            first = next(iter(numbers.filter(days.is_null())), "")  # a number also where it was read as text
            problem = f"The time {first} is no date, as others of the column are."
            refuse(days.is_null(), table, column, problem, "Write year, month and day: 20261124 or 2026-11-24.")
            return _midnights(days), _note(column, "dates", numbers, days)
    seconds = numbers.to_numpy()
    per_second = next((unit for least_of_unit, unit in UNITS if largest >= least_of_unit), 1)
    return seconds if per_second == 1 else seconds // per_second, ()


def _days(dates: pl.Series) -> pl.Series:
    """Dates of whole numbers such as 20261124, null where there is no such day."""
    possible = null_where(~dates.is_between(FIRST_DATE, LAST_DATE), dates)
    return possible.cast(pl.String).str.to_date("%Y%m%d", strict=False)


def _mostly(are_so: pl.Series) -> bool:
    return int(are_so.sum()) >= MOSTLY * len(are_so)


def _midnights(days: pl.Series) -> NDArray[np.int64]:
    return days.cast(pl.Int64).to_numpy() * SECONDS_A_DAY


def _note(column: str, kind: str, numbers: pl.Series, days: pl.Series) -> tuple[str, ...]:
    return (f"The times in '{column}' are read as {kind}: {numbers[0]} is {days[0]}.",)


# --- text -------------------------------------------------------------------------------------------


def _written(values: pl.Series, table: Table, column: str) -> NDArray[np.int64]:
    seconds = iso_seconds(_in_iso_order(values))
    if seconds.null_count():
        unsure = seconds.is_null() & values.str.contains(UNSURE_DATE)
        problem = "The time {} does not say which number is the day and which the month."
        refuse(unsure, table, column, problem, _UNSURE_TIME)
        refuse(seconds.is_null(), table, column, "The time {} is neither a number nor a date.", _BAD_TIME)
    return seconds.to_numpy().astype(np.int64, copy=False)


def iso_seconds(values: pl.Series) -> pl.Series:
    """ISO dates, with or without a time of day, as Int64 seconds since 1970-01-01 UTC; null where text is none."""
    parts = values.str.extract_groups(ISO_TIME).struct.unnest()
    dates = parts["date"].str.to_date("%Y-%m-%d", strict=False)
    hours, minutes, seconds, zone_hours, zone_minutes = (
        parts[part].cast(pl.Int64).fill_null(0) for part in ("hour", "minute", "second", "zone_hour", "zone_minute")
    )
    zone = (zone_hours * 60 + zone_minutes) * pl.select(pl.when(parts["sign"] == "-").then(-1).otherwise(1)).to_series()
    return dates.cast(pl.Int64) * SECONDS_A_DAY + hours * 3_600 + (minutes - zone) * 60 + seconds


def _in_iso_order(values: pl.Series) -> pl.Series:
    """Dates of OTHER_DATES as year-month-day with two digits each; other text as it is."""
    for date, order in OTHER_DATES:
        is_so = values.str.contains(date)
        if is_so.any():
            mended = values.str.replace(date, order)
            for digit, two_digits in ONE_DIGIT:
                mended = mended.str.replace(digit, two_digits)
            values = mended.zip_with(is_so, values)
    return values
