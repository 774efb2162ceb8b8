"""What is kept for a while only is forgotten while nobody calls."""

import sqlite3
from pathlib import Path

from tests.harness.waiting import until
from tests.harness.world import Faults, World
from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.times import DAY
from webhooks_server.engine import EngineConfig
from webhooks_server.ops import SystemClock
from webhooks_server.storage.sql import SqliteConfig, open_sqlite


async def test_answers_are_forgotten_after_their_day(tmp_path: Path) -> None:
    """They hold secrets."""
    clock, index = SystemClock(), MatchIndex()
    config = EngineConfig(engine="engine-1", user_agent="test/1")
    async with open_sqlite(SqliteConfig(data_dir=tmp_path), index, clock) as opened:
        now = clock.wall()
        rows = [("yesterday", now - DAY - 1), ("today", now - DAY // 2)]
        connection = sqlite3.connect(tmp_path / "webhooks.db")
        connection.executemany(
            "INSERT INTO request_ids VALUES ('default', ?, x'00', 'a secret', ?)", rows
        )
        connection.commit()
        connection.close()
        world = World(opened.stores, index, Faults(), IdSource(clock.wall), clock, config)
        async with world.engine(backstop_interval=0.01, backstop_partitions=256):
            await until(lambda: remembered(tmp_path) == ["today"])


def remembered(data_dir: Path) -> list[str]:
    connection = sqlite3.connect(data_dir / "webhooks.db")
    found = connection.execute("SELECT request_id FROM request_ids").fetchall()
    connection.close()
    return [name for (name,) in found]
