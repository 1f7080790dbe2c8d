"""What the notebook does with fastai, cell by cell, in a process of its own. Run by the peer environment's Python."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import argparse  # noqa: E402
import json  # noqa: E402
import platform  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import fastai  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402
from fastai.collab import (  # noqa: E402
    Callback,
    CollabDataLoaders,
    Embedding,
    Learner,
    Module,
    MSELossFlat,
    collab_learner,
    get_emb_sz,
    nn,
    set_seed,
    sigmoid_range,
)
from notebook_data import mean_mse, merged_ratings  # noqa: E402

Y_RANGE = (0, 5.5)
LEARNING_RATE = 5e-3
FACTORS = 50


class DotProduct(Module):
    """The notebook's own, as it stands there."""

    def __init__(self, n_users: int, n_movies: int, n_factors: int) -> None:
        self.user_factors = Embedding(n_users, n_factors)
        self.movie_factors = Embedding(n_movies, n_factors)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        users = self.user_factors(x[:, 0])
        movies = self.movie_factors(x[:, 1])
        return (users * movies).sum(dim=1)


class CollabNN(Module):
    """The notebook's own, as it stands there."""

    def __init__(self, user_sz: Any, item_sz: Any, y_range: Any = Y_RANGE, n_act: int = 100) -> None:
        self.user_factors = Embedding(*user_sz)
        self.item_factors = Embedding(*item_sz)
        self.layers = nn.Sequential(nn.Linear(user_sz[1] + item_sz[1], n_act), nn.ReLU(), nn.Linear(n_act, 1))
        self.y_range = y_range

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        embs = self.user_factors(x[:, 0]), self.item_factors(x[:, 1])
        x = self.layers(torch.cat(embs, dim=1))
        return sigmoid_range(x, *self.y_range)


class EpochClock(Callback):
    """Wall time of each epoch, validation included, and a line about it."""

    order = 60  # after the Recorder

    def __init__(self, model: str) -> None:
        self.model = model
        self.seconds: list[float] = []

    def before_epoch(self) -> None:
        self.started = time.perf_counter()

    def after_epoch(self) -> None:
        self.seconds.append(time.perf_counter() - self.started)
        train, valid = self.recorder.values[-1]
        print(f"{self.model} epoch {self.epoch}: {train:.4f} {valid:.4f}, {self.seconds[-1]:.1f} s", flush=True)


def learners(dls: CollabDataLoaders) -> Iterator[tuple[str, Callable[[], Learner], dict[str, float]]]:
    """The four models in the notebook's order: name, how it is made, options of its fit."""
    n_users, n_movies = len(dls.classes["userId"]), len(dls.classes["title"])
    yield "dot", lambda: Learner(dls, DotProduct(n_users, n_movies, FACTORS), loss_func=MSELossFlat()), {}
    yield "mf", lambda: collab_learner(dls, n_factors=FACTORS, y_range=Y_RANGE), {"wd": 0.1}
    yield "mlp-100", lambda: Learner(dls, CollabNN(*get_emb_sz(dls)), loss_func=MSELossFlat()), {"wd": 0.01}
    yield "mlp-100-50", lambda: collab_learner(dls, use_nn=True, y_range=Y_RANGE, layers=[100, 50]), {"wd": 0.1}


def fit(name: str, make: Callable[[], Learner], epochs: int, options: dict[str, float]) -> dict[str, Any]:
    """Fit one model, without progress bar: drawing it would be counted against fastai."""
    learner, clock = make(), EpochClock(name)
    started = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, LEARNING_RATE, cbs=clock, **options)
    seconds = time.perf_counter() - started
    rows = zip(learner.recorder.values, clock.seconds, strict=True)
    table = [{"train_loss": float(t), "valid_loss": float(v), "seconds": s} for (t, v), s in rows]
    return {"epochs": table, "fit_seconds": seconds}


def main() -> None:
    imported = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__)
    for option, kind in (("data", Path), ("seed", int), ("epochs", int), ("out", Path)):
        parser.add_argument(f"--{option}", type=kind, required=True)
    parser.add_argument("--threads", type=int, help="torch's own choice when not given")
    given = parser.parse_args()
    if given.threads is not None:
        torch.set_num_threads(given.threads)

    set_seed(given.seed)
    ratings, lines = merged_ratings(given.data)
    dls = CollabDataLoaders.from_df(ratings, item_name="title", bs=64)
    prepared = time.perf_counter()
    train, valid = (part.items.index.to_numpy() for part in (dls.train_ds, dls.valid_ds))
    scores = ratings["rating"].to_numpy()
    result = {
        "versions": {
            "python": platform.python_version(),
            "fastai": fastai.__version__,
            "torch": torch.__version__,
            "pandas": pd.__version__,
        },
        "threads": torch.get_num_threads(),
        "default_threads": given.threads is None,
        "device": str(dls.device),
        "seconds": {"import": imported - STARTED, "data": prepared - imported},
        "train_lines": lines[train].tolist(),
        "valid_lines": lines[valid].tolist(),
        "mean_mse": mean_mse(scores[train], scores[valid]),
        "models": {name: fit(name, make, given.epochs, options) for name, make, options in learners(dls)},
    }
    given.out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
