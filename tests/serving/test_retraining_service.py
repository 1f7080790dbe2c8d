"""A service that people use, and penchant retrain beside it: a new model, and no request that fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from running_service import SOURCE, Running, serving

import penchant
from penchant.cli import run
from penchant.data.synthetic import planted

DOCS = Path(__file__).parents[2] / "docs" / "feedback.md"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A table, a model of it, and what people will rate later, as bodies of requests."""
    data = planted(80, 90, 5_000, seed=2)
    order = np.random.default_rng(0).permutation(len(data))
    users, items = data.users.take(data.user_rows[order]), data.items.take(data.item_rows[order])
    times, ratings, half = 1_600_000_000 + 60 * np.arange(len(order)), data.ratings[order], len(order) // 2
    columns = {"user": users, "item": items, "rating": ratings, "time": times}
    pl.DataFrame({name: column[:half] for name, column in columns.items()}).write_csv(tmp_path / "ratings.csv")
    rest = pl.DataFrame({name: column[half:] for name, column in columns.items()})
    numbered = rest.with_columns(event_id=pl.format("event-{}", pl.int_range(pl.len())))
    numbered.write_parquet(tmp_path / "later.parquet")
    table = penchant.read_ratings(tmp_path / "ratings.csv")
    penchant.fit(table, "mf", epochs=5, factors=8).save(tmp_path / "model")
    return tmp_path


def bodies(shop: Path) -> list[dict[str, Any]]:
    events = pl.read_parquet(shop / "later.parquet").to_dicts()
    return [{"events": events[at : at + 100]} for at in range(0, len(events), 100)]


