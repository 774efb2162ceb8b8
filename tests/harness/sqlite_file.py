"""A SQLite storage opened, filled, and edited from outside."""

import sqlite3
from pathlib import Path

from tests.harness.shelf import StandingClock, subscription
from webhooks_server.domain.ids import SubscriptionId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.storage.sql import SqliteConfig, open_sqlite

NAME = SubscriptionId("sub")


async def start(data_dir: Path, *, migrate: bool = True) -> None:
    """Open and close."""
    config = SqliteConfig(data_dir=data_dir, migrate=migrate)
    async with open_sqlite(config, MatchIndex(), StandingClock()):
        pass


async def fill(data_dir: Path) -> None:
    """Make a database with one subscription in it."""
    config = SqliteConfig(data_dir=data_dir)
    async with open_sqlite(config, MatchIndex(), StandingClock()) as opened:
        await opened.stores.subscriptions.create(subscription(NAME))


def run_sql(data_dir: Path, *statements: str) -> None:
    connection = sqlite3.connect(data_dir / "webhooks.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
