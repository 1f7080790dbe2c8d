"""Events of feedback: what a person took or rated, checked when one is made."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass

from penchant.errors import InputError

Id = int | str

LONGEST_ID = 1_000  # characters
WIDEST_ID = 2_000  # bytes as JSON in UTF-8; an entry of PostgreSQL's indexes has room for 2,700
LARGEST = 2**63  # integers are 64 bits wide in databases and tables
LARGEST_RATING = 1e30  # float32 ends at 3.4e38, and sums of many have to fit too
SMALLEST_WEIGHT = 1e-30  # of models that rank; float32 takes what is below 1e-45 for 0
TIMES_BELOW = 100_000_000_000  # as in data.values: what is later is not in seconds
AHEAD = 86_400  # seconds that a sender's clock may be ahead of ours

WEIGHTS = f"from {SMALLEST_WEIGHT:g} to {LARGEST_RATING:g}"
ID_SIZE = f"1 to {LONGEST_ID:,} characters and at most {WIDEST_ID:,} bytes as JSON in UTF-8"


@dataclass(frozen=True)
class Event:
    """Somebody took or rated an item.

    Args:
        event_id: the sender's name for the event; the same name again is the same event, counted once.
        user, item: integer or text, kept in that kind. Text, that of `event_id` too, has up to 1,000 characters and
            2,000 bytes as JSON in UTF-8.
        rating: on the scale of the model's ratings, and at most 1e30 either way; None where nothing was rated.
        time: seconds since 1970-01-01 UTC; None for when it arrives.

    Raises:
        InputError: one of them cannot be; it is named with its value.
    """

    event_id: str
    user: Id
    item: Id
    rating: float | None = None
    time: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.event_id, str):
            raise InputError(f"event_id is {_shown(self.event_id)}.", remedy="Give text, different for each event.")
        check_id(self.event_id, "event_id")
        check_id(self.user, "user")
        check_id(self.item, "item")
        if self.rating is not None:
            _check_rating(self.rating)
            object.__setattr__(self, "rating", float(self.rating))
        if self.time is not None:
            _check_time(self.time)


@dataclass(frozen=True)
class Appended:
    """What became of some events: how many are new, and how many were there already."""

    accepted: int
    duplicates: int


@dataclass(frozen=True)
class Changes:
    """What happened since a sequence number.

    Attributes:
        users: those with new events.
        sequence: of the last event, to ask with the next time.
        forgettings: how often a user was forgotten, ever. Where it differs from last time, nothing that was
            remembered of any user is certain.
    """

    users: list[Id]
    sequence: int
    forgettings: int


def encode(id_: Id) -> str:
    """An id as JSON, which keeps its kind: 42 and "42" are two ids."""
    return json.dumps(id_, ensure_ascii=False)


def decode(text: str) -> Id:
    """An id from what `encode` made of it."""
    found: Id = json.loads(text)
    return found


def check_id(id_: object, what: str) -> None:
    """Raise InputError where something cannot be an id."""
    remedy = f"Give whole numbers of 64 bits, or text of {ID_SIZE}."
    if isinstance(id_, bool) or not isinstance(id_, int | str):
        raise InputError(f"{what} is {_shown(id_)}.", remedy=remedy)
    if isinstance(id_, int):
        if not -LARGEST <= id_ < LARGEST:
            raise InputError(f"{what} is {_shown(id_)}, more than 64 bits hold.", remedy=remedy)
        return
    if not id_.strip() or len(id_) > LONGEST_ID:
        raise InputError(f"{what} is {_shown(id_)}, {len(id_):,} characters long.", remedy=remedy)
    if "\0" in id_ or not _is_unicode(id_):
        raise InputError(
            f"{what} is {_shown(id_)}, which no text file could hold.", remedy="Leave such characters out."
        )
    if len(id_) * 6 > WIDEST_ID < (size := _size(id_)):
        raise InputError(f"{what} is {_shown(id_)}, {size:,} bytes long as JSON in UTF-8.", remedy=remedy)


def is_weight(rating: float) -> bool:
    """Whether a rating can be the weight of an interaction that nobody rated."""
    return SMALLEST_WEIGHT <= rating <= LARGEST_RATING


def _size(text: str) -> int:
    """Bytes of an id as it is stored, without quotes: UTF-8, of which JSON writes some as two characters, or six."""
    return len(encode(text).encode()) - 2


def _check_rating(rating: object) -> None:
    if isinstance(rating, bool) or not isinstance(rating, int | float) or not _is_finite(rating):
        raise InputError(f"rating is {_shown(rating)}.", remedy="Give a number, or leave it out where nobody rated.")
    if abs(rating) > LARGEST_RATING:
        remedy = f"Give a number of at most {LARGEST_RATING:g}, or leave it out where nobody rated."
        raise InputError(f"rating is {_shown(rating)}, too large to learn from.", remedy=remedy)


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer beyond all floats
        return False


def _check_time(given: object) -> None:
    if isinstance(given, bool) or not isinstance(given, int):
        raise InputError(
            f"time is {_shown(given)}.", remedy="Give whole seconds since 1970-01-01 UTC, or leave it out."
        )
    if abs(given) >= TIMES_BELOW:
        raise InputError(f"time is {_shown(given)}, not in seconds.", remedy="Divide milliseconds by 1,000.")
    if given > time.time() + AHEAD:  # it would be the latest word of this user on this item for ever
        raise InputError(f"time is {given}, more than a day ahead.", remedy="Set the sender's clock, or leave it out.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _shown(value: object) -> str:
    """A value for a message, not longer than a line."""
    try:
        text = ascii(value) if isinstance(value, str) and not _is_unicode(value) else repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return "an integer of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "…"
