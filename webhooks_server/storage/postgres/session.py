"""The one connection by which an engine shows that it lives (engine.md, EB3).

It is outside of every pool, and busy with nothing else: so that a beat never waits for a read.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from webhooks_server.domain.errors import StoreUnavailable
from webhooks_server.domain.ids import DeliverySeq, Version
from webhooks_server.domain.partitions import Beat, EngineBeat, EngineEntry, Heard, Holding
from webhooks_server.domain.times import Instant
from webhooks_server.storage.postgres.config import PostgresConfig
from webhooks_server.storage.postgres.connection import NamedConnection, connect
from webhooks_server.storage.postgres.heard import CHANNEL, heard_of
from webhooks_server.storage.postgres.link import FIRST_PAUSE, LONGEST_PAUSE
from webhooks_server.storage.postgres.troubles import store_errors

BEAT_SECONDS = 5.0
_LOCK_CLASS = 0x_77_68_65_6E
"""The first half of the advisory locks of engines: "when"; the second is the engine's number."""
_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_ENTER = f"""
INSERT INTO engines (name, number, beat, slots, transient, in_flight, beat_time)
VALUES ($1, nextval('engine_numbers'), 0, 0, $2, 0, {_NOW})
ON CONFLICT (name) DO UPDATE SET beat = engines.beat + 1 RETURNING number
"""  # noqa: S608 - own words
# Of engines that were killed; one that lives after all enters again.
_FORGET = f"""
DELETE FROM engines WHERE beat_time < {_NOW} - 3600 * 1000000::bigint
  AND name NOT IN (SELECT owner FROM partitions)
"""  # noqa: S608 - own words
_LOCK = "SELECT pg_try_advisory_lock($1, $2)"
# One row for each engine, and for each owner that is none any more. That the beat is on disk is
# nothing worth waiting for: the setting holds for this transaction alone.
_BEAT = f"""
WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
beaten AS (
  UPDATE engines SET beat = beat + 1, slots = $4, in_flight = $2, beat_time = {_NOW} FROM quick
  WHERE name = $1 RETURNING beat
),
connected AS MATERIALIZED (
  SELECT objid::bigint AS number FROM pg_locks
  WHERE locktype = 'advisory' AND classid::bigint = $3 AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
),
held AS (
  SELECT owner, array_agg(id) AS ids, array_agg(epoch) AS epochs FROM partitions GROUP BY owner
)
SELECT control.version, coalesce(pg_sequence_last_value('delivery_numbers'), 0) AS newest,
  engines.name, engines.slots, engines.transient, engines.in_flight,
  CASE engines.name WHEN $1 THEN beaten.beat ELSE engines.beat END AS beat, engines.beat_time,
  engines.number IN (SELECT number FROM connected) AS connected,
  held.owner, held.ids, held.epochs
FROM beaten, control, engines FULL JOIN held ON held.owner = engines.name
"""  # noqa: S608 - own words


class Session:
    """The connection: made when it is needed, and anew after it was lost."""

    def __init__(self, config: PostgresConfig, engine: EngineEntry) -> None:
        self._config = config
        self._engine = engine
        self._connection: NamedConnection | None = None
        self._number = 0
        self._is_locked = False
        self._opened = 0
        self._failures = 0
        self._turn = asyncio.Lock()
        self._holdings = _Holdings()
        self.heard: Callable[[Heard], None] = lambda _: None
        self.lost: Callable[[], None] = lambda: None

    @property
    def is_alive(self) -> bool:
        """Whether nothing is known to be wrong with the connection."""
        return self._connection is not None and not self._connection.is_closed()

    async def beat(self, slots: int, in_flight: int) -> Beat:
        """Beat once, on a new connection where the last one is gone; raises StoreUnavailable."""
        async with self._turn:
            if self.is_alive:
                with suppress(StoreUnavailable):
                    return await self._beat(slots, in_flight)
            return await self._beat(slots, in_flight)

    async def _beat(self, slots: int, in_flight: int) -> Beat:
        try:
            with store_errors():
                async with asyncio.timeout(BEAT_SECONDS):
                    connection = await self._reopened()
                    await self._lock(connection)
                    rows = await connection.fetch(
                        _BEAT, self._engine.name, in_flight, _LOCK_CLASS, slots
                    )
        except BaseException as error:
            self.drop()
            if isinstance(error, TimeoutError | asyncpg.InterfaceError):
                raise StoreUnavailable from error
            raise
        if not rows:
            # Others have taken this engine for dead and forgotten it.
            self.drop()
            raise StoreUnavailable
        return _beat_of(self._opened, rows, self._holdings.of(rows))

    async def _lock(self, connection: NamedConnection) -> None:
        if not self._is_locked:
            # Of a connection that broke, PostgreSQL may hold the lock until it has noticed.
            self._is_locked = await connection.fetchval(_LOCK, _LOCK_CLASS, self._number)

    def drop(self) -> None:
        """Give the connection up as it is."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                await connection.close(timeout=1)

    async def _reopened(self) -> NamedConnection:
        connection = self._connection
        if connection is not None and not connection.is_closed():
            return connection
        if self._failures:
            longest = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE)
            await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - spreads only
        self._failures += 1
        connection = await connect(self._config, "session")
        connection.add_termination_listener(self._ended)
        self._connection = connection
        self._is_locked = False
        self._number = await connection.fetchval(
            _ENTER, self._engine.name, int(self._engine.is_transient)
        )
        await connection.execute(_FORGET)
        await connection.add_listener(CHANNEL, self._told)
        self._opened += 1
        self._failures = 0
        return connection

    def _ended(self, connection: "asyncpg.Connection | PoolConnectionProxy") -> None:
        if connection is self._connection:
            self.lost()

    def _told(
        self,
        _connection: "asyncpg.Connection | PoolConnectionProxy",
        _pid: int,
        _channel: str,
        payload: object,
    ) -> None:
        self.heard(heard_of(str(payload)))


class _Holdings:
    """Who owns what, made anew only where it changed: it seldom does, and there are 256."""

    def __init__(self) -> None:
        self._rows: list[object] = []
        self._made: dict[int, Holding] = {}

    def of(self, rows: Sequence[asyncpg.Record]) -> Mapping[int, Holding]:
        """Return the partitions of the rows of a beat."""
        held = [(row["owner"], row["ids"], row["epochs"]) for row in rows if row["ids"]]
        if held != self._rows:
            self._rows = [*held]
            self._made = {
                partition: Holding(owner=owner, epoch=epoch)
                for owner, ids, epochs in held
                for partition, epoch in zip(ids, epochs, strict=True)
            }
        return self._made


def _beat_of(session: int, rows: Sequence[asyncpg.Record], holdings: Mapping[int, Holding]) -> Beat:
    return Beat(
        session=session,
        version=Version(rows[0]["version"]),
        newest=DeliverySeq(rows[0]["newest"]),
        engines=[_engine_of(row) for row in rows if row["name"] is not None],
        holdings=holdings,
    )


def _engine_of(row: asyncpg.Record) -> EngineBeat:
    return EngineBeat(
        name=row["name"],
        beat=row["beat"],
        slots=row["slots"],
        is_transient=bool(row["transient"]),
        is_connected=row["connected"],
        in_flight=row["in_flight"],
        last_seen_time=Instant(row["beat_time"]),
    )
