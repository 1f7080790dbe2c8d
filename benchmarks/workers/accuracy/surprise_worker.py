"""scikit-surprise: one of its algorithms, by --model; unknown users and items are its own business."""

from __future__ import annotations

import time

STARTED = time.perf_counter()

import contextlib  # noqa: E402
import os  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import surprise  # noqa: E402
from split_files import Task, peak_bytes  # noqa: E402


def data_of(task: Task) -> Any:
    """Its data set is a list of tuples, then dictionaries of lists of tuples."""
    train = task.train
    scale = float(train.ratings.min()), float(train.ratings.max())
    columns = (column.tolist() for column in (train.user_rows, train.item_rows, train.ratings))
    raw = [(user, item, rating, None) for user, item, rating in zip(*columns, strict=True)]
    return surprise.Dataset(surprise.Reader(rating_scale=scale)).construct_trainset(raw)


def build(task: Task) -> Any:
    """The algorithm; those with random numbers are given the seed."""
    seeded = {"random_state": task.given.seed} if task.given.model.startswith("SVD") else {}
    return getattr(surprise, task.given.model)(**task.settings, **seeded)


def main() -> None:
    task = Task(STARTED)
    started = time.perf_counter()
    data = data_of(task)
    prepared = time.perf_counter()
    model = build(task)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):  # it tells what it computes
        model.fit(data)
    done, rss = time.perf_counter(), peak_bytes()
    pairs = zip(task.valid.user_rows.tolist(), task.valid.item_rows.tolist(), strict=True)
    predictions = np.array([model.predict(user, item).est for user, item in pairs])
    seconds = {"prepare": prepared - started, "fit": done - prepared, "predict": time.perf_counter() - done}
    task.tell(predictions, ("scikit-surprise", "numpy"), seconds=seconds, settings=task.settings, rss=rss)


if __name__ == "__main__":
    main()
