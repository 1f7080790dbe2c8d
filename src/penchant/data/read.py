"""read_ratings: any table of ratings, with or without a table of items, becomes Interactions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data import columns as naming
from penchant.data import values
from penchant.data.interactions import Interactions
from penchant.data.layouts import Layout, TableLayout, find_layout
from penchant.data.tables import Table, from_frame, is_frame, read_table
from penchant.data.vocabulary import Vocabulary
from penchant.errors import DataError, SettingError

Duplicates = Literal["last", "first", "mean", "error"]


def read_ratings(
    source: Any,
    *,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    time: str | None = None,
    items: Any = None,
    users: Any = None,
    item_name: str | None = None,
    duplicates: Duplicates = "last",
) -> Interactions:
    """Read a table of ratings.

    Args:
        source: a path (CSV, TSV, '::'- or blank-separated text, Parquet; plain, gz or zip), a folder laid
            out as its publisher does, the name of a data set ("ml-100k"; fetched when it is not here yet),
            or a pandas, polars or Arrow frame.
        user, item, rating, time: names of the columns; found by their usual names when not given. `item`
            may name a column of the items table ("title"), which then is the item.
        items, users: a path or frame that describes items (users), joined by its id.
        item_name: the column of the items table to show for an item; "title" or "name" when not given.
        duplicates: what to do when a user rated an item more than once: keep the "last" by time (by line
            where there are no times), the "first", the "mean" of the ratings, or raise an "error".

    Raises:
        DataError: the table cannot be used; file, line, column and remedy are named.
        DownloadError: a data set given by name could not be fetched.
    """
    if duplicates not in get_args(Duplicates):
        raise SettingError(
            f"duplicates is {duplicates!r}.",
            remedy=f"Give one of: {', '.join(get_args(Duplicates))}.",
        )
    tables = _open(source, items, users)
    item_in_ratings = item if item is None or item in tables.ratings.frame.columns else None
    if item is not None and item_in_ratings is None and tables.items is None:
        naming.check_column(tables.ratings, item)
    found = naming.find_columns(tables.ratings, user=user, item=item_in_ratings, rating=rating, time=time)
    user_ids = values.ids(tables.ratings, found.user, "user")
    item_ids = values.ids(tables.ratings, found.item, "item")
    scores = values.ratings(tables.ratings, found.rating)
    times = values.times(tables.ratings, found.time) if found.time else None
    kept, dropped = _explicit(scores, tables.zero_is_implicit)

    described = _describe_items(tables, item_ids, item, item_in_ratings, item_name, found)
    interactions = _assemble(tables, user_ids, described, scores, times, kept)
    notes = [*tables.notes, *dropped, *described.notes]
    interactions, merged = _merge_duplicates(interactions, duplicates, tables.ratings)
    return _check_enough(_with_notes(interactions, (*notes, *merged)), tables.ratings.name)


@dataclass(frozen=True)
class _Tables:
    """The opened tables of one source."""

    ratings: Table
    items: Table | None
    users: Table | None
    item_name: str | None
    zero_is_implicit: bool
    notes: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class _Described:
    """The item id of every rating, and the items' names and table by id."""

    ids: pl.Series
    table: pl.DataFrame | None  # first column "item id"
    name_column: str | None
    notes: tuple[str, ...]


# --- opening ----------------------------------------------------------------------------------------


def open_table(source: Any, *, known: frozenset[str] = naming.KNOWN_NAMES) -> Table:
    """A path or frame as a Table; a file without a header gets u.data's names."""
    if is_frame(source):
        return from_frame(source)
    path = Path(source)
    return naming.name_headerless(read_table(path, str(path), known_names=known))


def _open(source: Any, items: Any, users: Any) -> _Tables:
    if is_frame(source):
        tables = _Tables(from_frame(source), None, None, None, False, (), "a frame")
    else:
        tables = _open_path(_resolve(source))
    if items is not None:
        tables = replace(tables, items=open_table(items))
    if users is not None:
        tables = replace(tables, users=open_table(users))
    return tables


def _resolve(source: Any) -> Path:
    """A path as given, or the folder of a data set by its name."""
    if not isinstance(source, str | Path):
        raise DataError(
            f"A {type(source).__name__} is not a table.",
            remedy="Give a path, the name of a data set, or a pandas, polars or Arrow frame.",
        )
    path = Path(source)
    if path.exists():
        return path
    from penchant.data.datasets import DATASETS, locate

    if str(source) in DATASETS:
        return locate(str(source))
    names = ", ".join(DATASETS)
    raise DataError(
        "There is no such file or folder, and no data set of that name.",
        file=str(source),
        remedy=f"Check the path, or give one of the data sets: {names}.",
    )


def _open_path(path: Path) -> _Tables:
    if not path.is_dir():
        return _Tables(open_table(path), None, None, None, False, (), str(path))
    layout = find_layout(path)
    return _Tables(
        ratings=_open_layout(path, layout.ratings),
        items=_open_layout(path, layout.items) if layout.items else None,
        users=_open_layout(path, layout.users) if layout.users else None,
        item_name=layout.item_name,
        zero_is_implicit=layout.zero_is_implicit,
        notes=_known_faults(layout),
        source=str(path),
    )


