"""How long read_ratings takes beside the fast reader alone, and what follows reading, on synthetic ratings.

    python benchmarks/reading.py --rows 1000000 25000000 --repeats 5

Both read the same files in turn, each time in a fresh process, from memory (the files have just been written or read).
The fast reader only makes a frame; read_ratings also checks it, numbers users and items, and looks for repeated pairs.
Writes docs/benchmarks/reading.json and .md; the files to read are kept in .benchmarks/reading.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import environment
import numpy as np
import polars as pl

from penchant.data.interactions import Interactions
from penchant.data.read import read_ratings
from penchant.data.split import split_last, split_random, split_time

PACKAGES = ("penchant", "polars", "numpy")
FORMATS = {
    "csv": "CSV",
    "text.csv": "CSV, ids such as u123",
    "wide.csv": "CSV, ids of 64 bits",
    "csv.gz": "CSV.gz",
    "parquet": "Parquet",
}
READERS = {"polars": "polars alone", "penchant": "read_ratings"}
LIKE = {"ratings": 25_000_000, "users": 162_000, "items": 59_000}  # the size of MovieLens 25M
MEBI, GIBI = 2**20, 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 25_000_000])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--files", type=Path, default=Path(".benchmarks/reading"))
    parser.add_argument("--out", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--worker", nargs=2, metavar=("WHAT", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(WORKERS[given.worker[0]](Path(given.worker[1]))))
        return
    results: dict[str, Any] = {"environment": environment.describe(PACKAGES), "repeats": given.repeats, "sizes": {}}
    for rows in given.rows:
        files = make_files(given.files, rows, given.formats)
        reading = {name: compare(path, given.repeats) for name, path in files.items()}
        after = [in_a_process("stations", files[given.formats[-1]]) for _ in range(given.repeats)]
        results["sizes"][str(rows)] = {"reading": reading, "stations": after}
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "reading.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (given.out / "reading.md").write_text(page(results), encoding="utf-8")
    print(page(results))


# --- files ------------------------------------------------------------------------------------------


def make_files(folder: Path, rows: int, formats: list[str]) -> dict[str, Path]:
    """The ratings in some formats; those that are there already are taken."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{rows}.{name}" for name in formats}
    missing = {name: path for name, path in paths.items() if not path.exists()}
    if missing:
        frame = synthetic(rows)
        for name, path in missing.items():
            write(frame, name, path)
    return paths


def synthetic(n: int, seed: int = 7) -> pl.DataFrame:
    """Distinct pairs ordered by user and item, as MovieLens publishes them; few users and items have most."""
    generator = np.random.default_rng(seed)
    n_users = LIKE["users"] * n // LIKE["ratings"] + 10
    n_items = round(LIKE["items"] * (n / LIKE["ratings"]) ** 0.5) + 10
    activity = np.cumsum(generator.lognormal(0, 1.2, n_users))
    popularity = np.cumsum((np.arange(n_items) + 20.0) ** -1.1)
    pairs = np.empty(0, np.int64)
    while len(pairs) < n:
        users = np.searchsorted(activity, generator.random(n) * activity[-1])
        items = np.searchsorted(popularity, generator.random(n) * popularity[-1])
        pairs = np.union1d(pairs, users * n_items + items)
    users, items = np.divmod(np.sort(generator.permutation(pairs)[:n]), n_items)
    item_ids = 1 + np.sort(generator.permutation(4 * n_items)[:n_items])
    columns = {
        "userId": users + 1,
        "movieId": generator.permutation(item_ids)[items],
        "rating": generator.integers(1, 11, n) / 2,
        "timestamp": generator.integers(789_652_009, 1_574_327_703, n),
    }
    return pl.DataFrame(columns).sort("userId", "movieId")


def write(frame: pl.DataFrame, name: str, path: Path) -> None:
    if name == "parquet":
        frame.write_parquet(path)
    elif name == "csv.gz":
        frame.write_csv(plain := path.with_suffix(".part"))
        with plain.open("rb") as content, gzip.open(path, "wb", compresslevel=4) as packed:
            shutil.copyfileobj(content, packed, MEBI)
        plain.unlink()
    else:
        frame.with_columns(respelt(name)).write_csv(path)


def respelt(name: str) -> list[pl.Expr]:
    if name == "text.csv":
        return [pl.format(f"{column[0]}{{}}", column).alias(column) for column in ("userId", "movieId")]
    if name == "wide.csv":
        return [pl.col(column).hash(1).reinterpret(signed=True).abs() for column in ("userId", "movieId")]
    return []


