"""libmf: L2 regression."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import numpy as np  # noqa: E402
from libmf import mf  # noqa: E402
from measuring import Ratings, Task, main  # noqa: E402


class Libmf:
    """Rows and ratings as one float32 table of three columns.

    Its predict is not asked: the C side takes the table of pairs for one that lies column by column, and answers
    for other pairs than those given.
    """

    packages = ("libmf", "numpy")
    on_rating_scale = True

    def __init__(self, task: Task) -> None:
        options = {"k": task.factors, "nr_iters": task.epochs, "nr_threads": task.threads, "quiet": True}
        self.model = mf.MF(fun=mf.P_L2_MFR, **options)

    def prepare(self, train: Ratings) -> np.ndarray:
        return np.column_stack((train.user_rows, train.item_rows, train.ratings)).astype(np.float32)

    def fit(self, data: np.ndarray) -> None:
        self.model.fit(data)
        self.factors = None

    def predict(self, user_rows: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
        if self.factors is None:
            self.factors = self.model.p_factors(), self.model.q_factors()
        return np.einsum("nf,nf->n", self.factors[0][user_rows], self.factors[1][item_rows])


if __name__ == "__main__":
    main(Libmf, STARTED)