def _open_layout(folder: Path, layout: TableLayout) -> Table:
    path = folder / layout.file
    table = read_table(
        path,
        str(path),
        columns=layout.columns or None,
        truncate=layout.truncate,
        known_names=naming.KNOWN_NAMES,
    )
    return _join_flags(table, layout.flags) if layout.flags else table


def _join_flags(table: Table, flags: tuple[str, ...]) -> Table:
    """Columns of 0 and 1 as one column "genres" of their names joined by '|'."""
    marked = [pl.when(pl.col(flag) == "1").then(pl.lit(flag)) for flag in flags]
    joined = pl.concat_str(marked, separator="|", ignore_nulls=True).alias("genres")
    frame = table.frame.with_columns(joined).drop(flags)
    return Table(frame, table.name, table.has_header, table.content, table.dialect)


def _known_faults(layout: Layout) -> tuple[str, ...]:
    faulty = [t.file for t in (layout.items, layout.users) if t and t.truncate]
    return tuple(f"{file} is published with some lines too long; surplus fields are dropped." for file in faulty)


# --- items ------------------------------------------------------------------------------------------


def _describe_items(
    tables: _Tables,
    item_ids: pl.Series,
    item: str | None,
    item_in_ratings: str | None,
    item_name: str | None,
    found: naming.Columns,
) -> _Described:
    if tables.items is None:
        return _name_from_ratings(tables.ratings, item_ids, item_name)
    table = _keyed(tables.items, item_in_ratings or found.item, item_ids, "item", naming.ITEM_NAMES)
    name_column = item_name or tables.item_name or naming.find_column(tables.items, naming.NAME_NAMES)
    if name_column is not None:
        naming.check_column(tables.items, name_column)
    if item is not None and item_in_ratings is None:
        return _column_as_item(tables, item_ids, table, naming.check_column(tables.items, item), name_column)
    return _Described(item_ids, table, name_column, ())


def _keyed(table: Table, key: str, ids: pl.Series, kind: str, names: tuple[str, ...]) -> pl.DataFrame:
    """An items or users table with a first column "item id" of the type that the ratings' ids have.

    The table's id is the column called as in the ratings, else the column of a usual name whose values
    occur most often in the ratings: a table of books has an ISBN and a number, and only one is meant.
    """
    candidates = [key] if key in table.frame.columns else naming.find_columns_named(table, names)
    if not candidates:
        naming.require_column(table, kind, names, f"--{kind}")
    wanted = ids.unique()
    keys = [values.ids(table, column, kind).cast(ids.dtype, strict=False) for column in candidates]
    matches = [int(own.is_in(wanted.implode()).sum()) for own in keys]
    best = int(np.argmax(matches))
    if not matches[best]:
        raise DataError(
            f"None of its {kind}s occurs in the ratings (looked at: {', '.join(candidates)}).",
            file=table.name,
            remedy=f"Check that both tables use the same {kind} ids; those of the ratings begin {wanted.sort()[0]!r}.",
        )
    keyed = table.frame.with_columns(keys[best].alias(f"{kind} id"))
    keyed = keyed.select(f"{kind} id", pl.exclude(f"{kind} id")).filter(pl.col(f"{kind} id").is_not_null())
    return keyed.unique(f"{kind} id", keep="first", maintain_order=True)


def _column_as_item(
    tables: _Tables, item_ids: pl.Series, table: pl.DataFrame, column: str, name_column: str | None
) -> _Described:
    """A column of the items table becomes the item: two films of one title are one item then."""
    assert tables.items is not None
    joined = pl.DataFrame({"item id": item_ids}).join(
        table.select("item id", pl.col(column).cast(pl.String).alias("new id")),
        on="item id",
        how="left",
        maintain_order="left",
    )
    missing = joined["new id"].is_null()
    if missing.any():
        row = int(missing.arg_true()[0])
        raise DataError(
            f"Item {item_ids[row]!r} has no '{column}' in {tables.items.name} ({int(missing.sum()):,} ratings are so).",
            file=tables.ratings.name,
            line=tables.ratings.line_of(row),
            remedy=f"Complete the items table, or leave the item as it is and show the column: --item-name {column}.",
        )
    merged = table.filter(pl.col("item id").is_in(item_ids.unique().implode()))
    renamed = merged.with_columns(pl.col(column).cast(pl.String).alias("item id"))
    distinct = renamed.unique("item id", keep="first", maintain_order=True)
    lost = renamed.height - distinct.height
    notes = (f"{lost:,} items share their '{column}' with another and are one item now.",) if lost else ()
    shown = column if name_column is None else name_column
    return _Described(joined["new id"], distinct, shown, notes)


def _name_from_ratings(ratings: Table, item_ids: pl.Series, item_name: str | None) -> _Described:
    """Without an items table, a title may stand in the ratings table itself."""
    column = item_name or naming.find_column(ratings, naming.NAME_NAMES)
    if column is None:
        return _Described(item_ids, None, None, ())
    naming.check_column(ratings, column)
    table = pl.DataFrame({"item id": item_ids, column: ratings.frame[column]})
    return _Described(item_ids, table.unique("item id", keep="first", maintain_order=True), column, ())


