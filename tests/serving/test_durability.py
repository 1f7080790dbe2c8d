"""Nothing acknowledged is lost: by kill -9, by a crash of the database, by a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from databases import running_postgresql
from running_service import serving

from penchant.errors import StoreError
from penchant.serving.events import Appended, Event
from penchant.serving.store import FeedbackStore

HERE = Path(__file__).parent


def start_writing(url: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1] / "src")}
    command = [sys.executable, str(HERE / "writing_process.py"), url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)


def acknowledged_until(process: subprocess.Popen[str], count: int) -> list[str]:
    """The ids that a writer told before it was killed, after at least so many."""
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(count)]
    process.kill()
    told += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    return [line.strip() for line in told if line.endswith("\n")]  # half a line was never told


@pytest.mark.parametrize("count", [1, 150])
def test_kill_9_loses_nothing_that_was_acknowledged(store_url: str, count: int) -> None:
    told = acknowledged_until(start_writing(store_url), count)
    with FeedbackStore.open(store_url, create=False) as store:
        stored = {event.event_id for user in range(4) for event in store.of_user(user)}
        assert len(told) >= count
        assert set(told) <= stored
        assert len(stored) <= len(told) + 4  # and nothing else, but what each thread was at
        assert store.append([Event("after", 9, 9)]) == Appended(1, 0)


def test_two_processes_write_and_one_is_killed(store_url: str) -> None:
    FeedbackStore.open(store_url).close()
    process = start_writing(store_url)
    with FeedbackStore.open(store_url) as store:
        for n in range(50):
            store.append([Event(f"mine-{n}", 77, n)])
        told = acknowledged_until(process, 20)
        store.append([Event("mine-last", 77, 50)])  # the killed one holds no lock
        assert len(store.of_user(77)) == 51
        assert set(told) <= {event.event_id for user in range(4) for event in store.of_user(user)}


def test_a_crash_of_postgresql_loses_nothing_that_was_acknowledged(postgresql) -> None:
    url = postgresql.new_database()
    with FeedbackStore.open(url) as store:
        for n in range(30):
            store.append([Event(str(n), 1, n)])
        postgresql.stop("immediate")  # as when it is killed: it recovers from its log
        postgresql.start()
        assert [event.event_id for event in store.of_user(1)] == [str(n) for n in range(30)]


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder on a disk of its own, of 60 MB, that another user (PostgreSQL's) may enter."""
    folder = Path(tempfile.mkdtemp(prefix="disk"))
    command = ["mount", "-t", "tmpfs", "-o", "size=60m,mode=777", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("a small disk can only be mounted by root, where mounting is allowed")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def fill_up(folder: Path) -> Path:
    """Leave no space on a disk."""
    path = folder / "filling"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


def append_until_full(store: FeedbackStore) -> tuple[int, StoreError]:
    """How many events were acknowledged before the first that was not, and its error."""
    for n in range(5_000):
        try:
            store.append([Event(f"{n}-" + "x" * 900, 1, n, 1.0, n)])
        except StoreError as error:
            return n, error
    raise AssertionError("the disk never was full")


def check_full_disk(store: FeedbackStore, folder: Path) -> None:
    assert store.append([Event("before", 1, -1, 1.0, -1)]) == Appended(1, 0)
    filling = fill_up(folder)
    count, error = append_until_full(store)
    assert error.reason == "full", error
    assert "Free some space" in error.remedy
    events = store.of_user(1)  # what is there can still be read
    assert [event.item for event in events] == [-1, *range(count)]
    filling.unlink()
    assert store.append([Event("after", 1, 9_999, 1.0, 9_999)]) == Appended(1, 0)
    assert [event.item for event in store.of_user(1)] == [-1, *range(count), 9_999]


def test_a_full_disk_under_sqlite(small_disk: Path) -> None:
    with FeedbackStore.open(str(small_disk / "feedback.db")) as store:
        check_full_disk(store, small_disk)


def test_a_full_disk_under_postgresql(small_disk: Path) -> None:
    """Its tables are on the small disk; its log is not, since without a log it stops altogether."""
    with running_postgresql() as server:
        space = small_disk / "tables"
        space.mkdir()
        if server.user is not None:
            shutil.chown(space, server.user)
        url = server.new_database()
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
            connection.execute("ALTER ROLE penchant SET default_tablespace = small")
        with FeedbackStore.open(url) as store:
            check_full_disk(store, small_disk)


def test_kill_9_of_the_service_loses_no_feedback_that_it_answered(
    store_url: str, film_model: Path, tmp_path: Path
) -> None:
    answered: list[str] = []  # appending is safe among threads

    with serving(film_model, tmp_path, "--feedback", store_url, "--rate", "100000", "--burst", "100000") as service:

        def write(writer: int) -> None:
            with httpx.Client(base_url=service.url, timeout=10) as client:
                for n in range(10_000):
                    event = {"event_id": f"{writer}-{n}", "user": writer, "item": 1 + n % 50, "rating": 4.0}
                    try:
                        answer = client.post("/v1/feedback", json={"events": [event]})
                    except httpx.TransportError:
                        return
                    assert answer.status_code == 200, answer.text
                    answered.append(event["event_id"])

        with ThreadPoolExecutor(4) as pool:
            writers = [pool.submit(write, writer) for writer in range(4)]
            while len(answered) < 100 and not any(writer.done() for writer in writers):
                time.sleep(0.01)
            service.process.kill()
            for writer in writers:
                writer.result()
    assert len(answered) >= 100
    with FeedbackStore.open(store_url, create=False) as store:
        stored = {event.event_id for user in range(4) for event in store.of_user(user)}
    assert set(answered) <= stored
    assert len(stored) <= len(answered) + 4
