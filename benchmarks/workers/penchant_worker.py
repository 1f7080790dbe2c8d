"""Fit one penchant model on given lines of ratings.csv, in a fresh process. Run by the Python that has penchant."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import argparse  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402

from penchant.data.interactions import Interactions  # noqa: E402
from penchant.data.split import Split, split_file  # noqa: E402
from penchant.data.vocabulary import Vocabulary  # noqa: E402
from penchant.models import build  # noqa: E402
from penchant.models.fitting import FitLog, FitOptions  # noqa: E402

# What a model loads when it is first fitted; loaded before the clock of the fit starts, as fastai is.
ENGINES = {"dot": "penchant.kernels.sgd", "mf": "penchant.kernels.sgd", "mlp": "penchant.kernels.network"}


def read_all(folder: Path) -> Interactions:
    """Every line of ratings.csv, the title as item.

    `read_ratings` would do, but it keeps one rating for each pair of a user and an item, and a few films share
    their title. fastai is given all of them, and so is penchant here.
    """
    ratings = pl.read_csv(folder / "ratings.csv")
    titles = pl.read_csv(folder / "movies.csv").select("movieId", "title")
    ratings = ratings.join(titles, on="movieId", how="left", maintain_order="left")
    users, items = Vocabulary.from_ids(ratings["userId"], "user"), Vocabulary.from_ids(ratings["title"], "item")
    return Interactions(
        users=users,
        items=items,
        user_rows=users.rows(ratings["userId"]),
        item_rows=items.rows(ratings["title"]),
        ratings=ratings["rating"].cast(pl.Float32).to_numpy(),
        times=ratings["timestamp"].cast(pl.Int64).to_numpy(),
        source="ratings.csv",
    )


def split_by_lines(everything: Interactions, chosen: dict[str, list[int]]) -> Split:
    """The given split; the lines of each part in the order of the file."""
    train, valid = (everything.take(np.sort(np.array(chosen[part]))) for part in ("train_lines", "valid_lines"))
    return split_file(train.compact(), valid)


def repeated_pairs(everything: Interactions) -> int:
    """Ratings beyond the first of the same user and title."""
    pairs = everything.user_rows.astype(np.int64) * everything.n_items + everything.item_rows
    return len(pairs) - len(np.unique(pairs))


def mean_mse(split: Split) -> float:
    """The validation error of always predicting the training mean: tells two splits apart."""
    assert split.valid is not None
    mean = split.train.ratings.mean(dtype=np.float64)
    return float(np.mean((split.valid.ratings.astype(np.float64) - mean) ** 2))


def fit(model_name: str, settings: dict[str, Any], seed: int, split: Split) -> dict[str, Any]:
    """Fit twice: the first of a process also loads what is loaded late, the second shows what learning takes."""
    log, seconds = timed_fit(model_name, settings, seed, split)
    _, again = timed_fit(model_name, settings, seed, split)
    epochs = [
        {"train_loss": one.train_loss, "valid_loss": one.valid_loss, "seconds": one.seconds} for one in log.epochs
    ]
    return {"epochs": epochs, "fit_seconds": seconds, "fit_again_seconds": again}


def timed_fit(model_name: str, settings: dict[str, Any], seed: int, split: Split) -> tuple[FitLog, float]:
    """One fit and its wall time."""
    model = build(model_name, **settings)
    started = time.perf_counter()
    log = model.fit(split, FitOptions(seed=seed))
    return log, time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for option, kind in (("data", Path), ("split", Path), ("model", str), ("settings", json.loads), ("seed", int)):
        parser.add_argument(f"--{option}", type=kind, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()

    if given.model in ENGINES:
        importlib.import_module(ENGINES[given.model])
    imported = time.perf_counter()
    everything = read_all(given.data)
    split = split_by_lines(everything, json.loads(given.split.read_text(encoding="utf-8")))
    prepared = time.perf_counter()
    result = {
        "seconds": {"import": imported - STARTED, "data": prepared - imported},
        "n_train": len(split.train),
        "n_valid": len(split.valid or ()),
        "n_unknown": split.n_unknown,
        "repeated_pairs": repeated_pairs(everything),
        "mean_mse": mean_mse(split),
        **fit(given.model, given.settings, given.seed, split),
    }
    given.out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
