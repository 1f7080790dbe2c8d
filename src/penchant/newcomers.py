"""Held-out interactions as a model sees them: users whom it does not know are folded in from what is given of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.context import Context
from penchant.data.interactions import Interactions, entries_of, stable_order
from penchant.data.split import Split
from penchant.data.vocabulary import Vocabulary
from penchant.errors import InputError
from penchant.models.base import FALLBACK_USER_DAMPING, Floats, Model, Rows
from penchant.models.preferences import SCORES_A_TIME
from penchant.threads import one_blas_thread

KEPT_NUMBERS = 16_000_000  # of vectors: 64 MB; of more, each is made anew when it is needed

Rows64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Newcomers:
    """m users whom a model does not know, and what is given of them.

    Attributes:
        model: fitted.
        places: int32 (users of the table that was held out,), the place of each among the m, -1 for all others: who is
            known to the model, and of whom nothing is given that it knows.
        starts: int64 (m + 1,); the newcomer at place p owns the entries starts[p]:starts[p + 1], at least one.
        item_rows: int32, rows in the model.
        ratings: float32.
    """

    model: Model
    places: Rows
    starts: Rows64
    item_rows: Rows
    ratings: Floats

    @classmethod
    def of(
        cls, model: Model, items: Vocabulary, ratings: Interactions, user_rows: Rows, given: Interactions
    ) -> Newcomers:
        """Those of a held-out table of whom something is given.

        Args:
            items: the model's.
            ratings: the table that was held out.
            user_rows: its users as rows of the model, (n,).
            given: what is told of users before they are measured; of users that the model knows, or that are not in
                `ratings`, it has no effect.

        Raises:
            InputError: ratings are needed and none are given, or weights are and something else is.
        """
        _check_given(model, given)
        is_strange = np.zeros(ratings.n_users, bool)
        is_strange[ratings.user_rows[user_rows < 0]] = True
        owners = ratings.users.rows(given.users.ids, missing="minus one")[given.user_rows]
        rows = items.rows(given.items.ids, missing="minus one")[given.item_rows]
        kept = np.flatnonzero((owners >= 0) & (rows >= 0))
        kept = kept[is_strange[owners[kept]]]
        if given.times is not None:  # models of sequences ask in which order it was
            kept = kept[np.argsort(given.times[kept], kind="stable")]
        order = kept[stable_order(owners[kept])]
        counts = np.bincount(owners[order], minlength=ratings.n_users)
        places = np.where(counts > 0, np.cumsum(counts > 0) - 1, -1).astype(np.int32)
        starts = np.concatenate(([0], np.cumsum(counts[counts > 0]))).astype(np.int64)
        return cls(model, places, starts, rows[order], given.ratings[order])

    def __len__(self) -> int:
        return len(self.starts) - 1

    def vectors(self, places: NDArray[np.integer[Any]]) -> Floats:
        """What the model knows of some of them, float32 (n, d)."""
        return self._folded(places) if self._kept is None else self._kept[places]

    @cached_property
    def _kept(self) -> Floats | None:
        """The vectors of all, where they are not too large to keep."""
        size = len(self.model.fold_in(np.empty(0, np.int32), np.empty(0, np.float32)))
        return self._folded(np.arange(len(self))) if len(self) * size <= KEPT_NUMBERS else None

    @one_blas_thread()
    def _folded(self, places: NDArray[np.integer[Any]]) -> Floats:
        size = len(self.model.fold_in(np.empty(0, np.int32), np.empty(0, np.float32)))
        vectors = np.empty((len(places), size), np.float32)
        for vector, place in zip(vectors, places, strict=True):
            mine = slice(self.starts[place], self.starts[place + 1])
            vector[:] = self.model.fold_in(self.item_rows[mine], self.ratings[mine])
        return vectors

    def given_to(self, places: NDArray[np.integer[Any]]) -> tuple[Rows, Rows64]:
        """The items given to some of them, and the place in `places` of whom each is given to."""
        entries, owners = entries_of(self.starts, places)
        return self.item_rows[entries], owners

    @one_blas_thread()
    def scores(self, places: Rows, item_rows: Rows) -> Floats:
        """Scores of pairs of newcomers and items that the model knows, float32 (n,)."""
        scores = np.empty(len(places), np.float32)
        order = stable_order(places)
        owners = places[order]
        at_once = max(1, SCORES_A_TIME // self.model.n_items)
        for at in range(0, len(self), at_once):
            some = np.arange(at, min(at + at_once, len(self)))
            low, high = np.searchsorted(owners, (at, at + len(some)))
            mine = order[low:high]
            if len(mine):
                scores[mine] = self.model.scores_of(self.vectors(some))[places[mine] - at, item_rows[mine]]
        return scores

    @cached_property
    def biases(self) -> Floats:
        """How much above others each rates by the damped biases that answer for the unknown, float32 (m,)."""
        fallback = self.model.fallback
        counts = np.diff(self.starts)
        above = self.ratings - fallback.mean - fallback.item_biases[self.item_rows].astype(np.float64)
        sums = np.bincount(np.repeat(np.arange(len(self)), counts), above, len(self))
        return (sums / (counts + FALLBACK_USER_DAMPING)).astype(np.float32)


def _check_given(model: Model, given: Interactions) -> None:
    source = given.source or "The table of what is given"
    if given.is_implicit and not model.ranks_only:
        raise InputError(
            f"{source} has no ratings, and a {model.name} model folds users in from ratings.",
            remedy="Name the column of ratings (--rating COLUMN).",
        )
    takes_weights = model.ranks_only and bool(model.arrays()["weighted"][0])
    if takes_weights and len(given) and not given.ratings.min() > 0:
        raise InputError(
            f"{source} has a weight of {given.ratings.min():g}; weights are above 0.",
            remedy="Read it as the model's training table was read (--weight COLUMN or --implicit).",
        )


@dataclass(frozen=True, eq=False)
class Questions:
    """Held-out interactions as a model sees them.

    Attributes:
        model: fitted.
        ratings: what was held out, n of them.
        user_rows, item_rows: int32 (n,), their rows in the model, -1 for what it does not know.
        newcomers: users that it does not know and of whom something is given, or None.
    """

    model: Model
    ratings: Interactions
    user_rows: Rows
    item_rows: Rows
    newcomers: Newcomers | None = None

    @classmethod
    def of(
        cls,
        model: Model,
        users: Vocabulary,
        items: Vocabulary,
        ratings: Interactions,
        given: Interactions | None = None,
    ) -> Questions:
        """About a held-out table, to a model with some vocabularies.

        Args:
            given: what is told of users that the model does not know; None for nothing.

        Raises:
            InputError: the model cannot make anything of what is given.
        """
        rows = ratings.rows_in(users, items)
        newcomers = None if given is None else Newcomers.of(model, items, ratings, rows[0], given)
        return cls(model, ratings, *rows, newcomers)

    @classmethod
    def of_split(cls, model: Model, split: Split) -> Questions:
        """About the validation part of the split that a model was fitted on; there has to be one."""
        if split.valid is None:
            raise ValueError("the split has no validation part")
        return cls.of(model, split.train.users, split.train.items, split.valid, split.given)

    @property
    def places(self) -> Rows:
        """The place among the newcomers of each one's user, int32 (n,), -1 for all others."""
        if self.newcomers is None:
            return np.full(len(self.user_rows), -1, np.int32)
        return self.newcomers.places[self.ratings.user_rows]

    @property
    def n_folded_in(self) -> int:
        """How many users are folded in."""
        return 0 if self.newcomers is None else len(self.newcomers)

    @property
    def n_unknown(self) -> int:
        """How many have an item that the model does not know, or a user that it neither knows nor has folded in."""
        return int((((self.user_rows < 0) & (self.places < 0)) | (self.item_rows < 0)).sum())

    @property
    def context(self) -> Context:
        """What else is known of them."""
        return Context.of(self.ratings, self.user_rows, self.item_rows)

    @cached_property
    def scores(self) -> Floats:
        """The model's scores, float32 (n,).

        A newcomer's are those of a new user (`Recommender.recommend`). An item that the model does not know has the
        score of a stranger's pair with it, moved by how much above others the newcomer rates.
        """
        scores = self.model.pair_scores(self.user_rows, self.item_rows, self.context)
        if self.newcomers is None:
            return scores
        places = self.places
        known = np.flatnonzero((places >= 0) & (self.item_rows >= 0))
        scores[known] = self.newcomers.scores(places[known], self.item_rows[known])
        if not self.model.ranks_only:
            unknown = np.flatnonzero((places >= 0) & (self.item_rows < 0))
            scores[unknown] += self.newcomers.biases[places[unknown]]
        return scores

    def predictions(self) -> Floats:
        """Predicted ratings, float32 (n,).

        Raises:
            UnsupportedError: the model ranks only.
        """
        if self.newcomers is None or self.model.ranks_only:
            return self.model.predict(self.user_rows, self.item_rows, self.context)
        return self.model.clip(self.scores)
