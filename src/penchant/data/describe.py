"""What a table of ratings looks like: counts, density, distribution, long tail."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions

MOST_DISTINCT = 20  # rating values shown one by one; more are put into bins
BINS = 10


def describe(interactions: Interactions, shown: int = 10) -> dict[str, Any]:
    """Plain numbers for JSON and for the terminal.

    Args:
        shown: how many of the most rated items to list.
    """
    ratings = interactions.ratings
    order = np.argsort(-interactions.item_counts, kind="stable")[:shown]
    return {
        "source": interactions.source,
        "n_ratings": len(interactions),
        "n_users": interactions.n_users,
        "n_items": interactions.n_items,
        "density": len(interactions) / (interactions.n_users * interactions.n_items),
        "scale": list(interactions.scale),
        "mean": float(ratings.mean(dtype=np.float64)),
        "deviation": float(ratings.std(dtype=np.float64)),
        "histogram": _histogram(ratings),
        "times": _times(interactions.times),
        "ratings_per_user": _spread(interactions.user_counts),
        "ratings_per_item": _spread(interactions.item_counts),
        "users_with_one_rating": int((interactions.user_counts == 1).sum()),
        "items_with_one_rating": int((interactions.item_counts == 1).sum()),
        "long_tail": _long_tail(interactions.item_counts),
        "most_rated": [
            {"item": id_, "name": interactions.names[int(row)], "n_ratings": int(interactions.item_counts[row])}
            for id_, row in zip(interactions.items.take(order), order, strict=True)
        ],
        "notes": list(interactions.notes),
    }


def _histogram(ratings: NDArray[np.float32]) -> dict[str, list[Any]]:
    values, counts = np.unique(ratings, return_counts=True)
    if len(values) <= MOST_DISTINCT:
        return {"values": [f"{value:g}" for value in values], "counts": counts.tolist()}
    counts, edges = np.histogram(ratings, bins=BINS)
    names = [f"{low:.3g} to {high:.3g}" for low, high in itertools.pairwise(edges)]
    return {"values": names, "counts": counts.tolist()}


def _times(times: NDArray[np.int64] | None) -> list[str] | None:
    if times is None:
        return None
    return [str(np.datetime64(int(end), "s")).partition("T")[0] for end in (times.min(), times.max())]


def _spread(counts: NDArray[np.int64]) -> dict[str, int]:
    quantiles = np.quantile(counts, (0, 0.25, 0.5, 0.75, 1), method="nearest").astype(int).tolist()
    return dict(zip(("least", "quarter", "median", "three_quarters", "most"), quantiles, strict=True))


def _long_tail(item_counts: NDArray[np.int64]) -> dict[str, float]:
    """How few of the items have half of the ratings."""
    running = np.cumsum(np.sort(item_counts)[::-1])
    items = int(np.searchsorted(running, running[-1] / 2)) + 1
    return {"items_for_half": items, "items_for_half_share": items / len(item_counts)}
