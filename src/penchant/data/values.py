"""One column of a table -> ids or ratings; the first value that cannot be one is named."""

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
COMMA_NUMBER = r"^[+-]?[\d.]*,[\d.,]*\d$"
BETWEEN_THOUSANDS = r"^[+-]?[1-9]\d{0,2}(,\d{3})+$"
TRUTH = ("true", "false")

_MISSING_ID = "Fill it in, or remove the line."
_BAD_ID = "Give ids as integers or text."
_BAD_RATING = "Write ratings as numbers with a decimal point, such as 4 or 3.5; remove lines that have no rating."
_NO_COMMAS = "Write ratings with a decimal point, and nothing between thousands: 4.5, 1234."


def ids(table: Table, column: str, kind: str) -> pl.Series:
    """A column of ids as Int64 or String, as given; from a text file without the blanks around them.

    Text becomes integers only when every value is the usual spelling of one, so that "007" stays text.
    Integers that do not fit into 64 bits become text.

    Raises:
        DataError: a value is missing or empty, or is a fractional number.
    """
    values = ids_or_missing(table, column, kind)
    refuse_missing(values, table, column, f"The {kind} is missing.", _MISSING_ID)
    return values


def ids_or_missing(table: Table, column: str, kind: str) -> pl.Series:
    """As `ids`, with nulls where an id is missing.

    Raises:
        DataError: a value is a fractional number, or the column has another type.
    """
    values = without_categories(table.column(column))
    if values.dtype == pl.String:
        return _integers_or_text(values, strip=table.text is not None)
    if values.dtype == pl.Null:
        return values.cast(pl.String)
    if values.dtype.is_float():
        values = values.fill_nan(None)
        whole = values.is_finite() & (values == values.round())
        refuse(~whole & values.is_not_null(), table, column, f"The {kind} {{}} is not a whole number.", _BAD_ID)
        inexact = values.abs() >= EXACT_FLOATS_BELOW
        refuse(inexact, table, column, f"The {kind} {{}} is too large for a float to hold it exactly.", _BAD_ID)
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
    """A column of ratings as float32 (n,), all finite; truth values, as text too, are 1 and 0.

    A file whose separator is no comma may have decimal commas, if the column has no points.

    Raises:
        DataError: a value is missing, is text, NaN or infinite.
    """
    values = stripped(without_categories(table.column(column)))
    refuse_missing(values, table, column, "The rating is missing.", _BAD_RATING)
    if not (values.dtype.is_numeric() or values.dtype in (pl.String, pl.Boolean)):
        raise DataError(
            f"Ratings of type {values.dtype} cannot be used.", file=table.name, column=column, remedy=_BAD_RATING
        )
    numbers = _numbers(values, table, column)
    refuse(numbers.is_null(), table, column, "The rating {} is not a number.", _BAD_RATING)
    refuse(~numbers.is_finite(), table, column, "The rating {} is not finite.", _BAD_RATING)
    return numbers.to_numpy().astype(np.float32, copy=False)


def _numbers(values: pl.Series, table: Table, column: str) -> pl.Series:
    """As Float32, with nulls for text that is no number."""
    numbers = values.cast(pl.Float32, strict=False)
    if values.dtype != pl.String or not numbers.null_count():
        return numbers
    in_lower_case = values.str.to_lowercase()
    if in_lower_case.is_in(TRUTH).all():
        return (in_lower_case == TRUTH[0]).cast(pl.Float32)
    if table.text is None or table.text.separator == ",":
        return numbers
    return _with_points(values, table, column).cast(pl.Float32, strict=False)


def _with_points(values: pl.Series, table: Table, column: str) -> pl.Series:
    """Decimal commas as points, where nothing says that they could be between thousands.

    Raises:
        DataError: the column has points too, or nothing but three digits after every comma.
    """
    has_comma = values.str.contains(COMMA_NUMBER)
    if not has_comma.any():
        return values
    if values.str.contains(".", literal=True).any():
        problem = "The rating {} has a comma, and the column has points too: which are decimal is not known."
        refuse(has_comma, table, column, problem, _NO_COMMAS)
    if values.filter(has_comma).str.contains(BETWEEN_THOUSANDS).all():
        problem = "The comma of the rating {} may be between thousands or before decimals."
        refuse(has_comma, table, column, problem, _NO_COMMAS)
    return values.str.replace(",", ".", literal=True)


def without_categories(values: pl.Series) -> pl.Series:
    """Categories as the text that they stand for; other types as they are."""
    return values.cast(pl.String) if values.dtype in (pl.Categorical, pl.Enum) else values


def stripped(values: pl.Series) -> pl.Series:
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
        return _integers_or_text(stripped(values), strip=False)
    return null_where(values.str.strip_chars() == "", values)  # blanks are no id


def _all_integers(values: pl.Series) -> pl.Series | None:
    """Text as Int64 when all of it is the usual spelling of integers; a few values say no at once for most text."""
    for some in (values.head(LOOKED_AT), values):
        numbers = plain_integers(some)
        if numbers.null_count() > some.null_count():
            return None
    return numbers


def refuse_missing(values: pl.Series, table: Table, column: str, problem: str, remedy: str) -> None:
    """Raise for the first value that is null, with its line."""
    if values.null_count():
        refuse(values.is_null(), table, column, problem, remedy)


def refuse(bad: pl.Series, table: Table, column: str, problem: str, remedy: str) -> None:
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
