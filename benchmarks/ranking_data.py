"""The splits of positives that the ranking benchmark gives to all libraries: a folder of arrays each, made once.

starts.npy, items.npy   training positives: item rows of user row after user row
asked.npy               users with something held out, whose lists are wanted
held_out_starts.npy, held_out_items.npy   what was held out of the asked users, one after the other; -1 is an item
                        that nobody has in training, and no library can find
about.json              sizes
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kept import digest
from numpy.typing import NDArray

from penchant.data.interactions import Interactions, stable_order
from penchant.data.read import read_ratings
from penchant.data.split import Split, split_random

FRACTION = 0.2
POSITIVE_FROM = 4.0
SOURCES = (Path(__file__),)


@dataclass(frozen=True)
class Lists:
    """A split in files.

    Attributes:
        folder: where they are.
        about: what about.json says.
        asked: int32 (m,), the users that are measured.
        starts: int64 (m + 1,), and item_rows int32: what was held out of each.
    """

    folder: Path
    about: Mapping[str, Any]
    asked: NDArray[np.int32]
    starts: NDArray[np.int64]
    item_rows: NDArray[np.int32]

    @classmethod
    def load(cls, folder: Path) -> Lists:
        """A folder that was written before."""
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        names = ("asked", "held_out_starts", "held_out_items")
        return cls(folder, about, *(np.load(folder / f"{name}.npy") for name in names))


def splits(folder: Path, root: Path, seed: int) -> tuple[Lists, Lists]:
    """A fifth of the positives held out at random, and within the training part a fifth again, to tune on."""
    made_of = digest((), [*SOURCES, *sorted(path for path in folder.iterdir() if path.is_file())])
    names = [root / f"{folder.name}-{seed}-{part}-{made_of}" for part in ("test", "tune")]
    if not all((name / "about.json").is_file() for name in names):
        outer = split_random(read_ratings(folder, positive_from=POSITIVE_FROM), FRACTION, seed)
        inner = split_random(outer.train, FRACTION, seed + 1000)
        for name, split in zip(names, (outer, inner), strict=True):
            write(name, split, {"title": folder.name, "seed": seed})
    test, tune = (Lists.load(name) for name in names)
    return test, tune


def write(folder: Path, split: Split, about: Mapping[str, Any]) -> None:
    """Both parts as arrays; the folder appears only when it is complete."""
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    train, users, items = split.train, split.valid_user_rows, split.valid_item_rows
    known = users >= 0  # somebody without a positive in training cannot be asked of every library
    asked, owners = np.unique(users[known], return_inverse=True)
    order = np.argsort(owners, kind="stable")
    save(unfinished, "asked", asked.astype(np.int32))
    save(unfinished, "held_out_starts", starts_of(owners, len(asked)))
    save(unfinished, "held_out_items", items[known][order].astype(np.int32))
    save(unfinished, "starts", starts_of(train.user_rows, train.n_users))
    save(unfinished, "items", by_user(train))
    sizes = {"n_users": train.n_users, "n_items": train.n_items, "n_train": len(train), "n_asked": len(asked)}
    counts = {"n_held_out": int(known.sum()), "n_unknown_items": int((items[known] < 0).sum())}
    (unfinished / "about.json").write_text(json.dumps({**about, **sizes, **counts}), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.replace(folder)


def by_user(train: Interactions) -> NDArray[np.int32]:
    """Item rows of user after user, ascending."""
    order = stable_order(train.item_rows)
    order = np.take(order, stable_order(np.take(train.user_rows, order)))
    return np.take(train.item_rows, order)


def starts_of(owners: NDArray[Any], n: int) -> NDArray[np.int64]:
    """Where the entries of each owner start, (n + 1,)."""
    return np.concatenate(([0], np.cumsum(np.bincount(owners, minlength=n)))).astype(np.int64)


def save(folder: Path, name: str, array: NDArray[Any]) -> None:
    """One array."""
    np.save(folder / f"{name}.npy", array)
