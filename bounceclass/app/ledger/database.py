"""The database behind the ledger: reaching it, waiting for it, and saying plainly what ails it.

Writers exclude each other (SQLite: BEGIN IMMEDIATE; PostgreSQL: an advisory lock), readers are
never in the way.  What fails because the database is away or busy is tried again for as long as
the caller allows; a transaction must therefore do no harm when it is run twice.  Where the answer to
COMMIT is lost nobody knows whether it was done: that is an error, and never tried again here, since
what it came to the second time would be told as if the first had not been.
"""

from __future__ import annotations

import itertools
import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite

from bounceclass import wire
from bounceclass.app.ledger import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import URL, Connection, Table

__all__ = ["Database", "LedgerError", "Misconfigured", "NoLedger", "chunks", "shown"]

T = TypeVar("T")

POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")
LOCK = 0x626F756E6365  # "bounce"
"""The number of the advisory lock that writers share."""
CONNECTIONS = 15
"""Connections that the threads of a process share; who finds none free waits for one."""
KEPT = 5
"""Of those, how many are kept open."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between tries, doubled each time."""
CONNECT = 10
"""Seconds that one try to connect may take."""

# What drivers say, and what to do about it; {wait} is how long it was tried
_COMPLAINTS = (
    ("attempt to write a readonly database", "cannot be written; make the file and its directory writable"),
    ("read-only transaction", "takes no changes now; connect to the primary server"),
    ("database or disk is full", "the disk is full; make room and run it again, nothing was lost"),
    ("no space left", "the disk of the server is full; make room and run it again, nothing was lost"),
    ("disk i/o error", "cannot be written; look at the disk, its space and its limits, then run it again"),
    ("database is locked", "was in use by another program for {wait:g} s; try again later"),
    ("lock timeout", "was in use by another program for {wait:g} s; try again later"),
    ("unable to open database file", "cannot be opened; see that its directory exists and may be written"),
    ("malformed", "is damaged; restore it from a backup"),
    ("password authentication failed", "refuses user or password; correct the URL"),
    ("no password supplied", "wants a password; put it in the URL or in ~/.pgpass"),
    ("permission denied", "denies access; grant the user the right to create and write tables"),
)
# The same of what no other try can help
_MISTAKES = (("file is not a database", "is not a ledger; name another file"),)
# What passes: somebody else writes, or the server starts, stops or is away
_PASSING = ("database is locked", "deadlock detected", "could not serialize", "starting up", "shutting down")
_NOT_PASSING = ("authentication failed", "no password supplied", "does not exist", "pg_hba.conf", "invalid")


def chunks(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield *items* in lists of *size*: no database takes any number of values at once."""
    left = iter(items)
    while chunk := list(itertools.islice(left, size)):
        yield chunk


class LedgerError(Exception):
    """The ledger cannot be used as asked; the message says in one line what to do."""


class Misconfigured(LedgerError, ValueError):
    """What was asked for can never be: another place, key, setting or version must be there first."""


class NoLedger(LedgerError):
    """There is none, and none was to be made."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place}: there is no ledger yet; bounceclass process begins one")


