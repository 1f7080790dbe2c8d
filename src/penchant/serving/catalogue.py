"""What is said of items, ready to be sent: ids, names and columns as JSON, the columns to filter by, the map."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.features import SEPARATOR, texts
from penchant.explain import principal_components
from penchant.serving.recommender import Recommender
from penchant.serving.search import Search

MOST_VALUES = 200  # of a column that are listed to choose from
FEWEST_ITEMS = 2  # that share a word of a column on average, so that it tells groups of items
MAP_ITEMS = 20_000  # whose factors say where the axes of the map are


def dumps(value: Any) -> bytes:
    """JSON as it is sent: no blanks, UTF-8, half a surrogate pair escaped."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


class Catalogue:
    """The items of a recommender.

    The JSON of an item is made when it is first sent and kept: making it took longer than scoring 10,000 items.
    """

    def __init__(self, recommender: Recommender) -> None:
        self.recommender = recommender
        self.ids: list[Any] = recommender.items.ids.to_list()
        self.names: list[str] = recommender.item_names.to_list()
        self.counts = recommender.item_counts
        self.search = Search(self.names, self.counts)
        self._heads: list[bytes | None] = [None] * len(self.ids)
        self._columns: list[bytes | None] = [None] * len(self.ids)
        self._plain: list[tuple[bytes, bytes] | None] = [None] * len(self.ids)

    def head(self, row: int) -> bytes:
        """`"item":…,"name":…` of an item."""
        found = self._heads[row]
        if found is None:
            found = b'"item":' + dumps(self.ids[row]) + b',"name":' + dumps(self.names[row])
            self._heads[row] = found
        return found

    def columns(self, row: int) -> bytes:
        """What the item table says of an item, as a JSON object; what is not known is left out."""
        found = self._columns[row]
        if found is None:
            table = self.recommender.item_table
            values = {} if table is None else table.row(row, named=True)
            found = dumps({name: _plain(value) for name, value in values.items() if _is_known(value)})
            self._columns[row] = found
        return found

    def plain(self, row: int) -> tuple[bytes, bytes]:
        """What stands before and behind prediction and score of an item in a list without intervals and reasons."""
        found = self._plain[row]
        if found is None:
            start = b"{" + self.head(row) + b',"prediction":'
            found = start, b',"interval":null,"reason":null,"columns":' + self.columns(row) + b"}"
            self._plain[row] = found
        return found

    def described(self, row: int) -> bytes:
        """An item with its number of ratings and its columns, as a JSON object."""
        count = str(int(self.counts[row])).encode()
        return b"{" + self.head(row) + b',"ratings":' + count + b',"columns":' + self.columns(row) + b"}"

    @cached_property
    def filters(self) -> list[dict[str, Any]]:
        """The columns of the item table that lists can be filtered by, with their values or their range."""
        table = self.recommender.item_table
        return [] if table is None else [found for column in table if (found := _filter(column))]

    @cached_property
    def _places(self) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
        """Rows by popularity, where each is on the map, and the shares of variance of the axes."""
        rows = np.argsort(-self.counts, kind="stable")[:MAP_ITEMS].astype(np.int32)
        positions, shares = principal_components(self.recommender.model.item_factors()[rows])
        return rows, positions, shares

    def map(self, limit: int) -> bytes:
        """The most popular items on the first two principal components of their factors, as JSON.

        Raises:
            UnsupportedError: the model has no item factors.
        """
        rows, positions, shares = self._places
        items = (
            self.described(row)[:-1] + f',"x":{x:.5g},"y":{y:.5g}}}'.encode()
            for row, (x, y) in zip(rows[:limit].tolist(), positions[:limit].tolist(), strict=True)
        )
        return b'{"axes":' + dumps([round(share, 4) for share in shares.tolist()]) + b',"items":' + listed(items) + b"}"


def listed(parts: Iterable[bytes]) -> bytes:
    """JSON values as a JSON list."""
    return b"[" + b",".join(parts) + b"]"


def _is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not np.isfinite(value))


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _filter(column: pl.Series) -> dict[str, Any] | None:
    if column.dtype.is_numeric():
        numbers = column.drop_nulls().cast(pl.Float64)
        numbers = numbers.filter(numbers.is_finite())
        if not len(numbers):
            return None
        examples = sorted(set(numbers.to_list()))[:MOST_VALUES] if numbers.n_unique() <= MOST_VALUES else []
        ends = {"low": numbers.min(), "high": numbers.max()}
        return {"name": column.name, "kind": "numbers", **ends, "values": examples}
    told = texts(column).drop_nulls()
    words = told.str.split(SEPARATOR).explode().str.strip_chars().rename("word")
    counts = words.filter(words != "").value_counts(name="count")
    if not len(counts) or len(counts) > max(MOST_VALUES, len(column) // 10) or FEWEST_ITEMS * len(counts) > len(told):
        return None  # a column that is nearly another name, such as a title, an address or a date
    known = counts.sort(["count", "word"], descending=[True, False])
    return {"name": column.name, "kind": "words", "values": known["word"].head(MOST_VALUES).to_list()}
