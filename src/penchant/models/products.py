"""Models whose scores come from products of vectors: what an index of items can search."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from penchant.models.base import Floats, Rows
from penchant.models.preferences import PreferenceModel


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


class BiasedPreferences(PreferenceModel, FromProducts):
    """score = item bias + user factors . item factors.

    `parameters`, all float32: "user_factors" (users, factors), "item_factors" (items, factors), "item_biases" (items,).
    """

    def user_vectors(self, user_rows: Rows) -> Floats:
        """The factors of each user, (n, factors)."""
        return self._parameter("user_factors")[user_rows]

    def scores_of(self, user_vectors: Floats) -> Floats:
        scores: Floats = user_vectors @ self._parameter("item_factors").T
        scores += self._parameter("item_biases")
        return scores

    def item_points(self) -> Floats:
        """The bias is a coordinate of its own."""
        return with_bias(self._parameter("item_factors"), self._parameter("item_biases"))

    def directions(self, user_vectors: Floats) -> Floats:
        return with_bias(user_vectors, np.ones(len(user_vectors), np.float32))

    def scores_from(self, user_vectors: Floats, products: Floats) -> Floats:
        del user_vectors
        return products

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        p, q = self._parameter("user_factors")[user_rows], self._parameter("item_factors")[item_rows]
        scores: Floats = np.einsum("nf,nf->n", p, q)
        return scores + self._parameter("item_biases")[item_rows]
