"""implicit: ALS, BPR and item kNN of several weightings."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender
from trials import Data, Fit, Recommend, run

NEIGHBOURS = {"cosine": CosineRecommender, "tf-idf": TFIDFRecommender, "bm25": BM25Recommender}


def build(name: str, settings: dict[str, Any], seed: int, threads: int) -> Any:
    """An unfitted model."""
    if name == "als":
        return AlternatingLeastSquares(num_threads=threads, random_state=seed, **settings)
    if name == "bpr":
        return BayesianPersonalizedRanking(num_threads=threads, random_state=seed, **settings)
    others = dict(settings)
    kind = others.pop("kind", "cosine")
    if kind != "bm25":
        others = {"K": others["K"]} if "K" in others else {}
    return NEIGHBOURS[kind](num_threads=threads, **others)


def make(data: Data, given: argparse.Namespace) -> Fit:
    """Fits by the settings of implicit."""
    matrix = data.matrix()

    def fit(settings: dict[str, Any], seed: int) -> Recommend:
        model = build(given.model, settings, seed, given.threads)
        model.fit(matrix, show_progress=False)

        def recommend(asked: np.ndarray, n: int) -> np.ndarray:
            return model.recommend(asked, matrix[asked], N=n, filter_already_liked_items=True)[0]

        return recommend

    return fit


if __name__ == "__main__":
    run(make, ("implicit", "numpy", "scipy"))
