"""What lists are worth by their length, from an artifact alone: its history knows what was held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from penchant.errors import InputError, SettingError
from penchant.evaluate_lists import HeldOut, ListReport, evaluate_lists
from penchant.rank_metrics import RankMetric
from penchant.serving.recommender import Recommender

LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50)
CURVES = ("recall", "ndcg", "precision", "hit")


def by_length(n_items: int) -> list[RankMetric]:
    """Every metric of CURVES at every length that a list of so many items can have."""
    return [RankMetric(kind, k) for kind in CURVES for k in LENGTHS if k <= n_items]


def against_coverage(k: int) -> list[RankMetric]:
    """Accuracy of lists of k items, and the part of the catalogue that is in them."""
    return [RankMetric("ndcg", k), RankMetric("coverage", k)]


def measure_kept(
    recommenders: Mapping[str, Recommender],
    metrics: Sequence[RankMetric],
    *,
    relevant_from: float | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> dict[str, ListReport]:
    """Metrics of lists on what was held out of the fit, as each recommender's history has it.

    Interactions with a user or an item that the model does not know are not in a history: `unknown_to` counts them.

    Args:
        recommenders: by name, at least one; of several, all were fitted on one split.
        relevant_from: the lowest rating that makes an item relevant; None for any.
        threads: how many may work; the result is the same for any number.

    Raises:
        InputError: nothing that the models know was held out, or not the same of all of them.
        SettingError: no rating is so high.
    """
    first = next(iter(recommenders.values()))
    different = [name for name, one in recommenders.items() if one is not first and not _same_history(first, one)]
    if different:
        raise InputError(
            f"{next(iter(recommenders))} and {different[0]} were not fitted and measured on the same interactions.",
            remedy="Fit both at once, with penchant compare, or draw one of them.",
        )
    held_out = kept_of(first, relevant_from)
    return {
        name: evaluate_lists(one.model, held_out, one.history.training, metrics, seed=seed, threads=threads)
        for name, one in recommenders.items()
    }


def kept_of(recommender: Recommender, relevant_from: float | None = None) -> HeldOut:
    """What was held out of the users of a recommender, by its history.

    Raises:
        InputError: nothing that the model knows.
        SettingError: no rating is so high.
    """
    history, n_users = recommender.history, len(recommender.users)
    kept = np.flatnonzero(~history.in_training)
    if not len(kept):
        if recommender.is_stripped:
            raise InputError(
                "The model is stripped: what was held out when it was fitted is not in it.",
                remedy="Draw the model as it was before, or measure this one: penchant evaluate MODEL_DIR RATINGS.",
            )
        raise InputError(
            "Nothing that the model knows was held out when it was fitted.",
            remedy="Fit it again with validation interactions of its users: --split random, last-n or time.",
        )
    owners = np.repeat(np.arange(n_users, dtype=np.int32), np.diff(history.starts))[kept]
    ratings = history.ratings[kept]
    relevant = np.ones(len(kept), bool) if relevant_from is None else ratings >= relevant_from
    if not relevant.any():
        raise SettingError(
            f"No rating that was held out is {relevant_from} or more.",
            remedy=f"They are from {ratings.min():g} to {ratings.max():g}.",
        )
    users = np.unique(owners).astype(np.int32)
    counts = np.bincount(owners[relevant], minlength=n_users)[users]
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return HeldOut(users, users, starts, history.item_rows[kept[relevant]])


def unknown_to(recommender: Recommender) -> int:
    """Held-out interactions with a user or an item that the model does not know, as counted when it was fitted."""
    split = recommender.about.get("split")
    return int(split.get("n_unknown", 0)) if split else 0


def _same_history(one: Recommender, other: Recommender) -> bool:
    columns = ("starts", "item_rows", "in_training")
    same_ids = one.users.ids.equals(other.users.ids) and one.items.ids.equals(other.items.ids)
    return same_ids and all(
        np.array_equal(getattr(one.history, column), getattr(other.history, column)) for column in columns
    )
