"""Popularity: what is taken most, the same for everyone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from penchant.data.split import Split
from penchant.models.base import Explanation, Floats, Rows, Shapes
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.memory import FLOAT, Parts, Sizes
from penchant.models.preferences import SORTED, WEIGHTING, OneStep, PreferenceModel, Weighting
from penchant.models.settings import Settings, setting


@dataclass(frozen=True)
class PopularitySettings(Settings):
    """Settings of `popularity`."""

    weighting: Weighting = setting("log", WEIGHTING, search=("linear", "binary", "log"))


@final
class Popularity(PreferenceModel):
    """score = the sum of the weights with which an item was taken.

    The train loss is the entropy of an item that was taken, in bits: -log2 of its share, by weight.
    """

    name = "popularity"
    settings_class = PopularitySettings
    trained_by = None

    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        positives = self._positives(split.train)

        def compute(progressed: Callable[[float], None]) -> float:
            del progressed
            sums = np.bincount(positives.columns, positives.weights, positives.n_columns)
            self.parameters |= {"popularity": sums.astype(np.float32), "average": np.ones(1, np.float32)}
            shares = sums[sums > 0] / sums.sum()
            return float(-(shares * np.log2(shares)).sum())

        return run_epochs(OneStep(self, compute), self.name, options)

    def user_vectors(self, user_rows: Rows) -> Floats:
        """1 for everyone, (n, 1)."""
        return np.ones((len(user_rows), 1), np.float32)

    def scores_of(self, user_vectors: Floats) -> Floats:
        return user_vectors * self._parameter("popularity")

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        del user_rows
        scores: Floats = self._parameter("popularity")[item_rows]
        return scores

    def _fold(self, item_rows: Rows, weights: Floats) -> Floats:
        del item_rows, weights
        return np.ones(1, np.float32)

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        del n_users
        return {"popularity": (n_items,), "average": (1,), "weighted": (1,)}

    def fit_memory(self, sizes: Sizes) -> Parts:
        return {"what each user took": SORTED * sizes.train, "popularity": 24 * sizes.items}

    def learnt_memory(self, sizes: Sizes) -> int:
        return FLOAT * sizes.items

    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        score = float(self.scores_of(user_vector[None])[0, item_row])
        return Explanation({"popularity": score}, score)
