"""Stored feedback joined to the table that a model is fitted on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from penchant.data.duplicates import merge_duplicates
from penchant.data.interactions import Interactions
from penchant.data.vocabulary import Vocabulary, plain_integers
from penchant.serving.events import LARGEST_RATING, SMALLEST_WEIGHT, WEIGHTS

FEEDBACK = "the feedback"


def with_feedback(
    table: Interactions,
    frames: Iterable[pl.DataFrame],
    *,
    duplicates: str | None = None,
    positive_from: float | None = None,
) -> Interactions:
    """A table with events after it: of a user and an item that occur more than once the later counts.

    An event without a time counts as of when it arrived. What cannot be part of the table is left out, and a note says
    how many and why: ids of another kind, no rating among ratings, a rating outside the table's scale.

    Args:
        table: as it was read.
        frames: of `FeedbackStore.all`.
        duplicates: the policy, as in `read_ratings`.
        positive_from: events rated below it are no interactions, where the table has none.
    """
    events = pl.concat(frames).with_columns(time=pl.coalesce("time", "received"))
    if not events.height:
        return replace(table, notes=(*table.notes, "There is no feedback."))
    events, notes = _of_kind(events, table.users, "user")
    events, more = _of_kind(events, table.items, "item")
    events, rest = _positives(events, positive_from) if table.is_implicit else _rated(events, *table.scale)
    joined = _append(table, events)
    policy = duplicates or ("sum" if table.is_implicit else "last")
    merged, repeated = merge_duplicates(joined, policy, FEEDBACK, lambda position: position + 1)
    told = f"Feedback: {events.height:,} joined to the table."
    return replace(merged, notes=(*table.notes, told, *notes, *more, *rest, *repeated))


def _of_kind(events: pl.DataFrame, vocabulary: Vocabulary, kind: str) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The events whose ids are of the kind that the table's are; integers become text where those are text."""
    column = events[kind]
    if not vocabulary.is_integer:
        return events.with_columns(column.cast(pl.String)), ()
    if column.dtype == pl.Int64:
        return events, ()
    numbers = plain_integers(column)
    kept = events.with_columns(numbers.alias(kind)).filter(numbers.is_not_null())
    example = column.filter(numbers.is_null()).head(1).to_list()
    such = f" such as {example[0]!r}" if example and kind == "item" else ""  # notes are told to all who ask the service
    what = f"have {kind}s{such}, which are not integers as the table's" if example else ""
    return kept, _left_out(events, kept, what)


def _rated(events: pl.DataFrame, low: float, high: float) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The events with a rating on the scale: one of 100 among stars would stretch the scale for everybody."""
    rated = events.filter(pl.col("rating").is_not_null())
    kept = rated.filter(pl.col("rating").is_between(low, high))
    unrated = _left_out(events, rated, "have no rating")
    return kept, (*unrated, *_left_out(rated, kept, f"are rated outside the table's scale, {low:g} to {high:g}"))


def _positives(events: pl.DataFrame, positive_from: float | None) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The events as interactions: each counts 1, or what it is rated where ratings are weights."""
    if positive_from is None:
        weighed = events.with_columns(pl.col("rating").fill_null(1.0))
        kept = weighed.filter(pl.col("rating").is_between(SMALLEST_WEIGHT, LARGEST_RATING))
        return kept, _left_out(events, kept, f"have a weight that is not {WEIGHTS}")
    kept = events.filter(pl.col("rating").is_null() | (pl.col("rating") >= positive_from))
    return kept.with_columns(rating=pl.lit(1.0)), _left_out(events, kept, f"are rated below {positive_from:g}")


def _left_out(before: pl.DataFrame, after: pl.DataFrame, why: str) -> tuple[str, ...]:
    count = before.height - after.height
    return (f"Feedback: {count:,} left out, which {why}.",) if count else ()


def _append(table: Interactions, events: pl.DataFrame) -> Interactions:
    """Both in one, with the ids of both; new items are called by their ids, and nothing is known of them."""
    users, old_users = _joined(table.users, events["user"])
    items, old_items = _joined(table.items, events["item"])
    names = pl.DataFrame({"id": table.items.ids, "name": table.names})
    item_names = _aligned(items, names)["name"].fill_null(items.ids.cast(pl.String))
    times = None
    if table.times is not None:
        times = np.concatenate((table.times, events["time"].to_numpy()))
    return replace(
        table,
        users=users,
        items=items,
        user_rows=np.concatenate((old_users[table.user_rows], users.rows(events["user"]))),
        item_rows=np.concatenate((old_items[table.item_rows], items.rows(events["item"]))),
        ratings=np.concatenate((table.ratings, events["rating"].to_numpy().astype(np.float32))),
        times=times,
        item_names=item_names.alias("name"),
        item_table=_table(table.items, items, table.item_table),
        user_table=_table(table.users, users, table.user_table),
    )


def _joined(vocabulary: Vocabulary, more: pl.Series) -> tuple[Vocabulary, NDArray[np.int32]]:
    """Ids of both, and the new row of each old one."""
    joined = Vocabulary.from_ids(vocabulary.ids.clone().append(more.alias(vocabulary.ids.name)), vocabulary.kind)
    return joined, joined.rows(vocabulary.ids)


def _aligned(vocabulary: Vocabulary, keyed: pl.DataFrame) -> pl.DataFrame:
    wanted = pl.DataFrame({"id": vocabulary.ids})
    return wanted.join(keyed, on="id", how="left", maintain_order="left").drop("id")


def _table(before: Vocabulary, after: Vocabulary, table: pl.DataFrame | None) -> pl.DataFrame | None:
    if table is None:
        return None
    places = np.full(len(after), -1, np.int64)
    places[after.rows(before.ids)] = np.arange(len(before))
    return _with_gaps(table, places)


def _with_gaps(table: pl.DataFrame, places: NDArray[np.int64]) -> pl.DataFrame:
    """Rows of a table at some places, nulls where a place is -1."""
    wanted = pl.Series(places).replace(-1, None).cast(pl.UInt32)
    return pl.DataFrame([column.gather(wanted) for column in table.get_columns()])