# --- in a process of its own ------------------------------------------------------------------------


def in_a_process(what: str, path: Path) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "--worker", what, str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(path: Path, repeats: int) -> dict[str, Any]:
    """Both readers in turn, after a first round that fills the page cache and is not counted."""
    rounds = [{reader: in_a_process(reader, path) for reader in READERS} for _ in range(repeats + 1)][1:]
    return {"bytes": path.stat().st_size, **{reader: [one[reader] for one in rounds] for reader in READERS}}


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    started, used = time.perf_counter(), time.process_time()
    result = work()
    seconds = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - used}
    return result, {**seconds, "peak_bytes": peak_bytes()}


def peak_bytes() -> int:
    """The largest resident memory so far; Linux' getrusage counts that of the parent, too."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def read_alone(path: Path) -> dict[str, float]:
    reader = pl.read_parquet if path.suffix == ".parquet" else pl.read_csv
    frame, measured = timed(lambda: reader(path))
    return {**measured, "result_bytes": frame.estimated_size()}


def read_all(path: Path) -> dict[str, float]:
    data, measured = timed(lambda: read_ratings(path))
    return {**measured, "result_bytes": size(data)}


def size(data: Interactions) -> int:
    times = 0 if data.times is None else data.times.nbytes
    ids = data.users.ids.estimated_size() + data.items.ids.estimated_size()
    return data.user_rows.nbytes + data.item_rows.nbytes + data.ratings.nbytes + times + int(ids)


def stations(path: Path) -> dict[str, float]:
    """Seconds of what follows reading."""
    data = read_ratings(path)
    shuffled = data.take(np.random.default_rng(0).permutation(len(data)))
    works: dict[str, Callable[[], Any]] = {
        "split at random": lambda: split_random(data),
        "split by time": lambda: split_time(data),
        "last of each user": lambda: split_last(data),
        "grouped by user, lines shuffled": lambda: shuffled.by_user,
        "compact": data.compact,
    }
    return {name: timed(work)[1]["seconds"] for name, work in works.items()}


WORKERS: dict[str, Callable[[Path], dict[str, float]]] = {
    "polars": read_alone,
    "penchant": read_all,
    "stations": stations,
}


# --- the page ---------------------------------------------------------------------------------------


def page(results: dict[str, Any]) -> str:
    about = results["environment"]
    lines = [
        "# Reading a table of ratings",
        "",
        f"{about['date']}; {environment.in_words(about)}; {environment.versions_in_words(about['versions'])}.",
        "",
        "`read_ratings(file)` beside polars' own `read_csv(file)` or `read_parquet(file)`, in turn, each in a fresh"
        " process, with the file in the page cache. polars only makes a frame; `read_ratings` also checks it, numbers"
        " users and items, and looks for repeated pairs. Median (fastest to slowest) of"
        f" {results['repeats']} runs. Processor time is that of all threads: it depends less on the load."
        " Peak is the largest resident memory of the process, with the pages of the file that are mapped.",
        "",
    ]
    for rows, measured in results["sizes"].items():
        lines += [f"## {int(rows):,} ratings", "", *reading_table(measured["reading"]), ""]
        lines += ["| afterwards | seconds |", "|---|---|"]
        for name in measured["stations"][0]:
            lines.append(f"| {name} | {spread([one[name] for one in measured['stations']])} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def reading_table(reading: dict[str, Any]) -> list[str]:
    heads = ["file", "MiB", *(f"{name}, s" for name in READERS.values()), "ratio of medians", "of the fastest",
             "of processor time", *(f"{name}, peak GiB" for name in READERS.values()), "result, GiB"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name, one in reading.items():
        alone, ours = (values_of(one, reader, "seconds") for reader in READERS)
        used_alone, used = (values_of(one, reader, "processor_seconds") for reader in READERS)
        ratios = (median(ours) / median(alone), min(ours) / min(alone), median(used) / median(used_alone))
        peaks = [max(values_of(one, reader, "peak_bytes")) / GIBI for reader in READERS]
        cells = [FORMATS[name], f"{one['bytes'] / MEBI:,.0f}", spread(alone), spread(ours)]
        cells += [f"{ratio:.2f}" for ratio in ratios] + [f"{peak:.2f}" for peak in peaks]
        lines.append("| " + " | ".join([*cells, f"{one['penchant'][0]['result_bytes'] / GIBI:.2f}"]) + " |")
    return lines


def values_of(one: dict[str, Any], reader: str, what: str) -> list[float]:
    return [run[what] for run in one[reader]]


def spread(seconds: list[float]) -> str:
    return f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()
