"""Connections to PostgreSQL: each has a name and time-outs, and notices when its host is gone."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from sqlalchemy import Connection, Pool
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from webhooks_server.storage.postgres.config import CONNECT_SECONDS, PostgresConfig
from webhooks_server.storage.postgres.troubles import CannotConnect, OutcomeUnknown

Result = TypeVar("Result")
Script = Callable[[Connection], Result]

# What keeps a stranger's open transaction from stopping everybody (engine.md, EA4).
SETTINGS = {
    "lock_timeout": "1s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "3s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}
# All that is asked for is few rows by an index. A planner that knows little of a table, just after
# it was filled, or nothing of the values, in a plan for all of them, may think otherwise.
PLANNING = {
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "jit": "off",
}
_DEAD_AFTER_MILLISECONDS = 10_000


class NamedConnection(asyncpg.Connection):
    """A connection that notices within ten seconds when the server's host is gone."""

    _transport: asyncio.Transport
    warning = ""
    """What PostgreSQL said when it could not keep the promise of a commit (EA11)."""

    def keep_alive(self) -> None:
        """Let the operating system look after the connection, where it is one over a network."""
        connected = self._transport.get_extra_info("socket")
        if connected is None or connected.family == getattr(socket, "AF_UNIX", None):
            return
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", 5),
            ("TCP_KEEPINTVL", 2),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", _DEAD_AFTER_MILLISECONDS),
        ):
            # Not every system has them all.
            with suppress(AttributeError, OSError):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def connect(config: PostgresConfig, name: str) -> NamedConnection:
    """Open a connection that shows in pg_stat_activity under its name."""
    try:
        connection: NamedConnection = await asyncpg.connect(
            config.url.reveal(),
            timeout=CONNECT_SECONDS,
            connection_class=NamedConnection,
            server_settings={
                **SETTINGS,
                **PLANNING,
                "application_name": f"webhooks-server {name}",
            },
        )
    except asyncpg.PostgresError as error:
        raise CannotConnect(error.sqlstate or "") from error
    connection.keep_alive()
    connection.add_log_listener(_heard)
    return connection


def _heard(
    connection: "asyncpg.Connection | PoolConnectionProxy", message: asyncpg.PostgresLogMessage
) -> None:
    # Nothing else that is run here is ever answered with this warning.
    if not isinstance(connection, NamedConnection):
        return
    if message.severity_en == "WARNING" and message.sqlstate == "01000":
        connection.warning = message.message


def check_kept(connection: Connection) -> None:
    """Raise OutcomeUnknown where the last commit is stored, but not wherever it was to be."""
    driver = driver_of(connection)
    warning, driver.warning = driver.warning, ""
    if warning:
        raise OutcomeUnknown(warning)


def plan_freely(connection: Connection) -> None:
    """Let whole tables be read, for somebody who counts everything."""
    for name in PLANNING:
        connection.exec_driver_sql(f"SET {name} = on")


def plan_by_index(connection: Connection) -> None:
    """Undo plan_freely()."""
    for name in PLANNING:
        connection.exec_driver_sql(f"RESET {name}")


def open_engine(
    config: PostgresConfig, name: str, pool: type[Pool], **pool_options: float
) -> AsyncEngine:
    """Return an engine over connections of this name; it opens none yet."""
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=partial(connect, config, name),
        poolclass=pool,
        # Parameters are payloads and secrets: they stay out of the texts of errors.
        hide_parameters=True,
        **pool_options,
    )


def driver_of(connection: Connection) -> NamedConnection:
    """Return the driver's own connection."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, NamedConnection):
        raise TypeError("this is for PostgreSQL only")
    return driver
