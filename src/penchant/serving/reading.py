"""How far stored feedback was read for a fit, so that a later one knows what is new since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from penchant.serving.store import FeedbackStore

ABOUT = "feedback"  # the entry of a manifest's about

Frames = Sequence[pl.DataFrame]


@dataclass(frozen=True)
class Reached:
    """How far a store was read.

    Attributes:
        store: its identity.
        sequence: the number of the last event that was read, 0 of none.
        n_events: how many were read.
    """

    store: str
    sequence: int
    n_events: int

    @classmethod
    def of_about(cls, about: Mapping[str, Any]) -> Reached | None:
        """What a manifest says; None of a fit without feedback, or before that was written down."""
        found = about.get(ABOUT)
        try:
            return None if found is None else cls(str(found["store"]), int(found["sequence"]), int(found["n_events"]))
        except (LookupError, TypeError, ValueError):  # of somebody else's making
            return None

    def to_about(self) -> dict[str, Any]:
        """As an entry of about."""
        return {ABOUT: asdict(self)}


def read_so_far(about: Mapping[str, Any], store: FeedbackStore) -> int:
    """The sequence number up to which a fit has read a store; 0 where it read another, or none."""
    reached = Reached.of_about(about)
    return reached.sequence if reached is not None and reached.store == store.identity() else 0


def read_all(store: FeedbackStore, after: int = 0) -> tuple[Frames, Frames, Reached]:
    """All events that are there now, in two parts: up to a sequence number, and those after it.

    Raises:
        StoreError: the store does not answer.
    """
    identity, last = store.identity(), store.last()
    before = list(store.all(until=min(after, last)))
    since = list(store.all(after=after, until=last))
    n_events = sum(frame.height for frame in (*before, *since))
    return *_alike(before, since), Reached(identity, max(last, after), n_events)


def _alike(before: Frames, since: Frames) -> tuple[Frames, Frames]:
    """With ids as text in both parts, where they are in one of them."""
    as_text = [name for name in ("user", "item") if before[0][name].dtype != since[0][name].dtype]
    changed = [[frame.with_columns(pl.col(as_text).cast(pl.String)) for frame in part] for part in (before, since)]
    return changed[0], changed[1]


def earliest(frames: Frames, fraction: float) -> pl.DataFrame:
    """The first part of some events by time, in the order in which they came; what has no time counts as it came."""
    events = pl.concat(frames)
    when = events.select(when=pl.coalesce("time", "received"), place=pl.int_range(pl.len()))
    kept = when.sort("when", "place").head(int(fraction * events.height))["place"].sort()
    return events[kept]
