"""The databases that can hold feedback: SQLite by default, PostgreSQL by URL; how they are opened, what they refuse.

Everything here that differs between the two is a pair of functions; all else is the same SQL.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penchant.errors import InputError, MissingExtraError, PenchantError, SettingError, StoreError
from penchant.serving import patience

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL

WRITERS_LOCK = 0x70656E6368616E74  # "penchant" in ASCII: the advisory lock of PostgreSQL that writers take in turn
CONNECTIONS = (8, 56)  # kept, and opened beside them when many read at once

FORMS = "Give a file such as feedback.db, or postgresql://user:password@host/database."
READONLY = "Give penchant the right to write there, or another place."
LATER = "Nothing of this request was stored; send it again. "


def load_sqlalchemy() -> Any:
    """The library, loaded when it is needed.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import sqlalchemy
    except ImportError as error:
        raise MissingExtraError("Feedback", extra="serve") from error
    return sqlalchemy


def parse_url(text: str) -> URL:
    """The address of a store: a path, or a URL of SQLite or PostgreSQL.

    Raises:
        SettingError: it is of no database that can hold feedback. Its text is not repeated: there may be a password.
        MissingExtraError: SQLAlchemy is not installed.
    """
    sqlalchemy = load_sqlalchemy()
    if "://" not in text and text.strip():
        return sqlalchemy.URL.create("sqlite", database=text)
    try:
        url: URL = sqlalchemy.make_url(text)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise SettingError("The address of the feedback cannot be read.", remedy=FORMS) from None
    kind = url.drivername.partition("+")[0]
    if kind == "sqlite":
        if url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
            raise SettingError("Feedback in memory would be lost.", remedy=FORMS)
        return url.set(drivername="sqlite")
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise SettingError(f"Feedback cannot be kept in {kind or 'that'}.", remedy=FORMS)


def shown(url: URL) -> str:
    """A store for messages and logs: never with its password, nor with options that might be one."""
    if url.drivername == "sqlite":
        return str(url.database)
    name = f"postgresql://{url.host or ''}" + (f":{url.port}" if url.port else "")
    return f"{name}/{url.database or ''}"


def connect(url: URL, wait_seconds: float, *, create: bool) -> Engine:
    """An engine whose every connection is set up to lose nothing. Nothing is asked of the database yet.

    Raises:
        StoreError: the file is not there and is not to be made.
        MissingExtraError: psycopg is not installed.
    """
    sqlalchemy = load_sqlalchemy()
    kept, beside = CONNECTIONS
    how: dict[str, Any] = {"pool_size": kept, "max_overflow": beside, "pool_timeout": wait_seconds}
    if url.drivername == "sqlite":
        check_file(url, create=create)
        how["connect_args"] = {"timeout": wait_seconds, "check_same_thread": False}
    else:
        how["connect_args"] = patience.connect_arguments(url, wait_seconds)
    try:
        engine: Engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", **how)
    except ImportError as error:
        raise MissingExtraError("Feedback in PostgreSQL", extra="serve") from error
    except (sqlalchemy.exc.ArgumentError, TypeError, ValueError):
        raise SettingError("The address of the feedback cannot be read.", remedy=FORMS) from None
    is_sqlite = url.drivername == "sqlite"
    if not is_sqlite:
        sqlalchemy.event.listen(engine, "do_connect", patience.connecting(wait_seconds))
    setup = _set_up_sqlite if is_sqlite else _set_up_postgresql
    sqlalchemy.event.listen(engine, "connect", lambda connection, _: setup(connection, wait_seconds))
    return engine


def check_file(url: URL, *, create: bool) -> None:
    """Raise StoreError where the file of a store is missing, or cannot be made."""
    path = Path(str(url.database))
    if path.is_dir():
        raise StoreError(f"{path} is a folder.", reason="unusable", remedy="Give the name of a file.")
    if not path.exists() and not create:
        raise StoreError(f"There is no feedback at {path}.", reason="unusable", remedy="Check the path.")
    if not path.absolute().parent.is_dir():
        raise StoreError(
            f"There is no folder {path.absolute().parent}.", reason="unusable", remedy="Make it, or choose another."
        )


def _set_up_sqlite(connection: Any, wait_seconds: float) -> None:
    """The write-ahead log, synced at every commit; what is deleted is overwritten."""
    with _switching:  # SQLite does not wait where two connections want to change the journal at once
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "fullfsync=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}").close()
    del wait_seconds  # a connection's own argument


_switching = threading.Lock()


def _set_up_postgresql(connection: Any, wait_seconds: float) -> None:
    """Commits that wait for the disk whatever the role's setting is, and no statement that waits for ever."""
    before, connection.autocommit = connection.autocommit, True
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
        for name, milliseconds in patience.settings(wait_seconds).items():
            cursor.execute(f"SET {name} = {milliseconds}")
    connection.autocommit = before


