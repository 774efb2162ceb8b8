"""What an error of PostgreSQL means for what was tried (engine.md, EA3).

The codes are those of https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from webhooks_server.domain.errors import (
    ServerOverloaded,
    StoreConflict,
    StoreUnavailable,
    TooMuchToRead,
)


class Trouble(Enum):
    """What to do about an error."""

    LOST = "the connection is gone, and whether a commit happened is unknown"
    BUSY = "somebody else was in the way; the same again may work"
    LOCKED = "somebody holds on to a row; all but who needs it can go on"
    REFUSED = "the database is there, and takes nothing now"
    FAULT = "the statement or its values are wrong"


class CannotConnect(ConnectionError):
    """The database let nobody in; `sqlstate` says why."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"PostgreSQL refused the connection with error {sqlstate}")
        self.sqlstate = sqlstate


class OutcomeUnknown(Exception):
    """The database could not say whether a commit is on stable storage everywhere."""


_LOST_CLASS = "08"
_LOST = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"})
_BUSY = frozenset({"40001", "40P01"})
_LOCKED = "55P03"
# Out of something, cancelled for taking too long, or a standby.
_REFUSED_CLASSES = frozenset({"53", "58"})
_TOOK_TOO_LONG = "57014"
_REFUSED = frozenset({_TOOK_TOO_LONG, "25006"})
UNIQUE_VIOLATION = "23505"


def trouble_of(error: BaseException) -> Trouble:
    """Return what to do about an error."""
    if isinstance(error, OutcomeUnknown | OSError | asyncpg.InternalClientError):
        return Trouble.LOST
    if isinstance(error, PoolTimeoutError | StoreUnavailable):
        return Trouble.REFUSED
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return Trouble.LOST
    code = code_of(error)
    if code[:2] == _LOST_CLASS or code in _LOST:
        return Trouble.LOST
    if code in _BUSY:
        return Trouble.BUSY
    if code == _LOCKED:
        return Trouble.LOCKED
    if code[:2] in _REFUSED_CLASSES or code in _REFUSED:
        return Trouble.REFUSED
    return Trouble.FAULT


def code_of(error: BaseException) -> str:
    """Return the five characters by which PostgreSQL names an error, or nothing."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlstate", None)
    return code if isinstance(code, str) else ""


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors of the database, not those of a statement, into errors of the store."""
    try:
        yield
    except PoolTimeoutError as error:
        raise ServerOverloaded from error
    except (DBAPIError, OSError, OutcomeUnknown, asyncpg.PostgresError) as error:
        trouble = trouble_of(error)
        if trouble in {Trouble.BUSY, Trouble.LOCKED} or code_of(error) == UNIQUE_VIOLATION:
            raise StoreConflict from error
        if trouble is Trouble.FAULT:
            raise
        if code_of(error) == _TOOK_TOO_LONG:
            raise TooMuchToRead from error
        raise StoreUnavailable from error
