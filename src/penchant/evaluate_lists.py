"""Evaluation of ranked lists: every user's whole ranking against what was held out of them.

All items that the user has not taken in training are ranked; none is sampled. Krichene and Rendle 2020 show that
sampled rankings put models in another order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions, entries_of, stable_order
from penchant.errors import SettingError
from penchant.evaluate import LEVEL, RESAMPLES
from penchant.list_metrics import CATALOGUE_METRICS, LIST_METRICS, auc, intra_list_diversity
from penchant.machine import count_threads
from penchant.models.base import Floats, Model, Rows
from penchant.models.preferences import SCORES_A_TIME
from penchant.rank_metrics import DIVERSITY, RankMetric
from penchant.ranking import best_columns
from penchant.seeds import numpy_generator
from penchant.threads import in_order, one_blas_thread

USERS_A_TIME = 256

Values = NDArray[np.float64]
Rows64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What was held out of n users, and what they had taken before.

    Attributes:
        users: int32 (n,), their rows in the table that was held out.
        user_rows: int32 (n,), their rows in the model, -1 for users that it does not know.
        starts: int64 (n + 1,); user u has the relevant items item_rows[starts[u]:starts[u + 1]], maybe none.
        item_rows: int32, rows in the model, -1 for items that it does not know: they count as not found.
    """

    users: Rows
    user_rows: Rows
    starts: Rows64
    item_rows: Rows

    @classmethod
    def of(cls, ratings: Interactions, rows: tuple[Rows, Rows], relevant_from: float | None = None) -> HeldOut:
        """Of a table of held-out interactions.

        Args:
            rows: the users and the items of `ratings` as rows of the model.
            relevant_from: the lowest rating that makes an item relevant; None for any.

        Raises:
            SettingError: no rating is so high.
        """
        users = np.flatnonzero(ratings.user_counts).astype(np.int32)
        kept = np.arange(len(ratings)) if relevant_from is None else np.flatnonzero(ratings.ratings >= relevant_from)
        if not len(kept):
            low, high = ratings.scale if len(ratings) else (0.0, 0.0)
            raise SettingError(
                f"No rating to evaluate on is {relevant_from} or more." if len(ratings) else "Nothing to evaluate on.",
                remedy=f"The ratings are from {low:g} to {high:g}.",
            )
        order = kept[stable_order(ratings.user_rows[kept])]
        counts = np.bincount(ratings.user_rows[kept], minlength=ratings.n_users)[users]
        model_rows = np.full(ratings.n_users, -1, np.int32)
        model_rows[ratings.user_rows] = rows[0]
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return cls(users, model_rows[users], starts, rows[1][order])

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_relevant(self) -> NDArray[np.int64]:
        """How many relevant items each user has, (n,)."""
        return np.diff(self.starts)


@dataclass(frozen=True, eq=False)
class ListReport:
    """What an evaluation of lists found.

    Attributes:
        metrics: name -> mean over the users that have relevant items, or the value of all lists together.
        intervals: name -> 95 % interval, by bootstrap over users, of the metrics that are means over users.
        n_users: users that the means are over.
        n_without: further users, without any relevant item.
        n_unknown_users: of n_users, how many the model does not know; it recommends to them as to an average user.
        n_relevant: relevant items, of all users together.
        n_unknown_items: of these, how many the model does not know and cannot find.
        users: int32, rows of the n_users in the table that was held out.
        of_users: name -> float64 (n_users,), the value of each user; NaN where the metric has none.
    """

    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    n_users: int
    n_without: int
    n_unknown_users: int
    n_relevant: int
    n_unknown_items: int
    users: Rows
    of_users: Mapping[str, Values]

    def to_json(self) -> dict[str, Any]:
        """As plain numbers for JSON, without the values of each user."""
        return {
            "metrics": dict(self.metrics),
            "intervals": {name: list(ends) for name, ends in self.intervals.items()},
            "n_users": self.n_users,
            "n_users_without_relevant": self.n_without,
            "n_unknown_users": self.n_unknown_users,
            "n_relevant": self.n_relevant,
            "n_unknown_items": self.n_unknown_items,
        }


