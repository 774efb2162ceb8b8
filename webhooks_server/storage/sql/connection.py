"""Connections to SQLite: how they are opened, and what its errors mean."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from webhooks_server.domain.errors import DatabaseDamaged, StartError, StoreUnavailable

# How long a writer waits for a foreign tool that holds the write lock (reliability.md, S7).
BUSY_SECONDS = 30.0
_CACHED_STATEMENTS = 64
# The first with RETURNING.
_OLDEST_SQLITE = (3, 35)
_FULL = 2
# Some ten milliseconds of SQLite's own work.
_STEPS_BETWEEN_LOOKS = 1_000_000
# The result codes that say nothing about the statement, and all about the database.
_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def writer_engine(database: Path) -> Engine:
    """Return an engine whose connection writes: WAL, and a commit is on stable storage."""
    engine = _engine(
        database,
        (
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA cache_size = -8192",
            # Half of what the log may grow to: a page that is written often is then moved once.
            "PRAGMA wal_autocheckpoint = 2000",
            "PRAGMA temp_store = MEMORY",
        ),
    )
    # A transaction that began by reading could not take the write lock over a newer snapshot.
    event.listen(engine, "begin", lambda connection: _execute(connection, "BEGIN IMMEDIATE"))
    return engine


def reader_engine(database: Path) -> Engine:
    """Return an engine whose connections only read, each statement on the newest snapshot."""
    return _engine(database, ("PRAGMA query_only = ON", "PRAGMA temp_store = MEMORY"))


def memory_engine() -> Engine:
    """Return an engine on no file at all."""
    return create_engine("sqlite://")


def run_pragma(connection: Connection, pragma: str) -> object:
    """Run a PRAGMA outside of any transaction and return the first value of its answer."""
    row = driver_of(connection).execute(f"PRAGMA {pragma}").fetchone()
    return None if row is None else row[0]


def limit_time(connection: Connection, deadline: float) -> None:
    """Interrupt whatever statement runs past a moment of time.monotonic()."""
    limit_driver_time(driver_of(connection), deadline)


def limit_driver_time(driver: sqlite3.Connection, deadline: float) -> None:
    """Do the same to a connection of the driver's own."""
    driver.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)


def check_durable(connection: Connection) -> None:
    """Raise StartError where a commit would not be on stable storage, or SQLite is too old."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        needed = ".".join(map(str, _OLDEST_SQLITE))
        raise StartError(f"SQLite {needed} or newer is needed, this is {sqlite3.sqlite_version}")
    if run_pragma(connection, "journal_mode") != "wal":
        raise StartError("SQLite cannot keep its write-ahead log here; use a local disk")
    if run_pragma(connection, "synchronous") != _FULL:
        raise StartError("SQLite does not wait for the disk at a commit")


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors of the database, not those of a statement, into StoreUnavailable."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        if _code(error) in _UNAVAILABLE:
            raise StoreUnavailable from error
        raise


@contextmanager
def start_errors(database: Path) -> Iterator[None]:
    """Turn errors of the database into StartError, DatabaseDamaged where they show damage."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        if _code(error) in _DAMAGED:
            raise DatabaseDamaged(
                f"{database} is damaged or not a database; restore a backup"
            ) from error
        if _code(error) in _UNAVAILABLE:
            raise StartError(f"{database} cannot be opened: {_cause(error)}") from error
        raise


def _engine(database: Path, pragmas: tuple[str, ...]) -> Engine:
    # Never makes a file.
    uri = f"file:{quote(str(database.absolute()))}?mode=rw"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            uri,
            uri=True,
            timeout=BUSY_SECONDS,
            # Begin and commit come from SQLAlchemy, never from the driver's guesses.
            isolation_level=None,
            # Opened in one thread and closed in another, never used by two at once.
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
        )

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        for pragma in pragmas:
            connection.execute(pragma)

    # Parameters are payloads and secrets: they stay out of the texts of errors.
    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)
    event.listen(engine, "connect", prepare)
    return engine


def _execute(connection: Connection, statement: str) -> None:
    driver_of(connection).execute(statement)


def driver_of(connection: Connection) -> sqlite3.Connection:
    """Return the driver's own connection."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError("this is for SQLite only")
    return driver


def _cause(error: DBAPIError | sqlite3.Error) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _code(error: DBAPIError | sqlite3.Error) -> int:
    # The low byte is the primary code (https://sqlite.org/rescode.html).
    cause = _cause(error)
    return cause.sqlite_errorcode & 0xFF if isinstance(cause, sqlite3.Error) else 0
