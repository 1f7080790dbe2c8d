"""Damped user and item biases: the baseline in every comparison, and every model's answer for the unknown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions


@dataclass(frozen=True)
class Biases:
    """prediction = mean + user_biases[user] + item_biases[item], an unknown side counting as 0.

    Attributes:
        mean: of the training ratings.
        user_biases: float32 (n_users,).
        item_biases: float32 (n_items,).
    """

    mean: float
    user_biases: NDArray[np.float32]
    item_biases: NDArray[np.float32]

    def predict(self, user_rows: NDArray[np.int32], item_rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """One prediction a pair, float32 (n,); a row of -1 is unknown."""
        users = np.where(user_rows < 0, np.float32(0), self.user_biases[user_rows])
        items = np.where(item_rows < 0, np.float32(0), self.item_biases[item_rows])
        return (np.float32(self.mean) + users + items).astype(np.float32)


def damped_biases(train: Interactions, user_damping: float, item_damping: float, passes: int) -> Biases:
    """Means of what the other side leaves, shrunk to 0 (Koren 2010, equation 3, alternated).

    A bias is the sum of its residuals divided by their number plus the damping, so that one rating of 5
    does not make a masterpiece. Each pass sets the items' from the users' and the users' from the items'.
    """
    mean = float(train.ratings.mean(dtype=np.float64))
    centred = train.ratings.astype(np.float64) - mean
    users, items = train.user_rows, train.item_rows
    user_biases = np.zeros(train.n_users)
    item_biases = np.zeros(train.n_items)
    for _ in range(passes):
        residuals = np.bincount(items, centred - user_biases[users], train.n_items)
        item_biases = residuals / (train.item_counts + item_damping)
        residuals = np.bincount(users, centred - item_biases[items], train.n_users)
        user_biases = residuals / (train.user_counts + user_damping)
    return Biases(mean, user_biases.astype(np.float32), item_biases.astype(np.float32))