def evaluate_lists(
    model: Model,
    held_out: HeldOut,
    taken: tuple[Rows64, Rows],
    metrics: Sequence[RankMetric],
    *,
    seed: int = 0,
    threads: int | None = None,
) -> ListReport:
    """Rank all items for every user of what was held out, some users at a time, and measure the lists.

    Args:
        taken: starts (n_users + 1,) and item rows of what the model's users have taken in training; left out of lists.
        threads: how many may work; the result is the same for any number. None for every core.

    Raises:
        SettingError: no user has a relevant item.
        UnsupportedError: diversity is asked of a model without item factors.
    """
    asked = np.flatnonzero(held_out.n_relevant)
    if not len(asked):
        raise SettingError("No user has a relevant item.", remedy="Hold out more, or count lower ratings as relevant.")
    lists = _Lists(model, held_out, taken, metrics)
    at_once = max(1, min(USERS_A_TIME, SCORES_A_TIME // model.n_items))
    parts = (asked[at : at + at_once] for at in range(0, len(asked), at_once))
    of_users: dict[str, list[Values]] = {str(metric): [] for metric in metrics if metric.is_of_users}
    best: list[Rows] = []
    for found in in_order(lists.measure, parts, count_threads(threads)):
        best.append(found.best)
        for name, values in found.of_users.items():
            of_users[name].append(values)
    together = {name: np.concatenate(values) for name, values in of_users.items()}
    counts = np.bincount(taken[1], minlength=model.n_items)
    everyone = np.concatenate(best) if any(not metric.is_of_users for metric in metrics) else np.empty((0, 0), np.int32)
    found_metrics = {
        str(one): mean_of(together[str(one)])
        if one.is_of_users
        else CATALOGUE_METRICS[one.kind](everyone[:, : one.k], counts)
        for one in metrics
    }
    entries, _ = entries_of(held_out.starts, asked)
    return ListReport(
        metrics=found_metrics,
        intervals=intervals_of_means(together, seed),
        n_users=len(asked),
        n_without=len(held_out) - len(asked),
        n_unknown_users=int((held_out.user_rows[asked] < 0).sum()),
        n_relevant=len(entries),
        n_unknown_items=int((held_out.item_rows[entries] < 0).sum()),
        users=held_out.users[asked],
        of_users=together,
    )


@dataclass(frozen=True, eq=False)
class _Measured:
    """The lists of some users, int32 (n, longest k), and their values by metric."""

    best: Rows
    of_users: dict[str, Values]


class _Lists:
    """Lists of users and what they are worth; what all users share is made once."""

    def __init__(
        self, model: Model, held_out: HeldOut, taken: tuple[Rows64, Rows], metrics: Sequence[RankMetric]
    ) -> None:
        self.model = model
        self.held_out = held_out
        self.taken_starts, self.taken_rows = taken
        self.metrics = [metric for metric in metrics if metric.is_of_users]
        self.k = max(metric.k for metric in metrics) or 1
        self.nobody = model.fold_in(np.empty(0, np.int32), np.empty(0, np.float32))
        self.directions = model.item_factors() if any(one.kind == DIVERSITY for one in metrics) else None

    @one_blas_thread()
    def measure(self, part: Rows64) -> _Measured:
        """The lists of some users, given by their places in what was held out."""
        scores = self.model.scores_of(self._vectors(self.held_out.user_rows[part]))
        starts, excluded = self._taken(self.held_out.user_rows[part])
        best = best_columns(scores, starts, excluded, self.k)
        entries, owners = entries_of(self.held_out.starts, part)
        n_relevant = np.bincount(owners, minlength=len(part))
        items = self.held_out.item_rows[entries]
        hits = _hits(best, owners[items >= 0], items[items >= 0], self.model.n_items)
        values = {}
        for metric in self.metrics:
            if metric.kind == "auc":
                values[str(metric)] = _auc(scores, (starts, excluded), owners[items >= 0], items[items >= 0])
            elif metric.kind == DIVERSITY:
                assert self.directions is not None
                values[str(metric)] = intra_list_diversity(best[:, : metric.k], self.directions)
            else:
                values[str(metric)] = LIST_METRICS[metric.kind](hits[:, : metric.k], n_relevant)
        return _Measured(best, values)

    def _vectors(self, user_rows: Rows) -> Floats:
        vectors = np.empty((len(user_rows), len(self.nobody)), np.float32)
        known = user_rows >= 0
        vectors[known] = self.model.user_vectors(user_rows[known])
        vectors[~known] = self.nobody
        return vectors

    def _taken(self, user_rows: Rows) -> tuple[Rows64, Rows]:
        """What some users took in training; of an unknown one, nothing."""
        known = np.flatnonzero(user_rows >= 0)
        entries, of_known = entries_of(self.taken_starts, user_rows[known])
        counts = np.bincount(known[of_known], minlength=len(user_rows))
        return np.concatenate(([0], np.cumsum(counts))).astype(np.int64), self.taken_rows[entries]


def _hits(best: Rows, owners: Rows64, items: Rows, n_items: int) -> NDArray[np.bool_]:
    """Whether each place of the lists (n, k) holds a relevant item."""
    wanted = np.sort(owners * n_items + items)
    keys = np.arange(len(best))[:, None] * n_items + best
    if not len(wanted):
        return np.zeros(best.shape, bool)
    found = wanted[np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)] == keys
    return np.asarray(found & (best >= 0), bool)


def _auc(scores: Floats, taken: tuple[Rows64, Rows], owners: Rows64, items: Rows) -> Values:
    """Of the relevant items that the model knows, against all others that the user has not taken."""
    n, n_items = scores.shape
    ranked = scores.copy()
    ranked[np.repeat(np.arange(n), np.diff(taken[0])), taken[1]] = np.nan  # at the end
    places = np.empty((n, n_items), np.int64)
    order = np.argsort(-ranked, axis=1, kind="stable")
    np.put_along_axis(places, order, np.broadcast_to(np.arange(1, n_items + 1), (n, n_items)), axis=1)
    is_candidate = ~np.isnan(ranked[owners, items])  # what was taken before is no candidate, even if taken again
    owners, items = owners[is_candidate], items[is_candidate]
    n_candidates = n_items - np.isnan(ranked).sum(axis=1)
    return auc(places[owners, items], owners, np.bincount(owners, minlength=n), n_candidates)


# --- uncertainty --------------------------------------------------------------------------------------


def intervals_of_means(of_users: Mapping[str, Values], seed: int) -> dict[str, tuple[float, float]]:
    """95 % intervals of means over users, by bootstrap; the same users are drawn for all metrics."""
    names = list(of_users)
    if not names:
        return {}
    values = np.stack([of_users[name] for name in names])  # (metrics, users)
    there = ~np.isnan(values)
    both = np.concatenate((np.where(there, values, 0), there)).astype(np.float64)
    generator, n = numpy_generator(seed, "bootstrap"), values.shape[1]
    means = np.empty((RESAMPLES, len(names)))
    for sample in means:
        sums, counts = np.split(both @ np.bincount(generator.integers(n, size=n), minlength=n), 2)
        sample[:] = sums / np.maximum(counts, 1)
    tail = 100 * (1 - LEVEL) / 2
    ends = np.percentile(means, (tail, 100 - tail), axis=0)
    return {name: (float(ends[0, at]), float(ends[1, at])) for at, name in enumerate(names)}


def mean_of(values: Values) -> float:
    """The mean of those that have a value, NaN of none."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float("nan")
