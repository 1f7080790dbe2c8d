"""The files of an SQLite store: once they are removed or replaced, what is written goes nowhere, and nobody says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from penchant.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOG = "log"  # in what SQLAlchemy keeps beside a connection: the write-ahead log that it writes to


class StoreFiles:
    """Which file a store was opened at, told by its device and inode, and which log each connection writes to.

    Args:
        path: of the file; None for a store that is none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None

    def note(self) -> None:
        """From now on the file that is at the path is the one to be there."""
        if self._path is not None:
            self._opened = _identity(self._path)

    def check(self) -> None:
        """Raise StoreError where another file is at the path, or none; a connection would make an empty one."""
        if self._path is not None and self._opened is not None and _identity(self._path) != self._opened:
            raise self._gone(self._path)

    @contextmanager
    def watched(self, connection: Connection) -> Iterator[None]:
        """What is read and written inside is of files that are at their places before and after.

        Raises:
            StoreError: they are not.
        """
        if self._path is None:
            yield
            return
        log = Path(f"{self._path}-wal")
        self._check_log(connection, log)
        yield
        self.check()
        self._check_log(connection, log)
        if LOG not in connection.info and (found := _identity(log)) is not None:
            connection.info[LOG] = found  # it stays as long as any connection is open

    def _check_log(self, connection: Connection, log: Path) -> None:
        if LOG in connection.info and _identity(log) != connection.info[LOG]:
            raise self._gone(log)

    def _gone(self, path: Path) -> StoreError:
        return StoreError(
            f"{path} was removed or replaced while it was in use.",
            reason="unusable",
            remedy="Nothing more is stored. Bring it back from a backup, and start again what uses it.",
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
