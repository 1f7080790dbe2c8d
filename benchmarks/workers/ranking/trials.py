"""What the scripts of the ranking benchmark have in common: positives in, a fit for each trial, lists out.

--data FOLDER     starts.npy, items.npy (training positives of user row after user row), asked.npy, about.json
--trials FILE     JSON: a list of settings, one fit each
--lists FILE      is written: int32 (trials, asked, n), item rows of each asked user's list, -1 where it is shorter
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; of ru_maxrss


class Data:
    """The positives to learn from, and the users whose lists are wanted.

    starts is int64 (n_users + 1,), items int32 (n,), asked int32 (m,); every user has at least one positive.
    """

    def __init__(self, folder: Path) -> None:
        self.starts = np.load(folder / "starts.npy")
        self.items = np.load(folder / "items.npy")
        self.asked = np.load(folder / "asked.npy")
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        self.n_users, self.n_items = int(about["n_users"]), int(about["n_items"])

    @property
    def users(self) -> np.ndarray:
        """The user row of each positive, int32 (n,)."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.starts))

    def matrix(self) -> Any:
        """1 where a user took an item, float32 (n_users, n_items), as scipy's compressed sparse rows."""
        from scipy.sparse import csr_matrix

        shape = self.n_users, self.n_items
        return csr_matrix((np.ones(len(self.items), np.float32), self.items, self.starts), shape)

    def frame(self, **names: str) -> Any:
        """User and item of each positive as a pandas frame, by the names that a library wants."""
        import pandas as pd

        return pd.DataFrame({names["user"]: self.users, names["item"]: self.items})


Recommend = Callable[[np.ndarray, int], np.ndarray]
Fit = Callable[[dict[str, Any], int], Recommend]


def run(make: Callable[[Data, argparse.Namespace], Fit], packages: tuple[str, ...]) -> None:
    """Fit all trials one after the other, and write their lists.

    Args:
        make: is given the data and the options; returns what fits settings with a seed, and that what recommends n
            items to each of some users, without those that they took.
    """
    parser = argparse.ArgumentParser()
    for name in ("data", "trials", "lists", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("n", "seed", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--model", required=True)
    given = parser.parse_args()
    data = Data(given.data)
    fit = make(data, given)
    lists, found = [], []
    for settings in json.loads(given.trials.read_text(encoding="utf-8")):
        started = time.perf_counter()
        recommend = fit(settings, given.seed)
        fitted = time.perf_counter()
        lists.append(filled(recommend(data.asked, given.n), given.n))
        found.append({"fit": fitted - started, "recommend": time.perf_counter() - fitted})
        print(f"{settings}: {found[-1]['fit']:.2f} s", flush=True)
    np.save(given.lists, np.stack(lists).astype(np.int32))
    result = {
        "seconds": found,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
    }
    given.out.write_text(json.dumps(result), encoding="utf-8")


def filled(rows: np.ndarray, n: int) -> np.ndarray:
    """Lists of n, filled up with -1."""
    full = np.full((len(rows), n), -1, np.int32)
    full[:, : rows.shape[1]] = rows[:, :n]
    return full


def from_columns(users: np.ndarray, items: np.ndarray, asked: np.ndarray, n: int) -> np.ndarray:
    """Lists out of long columns, in which the items of a user stand in their order."""
    places = {int(user): place for place, user in enumerate(asked)}
    full, counts = np.full((len(asked), n), -1, np.int32), np.zeros(len(asked), np.int64)
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        place = places[user]
        full[place, counts[place]] = item
        counts[place] += 1
    return full
