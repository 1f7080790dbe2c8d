"""What lists are worth, for all libraries alike: written here in a few lines that are easily checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from ranking_data import Lists

Values = NDArray[np.float64]


def hits_of(lists: NDArray[np.int32], split: Lists) -> NDArray[np.bool_]:
    """Whether each place of the lists, (m, n), has an item that was held out of the user."""
    found = np.zeros(lists.shape, bool)
    for place, of_user in enumerate(lists):
        wanted = split.item_rows[split.starts[place] : split.starts[place + 1]]
        found[place] = np.isin(of_user, wanted[wanted >= 0]) & (of_user >= 0)
    return found


def ndcg(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> Values:
    """sum over hits at place p of 1 / log2(p + 1), over what min(k, relevant) hits at the top would give; (m,)."""
    gains = 1 / np.log2(np.arange(2, k + 2))
    return (hits[:, :k] @ gains) / np.cumsum(gains)[np.minimum(n_relevant, k) - 1]


def recall(hits: NDArray[np.bool_], n_relevant: NDArray[np.int64], k: int) -> Values:
    """hits among the first k, over the relevant items, those included that nobody has in training; (m,)."""
    return hits[:, :k].sum(axis=1) / n_relevant


def measure(lists: NDArray[np.int32], split: Lists) -> dict[str, Values]:
    """NDCG@10 and Recall@20 of each asked user."""
    hits, n_relevant = hits_of(lists, split), np.diff(split.starts)
    return {"ndcg@10": ndcg(hits, n_relevant, 10), "recall@20": recall(hits, n_relevant, 20)}