@contextmanager
def asking(running: Running, **headers: str) -> Iterator[list[int]]:
    """Meanwhile somebody asks for lists without a pause; the statuses of all answers."""
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=running.url, timeout=30, headers=headers) as client:
            while not stop.is_set():
                for user in range(10):
                    statuses.append(client.get(f"/v1/users/{user}/recommendations?k=3").status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()


def retrain(shop: Path, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = ["retrain", "ratings.csv", "--feedback", "feedback.db", "--model-dir", "model", *more]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "no_proxy": "*", **variables}
    return subprocess.run(
        [sys.executable, "-m", "penchant", *command], cwd=shop, env=environment, capture_output=True, text=True
    )


def test_a_new_model_by_its_address_and_no_request_fails(shop: Path) -> None:
    keys = {}
    for scope in ("read,write", "admin"):
        command = ["keys", "add", str(shop / "keys.json"), "--scope", scope, "--json"]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        made = subprocess.run([sys.executable, "-m", "penchant", *command], env=environment, capture_output=True)
        keys[scope] = pl.read_json(made.stdout)["key"][0]
    reader = {"Authorization": f"Bearer {keys['read,write']}"}
    with serving(shop / "model", shop, "--keys", str(shop / "keys.json"), "--rate", "0") as running:
        running.client.headers.update(reader)
        model = running.get("/v1/model").json()
        before = model["version"]
        for body in bodies(shop):
            assert running.post("/v1/feedback", body).status_code == 200
        with asking(running, **reader) as statuses:
            wrong = retrain(shop, "--notify", running.url, PENCHANT_KEY=keys["read,write"])
            assert wrong.returncode == 1, wrong.stderr
            assert "refuses" in wrong.stderr
            assert "Give a key with the scope admin in the variable PENCHANT_KEY" in wrong.stderr
            assert running.get("/v1/model").json()["version"] == before
            penchant.load(shop / "model.previous").save(shop / "model")
            told = retrain(shop, "--notify", running.url, PENCHANT_KEY=keys["admin"])
        assert told.returncode == 0, told.stderr
        served = running.get("/v1/model").json()
        assert served["version"] != before
        assert f"{running.url} serves it, version {served['version']}." in told.stdout
        assert served["data"]["n_ratings"] > 1.5 * model["data"]["n_ratings"]
        assert keys["admin"] not in told.stdout + told.stderr + wrong.stderr
    assert len(statuses) >= 10
    assert set(statuses) == {200}
    assert len(penchant.load(shop / "model.previous").recommend(3, 5)) == 5


def test_a_new_model_by_signal_and_no_request_fails(shop: Path) -> None:
    with serving(shop / "model", shop, "--pid-file", str(shop / "serve.pid")) as running:
        before = running.get("/v1/model").json()["version"]
        for body in bodies(shop):
            assert running.post("/v1/feedback", body).status_code == 200
        with asking(running) as statuses:
            told = retrain(shop, "--pid-file", "serve.pid")
            assert told.returncode == 0, told.stderr
            assert "serve.pid was sent SIGHUP; its log says what it loaded." in told.stdout
            deadline = time.monotonic() + 60
            while running.get("/v1/model").json()["version"] == before and time.monotonic() < deadline:
                time.sleep(0.05)
        assert running.get("/v1/model").json()["version"] != before
    assert len(statuses) >= 10
    assert set(statuses) == {200}
    assert len(penchant.load(shop / "model.previous").recommend(3, 5)) == 5


def test_an_artifact_that_a_service_refuses_is_told(shop: Path) -> None:
    """Another service that serves another folder has loaded something, but not this."""
    penchant.load(shop / "model").save(shop / "other")
    with serving(shop / "other", shop) as running:
        for body in bodies(shop):
            assert running.post("/v1/feedback", body).status_code == 200
        told = retrain(shop, "--notify", running.url)
    assert told.returncode == 1
    assert "has loaded a model, but another one" in told.stderr
    assert "Check that it serves the folder of --model-dir." in told.stderr


def test_the_line_for_cron_in_the_docs_works(shop: Path) -> None:
    """As cron runs it: by sh, with hardly a variable, from the root folder."""
    (line,) = re.findall(r"^\d+ \* \* \* \*  penchant  (.*)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert "%" not in line  # cron would end the line there
    script = shop / "penchant"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={SOURCE} exec {sys.executable} -m penchant "$@"\n')
    script.chmod(0o755)
    with serving(shop / "model", shop) as running:
        before = running.get("/v1/model").json()["version"]
        for body in bodies(shop):
            assert running.post("/v1/feedback", body).status_code == 200
        (variables,) = re.findall(r"^```sh\n(PENCHANT_KEY=.*?)^```$", DOCS.read_text(encoding="utf-8"), re.M | re.S)
        (shop / "retrain.env").write_text(variables.replace("/var/lib/penchant", str(shop)))
        for written, here in (
            ("/opt/penchant/bin/penchant", str(script)),
            ("/var/lib/penchant", str(shop)),
            ("/etc/penchant", str(shop)),
            ("http://127.0.0.1:8000", running.url),
            ("ratings.parquet", "ratings.csv"),
        ):
            assert written in line, written
            line = line.replace(written, here)
        few = {"HOME": str(shop), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
        cron = subprocess.run(["/bin/sh", "-c", line], cwd="/", env=few, capture_output=True, text=True)
        assert (cron.returncode, cron.stdout, cron.stderr) == (0, "", ""), (shop / "retrain.log").read_text()
        assert (shop / "cache").is_dir()
        assert '"outcome": "promoted"' in (shop / "retrain.log").read_text()
        assert running.get("/v1/model").json()["version"] != before


def test_the_unit_for_systemd_in_the_docs_is_a_command_line(shop: Path) -> None:
    """Its flags are there, and a service that is started so does its first round at once."""
    text = DOCS.read_text(encoding="utf-8")
    (line,) = re.findall(r"^ExecStart=/opt/penchant/bin/penchant (retrain (?:.*\\\n)*.*)$", text, re.MULTILINE)
    words = line.replace("\\\n", " ").split()
    assert words[words.index("--every") + 1] == "1h"
    words = [word.replace("/var/lib/penchant", str(shop)).replace(".parquet", ".csv") for word in words]
    assert run(words[: words.index("--every")]) == 2  # no feedback is there, of all that could be wrong
    assert "EnvironmentFile=/etc/penchant/retrain.env" in text
