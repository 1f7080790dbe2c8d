"""What both services answer from: a table of who took what, and the model that each library learns from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from speed_data import planted_blocks

import penchant
from penchant.data.interactions import Interactions

FACTORS = 64
POSITIVE_FROM = 4
SYNTHETIC = {"users": 20_000, "items": 100_000, "interactions": 2_000_000}


@dataclass(frozen=True)
class Catalogue:
    """A folder: starts.npy and items.npy (what each user row took: item rows), user_ids.npy, item_ids.npy, about.json,
    and `als`, penchant's artifact.

    Attributes:
        folder: where they are.
        about: title, n_users, n_items, n_interactions.
    """

    folder: Path
    about: Mapping[str, Any]

    @property
    def model(self) -> Path:
        """penchant's artifact."""
        return self.folder / "als"


def small(root: Path) -> Catalogue:
    """The ratings of 4 and more of ml-latest-small, by film."""
    title = f"ml-latest-small, ratings from {POSITIVE_FROM} up"
    return made(root / "small", title, lambda: penchant.read_ratings("ml-latest-small", positive_from=POSITIVE_FROM))


def large(root: Path, seed: int) -> Catalogue:
    """Synthetic interactions with 100,000 items of realistic popularity."""
    return made(root / f"synthetic-{seed}", "synthetic", lambda: penchant.read_ratings(drawn(seed), implicit=True))


def drawn(seed: int) -> pl.DataFrame:
    """Users and items by power laws, and every item by somebody."""
    asked = SYNTHETIC["interactions"], SYNTHETIC["users"], SYNTHETIC["items"]
    blocks = list(planted_blocks(*asked, np.random.default_rng(seed)))
    everything = np.arange(SYNTHETIC["items"], dtype=np.int32)
    users = np.concatenate([*(block[0] for block in blocks), everything % SYNTHETIC["users"]])
    items = np.concatenate([*(block[1] for block in blocks), everything])
    return pl.DataFrame({"user": users, "item": items}).unique(maintain_order=True)


def made(folder: Path, title: str, read: Callable[[], Interactions]) -> Catalogue:
    """The arrays and penchant's model, once."""
    about = folder / "about.json"
    if not about.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        fitted = penchant.fit(read(), "als", valid_fraction=0, factors=FACTORS)
        fitted.save(folder / "als")
        history = fitted.history
        arrays = {
            "starts": history.starts,
            "items": history.item_rows,
            "user_ids": fitted.users.ids.to_numpy(),
            "item_ids": fitted.items.ids.to_numpy(),
        }
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        sizes = {"n_users": len(fitted.users), "n_items": len(fitted.items), "n_interactions": len(history.item_rows)}
        about.write_text(json.dumps({"title": title, **sizes}), encoding="utf-8")
    return Catalogue(folder, json.loads(about.read_text(encoding="utf-8")))
