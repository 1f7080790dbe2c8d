"""Fit one penchant model on a split, in a fresh process. Run by the Python that has penchant."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import importlib  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402
from split_files import Part, Task, peak_bytes  # noqa: E402

from penchant import job  # noqa: E402
from penchant.data.context import Context  # noqa: E402
from penchant.data.interactions import Interactions  # noqa: E402
from penchant.data.split import split_none  # noqa: E402
from penchant.data.vocabulary import Vocabulary  # noqa: E402
from penchant.intervals import has_intervals  # noqa: E402
from penchant.serving.recommender import Recommender  # noqa: E402

LEVELS = (0.5, 0.8, 0.9, 0.95)
# What a model loads when it is first fitted; loaded before the clock of the fit starts, as others' libraries are.
ENGINES = {"mf": "penchant.kernels.sgd", "mlp": "penchant.kernels.network", "bayes": "penchant.kernels.gibbs"}


def interactions(part: Part, sizes: tuple[int, int], tables: dict[str, pl.DataFrame | None]) -> Interactions:
    """A part; users and items are known by their rows, of which the tables may have more."""
    n_users, n_items = sizes
    users, items = tables["user"], tables["item"]
    return Interactions(
        users=Vocabulary(pl.Series("user", np.arange(n_users)), "user"),
        items=Vocabulary(pl.Series("item", np.arange(n_items)), "item"),
        user_rows=part.user_rows,
        item_rows=part.item_rows,
        ratings=part.ratings,
        times=part.times,
        user_table=None if users is None else users.head(n_users),
        item_table=None if items is None else items.head(n_items),
        source="the split",
    )


def both_parts(task: Task) -> tuple[Interactions, Interactions]:
    """Training and validation part."""
    tables = {side: _table(task.folder / f"{side}s.parquet") for side in ("user", "item")}
    trained = task.about["n_users"], task.about["n_items"]
    sides = task.about.get("sides")
    everybody = (sides["user"]["all"], sides["item"]["all"]) if sides else trained
    return interactions(task.train, trained, tables), interactions(task.valid, everybody, tables)


def _table(path: Path) -> pl.DataFrame | None:
    return pl.read_parquet(path) if path.is_file() else None


def covered(recommender: Recommender, valid: Interactions) -> dict[str, Any] | None:
    """How many held-out ratings lie in the model's intervals, or None if it has none without calibration."""
    if not has_intervals(recommender.model, recommender.conformal):
        return None
    return recommender.coverage(valid, LEVELS).to_json()


def main() -> None:
    task = Task(STARTED)
    if task.given.model in ENGINES:
        importlib.import_module(ENGINES[task.given.model])
    started = time.perf_counter()
    train, valid = both_parts(task)
    split = split_none(train)
    prepared = time.perf_counter()
    how = {"seed": task.given.seed, "threads": task.given.threads, **task.settings}
    recommender = job.fit(split, task.given.model, **how)
    rss = peak_bytes()
    assert recommender.log is not None
    predicting = time.perf_counter()
    rows = valid.rows_in(recommender.users, recommender.items)
    predictions = recommender.model.predict(*rows, Context.of(valid, *rows))
    predicted = time.perf_counter()
    report = recommender.evaluate(valid)
    task.tell(
        predictions,
        ("penchant", "numpy", "numba"),
        seconds={
            "prepare": prepared - started,
            "fit": recommender.log.fit_seconds,
            "predict": predicted - predicting,
        },
        epoch_seconds=[epoch.seconds for epoch in recommender.log.epochs],
        settings=recommender.model.settings.to_json(),
        mse_interval=list(report.intervals["mse"]),
        coverage=covered(recommender, valid),
        rss=rss,
    )


if __name__ == "__main__":
    main()
