"""What a database is called in messages, and what goes wrong before it can be used."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import asyncpg
from sqlalchemy.exc import DBAPIError

from webhooks_server.domain.errors import StartError
from webhooks_server.storage.postgres.config import PostgresConfig
from webhooks_server.storage.postgres.troubles import CannotConnect, code_of

_CAUSES = {
    "28000": "it does not let this user in",
    "28P01": "it refuses the user or the password",
    "3D000": "there is no such database",
    "42501": "the user lacks the right to do that",
    "53300": "it has no connection left",
    "57P03": "it is starting up or shutting down",
    # What a pooler says to settings that it does not know.
    "08P01": "it refuses the settings of a connection; give the server's own address, no pooler's",
}
_NO_URL = "the database URL is not one of PostgreSQL"


def place_of(config: PostgresConfig) -> str:
    """Return what the database is called in messages, without user and password."""
    try:
        parts = urlsplit(config.url.reveal())
    except ValueError as error:
        raise StartError(_NO_URL) from error
    asked = parse_qs(parts.query)
    host = parts.netloc.rpartition("@")[2] or ",".join(asked.get("host", ["localhost"]))
    return f"PostgreSQL at {host}{parts.path}"


@contextmanager
def start_errors(place: str) -> Iterator[None]:
    """Turn errors of a database that is about to be used into StartError."""
    try:
        yield
    except (DBAPIError, asyncpg.PostgresError, CannotConnect) as error:
        code = code_of(error)
        cause = _CAUSES.get(code, f"it answers with error {code}" if code else "it went away")
        raise StartError(f"{place} cannot be used: {cause}") from error
    except (asyncpg.InterfaceError, ValueError) as error:
        # Its words may hold the URL, and that a password.
        raise StartError(_NO_URL) from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it does not answer"
        raise StartError(f"{place} cannot be reached: {reason}") from error
