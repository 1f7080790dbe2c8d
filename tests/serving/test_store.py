"""The store of feedback: the same tests on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from databases import PostgreSQL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penchant.errors import ConflictError, InputError, PenchantError, SettingError, StoreError
from penchant.serving.commit_groups import CommitGroups
from penchant.serving.events import Appended, Event, decode, encode
from penchant.serving.store import FeedbackStore

Open = Callable[..., FeedbackStore]


def test_what_was_appended_is_there(open_store: Open) -> None:
    store = open_store()
    events = [Event("a", 1, "x", 4.5, 100), Event("b", 1, 7, None, None), Event("c", "1", "x", 2, 50)]
    assert store.append(events) == Appended(3, 0)
    assert store.of_user(1) == [events[0], events[1]]  # what has no time counts as it came
    assert store.of_user("1") == [events[2]]
    assert store.of_user(2) == []
    assert store.count() == 3


def test_another_process_would_find_it(open_store: Open) -> None:
    event = Event("a", "ä\n\"'", "Ω", 0.1, -5)
    open_store().append([event])
    assert open_store(create=False).of_user("ä\n\"'") == [event]


def test_the_events_of_a_user_are_ordered_by_time_then_arrival(open_store: Open) -> None:
    store = open_store()
    store.append([Event("a", 1, 1, 1, 30), Event("b", 1, 2, 1, 10), Event("c", 1, 3, 1, 10)])
    store.append([Event("d", 1, 4, 1, 10)])
    assert [event.event_id for event in store.of_user(1)] == ["b", "c", "d", "a"]


def test_the_same_event_is_stored_once(open_store: Open) -> None:
    store, event = open_store(), Event("a", 1, 2, 3.0, 4)
    assert store.append([event, event]) == Appended(1, 1)
    assert store.append([event, Event("b", 1, 2, 3.0, 4)]) == Appended(1, 1)
    assert store.count() == 2


@pytest.mark.parametrize(
    "other", [Event("a", "1", 2, 3, 4), Event("a", 1, 3, 3, 4), Event("a", 1, 2, None, 4), Event("a", 1, 2, 3, None)]
)
def test_an_event_id_that_stands_for_another_event_is_refused_with_its_batch(open_store: Open, other: Event) -> None:
    store = open_store()
    store.append([Event("a", 1, 2, 3, 4)])
    with pytest.raises(ConflictError, match="'a'"):
        store.append([Event("new", 5, 5), other])
    assert store.count() == 1
    with pytest.raises(ConflictError, match="'b'"):
        store.append([Event("b", 1, 1), Event("b", 1, 2)])
    assert store.count() == 1
    assert store.append([Event("c", 1, 1)]) == Appended(1, 0)


def test_nothing_is_nothing(open_store: Open) -> None:
    store = open_store()
    assert store.append([]) == Appended(0, 0)
    assert store.count() == 0
    frames = list(store.all())
    assert [frame.height for frame in frames] == [0]
    assert frames[0].columns == ["event_id", "user", "item", "rating", "time", "received"]


def test_users_since(open_store: Open) -> None:
    store = open_store()
    assert store.users_since(0).users == []
    store.append([Event("a", 1, 1), Event("b", "x", 1), Event("c", 1, 2)])
    changes = store.users_since(0)
    assert changes.users == ["x", 1]
    assert store.users_since(changes.sequence).users == []
    store.append([Event("d", 9, 1)])
    later = store.users_since(changes.sequence)
    assert later.users == [9]
    assert later.sequence > changes.sequence
    store.forget(9)
    assert store.users_since(later.sequence).forgettings == later.forgettings + 1


def test_the_last_event_of_a_user_tells_every_change(open_store: Open) -> None:
    store = open_store()
    seen = [store.last_of(1)]
    for name in "ab":
        store.append([Event(name, 1, 1)])
        seen.append(store.last_of(1))
    store.forget(1)
    assert store.last_of(1) == seen[0]
    store.append([Event("c", 1, 1)])
    assert store.last_of(1) not in seen


def test_forgetting_removes_one_user_and_no_other(open_store: Open) -> None:
    store = open_store()
    store.append([Event("a", 42, 1), Event("b", "42", 1), Event("c", 42, 2), Event("d", 4, 1)])
    assert store.forget(42) == 2
    assert store.forget(42) == 0
    assert store.of_user(42) == []
    assert store.count() == 2
    assert store.append([Event("a", 42, 1)]) == Appended(1, 0)


def test_forgetting_takes_a_user_out_of_the_file_and_its_log(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    secret = "somebody-secret"
    with FeedbackStore.open(str(path)) as store:
        for n in range(50):
            store.append([Event(f"{secret}-{n}", secret, f"item-{n}"), Event(f"other-{n}", n, n)])
        assert any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir())
        assert store.forget(secret) == 50
        assert not [file for file in tmp_path.iterdir() if secret.encode() in file.read_bytes()]
        assert store.count() == 50


def stored_bytes(server: PostgreSQL, url: str) -> bytes:
    """The files of the table of events, of its indexes and of what is too long for it."""
    import psycopg

    asked = """SELECT pg_relation_filepath(c.oid) FROM pg_class c, pg_class t WHERE t.relname = 'penchant_events' AND
        (c.oid IN (t.oid, t.reltoastrelid) OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = t.oid))"""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        paths = [server.data / str(row[0]) for row in connection.execute(asked)]
    assert len(paths) >= 4
    return b"".join(path.read_bytes() for path in paths)


def test_forgetting_takes_a_user_out_of_the_files_of_postgresql(postgresql: PostgreSQL) -> None:
    url, secret = postgresql.new_database(), "somebody-secret"
    with FeedbackStore.open(url) as store:
        for n in range(50):
            store.append([Event(f"{secret}-{n}", secret, f"item-{n}"), Event(f"other-{n}", n, n)])
        assert secret.encode() in stored_bytes(postgresql, url)
        assert store.forget(secret) == 50
        found = stored_bytes(postgresql, url)
        assert secret.encode() not in found
        assert b"other-49" in found
        assert store.count() == 50
        assert store.append([Event("new", secret, 1)]) == Appended(1, 0)


def test_whoever_may_not_rewrite_the_table_is_told_what_is_left(postgresql: PostgreSQL) -> None:
    import psycopg

    url, name = postgresql.new_database(), f"other_{time.monotonic_ns()}"
    with FeedbackStore.open(url) as store, psycopg.connect(url, autocommit=True) as connection:
        store.append([Event("a", 1, 1), Event("b", 2, 1)])
        connection.execute(f"CREATE ROLE {name} LOGIN")
        connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        with FeedbackStore.open(url.replace("penchant:secret", name), create=False) as theirs:
            with pytest.raises(StoreError, match=r"1 events are removed.*does not own the table") as caught:
                theirs.forget(1)
            assert "VACUUM (FULL, ANALYZE) penchant_events" in caught.value.remedy
        assert store.count() == 1


def test_a_table_that_others_use_is_not_waited_for_for_ever(postgresql: PostgreSQL) -> None:
    import psycopg

    url = postgresql.new_database()
    with FeedbackStore.open(url, wait_seconds=0.2) as store, psycopg.connect(url) as other:
        store.append([Event("a", 1, 1)])
        other.execute("SELECT count(*) FROM penchant_events")  # and its transaction stays open
        with pytest.raises(StoreError, match="copies are left in the files of") as caught:
            store.forget(1)
        assert caught.value.may_pass
        assert "wipes the files" in caught.value.remedy
        other.rollback()
        assert store.forget(1) == 0


def test_all_comes_in_blocks(open_store: Open) -> None:
    store = open_store()
    store.append([Event(str(n), n % 7, n, float(n), n) for n in range(25)])
    frames = list(store.all(block=10))
    assert [frame.height for frame in frames] == [10, 10, 5]
    whole = pl.concat(frames)
    assert whole["event_id"].to_list() == [str(n) for n in range(25)]
    assert whole.schema["user"] == whole.schema["item"] == pl.Int64
    assert abs(whole["received"].to_numpy() - time.time()).max() < 60


def test_ids_of_both_kinds_become_text_in_all_blocks(open_store: Open) -> None:
    store = open_store()
    store.append([Event("a", 1, 1), Event("b", "x", 2)])
    frames = list(store.all(block=1))
    assert [frame["user"].to_list() for frame in frames] == [["1"], ["x"]]
    assert frames[0].schema["item"] == pl.Int64


def test_what_comes_while_all_is_read_is_left_out(open_store: Open) -> None:
    store = open_store()
    store.append([Event(str(n), 1, n) for n in range(4)])
    blocks = store.all(block=2)
    first = next(blocks)
    store.append([Event("later", "text", 9)])
    store.forget(2)
    assert first.height + sum(frame.height for frame in blocks) == 4


def test_many_threads_share_commits_and_each_gets_its_own_answer(open_store: Open) -> None:
    store = open_store()
    store.append([Event("taken", 0, 0)])
    answers: dict[int, object] = {}

    def write(n: int) -> None:
        for turn in range(5):
            assert store.append([Event(f"{n}-{turn}", n, turn)]) == Appended(1, 0)
        try:
            answers[n] = store.append([Event(f"{n}-last", n, 99), Event("taken", n % 2, 0)])
        except ConflictError as error:
            answers[n] = error

    threads = [threading.Thread(target=write, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answers[n] == Appended(1, 1) for n in range(0, 16, 2))
    assert all(isinstance(answers[n], ConflictError) for n in range(1, 16, 2))
    assert store.count() == 1 + 16 * 5 + 8


def test_two_servers_on_one_store(open_store: Open) -> None:
    """Their commits come in the order of sequence numbers: who asks for what is new misses nothing."""
    stores, missed, done = [open_store(), open_store()], set(range(200)), threading.Event()

    def write(place: int) -> None:
        for n in range(place, 200, 2):
            stores[place].append([Event(str(n), n, 0)])

    def follow() -> None:
        reached, is_last = 0, False
        while missed and not is_last:
            is_last = done.is_set()  # before asking: once more after the last commit
            changes = stores[1].users_since(reached)
            missed.difference_update(changes.users)
            reached = changes.sequence

    threads = [threading.Thread(target=write, args=(place,)) for place in (0, 1)]
    follower = threading.Thread(target=follow)
    for thread in (*threads, follower):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    follower.join(timeout=30)
    assert not missed
    assert stores[0].count() == 200


def test_two_open_a_new_store_at_once(store_url: str) -> None:
    stores: list[FeedbackStore] = []
    threads = [threading.Thread(target=lambda: stores.append(FeedbackStore.open(store_url))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores) == 8
    for place, store in enumerate(stores):
        store.append([Event(str(place), 1, 1)])
    assert stores[0].count() == 8
    for store in stores:
        store.close()


def test_a_locked_database_is_an_error_that_passes(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    with FeedbackStore.open(str(path), wait_seconds=0.1) as store:
        store.append([Event("a", 1, 1)])
        other = sqlite3.connect(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked") as caught:
            store.append([Event("b", 1, 1)])
        assert caught.value.reason == "locked"
        assert caught.value.may_pass
        assert store.count() == 1
        other.execute("ROLLBACK")
        other.close()
        assert store.append([Event("b", 1, 1)]) == Appended(1, 0)


def test_a_lock_in_postgresql_is_an_error_that_passes(postgresql) -> None:
    import psycopg

    from penchant.serving.databases import WRITERS_LOCK

    url = postgresql.new_database()
    with FeedbackStore.open(url, wait_seconds=0.2) as store, psycopg.connect(url) as other:
        other.execute(f"SELECT pg_advisory_lock({WRITERS_LOCK})")
        with pytest.raises(StoreError, match="locked") as caught:
            store.append([Event("b", 1, 1)])
        assert caught.value.reason == "locked"
        other.execute(f"SELECT pg_advisory_unlock({WRITERS_LOCK})")
        assert store.append([Event("b", 1, 1)]) == Appended(1, 0)


def test_what_is_there_already(open_store: Open, store_url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no feedback"):
        open_store(create=False)
    assert not list(tmp_path.glob("*.db*"))
    store = open_store()
    with store._engine.connect() as connection:
        connection.exec_driver_sql("UPDATE penchant_facts SET value = 9 WHERE name = 'schema'")
    with pytest.raises(StoreError, match="version 9; this penchant reads version 1"):
        open_store()


def test_a_file_that_is_no_store_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("user,item,rating\n1,2,3\n" * 100)
    before = (tmp_path / "ratings.csv").read_bytes()
    with pytest.raises(StoreError, match="not a store of feedback") as caught:
        FeedbackStore.open(str(tmp_path / "ratings.csv"))
    assert not caught.value.may_pass
    assert (tmp_path / "ratings.csv").read_bytes() == before
    with pytest.raises(StoreError, match="is a folder"):
        FeedbackStore.open(str(tmp_path))
    with pytest.raises(StoreError, match="There is no folder"):
        FeedbackStore.open(str(tmp_path / "no" / "feedback.db"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://me:topsecret@host/db",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://me:topsecret@host:topsecret/db",
        "postgresql://me:topsecret@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?user=me&password=topsecret",
        "postgresql://127.0.0.1:1/db?nonsense=topsecret",
    ],
)
def test_errors_never_show_a_password(url: str) -> None:
    with pytest.raises((SettingError, StoreError)) as caught:
        FeedbackStore.open(url)
    assert caught.value.remedy
    assert "topsecret" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_server_that_went_away_and_came_back(postgresql) -> None:
    store = FeedbackStore.open(postgresql.new_database(), wait_seconds=1)
    store.append([Event("a", 1, 1)])
    postgresql.stop()
    try:
        assert not store.healthy()
        with pytest.raises(StoreError, match="cannot be reached") as caught:
            store.append([Event("b", 1, 1)])
        assert caught.value.reason == "unreachable"
    finally:
        postgresql.start()
    assert store.healthy()
    assert store.append([Event("a", 1, 1), Event("b", 1, 1)]) == Appended(1, 1)
    store.close()


def test_a_connection_that_the_server_closed_is_opened_again(postgresql) -> None:
    with FeedbackStore.open(postgresql.new_database()) as store:
        store.append([Event("a", 1, 1)])
        postgresql.stop("fast")
        postgresql.start()
        assert store.append([Event("b", 1, 1)]) == Appended(1, 0)
        assert store.count() == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"event_id": 1}, "event_id is 1"),
        ({"event_id": " "}, "event_id"),
        ({"event_id": "x" * 1001}, "1,001 characters"),
        ({"user": True}, "user is True"),
        ({"user": None}, "user is None"),
        ({"user": 2**63}, "64 bits"),
        ({"user": 10**5000}, "thousands of digits"),
        ({"item": 1.5}, "item is 1.5"),
        ({"item": "a\0b"}, "item"),
        ({"item": "\ud800"}, "item"),
        ({"rating": float("nan")}, "rating is nan"),
        ({"rating": "5"}, "rating is '5'"),
        ({"rating": 10**400}, "rating is 1"),
        ({"rating": True}, "rating is True"),
        ({"rating": 1e308}, "too large"),
        ({"rating": -1.1e30}, "too large"),
        ({"time": 1.5}, "time is 1.5"),
        ({"time": 1_700_000_000_000}, "not in seconds"),
        ({"time": 99_999_999_999}, "a day ahead"),
    ],
)
def test_an_event_that_cannot_be_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Event(**{"event_id": "a", "user": 1, "item": 1, **wrong})  # type: ignore[arg-type]
    assert caught.value.remedy


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(min_size=1)))
def test_ids_keep_their_kind(id_: int | str) -> None:
    assert decode(encode(id_)) == id_
    assert type(decode(encode(id_))) is type(id_)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), unique=True, min_size=1))
def test_any_text_is_an_id(open_store: Open, names: list[str]) -> None:
    names = [name for name in names if name.strip()]
    store = open_store()
    for name in names:
        store.forget(name)
        store.append([Event(f"{name[:500]}-{time.monotonic_ns()}", name, name)])
        assert store.of_user(name)[0].item == name


def test_a_group_that_fails_fails_for_all_in_it() -> None:
    started, go = threading.Event(), threading.Event()
    groups_seen: list[list[int]] = []

    def write(asked: list[int]) -> list[int]:
        groups_seen.append(asked)
        started.set()
        go.wait(10)
        if len(asked) > 1:
            raise KeyboardInterrupt
        return asked

    groups = CommitGroups[int, int](write, most=3)
    caught: list[object] = []

    def submit(n: int) -> None:
        try:
            caught.append(groups.submit(n, size=1))
        except BaseException as error:
            caught.append(type(error))

    threads = [threading.Thread(target=submit, args=(0,))]
    threads[0].start()
    started.wait(10)
    for n in range(1, 5):
        threads.append(threading.Thread(target=submit, args=(n,)))
        threads[-1].start()
    while len(groups._waiting) < 4:
        time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join(timeout=10)
    assert [len(group) for group in groups_seen] == [1, 3, 1]  # never more than fit
    assert caught.count(KeyboardInterrupt) == 3
    assert len(caught) == 5


def test_errors_are_of_the_tree() -> None:
    assert issubclass(StoreError, PenchantError)
    assert issubclass(ConflictError, InputError)
