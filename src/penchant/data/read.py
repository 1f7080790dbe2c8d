"""read_ratings: any table of ratings, with or without a table of items, becomes Interactions."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data import columns as naming
from penchant.data import values
from penchant.data.duplicates import merge_duplicates
from penchant.data.feedback import check_feedback, has_no_ratings, positives, weights
from penchant.data.interactions import Interactions
from penchant.data.items import Described, align, column_as_item, key, name_from_ratings, names_to_show
from penchant.data.layouts import Layout, TableLayout, find_layout
from penchant.data.numbers import Meaning, Meanings
from penchant.data.tables import Table, from_frame, is_frame, read_table, simplify
from penchant.data.times import times as times_of
from penchant.data.vocabulary import Vocabulary
from penchant.errors import DataError, SettingError
from penchant.signals import held_back

ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'"}
Duplicates = Literal["last", "first", "mean", "sum", "error"]


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
    duplicates: Duplicates | None = None,
    implicit: bool = False,
    weight: str | None = None,
    positive_from: float | None = None,
    columns: Mapping[str, str] | None = None,
) -> Interactions:
    """Read a table of ratings, or of interactions that nobody rated.

    A table with no column beside users, items, times and names is of interactions without ratings.

    Args:
        source: a path (CSV, TSV, '::'- or blank-separated text, JSON lines, Parquet; plain, gz or zip), a
            folder laid out as its publisher does, the name of a data set ("ml-100k"; fetched when it is not here yet),
            or a pandas, polars or Arrow frame.
        user, item, rating, time: names of the columns; found by their usual names when not given. `item`
            may name a column of the items table ("title"), which then is the item.
        items, users: a path or frame that describes items (users), joined by its id.
        item_name: the column of the items table to show for an item; "title" or "name" when not given.
        duplicates: what to do when a user rated an item more than once: keep the "last" by time (by line
            where there are no times), the "first", the "mean" or the "sum" of the ratings or weights, or raise an
            "error". None for "last" of ratings, and "sum" of interactions without ratings.
        implicit: take each line as an interaction that nobody rated; a column of ratings is not looked at.
        weight: a column of how much each interaction counts (plays, hours; above 0), instead of 1; they are implicit.
        positive_from: keep ratings from this one up, as interactions that nobody rated, and drop those below.
        columns: names to try before the usual ones, by meaning (user, item, rating, weight, time), as
            `Interactions.columns` has them of a table read before.

    Raises:
        DataError: the table cannot be used; file, line, column and remedy are named.
        DownloadError: a data set given by name could not be fetched.
    """
    if duplicates is not None and duplicates not in get_args(Duplicates):
        raise SettingError(
            f"duplicates is {duplicates!r}.",
            remedy=f"Give one of: {', '.join(get_args(Duplicates))}.",
        )
    check_feedback(implicit or weight is not None, rating, positive_from)
    before = _not_given(columns, (user, item, rating, weight, time), implicit, positive_from)
    asked = _Asked(user, item, rating, weight, time, item_name, before)
    tables = _open(source, items, users, asked)
    asked = asked.among(tables.ratings, tables.items)
    user, item, rating, weight, time = asked.user, asked.item, asked.rating, asked.weight, asked.time
    column_of_items = item if item is not None and item not in tables.ratings.frame.columns else None
    if column_of_items and tables.items is None:
        naming.check_column(tables.ratings, column_of_items)
    in_ratings = None if column_of_items else item
    is_implicit = (
        implicit
        or weight is not None
        or (rating is None and has_no_ratings(tables.ratings, (user, item, time, item_name)))
    )
    found = naming.find_columns(
        tables.ratings, user=user, item=in_ratings, rating=weight or rating, time=time, without_rating=is_implicit
    )
    if is_implicit and weight is None:
        found = replace(found, rating="")
    given, given_notes = _given(tables, found, is_implicit)
    described = _describe(tables, given, found.item, column_of_items, item_name)
    names = {"user": found.user, "item": item or found.item, "weight" if weight else "rating": found.rating}
    names |= {"time": found.time} if found.time else {}
    interactions = replace(
        _assemble(tables, found.user, given, described),
        is_implicit=is_implicit,
        columns={meaning: name for meaning, name in names.items() if name},
    )
    policy = duplicates or ("sum" if is_implicit else "last")
    interactions, merged = merge_duplicates(interactions, policy, tables.ratings.name, given.line_of)
    interactions, below = positives(interactions, positive_from, tables.ratings.name)
    notes = (*tables.notes, *given_notes, *described.notes, *interactions.notes, *merged, *below)
    noted = replace(interactions, notes=notes) if notes != interactions.notes else interactions
    return _check_enough(noted, tables.ratings.name)


@dataclass(frozen=True)
class _Tables:
    """The opened tables of one source."""

    ratings: Table
    source: str
    items: Table | None = None
    users: Table | None = None
    item_name: str | None = None
    zero_is_implicit: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Asked:
    """The names of columns that the caller gave, None where they are to be found."""

    user: str | None
    item: str | None
    rating: str | None
    weight: str | None
    time: str | None
    item_name: str | None
    before: Mapping[str, str]  # names that a table read before had; tried where the caller gave none

    def known_names(self) -> frozenset[str]:
        """Simplified names by which a first line is recognised as a header."""
        given = (self.user, self.item, self.rating, self.weight, self.time)
        return naming.with_known(self.before) | {simplify(name) for name in given if name}

    def among(self, ratings: Table, items: Table | None = None) -> _Asked:
        """With those of the names of before that a table has, where the caller gave none.

        Args:
            items: the item may be a column of this table too.
        """
        own, known = ratings.frame.columns, naming.known_among
        return replace(
            self,
            user=known(self.before, "user", self.user, own),
            item=known(self.before, "item", self.item, own if items is None else [*own, *items.frame.columns]),
            rating=known(self.before, "rating", self.rating, own),
            weight=known(self.before, "weight", self.weight, own),
            time=known(self.before, "time", self.time, own),
        )

    def meanings(self, columns: list[str]) -> dict[str, Meaning]:
        """Which columns of a table of ratings may be read as numbers: not one whose text is shown for an item."""
        table = Table(pl.DataFrame(schema=columns), "")
        asked = self.among(table)
        item, rating = asked.item if asked.item in columns else None, asked.weight or asked.rating
        try:
            found = naming.find_columns(table, user=asked.user, item=item, rating=rating, time=asked.time)
        except DataError:  # the reading as text says what is missing
            return {}
        ids: dict[str, Meaning] = {found.user: "id", found.item: "id"}
        others: dict[str, Meaning] = {found.rating: "rating", **({found.time: "time"} if found.time else {})}
        if ids.keys() & others.keys() or found.rating == found.time:
            return {}
        shown = (self.item_name, naming.find_column(table, naming.NAME_NAMES))
        return {column: meaning for column, meaning in (ids | others).items() if column not in shown}


def _not_given(
    columns: Mapping[str, str] | None, given: Collection[str | None], implicit: bool, positive_from: float | None
) -> dict[str, str]:
    """The names of before that nothing contradicts which the caller gave: what they are in this table is not known."""
    _, _, rating, weight, _ = given
    barred = {"rating"} if implicit or weight else set()
    barred |= {"weight"} if implicit or rating or positive_from is not None else set()
    return {meaning: name for meaning, name in (columns or {}).items() if name not in given and meaning not in barred}


@dataclass(frozen=True)
class _Given:
    """The columns of a ratings table; `rows` are their rows in it where not all are taken."""

    table: Table
    user_ids: pl.Series
    item_ids: pl.Series
    ratings: NDArray[np.float32]
    times: NDArray[np.int64] | None
    rows: NDArray[np.int64] | None = None

    def line_of(self, position: int) -> int:
        return self.table.line_of(position if self.rows is None else int(self.rows[position]))


# --- opening ----------------------------------------------------------------------------------------


def open_table(
    source: Any,
    *,
    known: frozenset[str] = naming.KNOWN_NAMES,
    headerless: tuple[str, ...] = naming.HEADERLESS,
    allow_short: bool = False,
    meanings: Meanings | None = None,
) -> Table:
    """A path or frame as a Table; a file without a header gets u.data's names: user, item, rating, timestamp.

    Args:
        source: the path or frame.
        known: simplified column names by which a first line is recognised as a header.
        headerless: other names for the first columns of a file without a header.
        allow_short: take what a short line lacks as missing instead of raising.
        meanings: as in `read_table`.

    Raises:
        DataError: it cannot be read; file, line and remedy are named.
    """
    if is_frame(source):
        return from_frame(source)
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            f"A {type(source).__name__} is not a table.",
            remedy="Give a path, or a pandas, polars or Arrow frame.",
        )
    path = Path(source)
    return read_table(
        path, str(path), headerless=headerless, known_names=known, allow_short=allow_short, meanings=meanings
    )


def _open(source: Any, items: Any, users: Any, asked: _Asked) -> _Tables:
    known = asked.known_names()
    tables = _Tables(from_frame(source), "a frame") if is_frame(source) else _open_path(_resolve(source), asked)
    if items is not None:
        items = open_table(
            items, known=known | set(naming.NAME_NAMES), headerless=naming.HEADERLESS_ITEMS, allow_short=True
        )
        tables = replace(tables, items=items)
    if users is not None:
        users = open_table(users, known=known, headerless=naming.HEADERLESS[:1], allow_short=True)
        tables = replace(tables, users=users)
    return tables


def _resolve(source: Any) -> Path:
    """A path as given, or the folder of a data set by its name."""
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            f"A {type(source).__name__} is not a table.",
            remedy="Give a path, the name of a data set, or a pandas, polars or Arrow frame.",
        )
    path = Path(source)
    if os.path.lexists(path):
        return path
    from penchant.data.datasets import DATASETS, locate

    if str(source) in DATASETS:
        return locate(str(source))
    raise DataError(
        "There is no such file or folder, and no data set of that name.",
        file=str(source),
        remedy=f"Check the path, or give one of the data sets: {', '.join(DATASETS)}.",
    )


def _open_path(path: Path, asked: _Asked) -> _Tables:
    if not path.is_dir():
        return _Tables(open_table(path, known=asked.known_names(), meanings=asked.meanings), str(path))
    layout = find_layout(path)
    ratings = _open_layout(path, layout.ratings, allow_short=False, meanings=asked.meanings)
    return _Tables(
        ratings=ratings,
        items=_open_layout(path, layout.items) if layout.items else None,
        users=_open_layout(path, layout.users) if layout.users else None,
        item_name=layout.item_name,
        zero_is_implicit=layout.zero_is_implicit,
        notes=(*_other_number(path, layout, ratings.frame.height), *_known_faults(layout)),
        source=str(path),
    )


def _open_layout(
    folder: Path, layout: TableLayout, *, allow_short: bool = True, meanings: Meanings | None = None
) -> Table:
    path = folder / layout.file
    table = read_table(
        path,
        str(path),
        columns=layout.columns or None,
        truncate=layout.truncate,
        backslash=layout.backslash,
        known_names=naming.KNOWN_NAMES,
        allow_short=allow_short,
        meanings=None if layout.entities or layout.flags else meanings,
    )
    if layout.entities:
        text = pl.col(pl.String).str.replace_many(list(ENTITIES), list(ENTITIES.values()))
        table = replace(table, frame=table.frame.with_columns(text))
    return _join_flags(table, layout.flags) if layout.flags else table


def _join_flags(table: Table, flags: tuple[str, ...]) -> Table:
    """Columns of 0 and 1 as one column "genres" of their names joined by '|'."""
    marked = [pl.when(pl.col(flag) == "1").then(pl.lit(flag)) for flag in flags]
    joined = pl.concat_str(marked, separator="|", ignore_nulls=True).alias("genres")
    return replace(table, frame=table.frame.with_columns(joined).drop(flags))


def _known_faults(layout: Layout) -> tuple[str, ...]:
    faulty = [t.file for t in (layout.items, layout.users) if t and t.truncate]
    return tuple(f"{file} is published with some lines too long; surplus fields are dropped." for file in faulty)


def _other_number(folder: Path, layout: Layout, n_ratings: int) -> tuple[str, ...]:
    """A note when a folder is called as a data set, laid out as it, and has another number of ratings."""
    from penchant.data.datasets import DATASETS

    name = folder.absolute().name
    for spec in DATASETS.values():
        is_meant = layout == spec.layout and name in (spec.name, PurePath(spec.folder).name)
        if is_meant and spec.n_ratings not in (None, n_ratings):
            return (f"This copy of {spec.title} has {n_ratings:,} ratings; its publisher's has {spec.n_ratings:,}.",)
    return ()


# --- assembling -------------------------------------------------------------------------------------


def _given(tables: _Tables, found: naming.Columns, is_implicit: bool) -> tuple[_Given, tuple[str, ...]]:
    """The columns of the ratings table, without lines that are no ratings, and notes."""
    table = tables.ratings
    with held_back(), ThreadPoolExecutor() as pool:
        user_ids = pool.submit(values.ids, table, found.user, "user")
        item_ids = pool.submit(values.ids, table, found.item, "item")
        ratings = pool.submit(weights if is_implicit else values.ratings, table, found.rating)
        timed = pool.submit(times_of, table, found.time) if found.time else None
        given = _Given(
            table=table,
            user_ids=user_ids.result(),
            item_ids=item_ids.result(),
            ratings=ratings.result(),
            times=timed.result()[0] if timed else None,
        )
        notes = timed.result()[1] if timed else ()
    if is_implicit or not tables.zero_is_implicit or not (given.ratings == 0).any():
        return given, notes
    rows = np.flatnonzero(given.ratings != 0)
    if not len(rows):
        raise DataError(
            "Every rating is 0, which means implicit feedback in this data set.",
            file=table.name,
            column=found.rating,
            remedy="Check that the file is complete. To take 0 as a rating, give the file instead of its folder.",
        )
    explicit = _Given(
        table=table,
        user_ids=given.user_ids.gather(rows),
        item_ids=given.item_ids.gather(rows),
        ratings=given.ratings[rows],
        times=None if given.times is None else given.times[rows],
        rows=rows,
    )
    n_implicit = table.frame.height - len(rows)
    return explicit, (*notes, f"{n_implicit:,} lines with a rating of 0 (implicit feedback) are left out.")


def _describe(
    tables: _Tables, given: _Given, key_name: str, column_of_items: str | None, item_name: str | None
) -> Described:
    if tables.items is None:
        return name_from_ratings(tables.ratings, given.item_ids, item_name, given.rows)
    table, notes = key(tables.items, key_name, given.item_ids, "item", naming.ITEM_NAMES, column_of_items)
    name_column = item_name or tables.item_name or naming.find_column(tables.items, naming.NAME_NAMES)
    if name_column is not None:
        naming.check_column(tables.items, name_column)
    if column_of_items is None:
        return Described(given.item_ids, table, name_column, notes)
    described = column_as_item(table, given.item_ids, column_of_items)
    missing = described.ids.is_null()
    if missing.any():
        position = int(missing.arg_true()[0])
        raise DataError(
            f"Item {given.item_ids[position]!r} has no '{column_of_items}' in {tables.items.name}"
            f" ({int(missing.sum()):,} ratings are so).",
            file=tables.ratings.name,
            line=given.line_of(position),
            column=key_name,
            remedy="Complete the items table, or leave the item as it is and show the column:"
            f" --item-name {column_of_items}.",
        )
    return replace(described, name_column=name_column or column_of_items, notes=(*notes, *described.notes))


def _assemble(tables: _Tables, user_column: str, given: _Given, described: Described) -> Interactions:
    with held_back(), ThreadPoolExecutor() as pool:
        encoded = pool.submit(_encode, given.user_ids, "user")
        items, item_rows = _encode(described.ids, "item")
        users, user_rows = encoded.result()
    item_table = None if described.table is None else align(items, described.table)
    item_names: pl.Series | None = None
    notes: tuple[str, ...] = ()
    if item_table is not None and described.name_column is not None:
        shown_in = tables.ratings if tables.items is None else tables.items
        item_names, notes = names_to_show(
            items, item_table[described.name_column], described.name_column, shown_in.name
        )
    user_table = None
    if tables.users is not None:
        keyed, user_notes = key(tables.users, user_column, given.user_ids, "user", naming.USER_NAMES)
        user_table, notes = align(users, keyed), (*notes, *user_notes)
    return Interactions(
        users=users,
        items=items,
        user_rows=user_rows,
        item_rows=item_rows,
        ratings=given.ratings,
        times=given.times,
        item_names=item_names,
        item_table=item_table,
        user_table=user_table,
        source=tables.source,
        notes=notes,
    )


def _encode(ids: pl.Series, kind: str) -> tuple[Vocabulary, NDArray[np.int32]]:
    vocabulary = Vocabulary.from_ids(ids, kind)
    return vocabulary, vocabulary.rows(ids)


def _check_enough(interactions: Interactions, name: str) -> Interactions:
    for kind, count in (("user", interactions.n_users), ("item", interactions.n_items)):
        if count < 2:
            vocabulary = interactions.users if kind == "user" else interactions.items
            raise DataError(
                f"There is only one {kind} ({vocabulary.ids[0]!r}); nothing can be learnt from comparing.",
                file=name,
                remedy=f"Check that the {kind} column is the right one, and that the file is complete.",
            )
    return interactions
