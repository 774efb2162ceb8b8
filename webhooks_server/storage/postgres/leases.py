"""Partitions on PostgreSQL, which the engines of several processes share."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sqlalchemy import Connection
from typing_extensions import override

from webhooks_server.domain.ids import DeliverySeq, SubscriptionNumber
from webhooks_server.domain.lanes import LaneHead
from webhooks_server.domain.partitions import Beat, Claim, EngineEntry, Heard, News
from webhooks_server.ports import EngineSession, Leases
from webhooks_server.storage.owner import Owner
from webhooks_server.storage.postgres.config import PostgresConfig
from webhooks_server.storage.postgres.heard import CHANNEL, payloads_of
from webhooks_server.storage.postgres.numbers import database_now
from webhooks_server.storage.postgres.pool import Pool
from webhooks_server.storage.postgres.session import Session

NEWS_AT_ONCE = 20_000
# A partition whose owner is just recording is passed over; nobody waits for anybody (EB4).
_TAKE = """
WITH claim AS (
  SELECT * FROM unnest($2::int[], $3::text[], $4::bigint[], $5::bigint[])
    AS claim (id, owner, epoch, beat)
), free AS (
  SELECT partitions.id FROM partitions JOIN claim USING (id, owner, epoch)
  WHERE claim.beat = coalesce((SELECT beat FROM engines WHERE name = claim.owner), -1)
  ORDER BY partitions.id FOR UPDATE OF partitions SKIP LOCKED
)
UPDATE partitions SET owner = $1, epoch = epoch + 1 FROM free WHERE partitions.id = free.id
RETURNING partitions.id, partitions.epoch
"""
_RELEASE = """
WITH mine AS (
  SELECT partitions.id FROM partitions
  JOIN unnest($2::int[], $3::bigint[]) AS given (id, epoch) USING (id, epoch)
  WHERE owner = $1 ORDER BY partitions.id FOR UPDATE OF partitions
)
UPDATE partitions SET owner = '' FROM mine WHERE partitions.id = mine.id
"""
_RELEASE_ALL = """
WITH mine AS (SELECT id FROM partitions WHERE owner = $1 ORDER BY id FOR UPDATE)
UPDATE partitions SET owner = '' FROM mine WHERE partitions.id = mine.id
"""
_LEAVE = "DELETE FROM engines WHERE name = $1"
# By the key alone, whatever the statistics say: pending rows may be a million, new ones are few.
_NEWS = """
WITH recent AS MATERIALIZED (
  SELECT seq, partition, subscription, state, due_time FROM deliveries
  WHERE seq > $1 ORDER BY seq LIMIT $2
)
SELECT partition, subscription, min(due_time) FROM recent
WHERE state = 1 AND partition = ANY($3::int[]) GROUP BY partition, subscription
UNION ALL SELECT -1, count(*), max(seq) FROM recent
"""
_NOTIFY = "SELECT pg_notify($1, $2)"


class PostgresLeases(Leases):
    """The port Leases."""

    def __init__(self, config: PostgresConfig, pool: Pool, owner: Owner) -> None:
        self._config = config
        self._pool = pool
        self._owner = owner

    @override
    def session(self, engine: EngineEntry) -> EngineSession:
        self._owner.name = engine.name
        return PostgresEngineSession(engine, Session(self._config, engine), self._pool)

    @override
    async def announce(self, news: Heard) -> None:
        for payload in payloads_of(news):
            await self._pool.run(partial(_notify, payload=payload))


class PostgresEngineSession(EngineSession):
    """The port EngineSession: beats on a connection of its own, the rest as the stores do it."""

    def __init__(self, engine: EngineEntry, session: Session, pool: Pool) -> None:
        self._name = engine.name
        self._session = session
        self._pool = pool

    @property
    @override
    def is_exclusive(self) -> bool:
        return False

    @property
    @override
    def is_alive(self) -> bool:
        return self._session.is_alive

    @override
    def listen(self, heard: Callable[[Heard], None], lost: Callable[[], None]) -> None:
        self._session.heard = heard
        self._session.lost = lost

    @override
    async def beat(self, slots: int, in_flight: int) -> Beat:
        return await self._session.beat(slots, in_flight)

    @override
    async def take(self, claims: Sequence[Claim]) -> Mapping[int, int]:
        return await self._pool.transact(partial(_take, engine=self._name, claims=claims))

    @override
    async def release(self, epochs: Mapping[int, int]) -> None:
        await self._pool.transact(partial(_release, engine=self._name, epochs=epochs))

    @override
    async def leave(self) -> None:
        await self._pool.transact(partial(_leave, engine=self._name))

    @override
    async def close(self) -> None:
        await self._session.close()

    @override
    async def news(self, partitions: Sequence[int], above: DeliverySeq) -> News:
        return await self._pool.run(partial(_news, partitions=partitions, above=above))


def _take(connection: Connection, engine: str, claims: Sequence[Claim]) -> Mapping[int, int]:
    given = (
        engine,
        [claim.partition for claim in claims],
        [claim.owner for claim in claims],
        [claim.epoch for claim in claims],
        [claim.beat for claim in claims],
    )
    taken = connection.exec_driver_sql(_TAKE, given)
    return dict(taken.all())


def _release(connection: Connection, engine: str, epochs: Mapping[int, int]) -> None:
    given = (engine, list(epochs), list(epochs.values()))
    connection.exec_driver_sql(_RELEASE, given)


def _leave(connection: Connection, engine: str) -> None:
    connection.exec_driver_sql(_RELEASE_ALL, (engine,))
    connection.exec_driver_sql(_LEAVE, (engine,))


def _news(connection: Connection, partitions: Sequence[int], above: DeliverySeq) -> News:
    now = database_now(connection)
    found = connection.exec_driver_sql(_NEWS, (above, NEWS_AT_ONCE, list(partitions))).all()
    heads = [
        LaneHead(
            subscription=SubscriptionNumber(subscription),
            partition=partition,
            due_in=due_time - now,
        )
        for partition, subscription, due_time in found
        if partition >= 0
    ]
    ((count, highest),) = [(row[1], row[2]) for row in found if row[0] < 0]
    reached = DeliverySeq(above if highest is None else highest)
    return News(heads=heads, reached=reached, complete=count < NEWS_AT_ONCE)


def _notify(connection: Connection, payload: str) -> None:
    connection.exec_driver_sql(_NOTIFY, (CHANNEL, payload))
