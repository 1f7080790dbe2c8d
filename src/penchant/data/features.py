"""Features: what the columns of a table say about users or items, as sets that a model can learn from.

A column of text is read without being told what it is, as one of

- words: one of few ("female"), or several separated by "|" ("Drama|War");
- flags: columns of 0 and 1 (a genre each), taken together as one set;
- years: the last year between 1800 and 2099 that a text names ("Heat (1995)", "01-Jan-1995"), in steps of five;
- numbers: in ten bins of equally many rows.

What is none of these (a name, an address, a number of its own for every row, the same for all) says nothing about a row
that has another, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.errors import SettingError

Kind = Literal["words", "flags", "years", "numbers"]
Columns = Literal["auto", "none"] | tuple[str, ...]

SEPARATOR = "|"
YEAR = "^(1[89]|20)[0-9]{2}$"
YEARS_A_BIN = 5
N_BINS = 10
MOST_WORDS = 1000
LEAST_ROWS = 2  # that have a word, for it to be learnt from
MOSTLY = 0.8
SHARED = 0.5  # of the rows with a text that must have a word of another row too
FEW = 12  # distinct numbers that are taken as words


@dataclass(frozen=True)
class Feature:
    """How one column (of flags: several) becomes a set of members for each row.

    Attributes:
        kind: see the module.
        columns: whose text it reads.
        members: what there is: words, columns of flags, or the labels of bins.
        edges: the inner edges of bins, rising; one fewer than members. Empty without bins.
    """

    kind: Kind
    columns: tuple[str, ...]
    members: tuple[str, ...]
    edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        binned = self.kind in ("years", "numbers")
        if self.kind not in get_args(Kind) or not self.columns or not self.members:
            raise ValueError(f"no feature is of kind {self.kind!r} with {len(self.members)} members")
        rising = all(low < high for low, high in pairwise((-np.inf, *self.edges, np.inf)))
        if len(self.edges) != binned * (len(self.members) - 1) or not rising:
            raise ValueError(f"the edges of {self.name} do not rise between its {len(self.members)} bins")
        columns = self.members if self.kind == "flags" else self.columns[:1]
        if self.columns != columns or len(set(self.members)) < len(self.members):
            raise ValueError(f"{self.kind} of {self.columns} cannot have the members {self.members}"[:200])

    @property
    def name(self) -> str:
        """What to call it: its column, or "flags"."""
        return "flags" if self.kind == "flags" else self.columns[0]

    def entries(self, table: pl.DataFrame) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Which row has which member: int32 (n,) and (n,). A column that the table lacks says nothing.

        Args:
            table: one row each; columns of any type that can be text.
        """
        if self.kind == "flags":
            parts = [_flagged(table, column, number) for number, column in enumerate(self.columns)]
            return np.concatenate([rows for rows, _ in parts]), np.concatenate([of for _, of in parts])
        if self.columns[0] not in table.columns:
            return _EMPTY, _EMPTY
        column = texts(table[self.columns[0]])
        if self.kind == "words":
            rows, words = _words(column)
            numbers = words.replace_strict(list(self.members), list(range(len(self.members))), default=None)
            known = numbers.is_not_null().to_numpy()
            return rows[known], numbers.drop_nulls().to_numpy().astype(np.int32)
        values = (_years(column) if self.kind == "years" else _numbers(column)).to_numpy()
        known = np.flatnonzero(np.isfinite(values)).astype(np.int32)
        return known, np.searchsorted(self.edges, values[known], side="right").astype(np.int32)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        fields = {"kind": self.kind, "columns": list(self.columns), "members": list(self.members)}
        return {**fields, "edges": list(self.edges)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Feature:
        """The inverse of `to_json`; ValueError, KeyError or TypeError when the fields are not of a feature."""
        parts = [fields[part] for part in ("columns", "members", "edges")]
        for values, of in zip(parts, (str, str, float), strict=True):
            if not isinstance(values, list) or not all(isinstance(value, of) for value in values):
                raise TypeError(f"Not a list of {of.__name__}: {values!r:.50}")
        return cls(fields["kind"], *map(tuple, parts))


_EMPTY = np.empty(0, np.int32)


def find_features(table: pl.DataFrame | None, wanted: Columns, kind: str) -> tuple[Feature, ...]:
    """The features of a table of users or items.

    Args:
        wanted: "auto" for all columns that can be one, "none", or the columns by name.
        kind: "user" or "item", for messages.

    Raises:
        SettingError: a column was named that is not there, or cannot be a feature.
    """
    if wanted == "none" or table is None:
        if isinstance(wanted, tuple) and wanted:
            raise SettingError(f"There is no {kind} table, so no column '{wanted[0]}'.", remedy="Give one.")
        return ()
    names = table.columns if wanted == "auto" else wanted
    if missing := [name for name in names if name not in table.columns]:
        raise SettingError(
            f"The {kind} table has no column '{missing[0]}'.", remedy=f"Its columns: {', '.join(table.columns)}."
        )
    columns = {name: texts(table[name]) for name in names}
    flags = tuple(name for name, column in columns.items() if _is_flag(column))
    found = [_feature(name, column) for name, column in columns.items() if name not in flags]
    if wanted != "auto":
        useful = {*flags, *(feature.name for feature in found if feature)}
        if useless := [name for name in names if name not in useful]:
            problem = f"The column '{useless[0]}' says nothing that some {kind}s share and others do not."
            raise SettingError(problem, remedy="Leave it out.")
    features = ([Feature("flags", flags, flags)] if flags else []) + [feature for feature in found if feature]
    return tuple(_distinct(features, table))


def texts(column: pl.Series) -> pl.Series:
    """A column as text without blanks around it, null where there is none; truth values as 0 and 1, 2.0 as 2."""
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        return pl.Series(column.name, [None] * len(column), pl.String)
    if column.dtype.is_float():
        text = column.fill_nan(None).cast(pl.String).str.replace(r"\.0$", "")
    else:
        text = (column.cast(pl.Int8) if column.dtype == pl.Boolean else column).cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _feature(name: str, column: pl.Series) -> Feature | None:
    n_known = len(column) - column.null_count()
    if n_known < LEAST_ROWS:
        return None
    numbers = _numbers(column)
    if len(numbers) - numbers.null_count() == n_known:
        return _of_numbers(name, column, numbers.drop_nulls(), n_known)
    if column.str.contains(SEPARATOR, literal=True).mean() >= 0.05:  # type: ignore[operator]
        return _of_words(name, column)
    if column.str.contains("://", literal=True).any():
        return None  # addresses, of which each names its own row
    years = _years(column)
    if len(years) - years.null_count() >= MOSTLY * n_known:
        return _of_years(name, years)
    return _of_words(name, column)


def _of_numbers(name: str, column: pl.Series, numbers: pl.Series, n_known: int) -> Feature | None:
    distinct = numbers.n_unique()
    whole = bool((numbers == numbers.floor()).all())
    if distinct < 2 or (whole and distinct > MOSTLY * n_known and n_known > FEW):
        return None  # the same for all, or a number for each
    if whole and numbers.min() >= 1800 and numbers.max() < 2100:  # type: ignore[operator]
        return _of_years(name, numbers)
    if distinct <= FEW:
        return _of_words(name, column)
    rising, values = np.unique(numbers), np.sort(numbers)
    edges = np.unique(values[len(values) * np.arange(1, N_BINS) // N_BINS])
    edges = edges[edges > rising[0]] if edges[-1] > rising[0] else rising[1:2]  # most may be the least
    ends = [str(end).removesuffix(".0") for end in (-np.inf, *edges.tolist(), np.inf)]
    labels = tuple(f"{low} to {high}" for low, high in pairwise(ends))
    return Feature("numbers", (name,), labels, tuple(edges.tolist()))


def _of_years(name: str, years: pl.Series) -> Feature | None:
    known = years.drop_nulls().to_numpy()
    first, last = int(known.min()) // YEARS_A_BIN, int(known.max()) // YEARS_A_BIN
    if first == last:
        return None
    starts = [YEARS_A_BIN * step for step in range(first, last + 1)]
    labels = tuple(f"{start} to {start + YEARS_A_BIN - 1}" for start in starts)
    return Feature("years", (name,), labels, tuple(float(start) for start in starts[1:]))


def _of_words(name: str, column: pl.Series) -> Feature | None:
    n_known, words = len(column) - column.null_count(), _words(column)[1]
    counts = words.value_counts(sort=False).filter(pl.col("count") >= LEAST_ROWS)
    counts = counts.sort(["count", words.name], descending=[True, False]).head(MOST_WORDS)
    members = tuple(sorted(counts[words.name]))
    feature = Feature("words", (name,), members) if members else None
    if feature is None:
        return None
    n_rows = len(np.unique(feature.entries(pl.DataFrame({name: column}))[0]))
    same = len(members) == 1 and n_rows == len(column)
    return None if same or n_rows < SHARED * n_known else feature


def _words(column: pl.Series) -> tuple[NDArray[np.int32], pl.Series]:
    """Rows and words, a word once a row."""
    frame = pl.DataFrame({"row": np.arange(len(column), dtype=np.int32), "word": column}).drop_nulls()
    frame = frame.with_columns(pl.col("word").str.split(SEPARATOR)).explode("word")
    frame = frame.with_columns(pl.col("word").str.strip_chars()).filter(pl.col("word") != "")
    frame = frame.unique(maintain_order=True)
    return frame["row"].to_numpy(), frame["word"]


def _years(column: pl.Series) -> pl.Series:
    runs = column.str.extract_all("[0-9]+").list.eval(pl.element().filter(pl.element().str.contains(YEAR)))
    return runs.list.last().cast(pl.Float64)


def _numbers(column: pl.Series) -> pl.Series:
    numbers = column.cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite(), None)


def _is_flag(column: pl.Series) -> bool:
    return set(column.unique()) == {"0", "1"}


def _flagged(table: pl.DataFrame, column: str, member: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    if column not in table.columns:
        return _EMPTY, _EMPTY
    rows = np.flatnonzero((texts(table[column]) == "1").fill_null(False).to_numpy()).astype(np.int32)
    return rows, np.full(len(rows), member, np.int32)


def _distinct(features: Sequence[Feature], table: pl.DataFrame) -> Iterable[Feature]:
    """Without features that repeat an earlier one: a title and a date may name the same year."""
    seen: list[set[tuple[int, str]]] = []
    for feature in features:
        if feature.kind == "years":
            own = {(int(row), feature.members[of]) for row, of in zip(*feature.entries(table), strict=True)}
            if any(len(own & other) > 0.9 * len(own) for other in seen):
                continue
            seen.append(own)
        yield feature
