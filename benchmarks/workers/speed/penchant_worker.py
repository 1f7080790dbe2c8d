"""penchant: one of its models, by --model."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402
from measuring import Ratings, Task, main  # noqa: E402

import penchant.kernels.sgd  # noqa: E402, F401 (loaded before the clock of the fit starts, as the others are)
from penchant.data.interactions import Interactions  # noqa: E402
from penchant.data.split import Split, split_none  # noqa: E402
from penchant.data.vocabulary import Vocabulary  # noqa: E402
from penchant.models import build  # noqa: E402
from penchant.models.fitting import FitOptions  # noqa: E402


class Penchant:
    """Fitted without validation, as the others are."""

    packages = ("penchant", "numpy", "numba")
    on_rating_scale = True

    def __init__(self, task: Task) -> None:
        settings = {} if task.model == "bias" else {"factors": task.factors, "epochs": task.epochs}
        self.model = build(task.model, **settings)
        self.options = FitOptions(seed=task.seed, threads=task.threads)
        self.extra: dict[str, Any] = {}

    def prepare(self, train: Ratings) -> Split:
        n_users, n_items = train.shape
        return split_none(
            Interactions(
                users=Vocabulary(pl.Series("user", np.arange(n_users)), "user"),
                items=Vocabulary(pl.Series("item", np.arange(n_items)), "item"),
                user_rows=train.user_rows,
                item_rows=train.item_rows,
                ratings=train.ratings,
            )
        )

    def fit(self, data: Split) -> None:
        log = self.model.fit(data, self.options)
        self.extra = {"epoch_seconds": [epoch.seconds for epoch in log.epochs]}

    def predict(self, user_rows: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
        return self.model.predict(user_rows, item_rows)


if __name__ == "__main__":
    main(Penchant, STARTED)
