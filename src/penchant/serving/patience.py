"""How long a database is waited for: one that hangs, or a network that swallows what is sent, holds nobody for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from penchant.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

CONNECT_SECONDS = 3
BEYOND_LOCKS = 1.0  # seconds for an answer, beside those that are spent waiting for a lock
LONG_SECONDS = 3_600.0  # for what goes over a whole table
PAUSE = 1.0  # seconds between the tries to reach a server that hangs
HANGS = ("NoAnswerError", "ConnectionTimeout")  # errors by name: psycopg is loaded where it is needed


def answer_seconds(wait_seconds: float) -> float:
    """How long an answer may take to a question that waits for a lock that long at most."""
    return wait_seconds + BEYOND_LOCKS


def connect_arguments(url: URL, wait_seconds: float) -> dict[str, Any]:
    """What connections to PostgreSQL are made with, but for what the URL says itself.

    A server that is off, or behind a firewall that drops what is sent, is found by the kernel.
    """
    found = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": _milliseconds(answer_seconds(wait_seconds)),
    }
    return {name: value for name, value in found.items() if name not in url.query}


def settings(wait_seconds: float) -> dict[str, int]:
    """What each connection tells PostgreSQL, in milliseconds: who stops in a transaction must not stop all others."""
    seconds = answer_seconds(wait_seconds)
    return {
        "lock_timeout": _milliseconds(wait_seconds),
        "statement_timeout": _milliseconds(seconds),
        "idle_in_transaction_session_timeout": _milliseconds(2 * seconds),
    }


def connecting(wait_seconds: float) -> Callable[..., Any]:
    """What makes connections to PostgreSQL that wait for no answer for ever, as SQLAlchemy calls it."""
    seconds = answer_seconds(wait_seconds) + BEYOND_LOCKS  # longer than the server, which says better what is wrong

    def connect(dialect: Any, record: Any, arguments: Any, named: Any) -> Any:
        del dialect, record
        made = _impatient().connect(*arguments, **named)
        made.usual = settings(wait_seconds)["statement_timeout"]
        made.usual_seconds = made.seconds = seconds
        return made

    return connect


@cache
def _impatient() -> Any:
    """The class of connections that give up a server which neither answers nor hangs up.

    Its own limits do not help where it is stopped as a whole, and the kernel does not know that nobody reads there.
    """
    import psycopg

    class NoAnswerError(psycopg.OperationalError):
        """There was none in time."""

    def until(waited: Generator[Any, Any, Any], end: float) -> Generator[Any, Any, Any]:
        try:
            wanted = next(waited)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > end:
                    raise NoAnswerError("the server does not answer")
                wanted = waited.send(ready)
        except StopIteration as answer:
            return answer.value

    class Impatient(psycopg.Connection[Any]):
        """A connection that is closed when an answer does not come in `seconds`."""

        seconds = usual_seconds = LONG_SECONDS
        usual = 0  # statement_timeout in milliseconds

        def wait(self, gen: Any, *arguments: Any, **named: Any) -> Any:
            try:
                return super().wait(until(gen, time.monotonic() + self.seconds), *arguments, **named)
            except NoAnswerError:
                self.close()
                raise

    return Impatient


@contextmanager
def unhurried(connection: Connection) -> Iterator[None]:
    """Inside, questions may go over a whole table."""
    if connection.dialect.name != "postgresql":
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.seconds = LONG_SECONDS
    connection.exec_driver_sql(f"SET statement_timeout = {_milliseconds(LONG_SECONDS)}")
    try:
        yield
    finally:
        if not connection.invalidated:
            driver.seconds = driver.usual_seconds
            connection.exec_driver_sql(f"SET statement_timeout = {driver.usual}")


def is_hang(error: Exception) -> bool:
    """Whether a server was waited for in vain, so that to ask again at once would take as long again."""
    return type(getattr(error, "orig", None) or error).__name__ in HANGS


class Absence:
    """A server that hangs is waited for once a second, and not by everybody who asks."""

    def __init__(self) -> None:
        self._until = 0.0

    def check(self, place: str) -> None:
        """Raise StoreError where the server hung a moment ago."""
        now = time.monotonic()
        if now < self._until:
            raise StoreError(f"{place} does not answer.", reason="unreachable", remedy="Check that the server runs.")
        if self._until:
            self._until = now + PAUSE  # this one tries; others need not

    def begins(self) -> None:
        """It hangs."""
        self._until = time.monotonic() + PAUSE

    def ends(self) -> None:
        """It answers."""
        self._until = 0.0


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1_000))
