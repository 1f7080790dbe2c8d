"""The model that is served: an artifact, loaded and looked through, replaced by another in one step."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.artifact import MANIFEST, load_artifact
from penchant.data.vocabulary import Id, Vocabulary
from penchant.errors import ArtifactError, InputError, PenchantError, UnsupportedError
from penchant.intervals import has_intervals
from penchant.models.base import Floats, Rows
from penchant.serving.approximate import ItemIndex
from penchant.serving.catalogue import Catalogue
from penchant.serving.events import WEIGHTS, Event, is_weight
from penchant.serving.filters import Mask, filters_of, matching
from penchant.serving.lists import is_positive, positive_from
from penchant.serving.logs import say
from penchant.serving.overlay import Overlay
from penchant.serving.recommender import Recommender
from penchant.serving.saving import checked_fields

KEPT_MASKS = 256
TRIES = 2  # of reading a folder that is being replaced
PAUSE = 0.2  # seconds between them
QUICK = 0.001  # seconds of a list that may be scored where requests are read


@dataclass(frozen=True, eq=False)
class Taken:
    """What a user has rated or taken.

    Attributes:
        seen: rows of all items, left out of lists, int32.
        item_rows, ratings: what the user is folded in from, int32 and float32 (n,).
    """

    seen: Rows
    item_rows: Rows
    ratings: Floats


@dataclass(frozen=True, eq=False)
class Known:
    """A user as the model sees them now.

    Attributes:
        row: of training, -1 for a newcomer.
        vector: float32 (d,).
        taken: their history.
        is_folded: the vector comes from the history, and not from training.
        is_known: there is anything to go by.
    """

    row: int
    vector: Floats
    taken: Taken
    is_folded: bool
    is_known: bool


class Kept:
    """A dictionary of bounded size that forgets what was not asked for longest; for any number of threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """What is kept, or None."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: Hashable, value: Any) -> None:
        """Keep something."""
        if not self._size:
            return
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)


@dataclass(frozen=True)
class LoadOptions:
    """How a model is held.

    Attributes:
        kept_users: how many user vectors are kept.
        kept_lists: how many lists of similar items are kept.
        approximate_above: with more items than this, lists are found by an approximate index; None for never.
    """

    kept_users: int = 10_000
    kept_lists: int = 10_000
    approximate_above: int | None = None


@dataclass(frozen=True, eq=False)
class Loaded:
    """An artifact in memory. Nothing in it changes but what is kept for speed.

    Attributes:
        recommender: that answers.
        manifest: of the artifact.
        version: the start of the manifest's checksum, which covers every byte of the artifact.
        saved: when the artifact was written where it lies, ISO 8601 in UTC.
        options: how it is held.
        index: what finds lists without a look at every item, if it is to.
        why_exact: why not, where the options ask for it.
    """

    recommender: Recommender
    manifest: dict[str, Any]
    version: str
    saved: str
    options: LoadOptions = field(default_factory=LoadOptions)
    index: ItemIndex | None = field(init=False, default=None)
    why_exact: str | None = field(init=False, default=None)
    served: NDArray[np.bool_] = field(init=False)
    masks: Kept = field(init=False)
    users: Kept = field(init=False)
    lists: Kept = field(init=False)
    is_quick: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "served", np.zeros(len(self.recommender.items), bool))
        object.__setattr__(self, "masks", Kept(KEPT_MASKS))
        object.__setattr__(self, "users", Kept(self.options.kept_users))
        object.__setattr__(self, "lists", Kept(self.options.kept_lists))

    @classmethod
    def read(cls, folder: Path, options: LoadOptions | None = None) -> Loaded:
        """Load an artifact, check it, and ask it once for all that it will be asked for.

        Raises:
            ArtifactError: it cannot be read or does not fit together, or answers nonsense.
        """
        artifact = load_artifact(folder)
        if artifact.manifest["model"] == "own":
            raise ArtifactError(
                f"{folder} is a torch module of your own, and the service runs built-in models only.",
                remedy="Serve another model, or call Recommender.load with the module in a service of your own.",
            )
        written = datetime.fromtimestamp(int((folder / MANIFEST).stat().st_mtime), UTC).isoformat()
        version = artifact.checksum[:16]
        recommender = Recommender(**checked_fields(artifact, folder))
        loaded = cls(recommender, artifact.manifest, version, written, options or LoadOptions())
        try:
            loaded._try_out()
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ArtifactError(f"{folder} cannot answer: {error}", remedy="Fit the model again.") from error
        return loaded

    def _try_out(self) -> None:
        """Also compiles or loads kernels, so that the first request waits for nothing."""
        import penchant.kernels.topk  # noqa: F401, from now on `ranking` uses it

        model = self.recommender.model
        scores = model.scores_of(self.average[None])
        if not np.isfinite(scores).any() or scores.shape != (1, len(self.recommender.items)):
            raise ValueError("the scores of an average user are no numbers")
        self.recommender.recommend(rated={}, k=1)
        self._build_index()
        object.__setattr__(self, "is_quick", self._seconds_of_a_list() < QUICK)
        with suppress(UnsupportedError):
            self.recommender.neighbours.nearest(np.zeros(1, np.int32), 1)
        self.catalogue.search.find("a", 1)

    def _build_index(self) -> None:
        above = self.options.approximate_above
        if above is None or len(self.recommender.items) <= above:
            return
        try:
            index = ItemIndex(self.recommender.model, self.recommender.history)
        except UnsupportedError as error:
            object.__setattr__(self, "why_exact", error.problem)
            say(logging.WARNING, "no approximate index", why=error.problem)
            return
        object.__setattr__(self, "index", index)
        told = {"seconds": round(index.seconds, 2), "recall": round(index.recall.mean, 4)}
        say(logging.INFO, "an approximate index is built", items=len(self.recommender.items), **told)

    def _seconds_of_a_list(self) -> float:
        """How long a visitor's list takes, best of three: it says where lists are scored, not what they are."""
        model, times = self.recommender.model, []
        rows = np.arange(min(10, len(self.recommender.items)), dtype=np.int32)
        ratings = np.full(len(rows), 1 if model.ranks_only else model.scale[1], np.float32)
        for _ in range(3):
            started = time.perf_counter()
            vector = model.fold_in(rows, ratings)[None]
            if self.index is None:
                model.scores_of(vector)
            else:
                self.index.best(vector, [rows], [10])
            times.append(time.perf_counter() - started)
        return min(times)

    @cached_property
    def catalogue(self) -> Catalogue:
        """Its items."""
        return Catalogue(self.recommender)

    @cached_property
    def average(self) -> Floats:
        """The vector of an average user."""
        return self.recommender.model.fold_in(np.empty(0, np.int32), np.empty(0, np.float32))

    @cached_property
    def has_intervals(self) -> bool:
        """Whether predictions have intervals."""
        model = self.recommender.model
        return not model.ranks_only and has_intervals(model, self.recommender.conformal)

    @cached_property
    def positive_from(self) -> float | None:
        """The rating from which on a model that ranks was told that somebody took an item; None of other models."""
        return positive_from(self.recommender.about, self.recommender.model)

    # --- users --------------------------------------------------------------------------------------

    def is_at_hand(self, user: Id, overlay: Overlay) -> bool:
        """Whether `known` answers without asking the store."""
        version = overlay.version(user)
        return not version or self.users.get((user, version)) is not None

    def known(self, user: Id, overlay: Overlay) -> Known:
        """A user with all feedback that is stored of them."""
        stored = self.as_stored(user)
        key = (stored, overlay.version(stored))  # before the events: what comes meanwhile has another key
        found = self.users.get(key)
        if found is None:
            row = self.recommender.users.find(stored)
            found = self._make_known(row, overlay.of(stored))
            self.users.put(key, found)
        return found

    def as_stored(self, user: Id) -> Id:
        """A user's id, which is text in a path, in the kind that the artifact has."""
        return _of_kind(self.recommender.users, user)

    def as_stored_item(self, item: Id) -> Id:
        """As `as_stored`, of an item."""
        return _of_kind(self.recommender.items, item)

    def check_ratings(self, events: Iterable[Event]) -> None:
        """Raise InputError where a rating is not on the scale of the model, or a weight is none for float32."""
        low, high = self.recommender.model.scale
        for event in events:
            if event.rating is None:
                continue
            if self.recommender.model.ranks_only:
                if self.positive_from is None and not is_weight(event.rating):
                    raise InputError(f"The weight {event.rating:g} is not {WEIGHTS}.", remedy="Leave it out for 1.")
            elif not low <= event.rating <= high:
                raise InputError(
                    f"The rating {event.rating:g} is off the scale.", remedy=f"Rate from {low:g} to {high:g}."
                )

    def is_positive(self, rating: float | None) -> bool:
        """Whether a rating says to a model that ranks that the item was taken."""
        return is_positive(rating, self.positive_from)

    def weight(self, rating: float | None) -> float:
        """What it counts then."""
        return rating if rating is not None and is_weight(rating) and self.positive_from is None else 1.0

    def newcomer(self, taken: Taken) -> Known:
        """Somebody with a history alone."""
        return self.newcomers([taken])[0]

    def newcomers(self, takens: Sequence[Taken]) -> list[Known]:
        """Several of them; to fold them in together takes less time."""
        vectors = self.recommender.model.fold_in_all([(taken.item_rows, taken.ratings) for taken in takens])
        return [Known(-1, vector, taken, True, True) for vector, taken in zip(vectors, takens, strict=True)]

    def _make_known(self, row: int, events: Iterable[Event]) -> Known:
        taken, is_changed = self._merged(row, events)
        model = self.recommender.model
        if row >= 0 and not is_changed:
            return Known(row, model.user_vectors(np.array([row], np.int32))[0], taken, False, True)
        if not len(taken.seen):
            return Known(-1, self.average, taken, True, False)
        return Known(row, model.fold_in(taken.item_rows, taken.ratings), taken, True, True)

    def _merged(self, row: int, events: Iterable[Event]) -> tuple[Taken, bool]:
        """The artifact's history under stored feedback, of which the latest rating of an item counts.

        What has no rating says to a model that ranks only that the item was taken (1), and to a model of ratings that
        it was seen; so does what is rated below `positive_from`. Items that the model does not know are left out until
        a later one does.
        """
        history, model = self.recommender.history, self.recommender.model
        mine = history.of(row) if row >= 0 else slice(0, 0)
        rated = dict(zip(history.item_rows[mine].tolist(), history.ratings[mine].tolist(), strict=True))
        seen, is_changed = set(rated), False
        low, high = model.scale
        for event in events:
            item = self.recommender.items.find(event.item)
            if item < 0:
                continue
            seen.add(item)
            if model.ranks_only and not self.is_positive(event.rating):
                rated.pop(item, None)
            elif model.ranks_only:
                rated[item] = self.weight(event.rating)
            elif event.rating is not None:
                rated[item] = min(max(event.rating, low), high)
            is_changed = is_changed or model.ranks_only or event.rating is not None
        rows = np.fromiter(rated, np.int32, len(rated))
        ratings = np.fromiter(rated.values(), np.float32, len(rated))
        return Taken(np.fromiter(seen, np.int32, len(seen)), rows, ratings), is_changed

    # --- items --------------------------------------------------------------------------------------

    def allowed(self, where: tuple[str, ...]) -> Mask | None:
        """Of which items all filters hold, (n_items,); None without filters.

        Raises:
            SettingError: a filter is none, or names a column or a value that is not there.
        """
        if not where:
            return None
        found = self.masks.get(where)
        if found is None:
            found = np.asarray(matching(self.recommender.item_table, filters_of(where)))
            self.masks.put(where, found)
        return found


def _of_kind(vocabulary: Vocabulary, id_: Id) -> Id:
    parsed: Id | None = vocabulary.parse(id_)
    return id_ if parsed is None else parsed


class Live:
    """What is served now. `loaded` is read once by each request, which keeps to it.

    Args:
        folder: of the artifact.
        overlay: the feedback that is stored.
    """

    def __init__(self, folder: Path, overlay: Overlay, options: LoadOptions | None = None) -> None:
        self.folder = folder
        self.overlay = overlay
        self.options = options
        self._lock = threading.Lock()
        self.loaded = self._read()

    def reload(self) -> tuple[Loaded, Loaded]:
        """Load what is in the folder now beside what is served, and swap; the one before, and the new one.

        Raises:
            ArtifactError: it cannot be used, and the one before goes on.
        """
        with self._lock:
            before, new = self.loaded, self._read()
            self.loaded = new
            return before, new

    def _read(self) -> Loaded:
        """Once more where the folder was replaced while it was read."""
        for _ in range(TRIES - 1):
            try:
                return Loaded.read(self.folder, self.options)
            except PenchantError:
                time.sleep(PAUSE)
        return Loaded.read(self.folder, self.options)
