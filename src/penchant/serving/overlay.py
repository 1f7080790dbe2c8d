"""The feedback that is stored, as far as requests need it: who has some, and since when it is what it is."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from penchant.data.vocabulary import Id
from penchant.serving.events import Appended, Event
from penchant.serving.store import FeedbackStore


class Overlay:
    """Stored feedback by user.

    The ids of users who have some are in memory, and a number for each that changes with it. Most users of a day have
    none, and cost no question to the database.
    """

    def __init__(self, store: FeedbackStore) -> None:
        self.store = store
        self._lock = threading.Lock()
        self._versions: dict[Id, int] = {}
        self._changes = 0
        self._sequence = 0
        self._forgettings: int | None = None
        self.refresh()

    def version(self, user: Id) -> int:
        """A number that differs after every change of a user's feedback; 0 without any."""
        return self._versions.get(user, 0)

    def of(self, user: Id) -> Sequence[Event]:
        """The feedback of a user, by time.

        Raises:
            StoreError: the store does not answer.
        """
        return self.store.of_user(user) if user in self._versions else ()

    def append(self, events: Sequence[Event]) -> Appended:
        """Store events; afterwards they count.

        Raises:
            ConflictError, StoreError: as for `FeedbackStore.append`.
        """
        try:
            return self.store.append(events)
        finally:  # also after an error: some may be stored
            self._mark({event.user for event in events})

    def refresh(self) -> None:
        """Look for what other processes have stored or forgotten.

        Raises:
            StoreError: the store does not answer.
        """
        changes = self.store.users_since(self._sequence)
        if self._forgettings is not None and changes.forgettings != self._forgettings:
            changes = self.store.users_since(0)
            self._mark(set(self._versions))  # those who are not there any more have an empty history now
        self._mark(changes.users)
        self._sequence = max(self._sequence, changes.sequence)
        self._forgettings = changes.forgettings

    def _mark(self, users: Iterable[Id]) -> None:
        with self._lock:
            self._changes += 1
            self._versions |= dict.fromkeys(users, self._changes)
