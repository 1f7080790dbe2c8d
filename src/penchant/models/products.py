"""Models whose scores come from products of vectors: what an index of items can search."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from penchant.models.base import Floats


class FromProducts(ABC):
    """A model that orders items for a user as the products of their points with the user's direction do."""

    @abstractmethod
    def item_points(self) -> Floats:
        """A point for each item, float32 (n_items, d)."""

    @abstractmethod
    def directions(self, user_vectors: Floats) -> Floats:
        """What points are multiplied with for some users, float32 (n, d)."""

    @abstractmethod
    def scores_from(self, user_vectors: Floats, products: Floats) -> Floats:
        """Scores of items for users from the products of points and directions, float32 (n, m) both."""


def with_bias(factors: Floats, biases: Floats) -> Floats:
    """Factors (n, d) and a bias of each as one more coordinate, float32 (n, d + 1)."""
    found: Floats = np.concatenate((factors, biases[:, None]), axis=1)
    return found
