"""The factorisation machine of a fitted `mlp`: what sets of what was rated, and columns, add to the network's sums.

Penchant.models.machine_training makes it. What is kept are its sums: [bias, factors] of each user and each item, and of
each item what it brings to a user who has rated it, so that new users are made of what they rated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from penchant.models.biases import Biases
from penchant.models.ranges import Squash

Floats = NDArray[np.float32]
Floats64 = NDArray[np.float64]
Rows = NDArray[np.int32]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Machine:
    """Sums of pairs: user bias + item bias + user factors · item factors; all before the sigmoid.

    Attributes:
        users, items: float32 (n_users, 1 + factors) and (n_items, 1 + factors), [bias, factors].
        rated: float32 (n_items + 1, 1 + factors), what having rated an item brings, before it is divided by the root of
            how many were rated; the last row is what columns bring to an average user.
    """

    users: Floats
    items: Floats
    rated: Floats

    @staticmethod
    def shapes(n_users: int, n_items: int, factors: int) -> Shapes:
        """The shapes of what `unpack` takes."""
        rows = {"machine/users": n_users, "machine/items": n_items, "machine/rated": n_items + 1}
        return {name: (n, 1 + factors) for name, n in rows.items()}

    @classmethod
    def unpack(cls, arrays: Mapping[str, NDArray[Any]]) -> Self | None:
        """From arrays by name; None where a model has no machine."""
        if not any(name.startswith("machine/") for name in arrays):
            return None
        return cls(*(arrays[f"machine/{part}"] for part in ("users", "items", "rated")))

    @property
    def width(self) -> int:
        """How many numbers of a user vector are the machine's."""
        return self.items.shape[1]

    def pairs(self, user_rows: Rows, item_rows: Rows) -> Floats:
        """Sums of pairs, (n,)."""
        users, items = self.users[user_rows], self.items[item_rows]
        sums: Floats = np.einsum("nf,nf->n", users[:, 1:], items[:, 1:]) + users[:, 0] + items[:, 0]
        return sums

    def of_items(self, vector: Any, items: Any) -> Any:
        """Sums of one user, (width,), with some items, (n, width)."""
        return items[:, 1:] @ vector[1:] + items[:, 0] + vector[0]

    def slopes(self, items: Floats64) -> Floats64:
        """Derivatives of the sums of one user with some items by the user's numbers, (n, width)."""
        found = items.copy()
        found[:, 0] = 1
        return found

    def average_user(self) -> Floats64:
        """The mean of the users, (width,)."""
        return self.users.mean(axis=0, dtype=np.float64)

    def parts_of_user(
        self, item_rows: Rows, ratings: Floats, biases: Biases, damping: float, squash: Squash
    ) -> Floats64:
        """What each rating of a new user makes of the user, (1 + n, width): the first row is there without any.

        The bias is the damped mean of what items leave of the ratings, as in training.
        """
        n = max(len(item_rows), 1)
        parts = np.concatenate((self.rated[-1:], self.rated[item_rows] / np.sqrt(n))).astype(np.float64)
        left = ratings.astype(np.float64) - biases.mean - biases.item_biases[item_rows]
        parts[1:, 0] += left / ((len(item_rows) + damping) * squash.slope(biases.mean))
        return parts
