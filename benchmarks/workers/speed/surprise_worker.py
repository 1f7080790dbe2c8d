"""scikit-surprise: SVD."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from measuring import Ratings, Task, main  # noqa: E402
from surprise import SVD, Dataset, Reader  # noqa: E402


class Surprise:
    """Its data set is a list of tuples, then dictionaries of lists of tuples."""

    packages = ("scikit-surprise", "numpy")
    on_rating_scale = True

    def __init__(self, task: Task) -> None:
        self.model = SVD(n_factors=task.factors, n_epochs=task.epochs, random_state=task.seed)

    def prepare(self, train: Ratings) -> Any:
        scale = float(train.ratings.min()), float(train.ratings.max())
        columns = (column.tolist() for column in (train.user_rows, train.item_rows, train.ratings))
        raw = [(user, item, rating, None) for user, item, rating in zip(*columns, strict=True)]
        return Dataset(Reader(rating_scale=scale)).construct_trainset(raw)

    def fit(self, data: Any) -> None:
        self.model.fit(data)

    def predict(self, user_rows: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
        pairs = zip(user_rows.tolist(), item_rows.tolist(), strict=True)
        return np.array([self.model.predict(user, item).est for user, item in pairs])


if __name__ == "__main__":
    main(Surprise, STARTED)
