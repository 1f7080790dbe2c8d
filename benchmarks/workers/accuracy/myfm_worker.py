"""myFM: a factorisation machine by Gibbs sampling, with the features that penchant's bayes has by default, or with ids.

Users and items are one block each, and so are users' days and months: a row of features is stored once, and ratings
point to it. Sets (items rated, raters, genres, …) are divided by the root of their size. Whatever is not in training,
a new item's id or a day without training ratings, is a row without that feature; its other features are given.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()

from collections.abc import Sequence  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from myfm import MyFMRegressor, RelationBlock  # noqa: E402
from scipy.sparse import csr_matrix, hstack  # noqa: E402
from split_files import Part, Task, peak_bytes  # noqa: E402

SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Block:
    """Rows of features, those of training first, and which row each rating has."""

    features: csr_matrix
    shapes: Sequence[int]  # of groups of features
    n_train: int  # rows
    train: np.ndarray
    valid: np.ndarray

    def relations(self) -> tuple[RelationBlock, RelationBlock]:
        """For training and for prediction."""
        trained = RelationBlock(self.train.tolist(), self.features[: self.n_train])
        return trained, RelationBlock(self.valid.tolist(), self.features)


def identity(n_train: int, n_all: int) -> csr_matrix:
    """A feature of its own for each row of training, none for others."""
    own = np.arange(n_train)
    return csr_matrix((np.ones(n_train), (own, own)), shape=(n_all, n_train))


def sets(rows: np.ndarray, members: np.ndarray, shape: tuple[int, int]) -> csr_matrix:
    """Members of the set of each row, divided by the root of its size."""
    sizes = np.bincount(rows, minlength=shape[0])
    return csr_matrix((1 / np.sqrt(sizes[rows]), (rows, members)), shape=shape)


def of_side(task: Task, side: str) -> Block:
    """The block of users, or of items."""
    here, there = ("user", "item") if side == "user" else ("item", "user")
    sizes = task.about["sides"][here]
    n_train, n_all = sizes["train"], sizes["all"]
    parts, rows = [identity(n_train, n_all)], {name: _rows(task.train, name) for name in (here, there)}
    if task.settings["history"]:
        shape = (n_all, task.about["sides"][there]["train"])
        parts.append(sets(rows[here], rows[there], shape))
    if task.settings["tables"]:
        with np.load(task.folder / "features.npz") as arrays:
            for number, (_, n) in enumerate(sizes["features"]):
                entries = (arrays[f"{here}/{number}/{what}"] for what in ("rows", "members"))
                parts.append(sets(*entries, (n_all, n)))
    features = csr_matrix(hstack(parts))
    return Block(features, [part.shape[1] for part in parts], n_train, rows[here], _rows(task.valid, here))


def _rows(part: Part, side: str) -> np.ndarray:
    return part.user_rows if side == "user" else part.item_rows


def of_keys(train: np.ndarray, valid: np.ndarray) -> Block:
    """A feature for each key that occurs in training; one more row, without any, for other keys."""
    known, rows = np.unique(train, return_inverse=True)
    places = np.minimum(np.searchsorted(known, valid), len(known) - 1)
    found = np.where(known[places] == valid, places, len(known))
    return Block(identity(len(known), len(known) + 1), [len(known)], len(known), rows, found)


def months(part: Part) -> np.ndarray:
    """Months since 1970."""
    assert part.times is not None
    return part.times.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)


def days(part: Part) -> np.ndarray:
    """A number for each user and day."""
    assert part.times is not None
    return (part.user_rows.astype(np.int64) << 32) + part.times // SECONDS_A_DAY


def blocks(task: Task) -> list[Block]:
    """All that are asked for."""
    found = [of_side(task, "user"), of_side(task, "item")]
    for name, keys in (("months", months), ("days", days)):
        if task.settings[name]:
            found.append(of_keys(keys(task.train), keys(task.valid)))
    return found


def fitted(task: Task, relations: list[RelationBlock], shapes: list[int]) -> Any:
    """The sampler, run."""
    model = MyFMRegressor(task.settings["factors"], random_seed=task.given.seed)
    sweeps = {"n_iter": task.settings["sweeps"], "n_kept_samples": task.settings["kept"]}
    ratings = task.train.ratings.astype(np.float64)
    return model.fit(None, ratings, X_rel=relations, group_shapes=shapes, **sweeps)


def main() -> None:
    task = Task(STARTED)
    started = time.perf_counter()
    found = blocks(task)
    pairs = [block.relations() for block in found]
    prepared = time.perf_counter()
    model = fitted(task, [trained for trained, _ in pairs], [n for block in found for n in block.shapes])
    done, rss = time.perf_counter(), peak_bytes()
    predictions = model.predict(None, [asked for _, asked in pairs])
    seconds = {"prepare": prepared - started, "fit": done - prepared, "predict": time.perf_counter() - done}
    task.tell(predictions, ("myfm", "numpy", "scipy"), seconds=seconds, settings=task.settings, rss=rss)


if __name__ == "__main__":
    main()
