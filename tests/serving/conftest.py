"""What tests of the service share: an empty store in each database."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from databases import PostgreSQL, running_postgresql
from running_service import film_model, ranking_model, service

__all__ = ["film_model", "ranking_model", "service"]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is not there yet, in each database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'feedback.db'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.new_database()


@pytest.fixture
def open_store(store_url: str) -> Iterator[Callable[..., object]]:
    """Opens the store of the test as often as wanted; all are closed after it."""
    from penchant.serving.store import FeedbackStore

    opened = []

    def open_it(**how: object) -> FeedbackStore:
        opened.append(FeedbackStore.open(store_url, **how))  # type: ignore[arg-type]
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()
