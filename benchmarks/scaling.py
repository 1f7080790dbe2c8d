"""penchant alone: what a rating costs in time and memory as ratings grow tenfold, and what more threads save."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import speed_data
from fitting import FitPlan, Fits, say
from peers import OURS, PEERS

FACTORS = 64
EPOCHS = 3  # the median of their times is that of an epoch


def measure(given: argparse.Namespace, root: Path, seed: int) -> dict[str, Any]:
    """All sizes with all threads, the middle size also with one."""
    found = []
    for size in given.sizes:
        say(f"data of {size:,} ratings …")
        ready = speed_data.synthetic(size, root / "data", seed)
        numbers = {1, given.threads} if size == middle(given.sizes) else {given.threads}
        for threads in sorted(numbers, reverse=True):
            found.append({"data": dict(ready.about), "threads": threads, **one(given, root, ready, threads, seed)})
    return {"factors": FACTORS, "epochs": EPOCHS, "sizes": found}


def one(given: argparse.Namespace, root: Path, ready: speed_data.Ready, threads: int, seed: int) -> dict[str, Any]:
    """The fits of one size, in fresh processes."""
    fits = Fits(root, FitPlan(ready, FACTORS, threads, seed), given)
    runs = []
    for repeat in range(given.repeats):
        runs.append(fits.one(PEERS[OURS], Path(sys.executable), EPOCHS, repeat))
        if runs[-1]["seconds"]["fit"] > given.repeat_below:
            break
    times = ", ".join(f"{second:.2f}" for run in runs for second in run["epoch_seconds"])
    say(f"{len(runs)} × {EPOCHS} epochs on {threads} threads: {times} s")
    return {"runs": runs}


def middle(sizes: tuple[int, ...]) -> int:
    """The size that threads are compared at."""
    return sizes[len(sizes) // 2]
