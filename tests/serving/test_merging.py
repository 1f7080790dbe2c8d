"""Feedback joined to a table, and the commands that export, join and forget it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import penchant
from penchant.cli import run
from penchant.data.interactions import Interactions
from penchant.serving.events import Event
from penchant.serving.merging import with_feedback
from penchant.serving.store import FeedbackStore


def table(**more: object) -> Interactions:
    frame = {"user": [1, 1, 2, 3], "item": [10, 20, 10, 30], "rating": [1.0, 5.0, 3.0, 4.0]}
    items = pl.DataFrame({"item": [10, 20, 30], "title": ["Ten", "Twenty", "Thirty"], "genres": ["a", "b", "c"]})
    return penchant.read_ratings(pl.DataFrame({**frame, **more}), items=items)


def frames_of(tmp_path: Path, *events: Event) -> list[pl.DataFrame]:
    with FeedbackStore.open(str(tmp_path / "feedback.db")) as store:
        store.append(events)
        return list(store.all(block=2))


def rows(found: Interactions) -> list[tuple[object, object, float]]:
    ids = found.users.take(found.user_rows), found.items.take(found.item_rows)
    return sorted(zip(*ids, found.ratings.tolist(), strict=True))


def test_feedback_counts_after_the_table(tmp_path: Path) -> None:
    frames = frames_of(tmp_path, Event("a", 1, 10, 2), Event("b", 1, 10, 4), Event("c", 9, 5, 3), Event("d", 0, 20, 1))
    joined = with_feedback(table(), frames)
    assert rows(joined) == [(0, 20, 1), (1, 10, 4), (1, 20, 5), (2, 10, 3), (3, 30, 4), (9, 5, 3)]
    names = dict(zip(joined.items.ids, joined.names, strict=True))
    assert names == {5: "5", 10: "Ten", 20: "Twenty", 30: "Thirty"}
    assert joined.item_table is not None
    assert joined.item_table["genres"].to_list() == [None, "a", "b", "c"]


def test_where_there_are_times_the_later_counts(tmp_path: Path) -> None:
    frames = frames_of(
        tmp_path, Event("a", 1, 10, 2, 50), Event("b", 1, 20, 2, 100), Event("c", 2, 10, 2, 101), Event("d", 3, 30, 2)
    )
    joined = with_feedback(table(time=[100, 100, 100, 100]), frames)
    assert rows(joined) == [(1, 10, 1), (1, 20, 2), (2, 10, 2), (3, 30, 2)]


def test_mistakes_are_left_out_and_told(tmp_path: Path) -> None:
    events = [
        Event("a", "x", 10, 2),
        Event("b", "1", "20", 3),
        Event("c", 1, 30),
        Event("d", 1, 10, 100),
        Event("e", 2, "y", 3),
    ]
    joined = with_feedback(table(), frames_of(tmp_path, *events))
    assert rows(joined) == [(1, 10, 1), (1, 20, 3), (2, 10, 3), (3, 30, 4)]
    notes = " ".join(joined.notes)
    for words in (
        "have users, which are not integers",
        "items such as 'y'",
        "have no rating",
        "outside the table's scale, 1 to 5",
    ):
        assert words in notes
    assert joined.notes[0] == "Feedback: 1 joined to the table."


def test_integers_become_text_where_the_table_has_text(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": ["a", "b"], "item": ["x", "7"], "rating": [1, 2]})
    joined = with_feedback(penchant.read_ratings(frame), frames_of(tmp_path, Event("e", "a", 7, 2)))
    assert rows(joined) == [("a", "7", 2), ("a", "x", 1), ("b", "7", 2)]


def test_what_nobody_rated_counts_one_and_sums(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": [1, 2], "item": [10, 20]})
    frames = frames_of(tmp_path, Event("a", 1, 10), Event("b", 1, 20, 2.5), Event("c", 2, 20, -1))
    joined = with_feedback(penchant.read_ratings(frame), frames)
    assert rows(joined) == [(1, 10, 2), (1, 20, 2.5), (2, 20, 1)]
    joined = with_feedback(table_of_positives(), frames, duplicates="last", positive_from=2)
    assert rows(joined) == [(1, 10, 1), (1, 20, 1), (2, 10, 1), (3, 30, 1)]


@pytest.mark.parametrize("weight", [1e308, 3.5e38, float("inf"), 1e-60])
def test_a_weight_that_float32_cannot_hold_is_left_out(tmp_path: Path, weight: float) -> None:
    """It was accepted once; no later fit may fail for it."""
    frames = frames_of(tmp_path, Event("a", 1, 10), Event("b", 1, 20, 2.5), Event("c", 2, 20), Event("d", 3, 10, 1e30))
    found = pl.concat(frames)
    found = found.with_columns(rating=pl.when(pl.col("event_id") == "b").then(weight).otherwise("rating"))
    joined = with_feedback(penchant.read_ratings(pl.DataFrame({"user": [1, 2], "item": [10, 20]})), [found])
    assert "Feedback: 1 left out, which have a weight that is not from 1e-30 to 1e+30." in joined.notes
    assert rows(joined)[:2] == [(1, 10, 2), (2, 20, 2)]
    assert rows(joined)[2] == (3, 10, float(np.float32(1e30)))


def table_of_positives() -> Interactions:
    frame = pl.DataFrame({"user": [1, 1, 2, 3], "item": [10, 20, 10, 30], "rating": [1.0, 5.0, 3.0, 4.0]})
    return penchant.read_ratings(frame, positive_from=2)


def test_no_feedback_is_no_change(tmp_path: Path) -> None:
    joined = with_feedback(table(), frames_of(tmp_path))
    assert rows(joined) == rows(table())


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    with FeedbackStore.open(str(tmp_path / "feedback.db")) as store:
        store.append([Event("a", 42, 1, 4.5, 7), Event("b", "42", 2), Event("c", 5, 3, 1)])
    return tmp_path


def test_export_and_forget(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, out = str(shop / "feedback.db"), shop / "feedback.parquet"
    assert run(["export-feedback", store, "-o", str(out)]) == 0
    assert pl.read_parquet(out)["user"].to_list() == ["42", "42", "5"]
    capsys.readouterr()
    assert run(["export-feedback", store, "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event_id"] for one in told] == ["a", "b", "c"]
    assert told[1]["rating"] is None
    assert run(["forget", store, "--user", "42", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"user": "42", "removed": 2}
    assert run(["export-feedback", store, "--json"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    "command", [["export-feedback", "--json"], ["export-feedback", "-o", "x.csv"], ["forget", "--user", "1"]]
)
def test_no_feedback_is_told_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([command[0], "none.db", *command[1:]]) == 2
    assert "There is no feedback at none.db" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_fit_with_feedback(tmp_path: Path, capsys: pytest.CaptureFixture[str], ratings: Interactions) -> None:
    frame = {"user": ratings.users.take(ratings.user_rows), "item": ratings.items.take(ratings.item_rows)}
    pl.DataFrame({**frame, "rating": ratings.ratings}).write_csv(tmp_path / "ratings.csv")
    user, items = ratings.users.ids.max(), ratings.items.ids.to_list()[:3]
    new = user + 1 if ratings.users.is_integer else f"{user}-new"
    with FeedbackStore.open(str(tmp_path / "feedback.db")) as store:
        store.append([Event(str(item), new, item, 3.0) for item in items])
    command = ["fit", str(tmp_path / "ratings.csv"), "--model", "bias", "--valid-fraction", "0"]
    assert run([*command, "--feedback", str(tmp_path / "feedback.db"), "-o", str(tmp_path / "model")]) == 0
    recommender = penchant.load(tmp_path / "model")
    row = recommender.users.row(new)
    assert recommender.items.take(recommender.history.item_rows[recommender.history.of(row)]) == items
    assert "Feedback: 3 joined" in capsys.readouterr().err
