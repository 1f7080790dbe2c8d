"""What the scripts here have in common: a split in, one JSON file out (benchmarks/accuracy_data.py has the files)."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent / "speed"))

from measuring import peak_bytes


@dataclass(frozen=True)
class Part:
    """Who rated what, when: columns of equal length; `times` is None where there are none."""

    user_rows: np.ndarray
    item_rows: np.ndarray
    ratings: np.ndarray
    times: np.ndarray | None

    def __len__(self) -> int:
        return len(self.ratings)


class Task:
    """The split and what to fit on it.

    Args:
        started: time.perf_counter() before the library was imported.
    """

    def __init__(self, started: float) -> None:
        imported = time.perf_counter()
        self.given = _parser().parse_args()
        self.folder: Path = self.given.data
        self.settings: dict[str, Any] = self.given.settings
        self.about = json.loads((self.folder / "about.json").read_text(encoding="utf-8"))
        self.train, self.valid = (_load(self.folder, part) for part in ("train", "valid"))
        self.rss_loaded = peak_bytes()
        self.seconds = {"import": imported - started, "load": time.perf_counter() - imported}

    def tell(self, predictions: np.ndarray, packages: tuple[str, ...], **others: Any) -> None:
        """Write the result.

        Args:
            predictions: of the held-out ratings, in their order; clipped here to the range of the training ratings.
            packages: whose versions are told.
        """
        low, high = float(self.train.ratings.min()), float(self.train.ratings.max())
        truth = self.valid.ratings.astype(np.float64)
        squares = (np.clip(np.asarray(predictions, np.float64), low, high) - truth) ** 2
        unknown = (self.valid.user_rows >= self.about["n_users"]) | (self.valid.item_rows >= self.about["n_items"])
        result = {
            "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
            "mse": float(squares.mean()),
            "mse_unknown": float(squares[unknown].mean()) if unknown.any() else None,
            "mean_mse": float(np.mean((self.train.ratings.mean(dtype=np.float64) - truth) ** 2)),
            "n_train": len(self.train),
            "n_valid": len(self.valid),
            "n_unknown": int(unknown.sum()),
            "rss_loaded": self.rss_loaded,
            **others,
            "seconds": {**self.seconds, **others["seconds"]},
        }
        self.given.out.write_text(json.dumps(result), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    return parser


def _load(folder: Path, part: str) -> Part:
    columns = [np.load(folder / f"{part}_{name}.npy") for name in ("users", "items", "ratings")]
    times = folder / f"{part}_times.npy"
    return Part(*columns, np.load(times) if times.is_file() else None)
