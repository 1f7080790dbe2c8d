"""How much `penchant serve` answers, beside implicit behind a minimal FastAPI app of the same routes, in the same run.

    python benchmarks/serving.py

Both libraries learn 64 factors from the same interactions; each service is one process. penchant's runs as it is by
default but for the log, with an approximate index and no list of similar items kept, and with a log of requests. Where
the system can (Linux), a service is confined to one core and the load to another. Three routes are loaded, each alone:
the ten best for a user, the ten best for a visitor who brings ten items, the ten nearest of an item. Each is loaded as
much as it takes, several times, services in turn; then at half of what it took.

It needs wrk and h2load (Debian: wrk, nghttp2-client) and the folder ml-latest-small ($PENCHANT_DATA), and writes
docs/benchmarks/serving.json and .md. A look at whether everything works: --data small --seconds 2 --rounds 1
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import environment
import numpy as np
import peer_venv
import serving_report
from fitting import say
from processes import WORKERS
from serving_data import FACTORS, Catalogue, large, small
from serving_load import LoadError, Request, check_tools, peak, steady
from speed import count

PACKAGES = ("penchant", "numpy", "numba", "fastapi", "uvicorn")
ROOT = peer_venv.ROOT / ".benchmarks" / "serving"
TRIAL = peer_venv.ROOT / ".benchmarks" / "trial"
LOG = ROOT / "service.log"
PUBLISHED = peer_venv.ROOT / "docs" / "benchmarks"
IMPLICIT = ("implicit==0.7.3", "fastapi", "uvicorn[standard]")
DATA = ("small", "large")
ASKED = 2_000  # different requests of a route
TAKEN = 10  # items that a visitor brings
LONGEST_START = 120.0
VARIED = "with an index, no list kept"
LOGGED = "with each request in the log"
ROUTES = ("a user's ten best", "a visitor's ten best", "ten similar items")

Found = dict[str, Any]


@dataclass(frozen=True)
class Service:
    """One service: its name, and the command that starts it on a port."""

    name: str
    command: Sequence[str]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=lambda text: tuple(text.split(",")), default=DATA, metavar=",".join(DATA))
    made.add_argument("--seconds", type=count, default=8, help="of each load (8)")
    made.add_argument("--rounds", type=count, default=3, help="of each load (3)")
    made.add_argument("--seed", type=int, default=0, help="of the synthetic data and of what is asked (0)")
    made.add_argument("--out", type=Path, help="folder to write to (docs/benchmarks; .benchmarks/trial for trials)")
    return made


def is_trial(given: argparse.Namespace) -> bool:
    """Whether the options make it something else than the benchmark: that is never published by itself."""
    return any(getattr(given, name) != parser().get_default(name) for name in ("data", "seconds", "rounds", "seed"))


def routes(catalogue: Catalogue, seed: int) -> Mapping[str, list[Request]]:
    """What is asked of each route."""
    generator = np.random.default_rng(seed)
    users, items = (np.load(catalogue.folder / f"{side}_ids.npy") for side in ("user", "item"))
    starts, taken = np.load(catalogue.folder / "starts.npy"), np.load(catalogue.folder / "items.npy")
    rows = generator.integers(len(users), size=ASKED)
    histories = [items[taken[starts[row] : starts[row + 1]][:TAKEN]].tolist() for row in rows]
    visitors = [{"history": [{"item": item} for item in history], "k": 10} for history in histories]
    found = (
        [Request(f"/v1/users/{user}/recommendations?k=10") for user in users[rows].tolist()],
        [Request("/v1/recommendations", visitor) for visitor in visitors],
        [
            Request(f"/v1/items/{item}/similar?k=10")
            for item in items[generator.integers(len(items), size=ASKED)].tolist()
        ],
    )
    return dict(zip(ROUTES, found, strict=True))


def services(catalogue: Catalogue) -> list[tuple[str, list[str]]]:
    """Name and command of each, without the port; the last is what the others are compared with."""
    store = f"sqlite:///{catalogue.folder / 'feedback.db'}"
    ours = [
        sys.executable,
        "-m",
        "penchant",
        "serve",
        str(catalogue.model),
        "--feedback",
        store,
        "--log-level",
        "warning",
    ]
    python = peer_venv.ensure("implicit-service", IMPLICIT)
    worker = str(WORKERS / "serving" / "implicit_app.py")
    peer = [str(python), "-E", worker, "--data", str(catalogue.folder), "--factors", str(FACTORS)]
    return [
        ("penchant serve", ours),
        (VARIED, [*ours, "--approximate-above", "0", "--kept-lists", "0"]),
        (LOGGED, [*ours[:-1], "info"]),
        ("implicit, FastAPI", peer),
    ]


def on_core(core: int) -> list[str]:
    """What confines a command to a core, where that can be done and there are two."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return ["taskset", "-c", str(cores[core])] if len(cores) > 1 else []


