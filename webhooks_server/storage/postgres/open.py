"""Opening a PostgreSQL store: checks, pool, loops; and closing it in the reverse order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.ports import Clock, Stores, Telemetry
from webhooks_server.storage.owner import Owner
from webhooks_server.storage.postgres.config import PostgresConfig
from webhooks_server.storage.postgres.groups import run_groups
from webhooks_server.storage.postgres.leases import PostgresLeases
from webhooks_server.storage.postgres.long_reads import Audits
from webhooks_server.storage.postgres.numbers import database_now, draw_event, probe
from webhooks_server.storage.postgres.pool import MAX_WAITING, CallersReads, Pool
from webhooks_server.storage.postgres.start import prepare_database
from webhooks_server.storage.sql.control import SqlControl
from webhooks_server.storage.sql.deliveries import SqlDeliveries
from webhooks_server.storage.sql.events import SqlEvents
from webhooks_server.storage.sql.lanes import SqlLanes
from webhooks_server.storage.sql.subscriptions import SqlSubscriptions


@asynccontextmanager
async def open_postgres(
    config: PostgresConfig, index: MatchIndex, clock: Clock, telemetry: Telemetry
) -> AsyncIterator[Stores]:
    """Open a database that other processes share, made or migrated where that is allowed.

    Raises StartError, and SchemaMismatch where the schema is not this version's.
    """
    await prepare_database(config)
    ids = IdSource(clock.wall)
    pool, owner = Pool(config), Owner()
    callers = CallersReads(pool)
    telemetry.watch("reads_waiting", lambda: pool.asked, "all", bound=MAX_WAITING)
    try:
        audits = Audits(pool, await pool.run(database_now))
        async with run_groups(config, pool, index, ids, telemetry) as groups:
            yield Stores(
                subscriptions=SqlSubscriptions(
                    pool, callers, pool, database_now, lambda: draw_event
                ),
                events=SqlEvents(groups, pool, callers, pool, database_now),
                deliveries=SqlDeliveries(pool, callers, database_now),
                lanes=SqlLanes(pool, groups, pool, database_now, ids, owner),
                leases=PostgresLeases(config, pool, owner),
                control=SqlControl(pool, callers, audits, database_now, probe),
            )
    finally:
        await pool.close()
