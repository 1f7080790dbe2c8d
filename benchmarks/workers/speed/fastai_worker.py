"""fastai: the notebook's collab_learner with biases, without validation."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from fastai.collab import CollabDataLoaders, collab_learner, set_seed  # noqa: E402
from measuring import Ratings, Task, main  # noqa: E402

Y_RANGE = (0, 5.5)
LEARNING_RATE = 5e-3
WEIGHT_DECAY = 0.1
BATCH = 64


class Fastai:
    """Ids are its categories, of which the first stands for the unknown."""

    packages = ("fastai", "torch", "numpy", "pandas")
    on_rating_scale = True

    def __init__(self, task: Task) -> None:
        torch.set_num_threads(task.threads)
        set_seed(task.seed)
        self.task = task

    def prepare(self, train: Ratings) -> CollabDataLoaders:
        columns = {"user": train.user_rows, "item": train.item_rows, "rating": train.ratings}
        return CollabDataLoaders.from_df(pd.DataFrame(columns), valid_pct=0.0, bs=BATCH)

    def fit(self, data: CollabDataLoaders) -> None:
        self.learner = collab_learner(data, n_factors=self.task.factors, y_range=Y_RANGE)
        with self.learner.no_bar(), self.learner.no_logging():
            self.learner.fit_one_cycle(self.task.epochs, LEARNING_RATE, wd=WEIGHT_DECAY)
        self.classes = data.classes

    def predict(self, user_rows: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
        pairs = np.column_stack((self._places("user", user_rows), self._places("item", item_rows)))
        with torch.inference_mode():
            return self.learner.model(torch.from_numpy(pairs)).numpy()

    def _places(self, name: str, rows: np.ndarray) -> np.ndarray:
        known = np.array(self.classes[name][1:], np.int64)
        return 1 + np.searchsorted(known, rows)


if __name__ == "__main__":
    main(Fastai, STARTED)
