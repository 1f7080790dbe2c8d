"""What every script here has in common: arrays in, a fit with a clock on it, one JSON file out."""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

CHUNK = 1_000_000  # pairs predicted at a time
LINE_PAIRS = 1_000_000  # training pairs that a straight line from score to rating is fitted to
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; of ru_maxrss


@dataclass(frozen=True)
class Ratings:
    """Who rated what: int32, int32 and float32 of equal length; rows count from 0 without gaps."""

    user_rows: np.ndarray
    item_rows: np.ndarray
    ratings: np.ndarray

    def __len__(self) -> int:
        return len(self.ratings)

    def take(self, positions: np.ndarray | slice) -> Ratings:
        """The ratings at some positions."""
        return Ratings(self.user_rows[positions], self.item_rows[positions], self.ratings[positions])

    @property
    def shape(self) -> tuple[int, int]:
        """How many users and items there are."""
        return int(self.user_rows.max()) + 1, int(self.item_rows.max()) + 1


@dataclass(frozen=True)
class Task:
    """What to fit."""

    factors: int
    epochs: int
    threads: int
    seed: int
    model: str


class Adapter(Protocol):
    """One library. Made afresh for every fit; `packages` are those whose versions are told."""

    packages: tuple[str, ...]
    on_rating_scale: bool

    def __init__(self, task: Task) -> None: ...

    def prepare(self, train: Ratings) -> Any:
        """The ratings in the library's own format."""

    def fit(self, data: Any) -> None:
        """Learn; only this is timed as the fit."""

    def predict(self, user_rows: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
        """A number for each pair: a rating, or a score where `on_rating_scale` is False."""


def main(adapter: type[Adapter], started: float) -> None:
    """The whole of a script.

    Args:
        started: time.perf_counter() before the library was imported.
    """
    imported = time.perf_counter()
    given = _parser().parse_args()
    train, valid = (_load(given.data, part) for part in ("train", "valid"))
    if given.most_ratings and given.most_ratings < len(train):
        train = _sample(train, given.most_ratings)
    task = Task(given.factors, given.epochs, given.threads, given.seed, given.model)
    loaded, rss_loaded = time.perf_counter(), peak_bytes()
    fitted, data, seconds = _timed_fit(adapter, task, train)
    rss = peak_bytes()
    again = [_seconds(lambda: adapter(task).fit(data)) for _ in range(given.again)]
    result = {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in adapter.packages}},
        "seconds": {"import": imported - started, "load": loaded - imported, **seconds},
        "again_seconds": again,
        "n_train": len(train),
        "rss_loaded": rss_loaded,
        "rss": rss,
        **_errors(fitted, train, valid),
        **getattr(fitted, "extra", {}),
    }
    given.out.write_text(json.dumps(result), encoding="utf-8")


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
    # On Linux getrusage begins with what the parent held when it started this process.
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    for name in ("factors", "epochs", "threads", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--again", type=int, default=0, help="further fits in the same process")
    parser.add_argument("--most-ratings", type=int, default=0)
    parser.add_argument("--model", default="")
    parser.add_argument("--out", type=Path, required=True)
    return parser


def _load(folder: Path, part: str) -> Ratings:
    return Ratings(*(np.load(folder / f"{part}_{name}.npy") for name in ("users", "items", "ratings")))


def _sample(train: Ratings, size: int) -> Ratings:
    """Some of the ratings, in their order, with rows that keep their numbers."""
    chosen = np.random.default_rng(0).choice(len(train), size, replace=False, shuffle=False)
    return train.take(np.sort(chosen))


def _timed_fit(adapter: type[Adapter], task: Task, train: Ratings) -> tuple[Adapter, Any, dict[str, float]]:
    started = time.perf_counter()
    fitted = adapter(task)
    data = fitted.prepare(train)
    prepared = time.perf_counter()
    fitted.fit(data)
    return fitted, data, {"prepare": prepared - started, "fit": time.perf_counter() - prepared}


def _seconds(act: Callable[[], Any]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _errors(fitted: Adapter, train: Ratings, valid: Ratings) -> dict[str, Any]:
    """The validation error, and that of always predicting the training mean."""
    low, high = float(train.ratings.min()), float(train.ratings.max())
    predictions = _predict(fitted, valid)
    if not fitted.on_rating_scale:
        some = train if len(train) <= LINE_PAIRS else _sample(train, LINE_PAIRS)
        slope, offset = np.polyfit(_predict(fitted, some), some.ratings.astype(np.float64), 1)
        predictions = slope * predictions + offset
    truth = valid.ratings.astype(np.float64)
    mean = train.ratings.mean(dtype=np.float64)
    return {
        "mse": float(np.mean((np.clip(predictions, low, high) - truth) ** 2)),
        "mean_mse": float(np.mean((mean - truth) ** 2)),
        "n_valid": len(valid),
    }


def _predict(fitted: Adapter, pairs: Ratings) -> np.ndarray:
    parts = [slice(at, at + CHUNK) for at in range(0, len(pairs), CHUNK)]
    found = [fitted.predict(pairs.user_rows[part], pairs.item_rows[part]) for part in parts]
    return np.concatenate(found).astype(np.float64)