# --- assembling -------------------------------------------------------------------------------------


def _explicit(scores: NDArray[np.float32], zero_is_implicit: bool) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Positions of the lines that are ratings, None for all."""
    if not zero_is_implicit or not (scores == 0).any():
        return None, ()
    kept = np.flatnonzero(scores != 0)
    return kept, (f"{len(scores) - len(kept):,} lines with a rating of 0 (implicit feedback) are left out.",)


def _assemble(
    tables: _Tables,
    user_ids: pl.Series,
    described: _Described,
    scores: NDArray[np.float32],
    times: NDArray[np.int64] | None,
    kept: NDArray[np.int64] | None,
) -> Interactions:
    item_ids = described.ids
    if kept is not None:
        user_ids, item_ids, scores = user_ids.gather(kept), item_ids.gather(kept), scores[kept]
        times = None if times is None else times[kept]
    users = Vocabulary.from_ids(user_ids, "user")
    items = Vocabulary.from_ids(item_ids, "item")
    names, item_table, nameless = _align_items(items, described)
    user_table = None
    if tables.users is not None:
        keyed = _keyed(tables.users, "", user_ids, "user", naming.USER_NAMES)
        user_table = _align(users, keyed, "user id").drop("user id")
    return Interactions(
        users=users,
        items=items,
        user_rows=users.rows(user_ids),
        item_rows=items.rows(item_ids),
        ratings=scores,
        times=times,
        item_names=names,
        item_table=item_table,
        user_table=user_table,
        source=tables.source,
        notes=nameless,
    )


def _align_items(
    items: Vocabulary, described: _Described
) -> tuple[pl.Series | None, pl.DataFrame | None, tuple[str, ...]]:
    if described.table is None:
        return None, None, ()
    aligned = _align(items, described.table, "item id")
    table = aligned.drop("item id")
    if described.name_column is None:
        return None, table, ()
    names = table[described.name_column].cast(pl.String)
    nameless = names.null_count()
    names = names.fill_null(items.ids.cast(pl.String))
    notes = (f"{nameless:,} items have no '{described.name_column}' and are shown by their id.",) if nameless else ()
    return names, table, notes


def _align(vocabulary: Vocabulary, table: pl.DataFrame, key: str) -> pl.DataFrame:
    ids = pl.DataFrame({key: vocabulary.ids})
    return ids.join(table, on=key, how="left", maintain_order="left")


def _merge_duplicates(interactions: Interactions, policy: str, table: Table) -> tuple[Interactions, tuple[str, ...]]:
    """One rating a (user, item) pair, by the stated policy."""
    pairs = interactions.user_rows.astype(np.int64) * interactions.n_items + interactions.item_rows
    surplus = len(pairs) - pl.Series(pairs).n_unique()
    if not surplus:
        return interactions, ()
    if policy == "error":
        row = int(pl.Series(pairs).is_duplicated().arg_true()[1])
        raise DataError(
            f"{surplus:,} ratings repeat a user and an item.",
            file=table.name,
            line=table.line_of(row),
            remedy="Remove the repetitions, or choose what they mean: --duplicates last, first or mean.",
        )
    times = interactions.times if interactions.times is not None else np.zeros(len(pairs), np.int64)
    order = np.lexsort((np.arange(len(pairs)), times, pairs))  # by pair, then time, then line
    ordered = pairs[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)
    is_first = np.append(True, ordered[1:] != ordered[:-1])
    kept = np.sort(order[is_first if policy == "first" else is_last])
    result = interactions.take(kept)
    if policy == "mean":
        result = _with_mean_ratings(result, pairs, interactions.ratings, pairs[kept])
    by = "by time" if interactions.times is not None else "by line"
    how = "their mean is kept" if policy == "mean" else f"the {policy} {by} is kept"
    return result, (f"{surplus:,} ratings repeat a user and an item: {how}.",)


def _with_mean_ratings(
    result: Interactions,
    pairs: NDArray[np.int64],
    scores: NDArray[np.float32],
    kept: NDArray[np.int64],
) -> Interactions:
    distinct, inverse, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, scores, len(distinct)) / counts
    return replace(result, ratings=means[np.searchsorted(distinct, kept)].astype(np.float32))


def _with_notes(interactions: Interactions, notes: tuple[str, ...]) -> Interactions:
    return replace(interactions, notes=(*interactions.notes, *notes))


def _check_enough(interactions: Interactions, name: str) -> Interactions:
    for kind, count in (("user", interactions.n_users), ("item", interactions.n_items)):
        if count < 2:
            vocabulary = interactions.users if kind == "user" else interactions.items
            shown = repr(vocabulary.ids[0]) if count else "none"
            raise DataError(
                f"There is only one {kind} ({shown}); nothing can be learnt from comparing.",
                file=name,
                remedy=f"Check that the {kind} column is the right one, and that the file is complete.",
            )
    return interactions
