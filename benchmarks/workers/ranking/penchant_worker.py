"""penchant's models, fitted and asked for lists in a fresh process. Run by the Python that has penchant."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import polars as pl
from trials import Data, Fit, Recommend, run

from penchant.data.interactions import Interactions
from penchant.data.split import split_none
from penchant.data.vocabulary import Vocabulary
from penchant.models import build
from penchant.models.fitting import FitOptions
from penchant.ranking import best_columns

USERS_A_TIME = 1_000


def interactions(data: Data) -> Interactions:
    """The positives; users and items are known by their rows."""
    return Interactions(
        users=Vocabulary(pl.Series("user", np.arange(data.n_users)), "user"),
        items=Vocabulary(pl.Series("item", np.arange(data.n_items)), "item"),
        user_rows=data.users,
        item_rows=data.items,
        ratings=np.ones(len(data.items), np.float32),
        source="the split",
        is_implicit=True,
    )


def make(data: Data, given: argparse.Namespace) -> Fit:
    """Fits by the settings of penchant."""
    split = split_none(interactions(data))

    def fit(settings: dict[str, Any], seed: int) -> Recommend:
        model = build(given.model, **settings)
        model.fit(split, FitOptions(seed=seed, threads=given.threads))

        def recommend(asked: np.ndarray, n: int) -> np.ndarray:
            parts = [asked[at : at + USERS_A_TIME] for at in range(0, len(asked), USERS_A_TIME)]
            return np.concatenate([of_some(part, n) for part in parts])

        def of_some(asked: np.ndarray, n: int) -> np.ndarray:
            taken = [data.items[data.starts[user] : data.starts[user + 1]] for user in asked]
            starts = np.concatenate(([0], np.cumsum([len(items) for items in taken]))).astype(np.int64)
            scores = model.scores_of(model.user_vectors(asked))
            return best_columns(scores, starts, np.concatenate(taken), n)

        return recommend

    return fit


if __name__ == "__main__":
    run(make, ("penchant", "numpy", "numba"))
