"""Stored feedback as requests see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penchant.errors import ConflictError
from penchant.serving.events import Event
from penchant.serving.overlay import Overlay


def test_what_is_appended_counts_at_once(open_store: Callable[..., Any]) -> None:
    overlay = Overlay(open_store())
    assert overlay.version(42) == 0
    assert list(overlay.of(42)) == []
    overlay.append([Event("a", 42, 1, 3.0)])
    first = overlay.version(42)
    assert first > 0
    assert [event.item for event in overlay.of(42)] == [1]
    overlay.append([Event("b", 42, 2, 3.0)])
    assert overlay.version(42) > first
    assert overlay.version("42") == 0
    with pytest.raises(ConflictError):
        overlay.append([Event("a", 42, 1, 4.0)])


def test_what_others_store_and_forget_counts_after_a_look(open_store: Callable[..., Any]) -> None:
    ours, theirs = Overlay(open_store()), open_store()
    theirs.append([Event("a", "u", "i", 3.0), Event("b", "v", "i", 3.0)])
    assert ours.version("u") == 0
    ours.refresh()
    before = ours.version("u")
    assert before > 0
    ours.refresh()
    assert ours.version("u") == before
    theirs.forget("u")
    ours.refresh()
    assert ours.version("u") != before
    assert list(ours.of("u")) == []
    assert [event.event_id for event in ours.of("v")] == ["b"]


def test_what_was_stored_before_is_known_from_the_start(open_store: Callable[..., Any]) -> None:
    open_store().append([Event("a", "u", "i")])
    assert Overlay(open_store()).version("u") > 0
