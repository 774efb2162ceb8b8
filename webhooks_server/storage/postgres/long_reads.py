"""Audits: one at a time, each a snapshot that ends after 30 seconds (engine.md, EC12)."""

import asyncio

from sqlalchemy import Connection
from typing_extensions import override

from webhooks_server.domain.audit import AuditReport, Backup, stuck_since
from webhooks_server.domain.errors import NotSupported, ServerOverloaded, TooMuchToRead
from webhooks_server.domain.ids import TenantId
from webhooks_server.domain.times import Instant
from webhooks_server.storage.postgres.config import AUDIT_SECONDS
from webhooks_server.storage.postgres.connection import plan_by_index, plan_freely
from webhooks_server.storage.postgres.numbers import database_now
from webhooks_server.storage.postgres.pool import Pool
from webhooks_server.storage.sql.audit import count_everything
from webhooks_server.storage.sql.database import LongReads


class Audits(LongReads):
    """Audits on a connection of the pool; copies are made by PostgreSQL's own tools."""

    def __init__(self, pool: Pool, opened: Instant) -> None:
        """Take since when this process has been looking after what is due."""
        self._pool = pool
        self._opened = opened
        self._auditing = asyncio.Lock()

    @override
    async def audit(self, tenant: TenantId | None) -> AuditReport:
        if self._auditing.locked():
            raise ServerOverloaded("an audit runs already; try again after it")
        async with self._auditing:
            try:
                return await self._pool.run(lambda connection: self._count(connection, tenant))
            except TooMuchToRead as error:
                raise TooMuchToRead(
                    f"an audit of this database takes longer than the {AUDIT_SECONDS:.0f} s that"
                    " it may"
                ) from error

    @override
    async def backup(self) -> Backup:
        raise NotSupported(
            "database", "PostgreSQL is copied by its own tools, such as pg_basebackup and pg_dump"
        )

    def _count(self, connection: Connection, tenant: TenantId | None) -> AuditReport:
        now = database_now(connection)
        connection.exec_driver_sql(f"SET statement_timeout = '{AUDIT_SECONDS}s'")
        plan_freely(connection)
        try:
            return count_everything(
                connection, tenant, now=now, since=stuck_since(now, self._opened)
            )
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql("ROLLBACK")
                connection.exec_driver_sql("RESET statement_timeout")
                plan_by_index(connection)
