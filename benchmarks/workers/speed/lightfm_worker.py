"""lightfm-next: logistic loss on whether a rating is 4 or more."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import numpy as np  # noqa: E402
from lightfm import LightFM  # noqa: E402
from measuring import Ratings, Task, main  # noqa: E402
from scipy.sparse import coo_matrix  # noqa: E402

LIKED = 4.0


class LightFm:
    """Without features: every user and item is its own."""

    packages = ("lightfm-next", "numpy", "scipy")
    on_rating_scale = False

    def __init__(self, task: Task) -> None:
        self.task = task
        self.model = LightFM(no_components=task.factors, loss="logistic", random_state=task.seed)

    def prepare(self, train: Ratings) -> coo_matrix:
        likes = np.where(train.ratings >= LIKED, 1, -1).astype(np.int32)
        return coo_matrix((likes, (train.user_rows, train.item_rows)), shape=train.shape)

    def fit(self, data: coo_matrix) -> None:
        self.model.fit(data, epochs=self.task.epochs, num_threads=self.task.threads)

    def predict(self, user_rows: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
        return self.model.predict(user_rows, item_rows, num_threads=self.task.threads)


if __name__ == "__main__":
    main(LightFm, STARTED)