class Database:
    """One database, for any number of threads, which take turns; each process gets connections of its own."""

    def __init__(self, place: str | os.PathLike[str], wait: float, *, create: bool = True) -> None:
        url = _url(place)
        self.wait = wait
        self.place = shown(place)
        self._create = create
        self._secret = url.password
        self._pid = os.getpid()
        if url.get_backend_name() == "sqlite":
            _find_file(url, self.place, create=create)
            self.insert: Any = sqlite.insert
            options: dict[str, Any] = {"timeout": wait}
            isolation = None
        else:
            self.insert = postgresql.insert
            options = {"connect_timeout": CONNECT, "tcp_user_timeout": int(max(wait, 1) * 1000)}
            isolation = "READ COMMITTED"  # whoever waited for another writer must see what that one wrote
            # psycopg warns of a lost connection, and that is told here where it matters
            logging.getLogger("psycopg").addHandler(logging.NullHandler())
        try:
            self.engine = sa.create_engine(
                url,
                connect_args=options,
                isolation_level=isolation,
                pool_size=KEPT,
                max_overflow=CONNECTIONS - KEPT,
                pool_timeout=wait,
            )
        except ModuleNotFoundError:
            raise Misconfigured(f"{self.place}: PostgreSQL needs psycopg: pip install 'psycopg[binary]'") from None
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            event.listen(self.engine, "connect", _prepare_postgresql)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* finds, which sees one state of the database (PostgreSQL: in each statement)."""
        return self._run(work, writes=False)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Return what *work* returns once all that it wrote is safe; no other writer is at work meanwhile.

        Raises LedgerError: nothing was written then, unless it says that this is not known.
        """
        return self._run(work, writes=True)

    def upsert(self, table: Table, *, add: tuple[str, ...] = ()) -> Any:
        """Return the statement that inserts rows into *table* or replaces them; columns in *add* are summed."""
        statement = self.insert(table)
        changed = {
            column.name: column + statement.excluded[column.name]
            if column.name in add
            else statement.excluded[column.name]
            for column in table.c
            if not column.primary_key
        }
        return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)

    def prepare(self) -> None:
        """Create the tables or bring them up to date; raises Misconfigured for those of a newer version.

        Raises NoLedger where there are none and none were to be created.
        """
        version = self.read(self._version)
        if version is None and not self._create:
            raise NoLedger(self.place)
        if version != schema.VERSIONS[-1]:
            self.write(self._migrate)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        self.engine.dispose()

    def _version(self, connection: Connection) -> str | None:
        if not sa.inspect(connection).has_table(schema.VERSION_TABLE):
            return None
        version = connection.exec_driver_sql(f"SELECT version_num FROM {schema.VERSION_TABLE}").scalar()  # noqa: S608
        if version is not None and version not in schema.VERSIONS:
            raise Misconfigured(f"{self.place}: was written by a newer version of bounceclass; upgrade bounceclass")
        return version

    def _migrate(self, connection: Connection) -> None:
        if self._version(connection) == schema.VERSIONS[-1]:
            return  # somebody else was first
        from bounceclass.app.ledger import migrations  # alembic takes 100 ms

        migrations.upgrade(connection)

    def _run(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        if self._pid != os.getpid():  # a fork must not share the connections of its parent
            self.engine.dispose(close=False)
            self._pid = os.getpid()
        deadline = time.monotonic() + self.wait
        pause = FIRST_PAUSE
        while True:
            committing = False
            try:
                with self.engine.connect() as connection:
                    options = {"bounceclass_writes": writes}
                    with connection.execution_options(**options).begin():
                        if writes and self.engine.dialect.name == "postgresql":
                            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(self.wait * 1000) or 1}")
                            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
                        done = work(connection)
                        committing = writes
                return done
            except exc.TimeoutError:
                raise LedgerError(
                    f"{self.place}: {CONNECTIONS} threads were using it for {self.wait:g} s; use fewer, or try again later"
                ) from None
            except exc.DBAPIError as error:
                if committing and error.connection_invalidated:
                    raise LedgerError(
                        f"{self.place}: the connection was lost before it was known whether all was written; "
                        "do it again, nothing counts twice"
                    ) from None
                if not _passes(error) or time.monotonic() + pause > deadline:
                    raise self._complaint(error) from None
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _complaint(self, error: exc.DBAPIError) -> LedgerError:
        """Return what *error* means; SQL, its values and the password are left out."""
        said = str(error.orig)
        for kind, complaints in ((Misconfigured, _MISTAKES), (LedgerError, _COMPLAINTS)):
            for mark, words in complaints:
                if mark in said.lower():
                    return kind(f"{self.place}: {words.format(wait=self.wait)}")
        first = next((line.strip() for line in said.splitlines() if line.strip()), type(error.orig).__name__)
        if self._secret:
            first = first.replace(str(self._secret), "***")
        return LedgerError(wire.printable(f"{self.place}: {first[:300]}"))


def _passes(error: exc.DBAPIError) -> bool:
    """Tell whether another try may end better."""
    said = str(error.orig).lower()
    if any(mark in said for mark in _PASSING):
        return True
    to_connect = isinstance(error, exc.OperationalError) and error.statement is None
    away = error.connection_invalidated or (to_connect and not isinstance(error.orig, sqlite3.Error))
    return away and not any(mark in said for mark in _NOT_PASSING)


# --- where it is --------------------------------------------------------------------


def _url(place: str | os.PathLike[str]) -> URL:
    """Return *place* as a URL; what has no scheme is the path of an SQLite file."""
    text = os.fspath(place)
    if "://" not in text:
        return sa.URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        url = sa.make_url(text)
    except (exc.ArgumentError, ValueError):
        raise Misconfigured(
            "the ledger's URL cannot be read; write postgresql://user@host/database or a path"
        ) from None
    if url.drivername in POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        raise Misconfigured(f"{url.get_backend_name()}: no ledger there; use SQLite (a path) or postgresql://")
    return url


def shown(place: str | os.PathLike[str]) -> str:
    """Return *place* for people: no password, nor what else may be secret in its query.  Raises Misconfigured."""
    url = _url(place)
    if url.get_backend_name() == "sqlite":
        return wire.printable(url.database or "sqlite://")
    return wire.printable(url.set(query={}, drivername="postgresql").render_as_string(hide_password=True))


def _find_file(url: URL, place: str, *, create: bool) -> None:
    """Create the file where there is none, for its owner alone: addresses stand in it."""
    name = url.database
    if not name or name == ":memory:":
        raise Misconfigured("a ledger must be kept somewhere; name a file")
    if name.startswith("file:"):
        return
    path = Path(name)
    if path.is_dir():
        raise Misconfigured(f"{place} is a directory; name a file in it")
    if path.exists():
        return
    if not create:
        raise NoLedger(place)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise LedgerError(f"{place}: cannot be created: {error.strerror}; name another place") from None


# --- SQLite -------------------------------------------------------------------------


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours to say
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if "readonly" not in str(error):
            raise
    connection.execute("PRAGMA synchronous = FULL")  # mail is filed away once it is recorded
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("bounceclass_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


# --- PostgreSQL ---------------------------------------------------------------------


def _prepare_postgresql(connection: Any, _: Any) -> None:
    connection.execute("SET TIME ZONE 'UTC'")  # elsewhere a moment may fall in a year that Python has not
    connection.commit()
