"""Stores on PostgreSQL, which many processes share: the scripts of `storage.sql` on asyncpg."""

from webhooks_server.storage.postgres.commands import audit_postgres, migrate_postgres
from webhooks_server.storage.postgres.config import PostgresConfig
from webhooks_server.storage.postgres.open import open_postgres

__all__ = ["PostgresConfig", "audit_postgres", "migrate_postgres", "open_postgres"]
