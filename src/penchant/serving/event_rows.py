"""Events as rows of the tables of a store, and back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from penchant.errors import ConflictError
from penchant.serving import databases
from penchant.serving.events import Appended, Event, decode, encode

Batch = Sequence[Event]


@dataclass(frozen=True)
class Tables:
    """The tables, made by SQLAlchemy when it is needed."""

    events: Any
    facts: Any
    metadata: Any

    @classmethod
    def make(cls) -> Tables:
        sql = databases.load_sqlalchemy()
        metadata = sql.MetaData()
        # Of SQLite only INTEGER numbers rows by itself; AUTOINCREMENT never gives the number of a deleted row again.
        number = sql.BigInteger().with_variant(sql.Integer(), "sqlite")
        events = sql.Table(
            "penchant_events",
            metadata,
            sql.Column("sequence", number, primary_key=True, autoincrement=True),
            sql.Column("event_id", sql.Text, nullable=False, unique=True),
            sql.Column("user_id", sql.Text, nullable=False),  # as JSON: 42 and "42" are two users
            sql.Column("item_id", sql.Text, nullable=False),
            sql.Column("rating", sql.Double),
            sql.Column("time", sql.BigInteger),
            sql.Column("received", sql.BigInteger, nullable=False),
            sql.Index("penchant_events_of_user", "user_id", "sequence"),
            sqlite_autoincrement=True,
        )
        facts = sql.Table(
            "penchant_facts",
            metadata,
            sql.Column("name", sql.Text, primary_key=True),
            sql.Column("value", sql.BigInteger, nullable=False),
        )
        return cls(events, facts, metadata)


def sort_out(batches: Sequence[Batch], known: dict[str, Event]) -> tuple[list[Appended | Exception], list[Event]]:
    """An answer for each request, in the order in which they came, and the events that are new."""
    answers: list[Appended | Exception] = []
    new: dict[str, Event] = {}
    for batch in batches:
        mine: dict[str, Event] = {}
        conflict = None
        for event in batch:
            there = known.get(event.event_id) or new.get(event.event_id) or mine.setdefault(event.event_id, event)
            if there != event or type(there.user) is not type(event.user) or type(there.item) is not type(event.item):
                conflict = ConflictError(
                    f"The event id {event.event_id!r} stands for another event already.",
                    remedy="Give every event an id of its own. Nothing of this request was stored.",
                )
                break
        if conflict is not None:
            answers.append(conflict)
            continue
        new |= mine
        answers.append(Appended(len(mine), len(batch) - len(mine)))
    return answers, list(new.values())


def rows_of(events: list[Event]) -> list[dict[str, Any]]:
    """What is inserted for some events, which arrive now."""
    now = int(time.time())
    return [
        {
            "event_id": event.event_id,
            "user_id": encode(event.user),
            "item_id": encode(event.item),
            "rating": event.rating,
            "time": event.time,
            "received": now,
        }
        for event in events
    ]


def event_of(row: Any) -> Event:
    """A stored event; it was checked when it came, and is not checked again against the clock of today."""
    event = object.__new__(Event)
    values = row.event_id, decode(row.user_id), decode(row.item_id), row.rating, row.time
    for name, value in zip(("event_id", "user", "item", "rating", "time"), values, strict=True):
        object.__setattr__(event, name, value)
    return event


def frame_of(rows: Sequence[Any], kinds: dict[str, Any]) -> pl.DataFrame:
    """Stored events as a table."""
    users = _ids([row.user_id for row in rows], kinds["user"]).alias("user")
    items = _ids([row.item_id for row in rows], kinds["item"]).alias("item")
    rest = {"rating": pl.Float64, "time": pl.Int64, "received": pl.Int64}
    columns = [pl.Series(name, [getattr(row, name) for row in rows], kind) for name, kind in rest.items()]
    return pl.DataFrame([pl.Series("event_id", [row.event_id for row in rows], pl.String), users, items, *columns])


def _ids(encoded: list[str], kind: Any) -> pl.Series:
    values = [decode(text) for text in encoded]
    return pl.Series(values if kind == pl.Int64 else [str(value) for value in values], dtype=kind)
