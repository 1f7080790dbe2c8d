"""What the scripts of the list benchmark have in common: interactions with groups of taste, and an objective.

--data FOLDER   users.npy, items.npy: int32 (n,), distinct pairs in the order of users; about.json: n_users, n_items
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; of ru_maxrss
CHUNK = 1_000_000
GROUPS = 50
CONFIDENCE = 11.0  # of an interaction, as Hu, Koren and Volinsky count it; 1 of all others
PULL = 10.0  # of the factors towards 0


def draw(n_users: int, n_items: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Users and items of distinct pairs, a little fewer than n.

    Activity and popularity follow power laws (exponents 0.6 and 0.8). Half of what somebody takes is popular with
    everybody, the other half in one of 50 groups, each of which has an order of its own.
    """
    generator = np.random.default_rng(seed)

    def ranks(size: int, exponent: float) -> np.ndarray:
        weights = (1.0 + np.arange(size)) ** -exponent
        return np.minimum(np.searchsorted(np.cumsum(weights) / weights.sum(), generator.random(n)), size - 1)

    users, places = generator.permutation(n_users)[ranks(n_users, 0.6)], ranks(n_items, 0.8)
    groups = generator.integers(0, GROUPS, n_users)
    orders = np.stack([generator.permutation(n_items) for _ in range(GROUPS + 1)])
    order = np.where(generator.random(n) < 0.5, groups[users], GROUPS)
    pairs = np.unique(users * np.int64(n_items) + orders[order, places])
    return (pairs // n_items).astype(np.int32), (pairs % n_items).astype(np.int32)


def options(*numbers: str, texts: Sequence[str] = ()) -> argparse.Namespace:
    """--data, --out, and whole numbers and texts by name."""
    parser = argparse.ArgumentParser()
    for name in ("data", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in numbers:
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in texts:
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_args()


def load(folder: Path) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Users, items, and how many there are of each."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    return np.load(folder / "users.npy"), np.load(folder / "items.npy"), about["n_users"], about["n_items"]


def objective(users: np.ndarray, items: np.ndarray, p: np.ndarray, q: np.ndarray) -> float:
    """Hu, Koren and Volinsky 2008, equation 3, for each interaction: CONFIDENCE of what was taken, 1 of all else."""
    total = float(((p.T @ p).astype(np.float64) * (q.T @ q)).sum())
    for at in range(0, len(users), CHUNK):
        some = slice(at, at + CHUNK)
        scores = np.einsum("nf,nf->n", p[users[some]], q[items[some]]).astype(np.float64)
        total += float((CONFIDENCE * (1 - scores) ** 2 - scores**2).sum())
    total += PULL * sum(float(np.einsum("nf,nf->", table, table, dtype=np.float64)) for table in (p, q))
    return total / len(users)


def held_out(users: np.ndarray) -> np.ndarray:
    """Which interactions are held out, a sixth at random."""
    return np.random.default_rng(2).random(len(users)) < 1 / 6


def factors(n_users: int, n_items: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors that all libraries are given: what a ranking costs does not depend on what they say."""
    generator = np.random.default_rng(3)
    return generator.standard_normal((n_users, k), np.float32), generator.standard_normal((n_items, k), np.float32)


def peak_bytes() -> int:
    """The most memory that this process has held, since `forget_peak` where there is one."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
    # On Linux getrusage begins with what the parent held when it started this process.
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def forget_peak() -> None:
    """Begin anew with what is held now, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def finish(out: Path, packages: Sequence[str], **found: Any) -> None:
    """Write what was found."""
    result = {**found, "rss": peak_bytes(), "versions": {name: version(name) for name in packages}}
    out.write_text(json.dumps(result), encoding="utf-8")
