"""Filters: which items may be recommended, by what the columns of the item table say.

    COLUMN=VALUE     the column has this value, or, split at "|", this word; upper and lower case are the same
    COLUMN!=VALUE    it does not; also where nothing is known
    COLUMN>=N        the column is a number of at least N; likewise <=, > and <; not where nothing is known
    COLUMN>=DATE     the column is a date, or a date and time, not before DATE (2021-01-31 or 2021-01-31T18:30; UTC
                     where it names no zone); likewise <=, > and <, where a DATE without a time is the whole day

A column is found by its name, without case where that names one alone. Of several filters all must hold.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.features import SEPARATOR, texts
from penchant.data.times import iso_seconds
from penchant.errors import SettingError

Wanted = str | float
Where = str | Sequence[str] | Mapping[str, Wanted | Sequence[Wanted]]
Mask = NDArray[np.bool_]

_FORM = re.compile(r"(?P<column>.*?)(?P<sign>!=|>=|<=|=|>|<)(?P<value>.*)", re.DOTALL)
_ORDERS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
N_EXAMPLES = 5
A_DAY = 86_400.0  # seconds
DAY = r"\d{4}-\d{2}-\d{2}"


@dataclass(frozen=True)
class Filter:
    """One condition on a column.

    Attributes:
        column, sign, value: see the module; without blanks around them.
    """

    column: str
    sign: str
    value: str

    def __str__(self) -> str:
        return f"{self.column}{self.sign}{self.value}"

    def holds(self, table: pl.DataFrame) -> Mask:
        """Of which rows of an item table it is true, (n_items,).

        Raises:
            SettingError: there is no such column, no item has the value, or what is compared is no number.
        """
        column = table[_find_column(table, self.column)]
        if self.sign in _ORDERS:
            numbers, limit = self._comparable(column)
            with np.errstate(invalid="ignore"):
                found: Mask = _ORDERS[self.sign](numbers, limit)
            return found
        has = _has(column, self.value)
        if not has.any():
            raise SettingError(f"'{self}': no item has this value.", remedy=_examples(column, self.value))
        return has if self.sign == "=" else ~has

    def _comparable(self, column: pl.Series) -> tuple[NDArray[np.float64], float]:
        """A column as numbers, NaN where nothing is known, and what they are to be compared with."""
        limit = float(_seconds(pl.Series([self.value]))[0])
        if math.isfinite(limit):
            seconds = _seconds(column)
            if not np.isfinite(seconds).any():
                raise SettingError(f"'{self}': the column '{column.name}' has no dates.", remedy=_examples(column))
            return (seconds // A_DAY, limit // A_DAY) if re.fullmatch(DAY, self.value) else (seconds, limit)
        if column.dtype.is_temporal():
            problem = f"'{self}': the column '{column.name}' has dates, and {self.value!r} is none."
            raise SettingError(problem, remedy=f"As {self.column}{self.sign}2021-01-31.")
        limit, numbers = self._limit(), _numbers(column)
        if not np.isfinite(numbers).any():
            raise SettingError(f"'{self}': the column '{column.name}' has no numbers.", remedy=_examples(column))
        return numbers, limit

    def _limit(self) -> float:
        try:
            limit = float(self.value)
        except ValueError:
            limit = math.nan
        if math.isnan(limit):
            remedy = f"As {self.column}{self.sign}1990, or {self.column}{self.sign}2021-01-31 of dates."
            raise SettingError(f"'{self}': {self.value!r} is not a number.", remedy=remedy)
        return limit


def parse(text: str) -> Filter:
    """A filter from text, such as "genres=Drama" or "year>=1990".

    Raises:
        SettingError: it is none.
    """
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    parts = [part.strip() for part in found.groups()] if found else []
    if not all(parts) or not found:
        raise SettingError(
            f"{text!r} is not a filter.",
            remedy="As 'genres=Drama', 'genres!=Drama' or 'year>=1990' (also <=, > and <).",
        )
    return Filter(*parts)


def filters_of(where: Where) -> list[Filter]:
    """Filters from texts, or from values by column: {"genres": "Drama", "year": [">=1990", "<2000"]}.

    A value that starts with none of the signs is one to be equal to.

    Raises:
        SettingError: one is none.
    """
    if isinstance(where, str):
        return [parse(where)]
    if not isinstance(where, Mapping):
        return [parse(text) for text in where]
    found = []
    for column, wanted in where.items():
        for value in [wanted] if isinstance(wanted, str) or not isinstance(wanted, Iterable) else wanted:
            text = _text(value)
            sign = next((sign for sign in ("!=", ">=", "<=", "=", ">", "<") if text.startswith(sign)), None)
            rest = text if sign is None else text[len(sign) :].strip()
            if not rest:
                raise SettingError(f"{value!r} is not a filter.", remedy="As {'genres': 'Drama', 'year': '>=1990'}.")
            found.append(Filter(column.strip(), sign or "=", rest))
    return found


def _text(value: Wanted) -> str:
    """As `texts` has it in a column: truth values as 0 and 1, 2.0 as 2."""
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    return value.strip() if isinstance(value, str) else str(value).removesuffix(".0")


def matching(table: pl.DataFrame | None, filters: Iterable[Filter]) -> Mask | bool:
    """Of which rows of an item table all filters are true, (n_items,); True without filters.

    Raises:
        SettingError: as for `Filter.holds`; or there are filters and no table.
    """
    found: Mask | bool = True
    for one in filters:
        if table is None or not table.width:
            raise SettingError(
                f"'{one}': this model knows no columns of items.", remedy="Fit it with a table of items (--items FILE)."
            )
        found = found & one.holds(table)
    return found


def _find_column(table: pl.DataFrame, wanted: str) -> str:
    if wanted in table.columns:
        return wanted
    named = [column for column in table.columns if column.casefold() == wanted.casefold()]
    if len(named) == 1:
        return named[0]
    raise SettingError(f"The item table has no column {wanted!r}.", remedy=f"Its columns: {', '.join(table.columns)}.")


def _numbers(column: pl.Series) -> NDArray[np.float64]:
    return texts(column).cast(pl.Float64, strict=False).to_numpy().astype(np.float64)


def _seconds(column: pl.Series) -> NDArray[np.float64]:
    """Dates and times, also those written so in text, as seconds since 1970-01-01 UTC; NaN where there is none."""
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if column.dtype == pl.Datetime:
        return column.dt.epoch("us").cast(pl.Float64).to_numpy() / 1e6
    return iso_seconds(texts(column)).cast(pl.Float64).to_numpy()


def _has(column: pl.Series, value: str) -> Mask:
    lowered = value.lower()
    text = texts(column).str.to_lowercase()
    has = (text == lowered) | text.str.split(SEPARATOR).list.eval(pl.element().str.strip_chars()).list.contains(lowered)
    found: Mask = has.fill_null(False).to_numpy().astype(bool)
    if column.dtype.is_numeric():
        try:
            found = found | (_numbers(column) == float(value))
        except ValueError:
            return found
    return found


def _examples(column: pl.Series, wanted: str = "") -> str:
    """Values that the column has: those most like what was wanted, or else the most frequent."""
    words = texts(column).drop_nulls().str.split(SEPARATOR).explode().str.strip_chars().rename("word")
    counts = words.filter(words != "").value_counts(name="count")
    known = counts.sort(["count", "word"], descending=[True, False])["word"].to_list()
    if not known:
        return f"The column '{column.name}' is empty."
    lowered: dict[str, str] = {}
    for word in known:
        lowered.setdefault(word.lower(), word)
    near = [lowered[word] for word in get_close_matches(wanted.lower(), lowered, n=3, cutoff=0.6)] if wanted else []
    if near:
        return f"Did you mean {' or '.join(repr(word) for word in near)}?"
    return f"Values of '{column.name}' are such as {', '.join(repr(word) for word in known[:N_EXAMPLES])}."
