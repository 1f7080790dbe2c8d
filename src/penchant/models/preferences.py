"""Models that rank: they learn from who took what, and their scores say only what comes before what."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from penchant.data.context import Context
from penchant.data.interactions import Interactions, stable_order
from penchant.errors import UnsupportedError
from penchant.models.base import Explanation, Floats, Model, Rows
from penchant.models.memory import Sizes

Weighting = Literal["log", "linear", "binary"]
Floats64 = NDArray[np.float64]

WEIGHTING = "What a weight w counts: 1 + log(w), w (linear), or 1 (binary)."  # of the setting
SCORES_A_TIME = 4_000_000
SORTED = 36  # bytes of a rating while Positives are sorted by user: two orders, places, columns and weights


@dataclass(frozen=True)
class Positives:
    """What each user took, in compressed sparse rows: of users over items, or the other way round.

    Attributes:
        starts: int64 (n_rows + 1,); row r owns the entries starts[r]:starts[r + 1].
        columns: int32 (n,), ascending within a row.
        weights: float32 (n,), above 0: how much each counts.
        n_columns: how many columns there are.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    weights: NDArray[np.float32]
    n_columns: int

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.starts) - 1

    @classmethod
    def of(cls, train: Interactions, weighting: Weighting) -> Positives:
        """Users over items; a rating is a positive whatever its value, and counts 1.

        Args:
            weighting: what a weight w of implicit feedback counts: 1 + log(w), w, or 1. In "log", a weight below 1
                counts as itself, so that nothing is below 0.
        """
        by_item = stable_order(train.item_rows)
        order = np.take(by_item, stable_order(np.take(train.user_rows, by_item)))
        starts = np.concatenate(([0], np.cumsum(train.user_counts))).astype(np.int64)
        weights = weigh(np.take(train.ratings, order), weighting if train.is_implicit else "binary")
        return cls(starts, np.take(train.item_rows, order), weights, train.n_items)

    def transposed(self) -> Positives:
        """The same entries by column."""
        rows = np.repeat(np.arange(self.n_rows, dtype=np.int32), np.diff(self.starts))
        order = stable_order(self.columns)
        counts = np.bincount(self.columns, minlength=self.n_columns)
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return Positives(starts, np.take(rows, order), np.take(self.weights, order), self.n_rows)


def weigh(weights: NDArray[np.float32], weighting: Weighting) -> NDArray[np.float32]:
    """What weights of implicit feedback count, as in `Positives.of`."""
    if weighting == "binary":
        return np.ones(len(weights), np.float32)
    if weighting == "linear":
        return weights
    return np.where(weights > 1, 1 + np.log(np.maximum(weights, 1)), weights).astype(np.float32)


class PreferenceModel(Model):
    """A model whose scores order items and are on no scale, so that it predicts no ratings.

    A pair with an unknown user is scored as of an average user; one with an unknown item comes last (-inf).
    `parameters["average"]` is the vector of an average user, float32 (d,), and `parameters["weighted"]`, float32 (1,),
    is 1 where weights of implicit feedback were learnt from, and 0 where every interaction counts 1.
    """

    ranks_only: ClassVar[bool] = True
    has_valid_loss: ClassVar[bool] = False
    weighting: ClassVar[Weighting] = "binary"  # of models without a setting of that name

    @abstractmethod
    def _fold(self, item_rows: Rows, weights: Floats) -> Floats:
        """The vector of a user who took some items, at least one, float32 (d,)."""

    @final
    def fold_in(self, item_rows: Rows, ratings: Floats) -> Floats:
        """The vector of a new user; `ratings` are weights where the model learnt from such, elsewhere of no effect."""
        if not len(item_rows):
            return self._parameter("average").copy()
        return self._fold(item_rows, self._weights(ratings))

    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Floats64:
        """What each item of a history adds to the score of one item, float64 (n,).

        They sum to the score of the vector that `fold_in` gives for the history.

        Args:
            item_rows, ratings: the history, int32 and float32 (n,), as for `fold_in`.
            item_row: whose score it is.

        Raises:
            UnsupportedError: scores do not come from the history.
        """
        del item_rows, ratings, item_row
        raise UnsupportedError(
            f"The scores of {self.name} do not come from what a user took.",
            remedy="Fit item-knn, ease, als, bpr or sequence.",
        )

    def item_biases(self) -> Floats:
        raise UnsupportedError(
            f"The {self.name} model has no item biases: its scores are of users and items together.",
            remedy="Ask why a user has a score: --user ID --item NAME.",
        )

    @final
    def _weights(self, ratings: Floats) -> Floats:
        """What ratings of a history count: by their weights where the model learnt from such, otherwise 1."""
        weighted = bool(self._parameter("weighted")[0])
        return weigh(np.asarray(ratings, np.float32), self._weighting if weighted else "binary")

    @final
    def _positives(self, train: Interactions) -> Positives:
        """What there is to learn from; to be called first by `_fit`."""
        self.parameters["weighted"] = np.array([train.is_implicit], np.float32)
        return Positives.of(train, self._weighting)

    @property
    def _weighting(self) -> Weighting:
        found: Weighting = getattr(self.settings, "weighting", self.weighting)
        return found

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        """By all scores of the users concerned, some at a time; models with a shorter way override it."""
        users, place = np.unique(user_rows, return_inverse=True)
        scores = np.empty(len(item_rows), np.float32)
        order = np.argsort(place, kind="stable")
        at_once = max(1, SCORES_A_TIME // self.n_items)
        for at in range(0, len(users), at_once):
            some = users[at : at + at_once]
            low, high = np.searchsorted(place, (at, at + len(some)), sorter=order)
            mine = order[low:high]
            scores[mine] = self.scores_of(self.user_vectors(some))[place[mine] - at, item_rows[mine]]
        return scores

    def _scores_of_any(self, user_rows: Rows, item_rows: Rows, context: Context) -> Floats:
        del context
        scores = np.full(len(user_rows), -np.inf, np.float32)
        strange = np.flatnonzero((user_rows < 0) & (item_rows >= 0))
        if len(strange):
            scores[strange] = self.scores_of(self._parameter("average")[None])[0, item_rows[strange]]
        known = np.flatnonzero((user_rows >= 0) & (item_rows >= 0))
        scores[known] = self._pair_scores(user_rows[known], item_rows[known])
        return scores

    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        score = float(self.scores_of(user_vector[None])[0, item_row])
        return Explanation({"match": score}, score)


class OneStep:
    """A training that is a single computation, of a model that has no validation loss."""

    epochs = 1

    def __init__(self, model: PreferenceModel, compute: Callable[[Callable[[float], None]], float]) -> None:
        self.model = model
        self.compute = compute

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        del epoch
        return self.compute(progressed)

    def valid_loss(self) -> None:
        return None

    def snapshot(self) -> dict[str, Any]:
        return dict(self.model.parameters)

    def restore(self, state: dict[str, Any]) -> None:
        self.model.parameters = dict(state)


def scored_at_once(sizes: Sizes) -> int:
    """Scores of all items that pairs are answered from at a time (`PreferenceModel._pair_scores`)."""
    return min(max(SCORES_A_TIME, sizes.items), sizes.users * sizes.items)