@contextmanager
def running(command: Sequence[str], ready: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A service on a free port, from its first answer on; told to stop afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    variables = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # as implicit's documentation asks
    command = [*on_core(0), *command, "--port", str(port)]
    with LOG.open("w") as log, subprocess.Popen(command, env=variables, stderr=log) as process:
        try:
            wait(f"http://127.0.0.1:{port}{ready}", process)
            yield port, process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def wait(address: str, process: subprocess.Popen[bytes]) -> None:
    """Until a service answers."""
    until = time.monotonic() + LONGEST_START
    while time.monotonic() < until:
        if process.poll() is not None:
            raise LoadError(f"the service ended with status {process.returncode}")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise LoadError(f"the service did not answer for {LONGEST_START:g} s")


def peak_memory(process: subprocess.Popen[bytes]) -> int | None:
    """The most memory that a process has had, bytes; None where the system does not tell."""
    try:
        with Path(f"/proc/{process.pid}/status").open(encoding="utf-8") as lines:
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except OSError:
        return None


def loaded(command: Sequence[str], asked: Mapping[str, list[Request]], given: argparse.Namespace) -> Found:
    """One round: each route as much as it takes, then at half of that."""
    found: Found = {"routes": {}}
    first = next(iter(asked.values()))[0].path
    with running(command, first) as (port, process):
        for name, requests in asked.items():
            peak(port, requests, 1, on_core(1))  # warms up
            most = peak(port, requests, given.seconds, on_core(1))
            half = steady(port, requests, most["rate"] / 2, given.seconds, on_core(1))
            found["routes"][name] = {"peak": most, "half": half}
        found["memory"] = peak_memory(process)
    return found


def middle(rounds: Sequence[Found]) -> Found:
    """The median of each figure over rounds."""
    of_routes = {
        name: {
            load: {figure: median(one["routes"][name][load][figure] for one in rounds) for figure in figures}
            for load, figures in loads.items()
        }
        for name, loads in rounds[0]["routes"].items()
    }
    return {"routes": of_routes, "memory": rounds[0]["memory"] and max(one["memory"] for one in rounds)}


def one_catalogue(name: str, given: argparse.Namespace) -> Found:
    """All services on one catalogue, in turn."""
    catalogue = small(ROOT) if name == "small" else large(ROOT, given.seed)
    asked = routes(catalogue, given.seed)
    found: dict[str, list[Found]] = {}
    for number in range(given.rounds):
        for service, command in services(catalogue):
            found.setdefault(service, []).append(loaded(command, asked, given))
            rates = [f"{one['peak']['rate']:.0f}" for one in found[service][-1]["routes"].values()]
            say(f"{catalogue.about['title']}, round {number + 1}, {service}: {', '.join(rates)} requests a second")
    told = {service: {"middle": middle(rounds), "rounds": rounds} for service, rounds in found.items()}
    return {"about": dict(catalogue.about), "services": told}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison."""
    given = parser().parse_args(arguments)
    check_tools()
    found: Found = {
        "environment": environment.describe(PACKAGES),
        "trial": is_trial(given),
        "options": {name: getattr(given, name) for name in ("seconds", "rounds", "seed")},
        "data": {name: one_catalogue(name, given) for name in given.data},
    }
    folder = given.out or (TRIAL if found["trial"] else PUBLISHED)
    serving_report.write(found, folder)
    serving_report.show(found)
    say(f"written to {folder.name}/serving.md and serving.json")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LoadError as error:
        sys.exit(f"error: {error}")
