"""What a PostgreSQL store needs to know, and its bounds."""

from dataclasses import dataclass

from webhooks_server.domain.secrets import Secret

OLDEST_VERSION = 15
READERS = 4
CALLERS_READERS = READERS - 1
CONNECTIONS = 3 + READERS
"""Of each process: session, accept, record, and the readers (engine.md, D4)."""
CONNECT_SECONDS = 5.0
PATIENCE_SECONDS = 3.0
"""How long a group waits for a database that is gone before it is given up."""
AUDIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresConfig:
    """Where the database is, and whether its schema is made or brought up to date at the start.

    The URL is one of libpq's: `postgresql://user:password@host:port/database?sslmode=…`.
    """

    url: Secret
    migrate: bool = True
