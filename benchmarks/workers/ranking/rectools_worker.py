"""RecTools: EASE, its own model that needs no torch; its ALS and its item kNN are implicit's."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import EASEModel
from trials import Data, Fit, Recommend, from_columns, run


def make(data: Data, given: argparse.Namespace) -> Fit:
    """Fits by the settings of RecTools."""
    frame = data.frame(user=Columns.User, item=Columns.Item)
    frame[Columns.Weight] = 1.0
    frame[Columns.Datetime] = "2000-01-01"
    dataset = Dataset.construct(frame)

    def fit(settings: dict[str, Any], seed: int) -> Recommend:
        del seed  # nothing is random
        model = EASEModel(recommend_n_threads=given.threads, **settings)
        model.fit(dataset)

        def recommend(asked: np.ndarray, n: int) -> np.ndarray:
            table = model.recommend(asked, dataset, k=n, filter_viewed=True)
            return from_columns(table[Columns.User].to_numpy(), table[Columns.Item].to_numpy(), asked, n)

        return recommend

    return fit


if __name__ == "__main__":
    run(make, ("RecTools", "numpy", "scipy", "pandas"))
