"""implicit: AlternatingLeastSquares; a rating is how sure one is that the user has taken the item."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import numpy as np  # noqa: E402
from implicit.cpu.als import AlternatingLeastSquares  # noqa: E402
from measuring import Ratings, Task, main  # noqa: E402
from scipy.sparse import csr_matrix  # noqa: E402


class Implicit:
    """Alternating least squares by conjugate gradients, its default."""

    packages = ("implicit", "numpy", "scipy")
    on_rating_scale = False

    def __init__(self, task: Task) -> None:
        options = {"iterations": task.epochs, "num_threads": task.threads, "random_state": task.seed}
        self.model = AlternatingLeastSquares(factors=task.factors, **options)

    def prepare(self, train: Ratings) -> csr_matrix:
        return csr_matrix((train.ratings, (train.user_rows, train.item_rows)), shape=train.shape)

    def fit(self, data: csr_matrix) -> None:
        self.model.fit(data, show_progress=False)

    def predict(self, user_rows: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
        return np.einsum("nf,nf->n", self.model.user_factors[user_rows], self.model.item_factors[item_rows])


if __name__ == "__main__":
    main(Implicit, STARTED)
