"""Vocabulary: the outside world's ids on one side, matrix rows on the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.errors import DataError, UnknownIdError

Id = int | str
Missing = Literal["error", "minus one"]

BLOCK = 1 << 16  # integers that fit into the processor's cache
JOINED = 1 << 20  # ids that are joined at a time: all at once take longer, and 1 GB more for 25 million


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """An ordered set of distinct ids; the row of an id is its position.

    Args:
        ids: polars Series of Int64 or String, no nulls, no duplicates, ascending. Use `from_ids` to
            build one from a column that repeats.
        kind: the word for one entry in messages, "user" or "item".
    """

    ids: pl.Series
    kind: str = "item"

    def __post_init__(self) -> None:
        if self.ids.dtype not in (pl.Int64, pl.String):
            raise DataError(f"{self.kind} ids are of type {self.ids.dtype}, not Int64 or String.")
        if self.ids.null_count():
            raise DataError(f"{self.ids.null_count()} {self.kind} ids are missing.")
        if not self.ids.is_sorted() or self.ids.n_unique() != len(self.ids):
            raise DataError(f"{self.kind} ids are not distinct and ascending.")

    @classmethod
    def from_ids(cls, column: pl.Series, kind: str = "item") -> Vocabulary:
        """The distinct ids of a column, ascending (so that the order of the rows never matters)."""
        return cls(_distinct(column).alias(kind), kind)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def is_integer(self) -> bool:
        """True when the ids are integers, False when they are strings."""
        return self.ids.dtype == pl.Int64

    def rows(self, ids: Iterable[Any], missing: Missing = "error") -> NDArray[np.int32]:
        """Positions of many ids.

        Args:
            ids: a Series, array or list of n ids.
            missing: what an id that is not in the vocabulary means: an error that names it, or -1.

        Returns:
            int32 array of shape (n,).

        Raises:
            UnknownIdError: when `missing` is "error" and an id is unknown.
        """
        given = ids if isinstance(ids, pl.Series | np.ndarray) else list(ids)
        wanted = self._as_column(given)
        if wanted is None:
            rows = np.array([self._lookup(id_) for id_ in given], dtype=np.int32)
        else:
            rows = self._integer_rows(wanted) if self.is_integer else self._rows_by_join(wanted)
        if missing == "error" and len(rows) and rows.min() < 0:
            raise self.unknown(given[int(np.argmin(rows))])
        return rows

    def row(self, id_: Any) -> int:
        """The position of one id, or UnknownIdError. A dictionary is kept for speed."""
        found = self._lookup(id_)
        if found < 0:
            raise self.unknown(id_)
        return found

    def find(self, id_: Any) -> int:
        """The position of one id, -1 where it is unknown."""
        return self._lookup(id_)

    def take(self, rows: NDArray[np.integer[Any]]) -> list[Any]:
        """The ids at some positions, as Python integers or strings."""
        return self.ids.gather(np.asarray(rows, dtype=np.uint32)).to_list()

    def parse(self, id_: Any) -> Any:
        """An id as typed by a person ("42") in the type that this vocabulary has (42)."""
        if isinstance(id_, np.generic):
            id_ = id_.item()
        if self.is_integer and isinstance(id_, str):
            return int(id_) if _is_canonical_integer(id_) else None
        if isinstance(id_, int):
            return None if isinstance(id_, bool) else id_ if self.is_integer else str(id_)
        return id_

    def unknown(self, id_: Any) -> UnknownIdError:
        """The error for an id that is not here, with what the known ids look like."""
        if isinstance(id_, np.generic):
            id_ = id_.item()
        problem = f"There is no {self.kind} {id_!r} in this model"
        given = "--rated FILE on the command line, rated={item: rating, …} in Python."
        if self.kind == "user" and not len(self):
            return UnknownIdError(
                f"{problem}: it is stripped, and knows no users.",
                remedy=f"Give a few ratings of theirs instead: {given}",
            )
        examples = ", ".join(repr(known) for known in self.ids.head(3).to_list())
        remedy = f"The model knows {len(self):,} {self.kind}s, such as {examples}."
        if self.kind == "user":
            remedy += f" For somebody new, give a few ratings of theirs: {given}"
        return UnknownIdError(f"{problem}.", remedy=remedy)

    @cached_property
    def _index(self) -> dict[Any, int]:
        return {id_: row for row, id_ in enumerate(self.ids.to_list())}

    @cached_property
    def _type(self) -> type:
        return int if self.is_integer else str

    @cached_property
    def _table(self) -> pl.DataFrame:
        rows = pl.Series("row", np.arange(len(self.ids), dtype=np.int32))
        return pl.DataFrame({"id": self.ids, "row": rows})

    def _lookup(self, id_: Any) -> int:
        """The position of one id, -1 where it is unknown."""
        if type(id_) is self._type:  # as nearly always where it is called very often
            return self._index.get(id_, -1)
        try:
            return self._index.get(self.parse(id_), -1)
        except TypeError:  # a list, say
            return -1

    def _as_column(self, ids: pl.Series | NDArray[Any] | list[Any]) -> pl.Series | None:
        """Many ids in the type of this vocabulary, null where they cannot be; None if they need a look one by one."""
        try:
            column = ids if isinstance(ids, pl.Series) else pl.Series(ids, strict=False)
        except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
            return None
        if column.dtype in (pl.Categorical, pl.Enum):
            column = column.cast(pl.String)
        if column.dtype == pl.String:
            return plain_integers(column) if self.is_integer else column
        return column.cast(self.ids.dtype, strict=False) if column.dtype.is_integer() else None

    def _integer_rows(self, wanted: pl.Series) -> NDArray[np.int32]:
        if len(wanted) < len(self):
            return self._rows_by_search(wanted)
        if len(self) and not wanted.null_count():
            lowest, highest = int(self.ids[0]), int(self.ids[-1])
            if _is_narrow(lowest, highest, len(wanted)) and wanted.is_between(lowest, highest).all():
                return self._rows_by_table(wanted, lowest, highest)
        return self._rows_by_join(wanted)

    def _rows_by_search(self, wanted: pl.Series) -> NDArray[np.int32]:
        known, values = self.ids.to_numpy(), wanted.fill_null(0).to_numpy()
        places = np.minimum(np.searchsorted(known, values), len(known) - 1)
        is_known = (known[places] == values) & wanted.is_not_null().to_numpy()
        return np.where(is_known, places, -1).astype(np.int32)

    def _rows_by_table(self, wanted: pl.Series, lowest: int, highest: int) -> NDArray[np.int32]:
        """Many ids from a narrow range, as when a file is read: this is several times faster than a join."""
        table = np.full(highest - lowest + 1, -1, np.int32)
        table[self.ids.to_numpy() - lowest] = np.arange(len(self.ids), dtype=np.int32)
        rows = np.empty(len(wanted), np.int32)
        start = 0
        for block in _blocks(wanted):
            np.take(table, block - lowest, out=rows[start : start + len(block)], mode="clip")  # "raise" would copy
            start += len(block)
        return rows

    def _rows_by_join(self, wanted: pl.Series) -> NDArray[np.int32]:
        rows = np.empty(len(wanted), np.int32)
        for start in range(0, len(wanted), JOINED):
            asked = pl.DataFrame({"id": wanted.slice(start, JOINED)})
            found = asked.join(self._table, on="id", how="left", maintain_order="left")["row"]
            rows[start : start + JOINED] = found.fill_null(-1).to_numpy()
        return rows


def _is_narrow(lowest: int, highest: int, n: int) -> bool:
    """Whether a table with a place for every integer of a range is small beside n values."""
    return highest - lowest < 2 * n


def _distinct(column: pl.Series) -> pl.Series:
    """The distinct values, ascending; of many integers from a narrow range by a table."""
    if column.dtype == pl.Int64 and len(column) and not column.null_count():
        lowest, highest = int(column.min()), int(column.max())  # type: ignore[arg-type]
        if _is_narrow(lowest, highest, len(column)):
            occurs = np.zeros(highest - lowest + 1, bool)
            for block in _blocks(column):
                occurs[block - lowest] = True
            return pl.Series(np.flatnonzero(occurs) + lowest)
    return column.unique().sort()


def _blocks(column: pl.Series) -> Iterator[NDArray[np.int64]]:
    """The values in parts that fit into the processor's cache, and without a copy of the whole."""
    for chunk in column.get_chunks():
        values = chunk.to_numpy()
        yield from (values[start : start + BLOCK] for start in range(0, len(values), BLOCK))


def _is_canonical_integer(text: str) -> bool:
    try:
        return str(int(text)) == text
    except ValueError:
        return False


def plain_integers(column: pl.Series) -> pl.Series:
    """Text as Int64 where it is the usual spelling of an integer, else null ("007" is not 7)."""
    numbers = column.cast(pl.Int64, strict=False)
    return null_where(numbers.cast(pl.String) != column, numbers)


def null_where(condition: pl.Series, values: pl.Series) -> pl.Series:
    """The values with null where a condition holds."""
    if not condition.any():
        return values
    return pl.select(pl.when(~condition.fill_null(False)).then(values)).to_series()
