"""What the command line does to a database by itself, whether a server runs on it or not."""

from dataclasses import replace

from sqlalchemy import Connection

from webhooks_server.domain.audit import AuditReport
from webhooks_server.domain.ids import TenantId
from webhooks_server.storage.postgres.config import PostgresConfig
from webhooks_server.storage.postgres.connection import plan_freely
from webhooks_server.storage.postgres.link import Link
from webhooks_server.storage.postgres.place import place_of, start_errors
from webhooks_server.storage.postgres.start import prepare_database
from webhooks_server.storage.sql.audit import count_everything


async def migrate_postgres(config: PostgresConfig) -> None:
    """Bring a database to the newest schema, and make it where there is none; raises StartError."""
    await prepare_database(replace(config, migrate=True))


async def audit_postgres(config: PostgresConfig, tenant: TenantId | None) -> AuditReport:
    """Count everything in a database, without a bound in time; raises StartError."""
    await prepare_database(replace(config, migrate=False))
    session = Link(config, "session")
    try:
        with start_errors(place_of(config)):
            return await session.run(lambda connection: _count(connection, tenant))
    finally:
        await session.close()


def _count(connection: Connection, tenant: TenantId | None) -> AuditReport:
    alone = connection.execution_options(isolation_level="AUTOCOMMIT")
    alone.exec_driver_sql("SET statement_timeout = 0")
    plan_freely(alone)
    return count_everything(alone, tenant)
