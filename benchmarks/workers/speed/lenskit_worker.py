"""lenskit: BiasedMFScorer, alternating least squares on what biases leave."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from lenskit.als import BiasedMFScorer  # noqa: E402
from lenskit.data import Dataset, from_interactions_df  # noqa: E402
from lenskit.parallel import initialize  # noqa: E402
from lenskit.training import TrainingOptions  # noqa: E402
from measuring import Ratings, Task, main  # noqa: E402


class Lenskit:
    """Predicted from its arrays: asking it user by user takes minutes."""

    packages = ("lenskit", "numpy", "scipy", "torch")
    on_rating_scale = True

    def __init__(self, task: Task) -> None:
        self.task = task
        self.model = BiasedMFScorer(embedding_size=task.factors, epochs=task.epochs)

    def prepare(self, train: Ratings) -> Dataset:
        columns = {"user_id": train.user_rows, "item_id": train.item_rows, "rating": train.ratings}
        return from_interactions_df(pd.DataFrame(columns))

    def fit(self, data: Dataset) -> None:
        self.model.train(data, TrainingOptions(rng=self.task.seed))

    def predict(self, user_rows: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
        users, items = self.model.users.numbers(user_rows), self.model.items.numbers(item_rows)
        product = np.einsum("nf,nf->n", self.model.user_embeddings[users], self.model.item_embeddings[items])
        bias = self.model.bias
        return bias.global_bias + bias.user_biases[users] + bias.item_biases[items] + product


def start() -> None:
    """All threads to the rows, one to each solution: what lenskit advises."""
    from argparse import ArgumentParser

    parser = ArgumentParser()
    parser.add_argument("--threads", type=int, required=True)
    threads = parser.parse_known_args()[0].threads
    initialize(threads=threads, backend_threads=1)


if __name__ == "__main__":
    start()
    main(Lenskit, STARTED)
