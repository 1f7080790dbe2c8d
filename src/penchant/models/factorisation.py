"""What factorisations of ratings share, however they are learnt."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, final

import numpy as np

from penchant.data.split import Split
from penchant.models.base import PAIRS_A_TIME, Explanation, Floats, Floats64, Model, Rows, Shapes
from penchant.models.fitting import FitLog, FitOptions
from penchant.models.folding import Array, Predictor, Prior, contributions, most_probable
from penchant.models.memory import FLOAT, Sizes
from penchant.models.products import FromProducts, with_bias
from penchant.models.ranges import Squash


class Factorisation(Model, FromProducts):
    """A user vector of bias and factors; z = mean + biases + user factors . item factors, and the score z in a range.

    `parameters`, all float32: "user_factors" (users, factors), "item_factors" (items, factors), "user_biases" (users,),
    "item_biases" (items,), "mean" (1,), "rating_range" (2,), NaN for no range.
    """

    biased: ClassVar[bool]
    memory_remedy = "Use fewer --factors."

    @abstractmethod
    def _train(self, split: Split, options: FitOptions) -> FitLog:
        """Learn the arrays of `_shapes`, but for the prior; train losses are mean squared errors."""

    @final
    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        log = self._train(split, options)  # what training alone needs is gone when it is done
        noise = log.epochs[log.kept_epoch].train_loss
        biases, factors = self._parameter("user_biases"), self._parameter("user_factors")
        self.parameters |= Prior.of(np.concatenate((biases[:, None], factors), axis=1), noise).pack()
        return log

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        p = self._parameter("user_factors")[user_rows]
        q = self._parameter("item_factors")[item_rows]
        z = np.einsum("nf,nf->n", p, q) + self._mean()
        z += self._parameter("user_biases")[user_rows] + self._parameter("item_biases")[item_rows]
        return self._squash(z)

    def user_vectors(self, user_rows: Rows) -> Floats:
        """[bias, factors] of each user, (n, 1 + factors); the bias is 0 in `dot`."""
        biases = self._parameter("user_biases")[user_rows, None]
        return np.concatenate((biases, self._parameter("user_factors")[user_rows]), axis=1)

    def scores_of(self, user_vectors: Floats) -> Floats:
        z = user_vectors[:, 1:] @ self._parameter("item_factors").T
        z += self._parameter("item_biases")
        z += user_vectors[:, :1] + self._mean()
        return self._squash(z)

    def item_points(self) -> Floats:
        """The bias is a coordinate of its own."""
        return with_bias(self._parameter("item_factors"), self._parameter("item_biases"))

    def directions(self, user_vectors: Floats) -> Floats:
        return with_bias(user_vectors[:, 1:], np.ones(len(user_vectors), np.float32))

    def scores_from(self, user_vectors: Floats, products: Floats) -> Floats:
        return self._squash(products + (user_vectors[:, :1] + self._mean()))

    def fold_in(self, item_rows: Rows, ratings: Floats) -> Floats:
        prior = Prior.unpack(self.parameters)
        return most_probable(prior, self._predictor(item_rows), ratings).astype(np.float32)

    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Floats64:
        of_item = self._predictor(np.array([item_row], np.int32))
        return contributions(Prior.unpack(self.parameters), self._predictor(item_rows), ratings, of_item)

    def _predictor(self, item_rows: Rows) -> Predictor:
        """From a user vector to its scores of some items, and their derivatives by it."""
        q = self._parameter("item_factors")[item_rows].astype(np.float64)
        design = np.concatenate((np.ones((len(q), 1)), q), axis=1)
        offset = self._parameter("item_biases")[item_rows].astype(np.float64) + self._mean()

        def predict(vector: Array) -> tuple[Array, Array]:
            z = offset + design @ vector
            predictions, slopes = self._squash.with_slope(z)
            return predictions, slopes[:, None] * design

        return predict

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        k = self.settings.factors
        return {
            "user_factors": (n_users, k),
            "item_factors": (n_items, k),
            "user_biases": (n_users,),
            "item_biases": (n_items,),
            "mean": (1,),
            "rating_range": (2,),
            **Prior.shapes(1 + k),
        }

    def learnt_memory(self, sizes: Sizes) -> int:
        return FLOAT * int(self.settings.factors) * sizes.rows

    def block_memory(self, sizes: Sizes) -> int:
        """Factors of the users and of the items of some pairs."""
        return 2 * FLOAT * int(self.settings.factors) * min(sizes.valid, PAIRS_A_TIME)

    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        """The causes are added one after the other inside the sigmoid, so that their differences sum up."""
        causes = {
            "mean": float(self._mean()),
            "user": float(user_vector[0]),
            "item": float(self._parameter("item_biases")[item_row]),
            "match": float(user_vector[1:] @ self._parameter("item_factors")[item_row]),
        }
        if not self.biased:
            causes = {"match": causes["match"]}
        z = np.cumsum(list(causes.values()))
        steps = self._squash(z.astype(np.float32)).astype(np.float64)
        parts = dict(zip(causes, np.diff(steps, prepend=0.0).tolist(), strict=True))
        return Explanation(parts, float(self.scores_of(user_vector[None])[0, item_row]))

    def item_factors(self) -> Floats:
        return self._parameter("item_factors")

    def _mean(self) -> np.float32:
        return np.float32(self._parameter("mean")[0])

    @property
    def _squash(self) -> Squash:
        return Squash.unpack(self._parameter("rating_range"))