@contextmanager
def writing(connection: Connection) -> Iterator[None]:
    """A transaction that no other writer, of any process, is in: what it has read stays so until its commit.

    With it, sequence numbers grow in the order of commits, so that who asks for what came after one misses nothing.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_sqlite else "BEGIN")
    try:
        if not is_sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})")
        yield
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: Connection) -> None:
    """End a transaction that failed; a connection that cannot even do that is thrown away."""
    try:
        if connection.invalidated or (
            connection.dialect.name == "sqlite" and not connection.connection.dbapi_connection.in_transaction  # type: ignore[union-attr]
        ):
            return  # a full disk rolls back by itself
        connection.exec_driver_sql("ROLLBACK")
    except Exception:
        connection.invalidate()


def wipe(connection: Connection, table: str) -> bool:
    """Take what was deleted out of the files too; False where somebody still reads it.

    PostgreSQL only marks rows as deleted, and a plain VACUUM only their places as free, so the table is written anew.

    Raises:
        StoreError: this user of PostgreSQL may not do that.
    """
    if connection.dialect.name == "sqlite":
        busy: int = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        return not busy
    which = f"SELECT pg_relation_filenode('{table}')"
    before = connection.exec_driver_sql(which).scalar_one()
    with patience.unhurried(connection):
        connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {table}")
    if connection.exec_driver_sql(which).scalar_one() == before:  # it only warns those who may not
        remedy = f"Let its owner ask for: VACUUM (FULL, ANALYZE) {table}."
        raise StoreError(f"This user does not own the table {table}.", reason="unusable", remedy=remedy)
    return True


# --- what they refuse -------------------------------------------------------------------------------


def store_error(error: Exception, place: str) -> PenchantError:
    """What a database said, as an error with a remedy. Its own words are not repeated: they hold values of others."""
    original = getattr(error, "orig", None) or error
    name = getattr(original, "sqlite_errorname", None)
    if name is not None:
        return _sqlite_error(str(name), place)
    state = getattr(original, "sqlstate", None)
    if state is not None:
        return _postgresql_error(str(state), place)
    if type(error).__name__ == "TimeoutError":
        return StoreError(f"{place}: too many want to use it at once.", reason="locked", remedy=LATER.strip())
    if type(original).__name__ in ("DataError", "IntegrityError"):  # refused before it was sent
        return _unfit()
    if type(original).__name__ in ("OperationalError", "InterfaceError", *patience.HANGS):
        remedy = "Check that the server runs, its host and port, the user and the password."
        return StoreError(f"{place} cannot be reached.", reason="unreachable", remedy=remedy)
    return StoreError(f"{place} failed ({type(original).__name__}).", reason="failed", remedy=LATER.strip())


def _sqlite_error(name: str, place: str) -> PenchantError:
    if name.startswith(("SQLITE_TOOBIG", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH")):
        return _unfit()
    if name.startswith("SQLITE_FULL") or name == "SQLITE_IOERR_WRITE":
        return _full(place)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")):
        return _locked(place)
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_FORMAT")):
        remedy = "Give another file, or bring it back from a backup."
        return StoreError(f"{place} is not a store of feedback, or is damaged.", reason="unusable", remedy=remedy)
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_CANTOPEN")):
        return StoreError(f"{place} cannot be opened for writing.", reason="unusable", remedy=READONLY)
    remedy = LATER + "Look at the disk if it happens again."
    return StoreError(f"{place} failed ({name}).", reason="failed", remedy=remedy)


def _postgresql_error(state: str, place: str) -> PenchantError:
    if state.startswith(("22", "23", "54")):
        return _unfit()
    if state in ("53100", "53200"):
        return _full(place)
    if state in ("55P03", "40001", "40P01", "53300"):
        return _locked(place)
    if state == "57014":
        remedy = LATER + "If it lasts, look what the server is busy with."
        return StoreError(f"{place} takes too long to answer.", reason="failed", remedy=remedy)
    if state.startswith("28"):
        remedy = "Check the user and the password."
        return StoreError(f"{place} does not let this user in.", reason="unusable", remedy=remedy)
    if state == "3D000":
        remedy = "Make it (createdb), or give another."
        return StoreError(f"There is no database at {place}.", reason="unusable", remedy=remedy)
    if state in ("42501", "25006"):
        return StoreError(f"{place} does not let this user write.", reason="unusable", remedy=READONLY)
    if state.startswith(("08", "57P")):
        return StoreError(f"{place} cannot be reached.", reason="unreachable", remedy="Check that the server runs.")
    return StoreError(f"{place} failed (PostgreSQL {state}).", reason="failed", remedy=LATER.strip())


def _unfit() -> InputError:
    """What was sent is at fault, and would be the next time. It is told to whoever sent it: without the place."""
    remedy = "Nothing of this request was stored. Give shorter ids, without unusual characters."
    return InputError("An event of this request is none that the database can hold.", remedy=remedy)


def _full(place: str) -> StoreError:
    remedy = LATER + "Free some space first: what was acknowledged before is safe."
    return StoreError(f"{place}: the disk is full.", reason="full", remedy=remedy)


def _locked(place: str) -> StoreError:
    remedy = LATER + "If it lasts, look which program holds it open."
    return StoreError(f"{place} is locked by another program.", reason="locked", remedy=remedy)
