"""LensKit: EASE, implicit ALS and item kNN, through its own pipeline of recommending."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from lenskit.als import ImplicitMFScorer
from lenskit.batch import recommend as recommend_all
from lenskit.data import from_interactions_df
from lenskit.knn import EASEScorer, ItemKNNScorer
from lenskit.parallel import initialize
from lenskit.pipeline import topn_pipeline
from lenskit.training import TrainingOptions
from trials import Data, Fit, Recommend, filled, run

MODELS = {
    "ease": (EASEScorer, {}),
    "als": (ImplicitMFScorer, {}),
    "item-knn": (ItemKNNScorer, {"feedback": "implicit"}),
}


def make(data: Data, given: argparse.Namespace) -> Fit:
    """Fits by the settings of LensKit."""
    initialize(threads=given.threads, backend_threads=1)
    dataset = from_interactions_df(data.frame(user="user_id", item="item_id"))
    scorer, fixed = MODELS[given.model]

    def fit(settings: dict[str, Any], seed: int) -> Recommend:
        pipeline = topn_pipeline(scorer, {**fixed, **settings})
        pipeline.train(dataset, TrainingOptions(rng=seed))

        def recommend(asked: np.ndarray, n: int) -> np.ndarray:
            found = recommend_all(pipeline, asked.tolist(), n, n_jobs=1)
            return np.concatenate([filled(np.asarray(found.lookup(user).ids())[None], n) for user in asked.tolist()])

        return recommend

    return fit


if __name__ == "__main__":
    run(make, ("lenskit", "numpy", "scipy", "torch"))
