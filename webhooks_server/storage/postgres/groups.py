"""Group commit on PostgreSQL: one loop accepts and one records, each on its own connection."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from sqlalchemy import Connection
from typing_extensions import override

from webhooks_server.domain.delivery import Record, Recorded
from webhooks_server.domain.event import Accepted, Publish
from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.engine.tasks import open_tasks
from webhooks_server.ports import Telemetry
from webhooks_server.storage.postgres.config import PostgresConfig
from webhooks_server.storage.postgres.link import Link
from webhooks_server.storage.postgres.loop import GroupLoop
from webhooks_server.storage.postgres.numbers import draw_deliveries
from webhooks_server.storage.postgres.pool import Pool
from webhooks_server.storage.postgres.writing import write_appends, write_records
from webhooks_server.storage.sql.accept import append_of
from webhooks_server.storage.sql.backlog import Backlog
from webhooks_server.storage.sql.database import Groups, Result
from webhooks_server.storage.sql.figures import watch_backlogs
from webhooks_server.storage.sql.prepare import Matching
from webhooks_server.storage.sql.record import RecordBatch


class PostgresGroups(Groups):
    """The two loops, as the stores see them."""

    def __init__(self, accepting: GroupLoop, recording: GroupLoop, pool: Pool) -> None:
        self._accepting = accepting
        self._recording = recording
        self._pool = pool

    @override
    async def append(self, publish: Publish) -> Sequence[Accepted]:
        if not publish.events:
            return ()
        append = append_of(publish, asyncio.get_running_loop().create_future())
        self._accepting.add_append(append)
        return await append.future

    @override
    async def record(self, engine: str, records: Sequence[Record]) -> Sequence[Recorded]:
        future = asyncio.get_running_loop().create_future()
        batch = RecordBatch(engine=engine, records=records, future=future)
        self._recording.add_batch(batch)
        return await batch.future

    @override
    async def insert(
        self, count: int, script: Callable[[Connection, Sequence[int]], Result]
    ) -> Result:
        return await self._pool.transact(
            lambda connection: script(connection, draw_deliveries(connection, count))
        )


@asynccontextmanager
async def run_groups(
    config: PostgresConfig, pool: Pool, index: MatchIndex, ids: IdSource, telemetry: Telemetry
) -> AsyncIterator[PostgresGroups]:
    """Run both loops; at the end they write what waits, and close their connections."""
    matching = Matching(index)
    links = Link(config, "accept"), Link(config, "record")
    accepting, recording = Backlog(matching), Backlog(matching)
    watch_backlogs(telemetry, accepting, recording)
    loops = (
        GroupLoop(
            links[0],
            accepting,
            partial(write_appends, matching=matching, uids=ids.uids),
            telemetry,
        ),
        GroupLoop(links[1], recording, write_records, telemetry),
    )
    async with open_tasks() as tasks:
        running = [tasks.create_task(loop.run()) for loop in loops]
        try:
            yield PostgresGroups(*loops, pool)
        finally:
            for loop in loops:
                loop.close()
            # A group of tasks would cancel them, and a commit with them, where the block failed.
            await asyncio.wait(running)
            for link in links:
                await link.close()
