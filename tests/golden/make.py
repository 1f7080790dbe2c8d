"""Makes golden artifacts: python tests/golden/make.py MODEL …. Only for a new format; those of old formats stay.

They are what every later version must still read. test_artifact.py has the scores that they must give.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from penchant.data.interactions import Interactions
from penchant.data.split import split_random
from penchant.data.synthetic import checkerboard
from penchant.data.vocabulary import Vocabulary
from penchant.models import build
from penchant.models.fitting import FitOptions
from penchant.serving.recommender import Recommender

HERE = Path(__file__).parent
MODELS = {
    "mf": build("mf", factors=2, epochs=30, learning_rate=0.3),
    "mlp": build(
        "mlp", layers=(4, 3), epochs=20, batch_size=8, embedding_rate=0.3, embedding_dropout=0, rating_range=(0, 6)
    ),
    "bayes": build("bayes", factors=2, chains=2, sweeps=40, burn_in=10, averaged_factors=6, samples=4),
}


def named_board() -> Interactions:
    """Six users, eight items with names and a table; users are strings, items integers."""
    board = checkerboard(6, 8)
    return replace(
        board,
        users=Vocabulary(pl.Series([f"user {letter}" for letter in "abcdef"]), "user"),
        item_names=pl.Series([f"Film {n} (19{90 + n})" for n in range(7)] + ["Amélie"]),
        item_table=pl.DataFrame({"genre": ["drama", None] * 4, "year": pl.Series(range(1990, 1998), dtype=pl.Int32)}),
        times=np.arange(len(board), dtype=np.int64) * 30_000,
        source="golden",
    )


def main(names: list[str]) -> None:
    """Write tests/golden/MODEL-format-1."""
    split = split_random(named_board(), 0.2, seed=1)
    for name, model in ((name, MODELS[name]) for name in names):
        log = model.fit(split, FitOptions(seed=1))
        folder = Recommender.of(model, split, log, {"data": {"source": "golden"}}).save(HERE / f"{name}-format-1")
        print(folder, model.scores(np.arange(2, dtype=np.int32)).round(7).tolist())


if __name__ == "__main__":
    main(sys.argv[1:])
