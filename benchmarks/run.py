"""Run benchmarks by name.

python benchmarks/run.py --help                   which there are
python benchmarks/run.py                          all of them, one after the other
python benchmarks/run.py notebook kernels         some
python benchmarks/run.py speed --ratings 1e6      one, with options of its own (speed --help)
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        command: what runs it, after the Python in use.
        about: what it measures and how long it takes.
    """

    command: tuple[str, ...]
    about: str


BENCHMARKS: Mapping[str, Benchmark] = {
    "kernels": Benchmark(
        ("-m", "pytest", "-c", str(FOLDER / "pytest.ini"), str(FOLDER / "test_kernels.py"), "-s"),
        "what a rating costs beside copying its bytes, against a recorded baseline; a minute",
    ),
    "limits": Benchmark(
        (str(FOLDER / "limits.py"),), "the machine's bandwidth and arithmetic, and the kernels beside it"
    ),
    "notebook": Benchmark(
        (str(FOLDER / "fastai_notebook.py"),), "fastai's collaborative filtering notebook, rerun; most of an hour"
    ),
    "speed": Benchmark((str(FOLDER / "speed.py"),), "time, error and memory beside peer libraries; half an hour"),
    "reading": Benchmark((str(FOLDER / "reading.py"),), "reading tables beside polars; ten minutes and 4 GB of disk"),
    "accuracy": Benchmark(
        (str(FOLDER / "accuracy.py"),),
        "accuracy, time and intervals beside peer libraries; an hour; $PENCHANT_DATA",
    ),
    "ranking": Benchmark(
        (str(FOLDER / "ranking.py"),), "lists beside peer libraries, all tuned with one budget; $PENCHANT_DATA"
    ),
    "lists": Benchmark(
        (str(FOLDER / "lists_speed.py"),), "lists learnt and measured beside peer libraries, and their memory; an hour"
    ),
    "serving": Benchmark(
        (str(FOLDER / "serving.py"),),
        "the service beside implicit behind FastAPI; ten minutes; wrk, h2load, $PENCHANT_DATA",
    ),
    "defaults": Benchmark((str(FOLDER / "defaults.py"),), "accuracy with default settings; needs $PENCHANT_DATA"),
}


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Names of benchmarks, and the options after them."""
    at = next((place for place, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names, options = list(arguments[:at]), list(arguments[at:])
    for name in names:
        if name not in BENCHMARKS:
            raise SystemExit(f"There is no benchmark '{name}'. There are: {', '.join(BENCHMARKS)}.")
    if options and len(names) != 1:
        raise SystemExit(f"{options[0]} belongs to one benchmark. Name it first: {', '.join(BENCHMARKS)}.")
    return names or list(BENCHMARKS), options


def overview() -> str:
    """The names, and what each is about."""
    lines = [f"    {name:10}{one.about}" for name, one in BENCHMARKS.items()]
    return "\n".join([(__doc__ or "").rstrip(), "", *lines])


def main(arguments: Sequence[str]) -> int:
    """Run what is named; 0 when all came through."""
    if list(arguments) in (["--help"], ["-h"]):
        print(overview())
        return 0
    names, options = split(arguments)
    codes = [subprocess.run([sys.executable, *BENCHMARKS[name].command, *options]).returncode for name in names]
    for name, code in zip(names, codes, strict=True):
        if code:
            print(f"{name} ended with status {code}", file=sys.stderr)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
