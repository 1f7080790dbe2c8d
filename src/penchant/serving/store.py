"""FeedbackStore: what people took and rated since the model was fitted, kept so that nothing acknowledged is lost."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from penchant.errors import InputError, PenchantError, StoreError
from penchant.serving import databases, patience
from penchant.serving.commit_groups import CommitGroups
from penchant.serving.event_rows import Batch, Tables, event_of, frame_of, rows_of, sort_out
from penchant.serving.events import Appended, Changes, Event, Id, decode, encode
from penchant.serving.store_files import StoreFiles

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

Answer = TypeVar("Answer")

SCHEMA_VERSION = 1
GROUP = 2_000  # events of one commit, where several requests share it
ASKED_AT_ONCE = 500  # event ids in one question
BLOCK = 50_000  # events in memory while all are read
WAIT_SECONDS = 5.0
IDENTITY = "identity"  # the fact that says which store it is
CHECKPOINTS = 20  # tries to empty the log of SQLite while others read it
WIPE = "Ask again when they are done: it wipes the files."


class FeedbackStore:
    """Events of feedback in SQLite or PostgreSQL; any number of threads and processes may use one store.

    `append` returns after the commit is on the disk. It can be repeated: an event id is stored once.
    """

    def __init__(self, engine: Engine, place: str, group: int = GROUP) -> None:
        self.place = place
        self._engine = engine
        self._tables = Tables.make()
        self._groups = CommitGroups[Batch, Appended](self._write, group)
        self._absence = patience.Absence()
        self._files = StoreFiles(Path(str(engine.url.database)) if engine.dialect.name == "sqlite" else None)

    @classmethod
    def open(
        cls, url: str, *, create: bool = True, wait_seconds: float = WAIT_SECONDS, group: int = GROUP
    ) -> FeedbackStore:
        """Open a store, and make its tables where they are missing.

        Args:
            url: a file (feedback.db, sqlite:///feedback.db) or postgresql://user:password@host/database.
            create: make what is not there; else it is an error.
            wait_seconds: how long to wait for another writer.
            group: the most events that share a commit where several threads append; 1 to let none share.

        Raises:
            SettingError: the URL is of no database that can hold feedback.
            StoreError: it cannot be reached or used.
            MissingExtraError: the extra `serve` is not installed.
        """
        parsed = databases.parse_url(url)
        store = cls(databases.connect(parsed, wait_seconds, create=create), databases.shown(parsed), group)
        try:
            store._prepare(create)
            store._files.note()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close all connections; what is appended later fails."""
        self._engine.dispose()

    def __enter__(self) -> FeedbackStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- writing ------------------------------------------------------------------------------------

    def append(self, events: Batch) -> Appended:
        """Store some events, all or none; they are on the disk when this returns.

        What an event id stands for already is counted as a duplicate, and stored once.

        Raises:
            ConflictError: an event id stands for another event.
            InputError: an event is none that the database can hold.
            StoreError: the disk is full, the file was removed, or the database is locked or cannot be reached. After
                the latter some or all may be stored; send the same again.
        """
        events = list(events)
        return self._groups.submit(events, len(events)) if events else Appended(0, 0)

    def forget(self, user: Id) -> int:
        """Remove all events of a user, out of the files of the database too; how many they were.

        PostgreSQL writes its table anew for that, and until then lets nobody else read or write it.

        Raises:
            StoreError: as for `append`; or they are removed, and copies are left in the files, since somebody reads the
                store all the time, or this user of the database may not do more.
        """
        events, facts = self._tables.events, self._tables.facts

        def remove(connection: Connection) -> int:
            with databases.writing(connection):
                found = connection.execute(events.delete().where(events.c.user_id == encode(user))).rowcount
                counted = facts.update().where(facts.c.name == "forgettings").values(value=facts.c.value + 1)
                connection.execute(counted)
            return found

        removed = self._run(remove)
        left = f"{removed:,} events are removed, and copies are left in the files of {self.place}"
        try:
            for _ in range(CHECKPOINTS):
                if self._run(lambda connection: databases.wipe(connection, events.name)):
                    return removed
                time.sleep(0.1)
        except StoreError as error:
            remedy = WIPE if error.may_pass else error.remedy
            raise StoreError(f"{left}: {error.problem}", reason=error.reason, remedy=remedy) from None
        raise StoreError(f"{left}, which others read.", reason="locked", remedy=WIPE)

    def _write(self, batches: list[Batch]) -> list[Appended | Exception]:
        """Several requests, in one transaction; where the database cannot hold one of them, that one alone fails."""
        try:
            return self._commit(batches)
        except InputError as error:
            if len(batches) == 1:
                return [error]
        middle = len(batches) // 2
        return [*self._write_part(batches[:middle]), *self._write_part(batches[middle:])]

    def _write_part(self, batches: list[Batch]) -> list[Appended | Exception]:
        try:
            return self._write(batches)
        except StoreError as error:  # of this part: what the other has stored is stored
            return [error] * len(batches)

    def _commit(self, batches: list[Batch]) -> list[Appended | Exception]:
        """Several requests in one transaction."""

        def commit(connection: Connection) -> list[Appended | Exception]:
            with databases.writing(connection):
                answers, new = sort_out(batches, self._named(connection, batches))
                if new:
                    connection.execute(self._tables.events.insert(), rows_of(new))
            return answers

        return self._run(commit)

    def _named(self, connection: Connection, batches: list[Batch]) -> dict[str, Event]:
        """The stored events that have an id of these."""
        table = self._tables.events
        ids = [event.event_id for batch in batches for event in batch]
        found = {}
        for start in range(0, len(ids), ASKED_AT_ONCE):
            asked = self._select(table.c.event_id.in_(ids[start : start + ASKED_AT_ONCE]))
            found.update({row.event_id: event_of(row) for row in connection.execute(asked)})
        return found

    # --- reading ------------------------------------------------------------------------------------

    def of_user(self, user: Id) -> list[Event]:
        """The events of one user, by time, and by arrival where times are equal; what has no time counts as it came."""
        table, sql = self._tables.events, databases.load_sqlalchemy()
        when = sql.func.coalesce(table.c.time, table.c.received)
        asked = self._select(table.c.user_id == encode(user)).order_by(when, table.c.sequence)
        return [event_of(row) for row in self._run(lambda connection: connection.execute(asked).all())]

    def users_since(self, sequence: int) -> Changes:
        """Who has events after a sequence number (0 for all), and the number to ask with next."""
        table, sql = self._tables.events, databases.load_sqlalchemy()
        later = sql.select(table.c.user_id, sql.func.max(table.c.sequence)).where(table.c.sequence > sequence)
        forgettings = self._fact("forgettings")  # before the users: one forgotten in between is asked for again
        found = self._rows_of(later.group_by(table.c.user_id), is_long=not sequence)
        users = [decode(user) for user, _ in sorted(found, key=lambda row: row[1])]
        return Changes(users, max((last for _, last in found), default=sequence), forgettings)

    def last_of(self, user: Id) -> tuple[int, int]:
        """How many events a user has and the sequence number of the last: another pair after every change."""
        table, sql = self._tables.events, databases.load_sqlalchemy()
        columns = sql.func.count(), sql.func.coalesce(sql.func.max(table.c.sequence), 0)
        asked = sql.select(*columns).where(table.c.user_id == encode(user))
        count, last = self._run(lambda connection: connection.execute(asked).one())
        return count, last

    def all(self, block: int = BLOCK, *, after: int = 0, until: int | None = None) -> Iterator[pl.DataFrame]:
        """All events in the order in which they came, in frames of at most `block`; what comes meanwhile is left out.

        Columns: event_id (String), user, item (Int64 where all are integers, else String), rating (Float64, null),
        time (Int64, null), received (Int64): when it arrived, seconds since 1970. At least one frame, if empty.

        Args:
            after, until: only events with larger sequence numbers than the one, and none larger than the other. The
                kinds of ids are those of all events up to `until`.

        Raises:
            StoreError: as for `append`.
        """
        table, sql = self._tables.events, databases.load_sqlalchemy()
        last = self.last() if until is None else until
        kinds = {"user": self._kind(table.c.user_id, last), "item": self._kind(table.c.item_id, last)}
        reached, told = after, False
        while reached < last or not told:
            within = sql.and_(table.c.sequence > reached, table.c.sequence <= last)
            asked = self._select(within).order_by(table.c.sequence).limit(block)
            rows = self._rows_of(asked)
            if not rows and told:
                return
            yield frame_of(rows, kinds)
            reached, told = rows[-1].sequence if rows else last, True

    def count(self, after: int = 0) -> int:
        """How many events there are, with larger sequence numbers than one."""
        table, sql = self._tables.events, databases.load_sqlalchemy()
        asked = sql.select(sql.func.count(table.c.sequence)).where(table.c.sequence > after)
        return int(self._rows_of(asked)[0][0])

    def last(self) -> int:
        """The sequence number of the last event, 0 without any."""
        sql = databases.load_sqlalchemy()
        asked = sql.select(sql.func.coalesce(sql.func.max(self._tables.events.c.sequence), 0))
        return int(self._run(lambda connection: connection.execute(asked).scalar_one()))

    def identity(self) -> str:
        """Which store this is: sequence numbers mean something only within one. "" of one that nobody has opened to
        write since stores have identities.
        """
        found = self._find_fact(IDENTITY)
        return "" if found is None else f"{found:016x}"

    def check(self) -> None:
        """Raise StoreError where the store does not answer."""
        self._fact("schema")

    def healthy(self) -> bool:
        """Whether the store answers."""
        try:
            self.check()
        except StoreError:
            return False
        return True

    def _select(self, condition: Any) -> Any:
        return databases.load_sqlalchemy().select(self._tables.events).where(condition)

    def _rows_of(self, asked: Any, *, is_long: bool = True) -> Sequence[Any]:
        """The answer to a question that may go over the whole table, or goes over a part."""

        def ask(connection: Connection) -> Sequence[Any]:
            with patience.unhurried(connection) if is_long else nullcontext():
                return connection.execute(asked).all()

        return self._run(ask)

    def _kind(self, column: Any, last: int) -> Any:
        """Int64 where all ids of a column are integers, else String."""
        asked = self._select(column.like('"%')).where(self._tables.events.c.sequence <= last).limit(1)
        return pl.String if self._rows_of(asked) else pl.Int64

    def _fact(self, name: str) -> int:
        found = self._find_fact(name)
        if found is None:
            raise self._foreign()
        return found

    def _find_fact(self, name: str) -> int | None:
        facts = self._tables.facts
        asked = databases.load_sqlalchemy().select(facts.c.value).where(facts.c.name == name)
        found = self._run(lambda connection: connection.execute(asked).scalar())
        return None if found is None else int(found)

    # --- opening ------------------------------------------------------------------------------------

    def _prepare(self, create: bool) -> None:
        """Make the tables where they are missing, and look whether they are of this version."""

        def make(connection: Connection) -> None:
            with databases.writing(connection):
                self._tables.metadata.create_all(connection)
                facts = self._tables.facts
                if connection.execute(facts.select().limit(1)).first() is None:
                    start = [{"name": "schema", "value": SCHEMA_VERSION}, {"name": "forgettings", "value": 0}]
                    connection.execute(facts.insert(), start)

        if not self._run(self._has_tables):
            if not create:
                raise StoreError(
                    f"{self.place} holds no feedback.", reason="unusable", remedy="Check the path or the database."
                )
            self._run(make)
        version = self._fact("schema")
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{self.place} has feedback of version {version}; this penchant reads version {SCHEMA_VERSION}.",
                reason="unusable",
                remedy="Use the penchant that made it, or a later one.",
            )
        if create and self._find_fact(IDENTITY) is None:
            self._run(self._identify)

    def _identify(self, connection: Connection) -> None:
        """Give the store a number of its own, unless another process just did."""
        facts = self._tables.facts
        with databases.writing(connection):
            if connection.execute(facts.select().where(facts.c.name == IDENTITY)).first() is None:
                connection.execute(facts.insert(), [{"name": IDENTITY, "value": secrets.randbits(63)}])

    def _has_tables(self, connection: Connection) -> bool:
        inspector = databases.load_sqlalchemy().inspect(connection)
        return all(inspector.has_table(table.name) for table in (self._tables.events, self._tables.facts))

    def _foreign(self) -> StoreError:
        remedy = "Give another, or bring it back from a backup."
        return StoreError(f"{self.place} is not a store of feedback.", reason="unusable", remedy=remedy)

    # --- asking -------------------------------------------------------------------------------------

    def _run(self, ask: Callable[[Connection], Answer]) -> Answer:
        """Ask on a connection of the pool; once more where the server had closed it since it was used last.

        Asking twice is safe: all that writes can be repeated.
        """
        self._absence.check(self.place)
        self._files.check()
        with self._translated():
            try:
                answer = self._ask(ask)
            except self._database_error as error:
                if not getattr(error, "connection_invalidated", False) or patience.is_hang(error):
                    raise
                answer = self._ask(ask)
        self._absence.ends()
        return answer

    def _ask(self, ask: Callable[[Connection], Answer]) -> Answer:
        with self._engine.connect() as connection, self._files.watched(connection):
            return ask(connection)

    @cached_property
    def _database_error(self) -> type[Exception]:
        return databases.load_sqlalchemy().exc.DBAPIError

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the database as ours."""
        sql = databases.load_sqlalchemy()
        try:
            yield
        except PenchantError:
            raise
        except (sql.exc.SQLAlchemyError, self._driver_errors) as error:
            if patience.is_hang(error):
                self._absence.begins()
            raise databases.store_error(error, self.place) from None

    @cached_property
    def _driver_errors(self) -> type[Exception]:
        """What the setting up of a connection raises, before SQLAlchemy wraps it."""
        return self._engine.dialect.loaded_dbapi.Error
