"""The ratings that all libraries are given: six arrays in a folder, and about.json.

    train_users.npy, train_items.npy  int32 (n,), rows 0, 1, 2, …
    train_ratings.npy                 float32 (n,)
    valid_users.npy, …                the same of what is held out

Every user and every item occurs in training: held-out ratings of others are left out and counted, because each
library has its own way with the unknown, and the comparison is about factorisation.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Columns = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]  # users, items, ratings
PARTS = ("users", "items", "ratings")

LARGE = 10_000_000
USERS_AT_LARGE, ITEMS_AT_LARGE = 100_000, 20_000
ITEM_GROWTH = 5  # times as many items for ten times as many ratings
ACTIVITY, POPULARITY = 0.6, 0.8  # exponents of the power laws
PLANTED_FACTORS = 8
NOISE = 0.6
BLOCK = 2_000_000  # ratings made at a time: what bounds the memory
SPARE = 1.5  # pairs drawn for each pair wanted; those drawn twice are dropped
HELD_OUT, MOST_HELD_OUT = 0.02, 200_000


@dataclass(frozen=True)
class Ready:
    """A folder of arrays.

    Attributes:
        folder: where they are.
        about: what about.json says: n_users, n_items, n_train, n_valid, n_left_out, scale, seed, title, kind.
    """

    folder: Path
    about: Mapping[str, Any]


def small(ratings_csv: Path, root: Path, seed: int, fraction: float = 0.2) -> Ready:
    """A random split of a ratings.csv of MovieLens, made once."""
    table = pl.read_csv(ratings_csv)
    users, items = (np.unique(table[name].to_numpy(), return_inverse=True)[1] for name in ("userId", "movieId"))
    columns = users.astype(np.int32), items.astype(np.int32), table["rating"].cast(pl.Float32).to_numpy()
    shuffled = np.random.default_rng(seed).permutation(len(table))
    held_out = np.zeros(len(table), bool)
    held_out[shuffled[: round(fraction * len(table))]] = True
    about = {"title": f"{ratings_csv.parent.name}, random {100 * fraction:g}% held out", "kind": "real", "seed": seed}
    return write(root / f"{ratings_csv.parent.name}-{len(table)}-{seed}", columns, held_out, about)


def synthetic(n_ratings: int, root: Path, seed: int) -> Ready:
    """Planted ratings, made once for each number and seed."""
    folder = root / f"synthetic-{n_ratings}-{seed}"
    found = load(folder)
    if found is not None:
        return found
    generator = np.random.default_rng(seed)
    blocks = list(planted_blocks(n_ratings, *sizes(n_ratings), generator))
    columns: Any = tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))
    del blocks
    held_out = generator.random(len(columns[2])) < min(HELD_OUT, MOST_HELD_OUT / n_ratings)
    return write(folder, columns, held_out, {"title": "synthetic", "kind": "synthetic", "seed": seed})


def sizes(n_ratings: int) -> tuple[int, int]:
    """Users and items for a number of ratings: a hundred ratings a user, items grow more slowly."""
    items = ITEMS_AT_LARGE * ITEM_GROWTH ** log10(n_ratings / LARGE)
    return max(round(n_ratings * USERS_AT_LARGE / LARGE), 20), max(round(items), 20)


# --- synthetic ratings --------------------------------------------------------------------------------


def planted_blocks(n_ratings: int, n_users: int, n_items: int, generator: np.random.Generator) -> Iterator[Columns]:
    """Low-rank ratings as `penchant.data.synthetic.planted` makes them, a block of users at a time.

    Pairs are distinct, and sorted by user and item. A busy user may get fewer than meant where popular items were
    drawn twice, so the number comes out a little below n_ratings.
    """
    quotas = activity(n_ratings, n_users, n_items, generator)
    places = generator.permutation(n_items)  # item row of each rank of popularity
    scale = np.float32(0.5 / np.sqrt(PLANTED_FACTORS))
    user_factors = generator.standard_normal((n_users, PLANTED_FACTORS), np.float32)
    item_factors = generator.standard_normal((n_items, PLANTED_FACTORS), np.float32) * scale
    user_biases, item_biases = (0.4 * generator.standard_normal(n, np.float32) for n in (n_users, n_items))
    ends = np.cumsum(quotas)
    first = 0
    while first < n_users:
        before = ends[first - 1] if first else 0
        after = max(int(np.searchsorted(ends, before + BLOCK, side="right")), first + 1)
        users, items = distinct_pairs(np.arange(first, after), quotas[first:after], places, generator)
        ratings = np.einsum("nf,nf->n", user_factors[users], item_factors[items])
        ratings += np.float32(3.5) + user_biases[users] + item_biases[items]
        ratings += np.float32(NOISE) * generator.standard_normal(len(users), np.float32)
        yield users, items, np.clip(np.round(ratings * 2) / 2, 0.5, 5.0)
        first = after


def activity(n_ratings: int, n_users: int, n_items: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """How many ratings each user is to have: a power law, at least one, at most a quarter of the items."""
    weights = generator.permutation(np.arange(1, n_users + 1) ** -ACTIVITY)
    wanted = np.zeros(n_users)
    for _ in range(8):  # what the cap cuts off goes to the others
        free = wanted < n_items / 4
        wanted[free] *= 0
        left = n_ratings - wanted.sum()
        wanted[free] = np.minimum(left * weights[free] / weights[free].sum(), n_items / 4)
    return np.maximum(np.round(wanted), 1).astype(np.int64)


def distinct_pairs(
    users: NDArray[np.int64], quotas: NDArray[np.int64], places: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For some users, items drawn by popularity, none twice for the same user."""
    n_items = len(places)
    drawn = np.repeat(users, np.ceil(SPARE * quotas).astype(np.int64))
    # The inverse of the distribution function of a power law with an exponent below 1.
    ranks = (n_items * generator.random(len(drawn)) ** (1 / (1 - POPULARITY))).astype(np.int64)
    pairs = np.unique(drawn * n_items + places[ranks])
    surplus = len(pairs) - int(quotas.sum())
    if surplus > 0:
        kept = np.ones(len(pairs), bool)
        kept[generator.choice(len(pairs), surplus, replace=False, shuffle=False)] = False
        pairs = pairs[kept]
    return (pairs // n_items).astype(np.int32), (pairs % n_items).astype(np.int32)


# --- files --------------------------------------------------------------------------------------------


def write(folder: Path, columns: Columns, held_out: NDArray[np.bool_], about: Mapping[str, Any]) -> Ready:
    """Both parts as arrays, with rows that all occur in training; the folder appears only when it is complete."""
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    train = ~held_out
    users, n_users, known_users = _renumbered(columns[0], train)
    items, n_items, known_items = _renumbered(columns[1], train)
    valid = held_out & known_users & known_items
    for part, chosen in (("train", train), ("valid", valid)):
        for name, column in zip(PARTS, (users, items, columns[2]), strict=True):
            np.save(unfinished / f"{part}_{name}.npy", column[chosen])
    ratings = columns[2][train]
    found = {
        **about,
        "n_users": n_users,
        "n_items": n_items,
        "n_train": len(ratings),
        "n_valid": int(valid.sum()),
        "n_left_out": int(held_out.sum() - valid.sum()),
        "scale": [float(ratings.min()), float(ratings.max())],
    }
    (unfinished / "about.json").write_text(json.dumps(found), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return Ready(folder, found)


def load(folder: Path) -> Ready | None:
    """A folder that was written before, or None."""
    about = folder / "about.json"
    return Ready(folder, json.loads(about.read_text(encoding="utf-8"))) if about.is_file() else None


def _renumbered(rows: NDArray[np.int32], train: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int, NDArray[np.bool_]]:
    """Rows without gaps, how many there are, and whether each one occurs in training."""
    occurs = np.zeros(int(rows.max()) + 1, bool)
    occurs[rows[train]] = True
    new = (np.cumsum(occurs) - 1).astype(np.int32)
    return new[rows], int(occurs.sum()), occurs[rows]
