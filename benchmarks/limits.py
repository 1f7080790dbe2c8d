"""How far the kernels are from what this machine can do.

    python benchmarks/run.py limits

measures the machine (copying, fetching rows at random from tables of several sizes, multiplying and adding) and the
kernels in the same run, and writes docs/benchmarks/limits.json and .md. Everything is the best of many rounds, since
whatever else runs only ever adds time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import environment
import numpy as np
from numba import njit
from peer_venv import ROOT
from result_tables import Table
from rich.console import Console

from penchant.data.split import Split
from penchant.data.synthetic import planted
from penchant.kernels.sgd import sgd_tiles
from penchant.models import build
from penchant.models.fitting import FitOptions

PUBLISHED = ROOT / "docs" / "benchmarks"
PACKAGES = ("penchant", "numpy", "numba")
ROUNDS = 15
FACTORS, WIDTH = 64, 80  # floats in a row
ROW = 4 * WIDTH  # bytes
RATINGS = 1_000_000
FLOPS_A_RATING = FACTORS * (3 * 2 + 4 + 2)  # three products summed; two rows scaled and moved

Work = Callable[[], Any]


def best(work: Work, rounds: int = ROUNDS) -> float:
    """Seconds of the fastest of some rounds; the first is not counted."""
    work()
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def on_threads(work: Sequence[Work], threads: int) -> Work:
    """Each piece on a thread of its own."""
    pool = ThreadPoolExecutor(threads)

    def run() -> None:
        for one in [pool.submit(piece) for piece in work[:threads]]:
            one.result()

    return run


# --- the machine --------------------------------------------------------------------------------------


@njit(nogil=True)
def copied(source: np.ndarray, target: np.ndarray) -> None:
    for at in range(source.shape[0]):
        target[at] = source[at]


@njit(fastmath=True, nogil=True)
def multiplied(steps: int) -> np.ndarray:
    """Multiplications and additions on numbers that stay in registers: ten vectors of eight."""
    sums = np.ones(80, np.float32)
    factor, added = np.float32(0.999), np.float32(0.001)
    for _ in range(steps):
        for at in range(80):
            sums[at] = sums[at] * factor + added
    return sums


@njit(fastmath=True, nogil=True)
def fetched(table: np.ndarray, rows: np.ndarray) -> np.float32:
    total = np.float32(0)
    for row in rows:
        for column in range(table.shape[1]):
            total += table[row, column]
    return total


def copy_bandwidth(threads: int) -> float:
    """Bytes read and written in a second by copies far larger than any cache."""
    size = 128 * 2**20
    arrays = [(np.ones(size // 8), np.zeros(size // 8)) for _ in range(threads)]
    seconds = best(on_threads([lambda pair=pair: copied(*pair) for pair in arrays], threads), 8)
    return threads * 2 * size / seconds


def flops(threads: int) -> float:
    """Multiplications and additions of float32 in a second."""
    steps = 2_000_000
    return threads * steps * 160 / best(on_threads([lambda: multiplied(steps)] * threads, threads), 8)


def fetch_seconds(rows: int) -> float:
    """Seconds to read one row at random of a table of so many."""
    table = np.ones((rows, WIDTH), np.float32)
    order = np.random.default_rng(0).integers(0, rows, 200_000)
    return best(lambda: fetched(table, order)) / len(order)


# --- the kernel ---------------------------------------------------------------------------------------


def rating_seconds(users: int, items: int, ratings: int = RATINGS) -> float:
    """Seconds that the SGD kernel takes for a rating of one tile of so many users and items."""
    draw = np.random.default_rng(0)
    tables = [0.01 * draw.standard_normal((n, WIDTH), np.float32) for n in (users, items)]
    for table in tables:
        table[:, FACTORS:], table[:, FACTORS + 1] = 0, 0.04
    rows = [draw.integers(0, n, ratings).astype(np.int32) for n in (users, items)]
    given = draw.uniform(1, 5, ratings).astype(np.float32)
    tile, ends, errors = np.zeros(1, np.int64), np.array([ratings]), np.zeros(1)
    numbers = [np.float32(value) for value in (0.3, 0.0, 5.5)]
    rates = [np.float32(value) for value in (0.001, 0.001, 0.15, 0.06, 0.004)]
    seconds = best(lambda: sgd_tiles(tile, tile, ends, *rows, given, *tables, FACTORS, *numbers, True, *rates, errors))
    return seconds / ratings


def epoch_seconds(users: int, items: int, ratings: int, threads: int) -> float:
    """Seconds of a rating in an epoch of `mf` as it is fitted: tiles in turn, all there is to it."""
    data = planted(users, items, ratings, seed=0)
    model = build("mf", factors=FACTORS, epochs=6)
    log = model.fit(Split(data, None, "everything"), FitOptions(seed=0, threads=threads))
    return min(epoch.seconds for epoch in log.epochs[1:]) / len(data)


# --- the report ---------------------------------------------------------------------------------------


def measure(said: Callable[[str], None]) -> dict[str, Any]:
    """All numbers."""
    cores = environment.usable_cores()
    said("the machine")
    found: dict[str, Any] = {
        "copy": {threads: copy_bandwidth(threads) for threads in (1, cores)},
        "flops": {threads: flops(threads) for threads in (1, cores)},
        "fetch": {rows: fetch_seconds(rows) for rows in (100, 1_000, 10_000, 100_000, 1_000_000)},
    }
    said("the kernel")
    found["rating"] = {f"{users} × {items}": rating_seconds(users, items) for users, items in SIZES}
    said("epochs")
    found["epoch"] = {threads: epoch_seconds(100_000, 20_000, 10_000_000, threads) for threads in (1, cores)}
    return found


SIZES = ((100, 100), (1_000, 500), (3_125, 625), (20_000, 10_000), (100_000, 20_000))


def table_of_machine(found: dict[str, Any]) -> Table:
    rows = [[f"copying, {threads} threads", f"{value / 1e9:.1f} GB/s"] for threads, value in found["copy"].items()]
    rows += [
        [f"multiplying and adding float32, {threads} threads", f"{value / 1e9:.0f} GFLOP/s"]
        for threads, value in found["flops"].items()
    ]
    rows += [
        [f"a row of {ROW} bytes at random, of {size(int(n) * ROW)}", f"{1e9 * value:.1f} ns"]
        for n, value in found["fetch"].items()
    ]
    return Table("The machine", ["what", "measured"], [[a.replace("1 threads", "1 thread"), b] for a, b in rows])


def table_of_kernel(found: dict[str, Any]) -> Table:
    peak = found["flops"][1]
    rows = []
    for name, value in found["rating"].items():
        users, items = map(int, name.split(" × "))
        moved, share = 4 * ROW / value / 1e9, FLOPS_A_RATING / value / peak
        rows.append([name, size((users + items) * ROW), f"{1e9 * value:.1f} ns", f"{moved:.0f} GB/s", f"{share:.0%}"])
    columns = ["users × items in the tile", "rows", "a rating", "rows read and written", "of the peak of one core"]
    return Table(f"The SGD kernel, {FACTORS} factors, one thread", columns, rows)


def size(number: float) -> str:
    """Bytes in words."""
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{number / 1e3:.0f} kB"


def markdown(described: dict[str, Any], found: dict[str, Any]) -> str:
    one, many = list(found["epoch"].values())
    parts = [
        "# How far the kernels are from what the machine can do",
        "\n".join(environment.lines(described)),
        "## The machine",
        table_of_machine(found).markdown(),
        "## The SGD kernel: 64 factors, one tile, one thread",
        f"A rating costs {FLOPS_A_RATING} multiplications and additions, and touches two rows of {ROW} bytes, which are"
        " read and written.",
        table_of_kernel(found).markdown(),
        "## An epoch of `mf` over 10 million ratings of 100,000 users and 20,000 items",
        f"{1e9 * one:.1f} ns a rating on one thread, {1e9 * many:.1f} ns on {list(found['epoch'])[-1]}:"
        f" {one / many:.2f} times as fast.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    console = Console(highlight=False)
    described = environment.describe(PACKAGES)
    found = measure(lambda what: console.print(f"Measuring {what} …"))
    console.print(table_of_machine(found).rich(), table_of_kernel(found).rich())
    PUBLISHED.mkdir(parents=True, exist_ok=True)
    (PUBLISHED / "limits.json").write_text(json.dumps({**described, "found": found}, indent=1) + "\n", encoding="utf-8")
    (PUBLISHED / "limits.md").write_text(markdown(described, found), encoding="utf-8")
    console.print(f"Written to {Path('docs') / 'benchmarks' / 'limits.md'}")


if __name__ == "__main__":
    main()
