"""Damped user and item biases: the baseline in every comparison, and every model's answer for the unknown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penchant.data.interactions import Interactions

CHUNK = 1_000_000  # ratings


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
        """One prediction a pair, float32 (n,); a row of -1 is unknown. In chunks: whole, it took 20 bytes a pair."""
        predictions = np.empty(len(user_rows), np.float32)
        for at in range(0, len(predictions), CHUNK):
            chunk = slice(at, at + CHUNK)
            users = at_rows(self.user_biases, user_rows[chunk], np.float32(0))
            items = at_rows(self.item_biases, item_rows[chunk], np.float32(0))
            predictions[chunk] = np.float32(self.mean) + users + items
        return predictions


def at_rows(values: NDArray[np.float32], rows: NDArray[np.int32], unknown: np.float32) -> NDArray[np.float32]:
    """The values of some rows, float32 (n,), and `unknown` for a row of -1; there may be no values at all."""
    if not len(values):
        return np.full(len(rows), unknown, np.float32)
    return np.where(rows < 0, unknown, values[rows])


def damped_biases(train: Interactions, user_damping: float, item_damping: float, passes: int) -> Biases:
    """Means of what the other side leaves, shrunk to 0 (Koren 2010, equation 3, alternated).

    A bias is the sum of its residuals divided by their number plus the damping, so that one rating of 5
    does not make a masterpiece. Each pass sets the items' from the users' and the users' from the items'.
    """
    mean = float(train.ratings.mean(dtype=np.float64))
    user_biases = np.zeros(train.n_users)
    item_biases = np.zeros(train.n_items)
    for _ in range(passes):
        item_biases = _residuals(train, train.item_rows, mean, train.user_rows, user_biases, train.n_items)
        item_biases /= train.item_counts + item_damping
        user_biases = _residuals(train, train.user_rows, mean, train.item_rows, item_biases, train.n_users)
        user_biases /= train.user_counts + user_damping
    return Biases(mean, user_biases.astype(np.float32), item_biases.astype(np.float32))


def _residuals(
    train: Interactions,
    rows: NDArray[np.int32],
    mean: float,
    other_rows: NDArray[np.int32],
    other_biases: NDArray[np.float64],
    n: int,
) -> NDArray[np.float64]:
    """Sums by row of what mean and the other side's biases leave. In chunks: whole, it took 24 bytes a rating."""
    sums = np.zeros(n)
    for at in range(0, len(train), CHUNK):
        chunk = slice(at, at + CHUNK)
        left = train.ratings[chunk] - (mean + other_biases[other_rows[chunk]])
        sums += np.bincount(rows[chunk], left, n)
    return sums
