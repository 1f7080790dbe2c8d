"""A real server process for tests: started on a free port, stopped by a signal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

import penchant
from penchant.data.synthetic import planted

WORDS = ("Drama", "Comedy", "War|Drama")
SOURCE = Path(__file__).parents[2] / "src"


def films(folder: Path) -> tuple[Path, Path]:
    """Planted ratings of films with names and columns: a table of ratings, one of items."""
    found = planted(60, 90, 2_500, seed=2)
    items = found.items.ids.to_list()
    ratings, table = folder / "ratings.csv", folder / "items.csv"
    users, rated = found.users.take(found.user_rows), found.items.take(found.item_rows)
    times = 1_600_000_000 + 3_600 * np.arange(len(users))
    pl.DataFrame({"user": users, "item": rated, "rating": found.ratings, "time": times}).write_csv(ratings)
    names = [f"Film {n} of the Märchen" if n % 2 else f"The Story {n}" for n in range(len(items))]
    columns = {"genres": [WORDS[n % 3] for n in range(len(items))], "year": [1950 + n for n in range(len(items))]}
    pl.DataFrame({"item": items, "title": names, **columns}).write_csv(table)
    return ratings, table


@pytest.fixture(scope="session")
def film_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mf model of films."""
    folder = tmp_path_factory.mktemp("films")
    ratings, table = films(folder)
    read = penchant.read_ratings(ratings, items=table)
    return penchant.fit(read, "mf", epochs=5, factors=8).save(folder / "model")


@pytest.fixture(scope="session")
def ranking_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An als model of the same."""
    folder = tmp_path_factory.mktemp("taken")
    ratings, table = films(folder)
    read = penchant.read_ratings(ratings, items=table, positive_from=3)
    return penchant.fit(read, "als", factors=8).save(folder / "model")


@dataclass
class Running:
    """A server that answers.

    Attributes:
        url: its address.
        process: it.
        log: the file that its log goes to.
    """

    url: str
    process: subprocess.Popen[str]
    log: Path
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, timeout=30)

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self.client.get(path, **how)

    def post(self, path: str, body: Any = None, **how: Any) -> httpx.Response:
        return self.client.post(path, json=body, **how)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def logged(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.client.close()
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(model: Path, folder: Path, *flags: str, **variables: str) -> Iterator[Running]:
    """`penchant serve` on a model, with its feedback and its log in a folder."""
    log = folder / "service.log"
    command = [sys.executable, "-m", "penchant", "serve", str(model), "--port", "0"]
    command += ["--feedback", str(folder / "feedback.db"), *flags]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", **variables}
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environment, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+?:\d+", process.stdout.readline())
        assert found, log.read_text(encoding="utf-8")
        running = Running(found.group(), process, log)
        _wait(running)
        yield running
        running.stop()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _wait(running: Running) -> None:
    deadline = time.monotonic() + 60
    while running.process.poll() is None and time.monotonic() < deadline:
        try:
            if running.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(running.logged())


@pytest.fixture(scope="module")
def service(film_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that several tests ask."""
    with serving(film_model, tmp_path_factory.mktemp("service")) as running:
        yield running
