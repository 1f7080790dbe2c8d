"""cmfrec: collective matrix factorisation without anything collective."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import numpy as np  # noqa: E402
from cmfrec import CMF  # noqa: E402
from measuring import Ratings, Task, main  # noqa: E402
from scipy.sparse import coo_array  # noqa: E402


class Cmfrec:
    """Alternating least squares with biases, without the tables that only predictions for new users need."""

    packages = ("cmfrec", "numpy", "scipy")
    on_rating_scale = True

    def __init__(self, task: Task) -> None:
        spared = {"precompute_for_predictions": False, "include_all_X": False}
        self.model = CMF(
            k=task.factors,
            niter=task.epochs,
            nthreads=task.threads,
            random_state=task.seed,
            verbose=False,
            **spared,
        )

    def prepare(self, train: Ratings) -> coo_array:
        return coo_array((train.ratings, (train.user_rows, train.item_rows)), shape=train.shape)

    def fit(self, data: coo_array) -> None:
        self.model.fit(data)

    def predict(self, user_rows: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
        return self.model.predict(user_rows, item_rows)


if __name__ == "__main__":
    main(Cmfrec, STARTED)
