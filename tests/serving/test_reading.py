"""How far feedback was read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from penchant.serving.events import Event
from penchant.serving.reading import Reached, earliest, read_all, read_so_far
from penchant.serving.store import FeedbackStore


def test_what_is_new_is_what_came_after(open_store: Callable[..., FeedbackStore]) -> None:
    store = open_store()
    store.append([Event("a", 1, 10, 3.0), Event("b", 2, 10, 3.0)])
    before, new, reached = read_all(store)
    assert (pl.concat(before).height, pl.concat(new)["event_id"].to_list()) == (0, ["a", "b"])
    assert reached == Reached(store.identity(), store.last(), 2)
    since = read_so_far(reached.to_about(), store)
    assert store.count(since) == 0
    store.append([Event("c", "x", 10, 3.0)])  # from now on ids are text
    assert store.count(since) == 1
    before, new, later = read_all(store, since)
    assert pl.concat(before)["user"].to_list() == ["1", "2"]
    assert pl.concat(new)["user"].to_list() == ["x"]
    assert pl.concat([*before, *new]).height == later.n_events == 3


def test_another_store_is_read_from_its_start(open_store: Callable[..., FeedbackStore], tmp_path: Path) -> None:
    store = open_store()
    store.append([Event("a", 1, 10), Event("b", 2, 10)])
    about = read_all(store)[2].to_about()
    with FeedbackStore.open(str(tmp_path / "other.db")) as other:
        other.append([Event("a", 1, 10)])
        assert other.identity() != store.identity()
        assert read_so_far(about, other) == 0
    assert read_so_far({}, store) == 0


def test_the_identity_stays(open_store: Callable[..., FeedbackStore]) -> None:
    found = {open_store().identity(), open_store(create=False).identity(), open_store().identity()}
    assert len(found) == 1
    assert len(found.pop()) == 16


def test_a_store_of_before_gets_an_identity_from_a_writer_only(open_store: Callable[..., FeedbackStore]) -> None:
    first = open_store()
    facts = first._tables.facts
    with first._engine.begin() as connection:
        connection.execute(facts.delete().where(facts.c.name == "identity"))
    reader = open_store(create=False)
    assert reader.identity() == ""
    reader_about = Reached("", 1, 1).to_about()
    assert read_so_far(reader_about, reader) == 1
    assert open_store().identity() == reader.identity() != ""


def test_what_was_forgotten_is_not_read_again(open_store: Callable[..., FeedbackStore]) -> None:
    store = open_store()
    store.append([Event("a", 1, 10), Event("b", 2, 10)])
    reached = read_all(store)[2]
    store.forget(2)
    since = read_so_far(reached.to_about(), store)
    before, new, later = read_all(store, since)
    assert [pl.concat(part).height for part in (before, new)] == [1, 0]
    assert later.sequence == reached.sequence
    store.append([Event("c", 3, 10)])
    assert store.count(since) == 1


@pytest.mark.parametrize("about", [{}, {"feedback": None}, {"feedback": 3}, {"feedback": {"store": "x"}}])
def test_nothing_is_known_of_other_artifacts(about: dict[str, object]) -> None:
    assert Reached.of_about(about) is None


def test_the_earliest_are_by_time_and_as_they_came_without(open_store: Callable[..., FeedbackStore]) -> None:
    store = open_store()
    times = [300, None, 100, 200, 100]
    store.append([Event(str(n), 1, n, None, time) for n, time in enumerate(times)])
    assert earliest(read_all(store)[1], 0.6)["event_id"].to_list() == ["2", "3", "4"]
    assert earliest(read_all(store)[1], 0.5)["event_id"].to_list() == ["2", "4"]
    assert earliest(read_all(store)[1], 0.1).height == 0
