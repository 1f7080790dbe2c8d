"""The baseline that every other model has to beat: damped user and item biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from penchant.data.split import Split
from penchant.models.base import Explanation, Floats, Floats64, Model, Rows, Shapes, Validation
from penchant.models.biases import damped_biases
from penchant.models.fitting import FitLog, FitOptions, run_epochs
from penchant.models.memory import FLOAT, Parts, Sizes
from penchant.models.settings import Settings, setting

PREDICTED = 13  # bytes of a rating while all are predicted: scores, which are known


@dataclass(frozen=True)
class BiasSettings(Settings):
    """Settings of `bias`."""

    user_damping: float = setting(
        5.0, "How many average ratings are added to each user's own.", low=0, search=(0.5, 30)
    )
    item_damping: float = setting(
        3.0, "How many average ratings are added to each item's own.", low=0, search=(0.5, 30)
    )
    passes: int = setting(5, "How often users and items are alternated.", low=1, search=(1, 10))


@final
class Bias(Model):
    """prediction = mean + user bias + item bias, each shrunk by its damping (Koren 2010)."""

    name = "bias"
    settings_class = BiasSettings
    trained_by = None

    def _fit(self, split: Split, options: FitOptions) -> FitLog:
        return run_epochs(_BiasTraining(self, split), self.name, options)

    def _pair_scores(self, user_rows: Rows, item_rows: Rows) -> Floats:
        return self._mean() + self._parameter("user_biases")[user_rows] + self.item_biases()[item_rows]

    def user_vectors(self, user_rows: Rows) -> Floats:
        """The bias of each user, (n, 1)."""
        return self._parameter("user_biases")[user_rows, None]

    def scores_of(self, user_vectors: Floats) -> Floats:
        return self._mean() + user_vectors + self.item_biases()

    def fold_in(self, item_rows: Rows, ratings: Floats) -> Floats:
        return np.array([self._pulls(item_rows, ratings).sum()], np.float32)

    def contributions(self, item_rows: Rows, ratings: Floats, item_row: int) -> Floats64:
        """The same for every item: a part of the user's bias."""
        del item_row
        return self._pulls(item_rows, ratings)

    def _pulls(self, item_rows: Rows, ratings: Floats) -> Floats64:
        """What each rating adds to the bias of its user, (n,)."""
        residuals = (ratings - self._mean() - self.item_biases()[item_rows]).astype(np.float64)
        weight = len(ratings) + self.settings.user_damping
        return residuals / weight if weight else residuals

    def _shapes(self, n_users: int, n_items: int) -> Shapes:
        return {"mean": (1,), "user_biases": (n_users,), "item_biases": (n_items,)}

    def fit_memory(self, sizes: Sizes) -> Parts:
        return {"predictions of the ratings": PREDICTED * sizes.train}

    def learnt_memory(self, sizes: Sizes) -> int:
        return 4 * FLOAT * sizes.rows

    def explain(self, user_vector: Floats, item_row: int) -> Explanation:
        parts = {
            "mean": float(self._mean()),
            "user": float(user_vector[0]),
            "item": float(self.item_biases()[item_row]),
        }
        return Explanation(parts, float(self.scores_of(user_vector[None])[0, item_row]))

    def item_biases(self) -> Floats:
        return self._parameter("item_biases")

    def _mean(self) -> np.float32:
        return np.float32(self._parameter("mean")[0])


class _BiasTraining:
    """One closed-form epoch."""

    epochs = 1

    def __init__(self, model: Bias, split: Split) -> None:
        self.model = model
        self.split = split
        self.validation = Validation(model, split)

    def run_epoch(self, epoch: int, progressed: Callable[[float], None]) -> float:
        del epoch, progressed
        settings, train = self.model.settings, self.split.train
        biases = damped_biases(train, settings.user_damping, settings.item_damping, settings.passes)
        self.model.parameters |= {
            "mean": np.array([biases.mean], np.float32),
            "user_biases": biases.user_biases,
            "item_biases": biases.item_biases,
        }
        predictions = self.model.predict(train.user_rows, train.item_rows)
        return float(np.mean((predictions - train.ratings) ** 2, dtype=np.float64))

    def valid_loss(self) -> float | None:
        return self.validation.loss(self.model._pair_scores)

    def snapshot(self) -> dict[str, Any]:
        return dict(self.model.parameters)

    def restore(self, state: dict[str, Any]) -> None:
        self.model.parameters = dict(state)
