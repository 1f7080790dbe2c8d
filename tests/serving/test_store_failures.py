"""What goes wrong around a store: events that no database can hold, servers that hang, files that are removed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from databases import PostgreSQL, running_postgresql
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running_service import serving

from penchant.errors import InputError, StoreError
from penchant.serving.events import LONGEST_ID, WIDEST_ID, Appended, Event
from penchant.serving.store import FeedbackStore

Open = Callable[..., FeedbackStore]


def noise(n: int, low: int, high: int, seed: int = 1) -> str:
    """Characters that cannot be compressed."""
    drawn = random.Random(seed)
    return "".join(chr(drawn.randrange(low, high)) for _ in range(n))


WIDEST = [
    noise(1_000, 33, 127).replace('"', "'").replace("\\", "/"),
    '"' * 1_000,
    noise(1_000, 0x400, 0x500),  # two bytes each
    noise(666, 0x4E00, 0x9FFF),  # three
    noise(500, 0x20000, 0x2A000),  # four
    noise(333, 1, 7),  # six as JSON
]


@pytest.mark.parametrize("text", WIDEST)
def test_every_id_that_is_accepted_fits_into_the_database(text: str, open_store: Open) -> None:
    store = open_store()
    assert store.append([Event(text, text, text), Event("other", text, 1)]) == Appended(2, 0)
    assert store.of_user(text)[0] == Event(text, text, text)
    assert store.forget(text) == 2


@pytest.mark.parametrize("field", ["event_id", "user", "item"])
@pytest.mark.parametrize("text", [text + "x" * (LONGEST_ID - len(text)) + "y" for text in WIDEST])
def test_an_id_that_is_longer_or_wider_is_refused_with_the_limit(text: str, field: str) -> None:
    with pytest.raises(InputError, match=field) as caught:
        Event(**{"event_id": "a", "user": 1, "item": 1, field: text})  # type: ignore[arg-type]
    assert f"{LONGEST_ID:,} characters and at most {WIDEST_ID:,} bytes" in caught.value.remedy


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), st.integers(1, 1_001))
def test_what_the_checks_let_through_is_stored(open_store: Open, text: str, times: int) -> None:
    try:
        event = Event(f"{time.monotonic_ns()}", (text * times)[:1_001], text * times)
    except InputError:
        return
    assert open_store().append([event]) == Appended(1, 0)


def unchecked(**fields: Any) -> Event:
    """An event that the checks would refuse."""
    event = object.__new__(Event)
    for name, value in {"event_id": "a", "user": 1, "item": 1, "rating": None, "time": None, **fields}.items():
        object.__setattr__(event, name, value)
    return event


def test_only_the_event_that_cannot_be_stored_is_refused(open_store: Open) -> None:
    store = open_store()
    batches = [[Event(str(n), n, n)] for n in range(20)]
    batches[7] = [Event("whole", 7, 7), unchecked(event_id=None)]
    answers = store._write(batches)
    assert isinstance(answers[7], InputError)
    assert "can hold" in str(answers[7])
    assert answers[:7] + answers[8:] == [Appended(1, 0)] * 19
    assert store.count() == 19
    with pytest.raises(InputError, match="can hold"):
        store.append(batches[7])


def test_nobody_is_blocked_by_what_postgresql_refuses(postgresql: PostgreSQL) -> None:
    """As before there was a limit in bytes."""
    with FeedbackStore.open(postgresql.new_database()) as store:
        wide = unchecked(event_id=noise(900, 0x20000, 0x2A000))
        found: list[object] = []

        def write(n: int) -> None:
            try:
                found.append(store.append([wide if n % 4 == 0 else Event(str(n), n, n)]))
            except InputError as error:
                found.append(type(error))

        threads = [threading.Thread(target=write, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found.count(InputError) == 4
        assert found.count(Appended(1, 0)) == 12


# --- a server that hangs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hanging() -> Iterator[PostgreSQL]:
    """A server that nobody else uses."""
    with running_postgresql() as server:
        yield server


@contextmanager
def stopped(server: PostgreSQL, *, whole: bool = False) -> Iterator[None]:
    """All processes of a server's sessions are stopped inside; or the one that lets people in, too."""
    first = (server.data / "postmaster.pid").read_text().splitlines()[0]
    told = subprocess.run(["ps", "-o", "pid=", "--ppid", first], capture_output=True, text=True, check=True)
    numbers = [int(word) for word in told.stdout.split()] + ([int(first)] if whole else [])
    for number in numbers:
        os.kill(number, signal.SIGSTOP)
    try:
        yield
    finally:
        for number in numbers:
            os.kill(number, signal.SIGCONT)


def seconds_of_refusal(ask: Callable[[], object]) -> float:
    started = time.monotonic()
    with pytest.raises(StoreError) as caught:
        ask()
    assert caught.value.reason == "unreachable"
    return time.monotonic() - started


