"""Evaluation of ranked lists: every user's whole ranking against what was held out of them.

All items that the user has not taken in training are ranked; none is sampled. Krichene and Rendle 2020 show that
sampled rankings put models in another order.

Some users at a time: their scores of all items are a product of matrices, of which the kernels `topk` and `places_of`
keep the best few and the places of relevant items. No ranking is ever sorted as a whole.
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
from penchant.newcomers import Newcomers
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
class Found:
    """n relevant items, and where they are in the lists.

    Attributes:
        owners: int64 (n,), the user of each by place in the report.
        item_rows: int32 (n,), rows in the model, -1 for items that it does not know.
        places: int32 (n,), from 0, -1 for what is not in the list.
    """

    owners: Rows64
    item_rows: Rows
    places: Rows


@dataclass(frozen=True, eq=False)
class ListReport:
    """What an evaluation of lists found.

    Attributes:
        metrics: name -> mean over the users that have relevant items, or the value of all lists together.
        intervals: name -> 95 % interval, by bootstrap over users, of the metrics that are means over users.
        n_users: users that the means are over.
        n_without: further users, without any relevant item.
        n_unknown_users: of n_users, how many the model neither knows nor has folded in; it recommends to them as to an
            average user.
        n_relevant: relevant items, of all users together.
        n_unknown_items: of these, how many the model does not know and cannot find.
        users: int32, rows of the n_users in the table that was held out.
        of_users: name -> float64 (n_users,), the value of each user; NaN where the metric has none.
        found: each relevant item, and where it is in its user's list; None where nobody has kept it.
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
    found: Found | None = None

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
    newcomers: Newcomers | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> ListReport:
    """Rank all items for every user of what was held out, some users at a time, and measure the lists.

    Args:
        taken: starts (n_users + 1,) and item rows of what the model's users have taken in training; left out of lists.
        newcomers: users of the table that was held out who are folded in; what is given of them is left out of lists.
        threads: how many may work; the result is the same for any number. None for every core.

    Raises:
        SettingError: no user has a relevant item.
        UnsupportedError: diversity is asked of a model without item factors.
    """
    asked = np.flatnonzero(held_out.n_relevant)
    if not len(asked):
        raise SettingError("No user has a relevant item.", remedy="Hold out more, or count lower ratings as relevant.")
    lists = _Lists(model, held_out, taken, metrics, newcomers)
    at_once = max(1, min(USERS_A_TIME, SCORES_A_TIME // model.n_items))
    parts = (asked[at : at + at_once] for at in range(0, len(asked), at_once))
    of_users: dict[str, list[Values]] = {str(metric): [] for metric in metrics if metric.is_of_users}
    best: list[Rows] = []
    places: list[Rows] = []
    for measured in in_order(lists.measure, parts, count_threads(threads)):
        best.append(measured.best)
        places.append(measured.places)
        for name, values in measured.of_users.items():
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
    entries, owners = entries_of(held_out.starts, asked)
    return ListReport(
        metrics=found_metrics,
        intervals=intervals_of_means(together, seed),
        n_users=len(asked),
        n_without=len(held_out) - len(asked),
        n_unknown_users=int((lists.rows_of(asked) < 0).sum()),
        n_relevant=len(entries),
        n_unknown_items=int((held_out.item_rows[entries] < 0).sum()),
        users=held_out.users[asked],
        of_users=together,
        found=Found(owners, held_out.item_rows[entries], np.concatenate(places)),
    )


@dataclass(frozen=True, eq=False)
class _Measured:
    """The lists of some users, int32 (n, longest k), the places in them of their relevant items, and their values."""

    best: Rows
    places: Rows
    of_users: dict[str, Values]


class _Lists:
    """Lists of users and what they are worth; what all users share is made once."""

    def __init__(
        self,
        model: Model,
        held_out: HeldOut,
        taken: tuple[Rows64, Rows],
        metrics: Sequence[RankMetric],
        newcomers: Newcomers | None,
    ) -> None:
        self.model = model
        self.held_out = held_out
        self.taken_starts, self.taken_rows = taken
        self.newcomers = newcomers
        self.metrics = [metric for metric in metrics if metric.is_of_users]
        self.k = max(metric.k for metric in metrics) or 1
        self.nobody = model.fold_in(np.empty(0, np.int32), np.empty(0, np.float32))
        self.directions = model.item_factors() if any(one.kind == DIVERSITY for one in metrics) else None

    def rows_of(self, part: Rows64) -> Rows:
        """Rows of some users in the model; of newcomers, model users and more: n_users + their place; -1 of others."""
        rows = self.held_out.user_rows[part]
        if self.newcomers is None:
            return rows
        places = self.newcomers.places[self.held_out.users[part]]
        return np.where((rows < 0) & (places >= 0), self.model.n_users + places, rows).astype(np.int32)

    @one_blas_thread()
    def measure(self, part: Rows64) -> _Measured:
        """The lists of some users, given by their places in what was held out."""
        rows = self.rows_of(part)
        scores = self.model.scores_of(self._vectors(rows))
        starts, excluded = self._taken(rows)
        best = best_columns(scores, starts, excluded, self.k)
        entries, owners = entries_of(self.held_out.starts, part)
        n_relevant = np.bincount(owners, minlength=len(part))
        items = self.held_out.item_rows[entries]
        places = _places(best, owners, items, self.model.n_items)
        hits = np.zeros(best.shape, bool)
        hits[owners[places >= 0], places[places >= 0]] = True
        values = {}
        for metric in self.metrics:
            if metric.kind == "auc":
                values[str(metric)] = _auc(scores, (starts, excluded), owners[items >= 0], items[items >= 0])
            elif metric.kind == DIVERSITY:
                assert self.directions is not None
                values[str(metric)] = intra_list_diversity(best[:, : metric.k], self.directions)
            else:
                values[str(metric)] = LIST_METRICS[metric.kind](hits[:, : metric.k], n_relevant)
        return _Measured(best, places, values)

    def _vectors(self, rows: Rows) -> Floats:
        vectors = np.empty((len(rows), len(self.nobody)), np.float32)
        known, new = (rows >= 0) & (rows < self.model.n_users), rows >= self.model.n_users
        vectors[known] = self.model.user_vectors(rows[known])
        vectors[rows < 0] = self.nobody
        if self.newcomers is not None:
            vectors[new] = self.newcomers.vectors(rows[new] - self.model.n_users)
        return vectors

    def _taken(self, rows: Rows) -> tuple[Rows64, Rows]:
        """What some users took before they are measured: in training, or given of newcomers; of others, nothing."""
        known, new = np.flatnonzero((rows >= 0) & (rows < self.model.n_users)), rows >= self.model.n_users
        entries, of_known = entries_of(self.taken_starts, rows[known])
        items, owners = self.taken_rows[entries], known[of_known]
        if self.newcomers is not None:
            given, of_new = self.newcomers.given_to(rows[new] - self.model.n_users)
            items, owners = np.concatenate((items, given)), np.concatenate((owners, np.flatnonzero(new)[of_new]))
            order = np.argsort(owners, kind="stable")
            items, owners = items[order], owners[order]
        return _starts(owners, len(rows)), items


def _starts(owners: NDArray[np.integer[Any]], n: int) -> Rows64:
    """Where the entries of each of n owners begin among entries in their order, (n + 1,)."""
    return np.concatenate(([0], np.cumsum(np.bincount(owners, minlength=n)))).astype(np.int64)


def _places(best: Rows, owners: Rows64, items: Rows, n_items: int) -> Rows:
    """Where each relevant item is in its owner's list, from 0; -1 where it is not in it. Items may be -1: in no list.

    Of the places of all lists (n, k), those that hold a relevant item are looked up among the relevant items.
    """
    places = np.full(len(items), -1, np.int32)
    there = np.flatnonzero(items >= 0)
    if not len(there):
        return places
    wanted = owners[there] * n_items + items[there]
    order = np.argsort(wanted, kind="stable")
    wanted = wanted[order]
    keys = np.where(best >= 0, np.arange(len(best))[:, None] * n_items + best, -1)
    at = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
    rows, columns = np.nonzero(wanted[at] == keys)
    places[there[order[at[rows, columns]]]] = columns
    return places


def _auc(scores: Floats, taken: tuple[Rows64, Rows], owners: Rows64, items: Rows) -> Values:
    """Of the relevant items that the model knows, against all others that the user has not taken."""
    from penchant.kernels.places import places_of

    n = len(scores)
    places, n_candidates = places_of(scores, *taken, _starts(owners, n), items)
    is_candidate = places > 0  # what was taken before is no candidate, even if taken again
    owners = owners[is_candidate]
    return auc(places[is_candidate], owners, np.bincount(owners, minlength=n), n_candidates)


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
