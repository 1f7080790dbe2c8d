"""What may be asked of a loaded model, as `answering` takes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from penchant.data.vocabulary import Id
from penchant.serving.overlay import Overlay


@dataclass(frozen=True)
class Listing:
    """What is asked of a list.

    Attributes:
        k: how many items.
        where: filters on item columns.
        exclude: ids of items that may not be in it.
        include_seen: also what the user has rated.
        diversity, popularity_damping: as in `lists.Wishes`.
        intervals, reasons: tell them too.
    """

    k: int = 10
    where: tuple[str, ...] = ()
    exclude: tuple[Id, ...] = ()
    include_seen: bool = False
    diversity: float = 0.0
    popularity_damping: float = 0.0
    intervals: bool = False
    reasons: bool = False

    @cached_property
    def is_ranked_plainly(self) -> bool:
        """Whether the best scores are the list."""
        return not (self.where or self.diversity or self.popularity_damping)

    @cached_property
    def is_plain(self) -> bool:
        """Whether it is that, and no more than items and scores are told."""
        return self.is_ranked_plainly and not (self.intervals or self.reasons)


@dataclass(frozen=True)
class Asked:
    """A list for somebody.

    Attributes:
        listing: what is asked.
        start: of the answer, `{"user":42` or `{`.
        user: their id; None for somebody with a history alone.
        history: of somebody new, ids and ratings (None where nothing was rated).
        known: the user as `live.Known`, where that was looked up before; else they are looked up for the list.
    """

    listing: Listing
    overlay: Overlay
    start: bytes = b"{"
    user: Id | None = None
    history: tuple[tuple[Id, float | None], ...] = ()
    known: Any = None


@dataclass(frozen=True)
class Nearest:
    """The items most like one.

    Attributes:
        row: of the item.
        k: how many.
    """

    row: int
    k: int