@pytest.mark.parametrize("whole", [False, True])
def test_a_server_that_hangs_is_given_up_and_used_again_later(hanging: PostgreSQL, whole: bool) -> None:
    with FeedbackStore.open(hanging.new_database(), wait_seconds=0.2) as store:
        store.append([Event("a", 1, 1)])
        with stopped(hanging, whole=whole):
            assert 1 < seconds_of_refusal(lambda: store.append([Event("b", 1, 1)])) < 4
            assert seconds_of_refusal(lambda: store.of_user(1)) < 0.5  # nobody else waits
            assert not store.healthy()
            time.sleep(1.1)
            if whole:
                assert 1 < seconds_of_refusal(lambda: store.last_of(1)) < 5  # for a connection
        time.sleep(1.1)
        assert store.healthy()
        assert store.append([Event("b", 1, 1)]).duplicates in (0, 1)
        assert store.count() == 2


def test_whoever_stops_in_a_transaction_does_not_stop_the_others(hanging: PostgreSQL) -> None:
    from penchant.serving import databases

    with FeedbackStore.open(url := hanging.new_database(), wait_seconds=0.1) as store, FeedbackStore.open(url) as other:
        with store._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({databases.WRITERS_LOCK})")
            assert other.append([Event("a", 1, 1)]) == Appended(1, 0)  # after some seconds
            connection.invalidate()
        assert store.append([Event("b", 1, 1)]) == Appended(1, 0)


def test_a_long_answer_is_an_error_unless_the_question_is_long(hanging: PostgreSQL) -> None:
    from penchant.serving import patience

    with FeedbackStore.open(hanging.new_database(), wait_seconds=0.1) as store:
        with pytest.raises(StoreError, match="too long to answer") as caught:
            store._run(lambda connection: connection.exec_driver_sql("SELECT pg_sleep(5)"))
        assert caught.value.may_pass

        def long(connection: Any) -> Any:
            with patience.unhurried(connection):
                return connection.exec_driver_sql("SELECT pg_sleep(2.5)").all()

        assert store._run(long)
        with pytest.raises(StoreError, match="too long to answer"):
            store._run(lambda connection: connection.exec_driver_sql("SELECT pg_sleep(5)"))


def test_what_the_address_says_of_waiting_is_heeded() -> None:
    from penchant.serving import databases, patience

    found = patience.connect_arguments(databases.parse_url("postgresql://host/db?connect_timeout=30"), 5)
    assert "connect_timeout" not in found
    assert found["tcp_user_timeout"] == 6_000


def test_a_service_answers_while_its_database_hangs(film_model: Path, hanging: PostgreSQL, tmp_path: Path) -> None:
    event = {"event_id": "a", "user": "new", "item": 1, "rating": 4}
    with serving(film_model, tmp_path, "--feedback", hanging.new_database()) as service:
        assert service.post("/v1/feedback", {"events": [event]}).status_code == 200
        with stopped(hanging):
            started = time.monotonic()
            assert service.get("/v1/users/new/recommendations").status_code == 503
            assert time.monotonic() - started < 9
            assert service.get("/v1/users/1/recommendations").status_code == 200
            assert service.get("/readyz").status_code == 503
        deadline = time.monotonic() + 10
        while service.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert service.post("/v1/feedback", {"events": [event]}).json() == {"accepted": 0, "duplicates": 1}
        assert service.get("/v1/users/new/recommendations").json()["known"]


# --- files that are removed ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffixes", [["", "-wal", "-shm"], [""], ["-wal"]])
def test_nothing_is_acknowledged_into_a_file_that_was_removed(suffixes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    with FeedbackStore.open(str(path)) as store:
        store.append([Event("a", 1, 1)])
        for suffix in suffixes:
            Path(f"{path}{suffix}").unlink()
        for ask in (lambda: store.append([Event("b", 1, 1)]), lambda: store.of_user(1), lambda: store.forget(1)):
            with pytest.raises(StoreError, match="removed or replaced") as caught:
                ask()
            assert not caught.value.may_pass
        assert not store.healthy()
        assert path.exists() == ("" not in suffixes)  # no empty one in its place


def test_another_file_in_the_place_is_noticed_and_the_first_one_used_again(tmp_path: Path) -> None:
    path, aside = tmp_path / "feedback.db", tmp_path / "aside.db"
    with FeedbackStore.open(str(path)) as store:
        store.append([Event("a", 1, 1)])
        path.rename(aside)
        path.write_bytes(aside.read_bytes())
        with pytest.raises(StoreError, match="removed or replaced"):
            store.append([Event("b", 1, 1)])
        aside.replace(path)
        assert store.append([Event("b", 1, 1)]) == Appended(1, 0)


def test_files_that_go_while_it_is_written_are_not_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    with FeedbackStore.open(str(path)) as store:
        store.append([Event("a", 1, 1)])

        def remove(connection: Any) -> None:
            del connection
            path.unlink()

        with pytest.raises(StoreError, match="removed or replaced"):
            store._run(remove)


def test_a_service_whose_feedback_was_removed_says_so(film_model: Path, tmp_path: Path) -> None:
    def send(service: Any, event_id: str) -> httpx.Response:
        return service.post("/v1/feedback", {"events": [{"event_id": event_id, "user": 1, "item": 1, "rating": 4}]})

    with serving(film_model, tmp_path) as service:
        assert send(service, "a").status_code == 200
        for path in tmp_path.glob("feedback.db*"):
            path.unlink()
        answer = send(service, "b")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
        assert service.get("/readyz").status_code == 503
        deadline = time.monotonic() + 10
        while "removed or replaced" not in service.logged():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert not list(tmp_path.glob("feedback.db*"))
