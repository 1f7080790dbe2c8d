"""What a rating costs in the kernels, in multiples of the time that its bytes take to copy.

    python benchmarks/run.py kernels
    python benchmarks/run.py kernels --benchmark-json=FILE     pytest-benchmark's own options work, too

A copy of a large array is timed right beside each kernel, so that a slower or busier machine slows both; the best
of many rounds is taken of each, because whatever else runs only ever adds time. Each
multiple must stay below ALLOWED times the one in kernels.json; PENCHANT_RECORD=1 writes that file anew.

Bytes are what a kernel would move if nothing stayed in a cache: a rating's own 12, and its two rows, read (and
written back where it learns). A multiple below 1 means that rows do stay in a cache.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import environment
import numpy as np
import pytest

from penchant.kernels.sgd import pair_sums, sgd_tiles
from penchant.kernels.topk import topk

BASELINE = Path(__file__).with_name("kernels.json")
RECORDING = bool(os.environ.get("PENCHANT_RECORD"))
ALLOWED = 1.5  # the guard is for what somebody broke, not for noise

COPIED = 256 * 2**20  # bytes
ROUNDS = 25
RATINGS, USERS, ITEMS = 1_000_000, 20_000, 10_000
FACTORS, WIDTH = 64, 80  # floats in a row: factors, bias, accumulator, padding to cache lines
ROW = 4 * WIDTH  # bytes
ASKERS, CATALOGUE, BEST = 200, 20_000, 10
SEEN = 100  # items left out for each asker

Cost = tuple[Callable[[], Any], int]  # a call, and the bytes it moves


def ratings() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, items and ratings in random order, items by a power law."""
    generator = np.random.default_rng(0)
    users = generator.integers(0, USERS, RATINGS).astype(np.int32)
    items = (ITEMS * generator.random(RATINGS) ** 5).astype(np.int32)
    return users, items, generator.uniform(1, 5, RATINGS).astype(np.float32)


def tables() -> tuple[np.ndarray, np.ndarray]:
    """Rows of users and items as the SGD kernel wants them."""
    generator = np.random.default_rng(1)
    found = [0.01 * generator.standard_normal((n, WIDTH), np.float32) for n in (USERS, ITEMS)]
    for table in found:
        table[:, FACTORS:] = 0
        table[:, FACTORS + 1] = 0.04
    return found[0], found[1]


def learning() -> Cost:
    """An epoch over one tile."""
    columns, rows = ratings(), tables()
    tile = np.zeros(1, np.int64)
    ends, errors = np.array([RATINGS]), np.zeros(1)
    numbers = [np.float32(value) for value in (3.0, 0.5, 5.0)]  # mean, low, span
    rates = [np.float32(value) for value in (0.001, 0.001, 0.15, 0.06, 0.004)]

    def run() -> None:
        sgd_tiles(tile, tile, ends, *columns, *rows, FACTORS, *numbers, True, *rates, errors)

    return run, RATINGS * (12 + 4 * ROW)


def scoring() -> Cost:
    """The z of pairs."""
    users, items, _ = ratings()
    rows = tables()
    return lambda: pair_sums(users, items, *rows, FACTORS, np.float32(3)), RATINGS * (12 + 2 * ROW)


def ranking() -> Cost:
    """The best items of some users."""
    generator = np.random.default_rng(2)
    scores = generator.standard_normal((ASKERS, CATALOGUE), np.float32)
    starts = SEEN * np.arange(ASKERS + 1)
    seen = np.concatenate([np.sort(generator.choice(CATALOGUE, SEEN, replace=False)) for _ in range(ASKERS)])
    return lambda: topk(scores, starts, seen.astype(np.int32), BEST), scores.nbytes


COSTS: dict[str, Callable[[], Cost]] = {"sgd_tiles": learning, "pair_sums": scoring, "topk": ranking}


class Copy:
    """A large copy, for the machine's bandwidth right now."""

    def __init__(self) -> None:
        self.source = np.ones(COPIED // 8)
        self.target = np.zeros_like(self.source)

    def bytes_per_second(self) -> float:
        """Bytes read and written in a second."""
        started = time.perf_counter()
        np.copyto(self.target, self.source)
        return 2 * COPIED / (time.perf_counter() - started)


@pytest.fixture(scope="module")
def copy() -> Copy:
    made = Copy()
    made.bytes_per_second()  # the first touches the memory
    return made


@pytest.mark.parametrize("name", COSTS)
def test_cost_beside_copying(name: str, benchmark: Any, copy: Copy) -> None:
    run, moved = COSTS[name]()
    run()  # compiled
    bandwidths: list[float] = []

    def measure_copy() -> None:
        bandwidths.append(copy.bytes_per_second())

    benchmark.pedantic(run, setup=measure_copy, rounds=ROUNDS, iterations=1)
    taken = min(benchmark.stats.stats.data)
    bandwidth = max(bandwidths)
    multiple = taken * bandwidth / moved
    benchmark.extra_info |= {"multiple": multiple, "gigabytes_per_second": bandwidth / 1e9}
    print(f"\n{name}: {multiple:.2f} times the time the bytes would take to copy ({bandwidth / 1e9:.1f} GB/s)")
    check(name, multiple)


def check(name: str, multiple: float) -> None:
    """Compare with the recorded multiple, or record this one."""
    recorded = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.is_file() else {}
    if RECORDING:
        BASELINE.write_text(json.dumps({**recorded, name: round(multiple, 3)}, indent=1) + "\n", encoding="utf-8")
        return
    if name not in recorded:
        pytest.fail(f"Nothing is recorded of {name}. Set PENCHANT_RECORD=1 to record it.")
    limit = ALLOWED * recorded[name]
    busy = f"the machine's load is {environment.load()}: other work takes caches and bandwidth, try when it is idle"
    said = f"{name} costs {multiple:.2f} copies; {recorded[name]} were recorded, {limit:.2f} allowed ({busy})"
    assert multiple <= limit, said
