"""The splits that the accuracy benchmark gives to all libraries: a folder of arrays each, made once.

    train_users.npy, train_items.npy  int32 (n,), rows 0, 1, 2, …
    train_ratings.npy, train_times.npy  float32 and int64 (n,)
    valid_users.npy, …                the same of what is held out
    users.parquet, items.parquet      what is known of them, row by row; for penchant, where there is something
    features.npz                      the same as sets: user/0/rows, user/0/members, item/0/rows, …; for others
    about.json                        sizes, names of features, checksums

Users and items of the training part have the first rows; those who only occur in the held-out part follow.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from kept import digest
from numpy.typing import NDArray
from speed_data import Ready, load

from penchant.data import features as feature_source
from penchant.data.features import find_features
from penchant.data.interactions import Interactions
from penchant.data.read import read_ratings

HELD_OUT = 0.2
SOURCES = (Path(__file__), Path(feature_source.__file__))  # what the arrays depend on beside the data


# --- MovieLens latest small, as the notebook splits it ------------------------------------------------


def notebook_split(data: Path, root: Path, seed: int) -> Ready:
    """The fifth of ml-latest-small that fastai holds out after set_seed(seed); the title is the item."""
    made_of = digest((), [*SOURCES, data / "ratings.csv", data / "movies.csv"])
    folder = root / f"small-{seed}-{made_of}"
    found = load(folder)
    if found is not None:
        return found
    everything = every_line(data)
    train, valid = held_out_lines(len(everything), seed)
    about = {
        "title": f"{data.name}, item = title, random 80/20, seed {seed}",
        "seed": seed,
        "lines": {"train": digest_lines(train), "valid": digest_lines(valid)},
    }
    parts = (everything.take(np.sort(lines)) for lines in (train, valid))
    return write(folder, *parts, about)


def every_line(data: Path) -> Interactions:
    """Every rating, also the few by one user of two films that share their title, which `read_ratings` would merge."""
    merged = read_ratings(data, item="title")
    ratings = pl.read_csv(data / "ratings.csv")
    titles = pl.read_csv(data / "movies.csv").select("movieId", pl.col("title").str.strip_chars())
    ratings = ratings.join(titles, on="movieId", how="left", maintain_order="left")
    return replace(
        merged,
        user_rows=merged.users.rows(ratings["userId"]),
        item_rows=merged.items.rows(ratings["title"]),
        ratings=ratings["rating"].cast(pl.Float32).to_numpy(),
        times=ratings["timestamp"].cast(pl.Int64).to_numpy(),
    )


def held_out_lines(n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lines to train and to validate on: fastai's RandomSplitter after set_seed(seed)."""
    import torch

    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()
    cut = int(HELD_OUT * n)
    return order[cut:], order[:cut]


def digest_lines(lines: Sequence[int] | NDArray[np.int64]) -> str:
    """A checksum of a set of lines, as the notebook's benchmark has it."""
    return hashlib.sha256(json.dumps(sorted(int(line) for line in lines)).encode()).hexdigest()


# --- MovieLens 100K, as its publisher splits it -------------------------------------------------------


def canonical_split(data: Path, root: Path, fold: int) -> Ready:
    """u1.base and u1.test, …, with the tables of films and people beside them."""
    names = [f"u{fold}.base", f"u{fold}.test", "u.item", "u.user"]
    folder = root / f"100k-{fold}-{digest((), [*SOURCES, *(data / name for name in names)])}"
    found = load(folder)
    if found is not None:
        return found
    everybody = read_ratings(data)
    train, valid = (described(read_ratings(data / name), everybody) for name in names[:2])
    return write(folder, train, valid, {"title": f"{data.name}, u{fold}", "seed": fold})


def described(ratings: Interactions, everybody: Interactions) -> Interactions:
    """Ratings with the rows of the tables that belong to their users and items."""
    users, items = everybody.users.rows(ratings.users.ids), everybody.items.rows(ratings.items.ids)
    assert everybody.user_table is not None
    assert everybody.item_table is not None
    tables = {"user_table": everybody.user_table[users], "item_table": everybody.item_table[items]}
    return replace(ratings, **tables)


# --- files --------------------------------------------------------------------------------------------


def write(folder: Path, train: Interactions, valid: Interactions, about: Mapping[str, Any]) -> Ready:
    """Both parts as arrays; the folder appears only when it is complete."""
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    train = train.compact()
    known = valid.rows_in(train.users, train.items)
    sides: dict[str, Any] = {}
    sets: dict[str, NDArray[np.int32]] = {}
    valid_rows = []
    for side, theirs, own, n, tables in (
        ("user", known[0], valid.user_rows, train.n_users, (train.user_table, valid.user_table)),
        ("item", known[1], valid.item_rows, train.n_items, (train.item_table, valid.item_table)),
    ):
        rows, table = number_all(theirs, own, n, tables)
        valid_rows.append(rows)
        names, found = feature_sets(side, tables[0], table)
        sides[side] = {"train": n, "all": max(n, int(rows.max(initial=-1)) + 1), "features": names}
        sets |= found
        if table is not None:
            table.write_parquet(unfinished / f"{side}s.parquet")
    np.savez(unfinished / "features.npz", **sets)
    save_part(unfinished, "train", (train.user_rows, train.item_rows, train.ratings, train.times))
    save_part(unfinished, "valid", (*valid_rows, valid.ratings, valid.times))
    facts = {"n_train": len(train), "n_valid": len(valid), "n_unknown": int(((known[0] < 0) | (known[1] < 0)).sum())}
    sizes = {"n_users": train.n_users, "n_items": train.n_items, "sides": sides, "scale": list(train.scale)}
    (unfinished / "about.json").write_text(json.dumps({**about, **facts, **sizes}), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.replace(folder)
    found_again = load(folder)
    assert found_again is not None
    return found_again


def save_part(folder: Path, part: str, columns: Sequence[NDArray[Any] | None]) -> None:
    """The columns of one part, times only where there are some."""
    for name, column in zip(("users", "items", "ratings", "times"), columns, strict=True):
        if column is not None:
            np.save(folder / f"{part}_{name}.npy", column)


def number_all(
    known: NDArray[np.int32],
    own: NDArray[np.int32],
    n_train: int,
    tables: tuple[pl.DataFrame | None, pl.DataFrame | None],
) -> tuple[NDArray[np.int32], pl.DataFrame | None]:
    """Rows of held-out ratings, with those not in training after those in training, and the table of all.

    Args:
        known: rows in training, -1 for none.
        own: rows in the held-out part's vocabulary and table.
        tables: of training and of the held-out part.
    """
    unknown = known < 0
    kept, numbers = np.unique(own[unknown], return_inverse=True)
    rows = known.copy()
    rows[unknown] = n_train + numbers
    of_train, of_valid = tables
    if of_train is None or of_valid is None:
        return rows, of_train
    return rows, pl.concat([of_train, of_valid[kept.astype(np.uint32)]])


def feature_sets(
    side: str, of_train: pl.DataFrame | None, of_all: pl.DataFrame | None
) -> tuple[list[list[Any]], dict[str, NDArray[np.int32]]]:
    """The features that penchant finds in the training part's table, as [name, members] and as sets of all rows."""
    found = find_features(of_train, "auto", side)
    arrays: dict[str, NDArray[np.int32]] = {}
    for number, feature in enumerate(found):
        assert of_all is not None
        rows, members = feature.entries(of_all)
        arrays |= {f"{side}/{number}/rows": rows, f"{side}/{number}/members": members}
    return [[feature.name, len(feature.members)] for feature in found], arrays
