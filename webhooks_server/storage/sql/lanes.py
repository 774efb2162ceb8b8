"""Lanes on SQL: what the engine that owns partitions reads and writes."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, literal, literal_column, select, tuple_, update
from typing_extensions import override

from webhooks_server.domain.delivery import Record, Recorded
from webhooks_server.domain.ids import EventSeq, IdSource, SubscriptionNumber
from webhooks_server.domain.lanes import FanOutStep, LaneHead, LaneRead, LaneRows, Settlement
from webhooks_server.domain.times import Instant
from webhooks_server.ports import LaneStore
from webhooks_server.storage.owner import Owner
from webhooks_server.storage.sql.database import Groups, Now, Reads, Transactions
from webhooks_server.storage.sql.dialects import dialect_of
from webhooks_server.storage.sql.fan_out import next_chunk
from webhooks_server.storage.sql.rows.deliveries import new_delivery_of
from webhooks_server.storage.sql.schema import deliveries, fanouts, partitions
from webhooks_server.storage.sql.schema import subscriptions as subscription_rows
from webhooks_server.storage.targets import FAN_OUT_CHUNK
from webhooks_server.storage.transitions import low_water_of

FAN_OUTS_AT_ONCE = 100
_NUMBERS_AT_ONCE = 1000
_FAILING = select(subscription_rows.c.number, subscription_rows.c.failing).where(
    subscription_rows.c.failing > 0
)

# Not a parameter: a plan for all of its values could not use the index of what is pending.
_LANE = tuple_(deliveries.c.partition, deliveries.c.subscription)
_IS_PENDING = deliveries.c.state == literal_column("1")


class SqlLanes(LaneStore):
    """The port LaneStore."""

    def __init__(
        self,
        transactions: Transactions,
        groups: Groups,
        readers: Reads,
        now: Now,
        ids: IdSource,
        owner: Owner,
    ) -> None:
        self._transactions = transactions
        self._groups = groups
        self._readers = readers
        self._now = now
        self._uids = ids.uids
        self._owner = owner

    @override
    async def find(self, partitions: Sequence[int]) -> Sequence[LaneHead]:
        def read(connection: Connection) -> Sequence[LaneHead]:
            now = self._now(connection)
            found = dialect_of(connection).find_lanes(connection, partitions)
            return [
                LaneHead(
                    subscription=SubscriptionNumber(subscription),
                    partition=partition,
                    due_in=due_time - now,
                )
                for partition, subscription, due_time in found
            ]

        return await self._readers.run(read)

    @override
    async def failing(
        self, subscriptions: Sequence[SubscriptionNumber]
    ) -> Mapping[SubscriptionNumber, int]:
        def read(connection: Connection) -> Mapping[SubscriptionNumber, int]:
            found: dict[SubscriptionNumber, int] = {}
            for at in range(0, len(subscriptions), _NUMBERS_AT_ONCE):
                numbers = list(subscriptions[at : at + _NUMBERS_AT_ONCE])
                query = _FAILING.where(subscription_rows.c.number.in_(numbers))
                found |= {
                    SubscriptionNumber(number): level for number, level in connection.execute(query)
                }
            return found

        return await self._readers.run(read)

    @override
    async def due(self, reads: Sequence[LaneRead]) -> Sequence[LaneRows]:
        def read(connection: Connection) -> Sequence[LaneRows]:
            now = self._now(connection)
            found = dialect_of(connection).read_lanes(connection, reads, now)
            return [
                _lane_rows(read.subscription, rows, now)
                for read, rows in zip(reads, found, strict=True)
            ]

        return await self._readers.run(read)

    @override
    async def record(self, records: Sequence[Record]) -> Sequence[Recorded]:
        return await self._groups.record(self._owner.name, records)

    @override
    async def settle(self, settlement: Settlement) -> int:
        return await self._transactions.transact(
            lambda connection: _settle(
                connection, settlement, self._owner.name, self._now(connection)
            )
        )

    @override
    async def fan_outs(self) -> Sequence[EventSeq]:
        query = select(fanouts.c.event_seq).order_by(fanouts.c.event_seq).limit(FAN_OUTS_AT_ONCE)
        return await self._readers.run(
            lambda connection: [EventSeq(seq) for seq in connection.execute(query).scalars()]
        )

    @override
    async def fan_out(self, event: EventSeq) -> FanOutStep:
        def script(connection: Connection, seqs: Sequence[int]) -> FanOutStep:
            return next_chunk(connection, event, self._now(connection), self._uids, seqs)

        return await self._groups.insert(FAN_OUT_CHUNK, script)


def _lane_rows(
    subscription: SubscriptionNumber, found: Sequence[Sequence[Any]], now: Instant
) -> LaneRows:
    rows = [new_delivery_of(row, subscription) for row in found]
    return LaneRows(subscription=subscription, rows=rows, low_water=low_water_of(rows, now))


def _settle(connection: Connection, settlement: Settlement, engine: str, now: int) -> int:
    held = connection.execute(
        select(partitions.c.id)
        .where(
            partitions.c.id == settlement.partition,
            partitions.c.owner == engine,
            partitions.c.epoch == settlement.epoch,
        )
        .with_for_update(read=True)
    ).first()
    if held is None:
        return 0
    # Between itself and itself: why, is told in dialects/postgres.py.
    lane = tuple_(literal(settlement.partition), literal(settlement.subscription))
    chosen = (
        select(deliveries.c.seq)
        .where(
            _IS_PENDING,
            lane <= _LANE,
            lane >= _LANE,
            deliveries.c.seq.not_in(settlement.excluding),
        )
        .order_by(*_LANE, deliveries.c.due_time, deliveries.c.seq)
        .limit(settlement.limit)
        # Who holds a row decides it; and who waits for nobody is in nobody's way.
        .with_for_update(skip_locked=True)
    )
    if settlement.min_age is not None:
        chosen = chosen.where(
            deliveries.c.create_time <= now - settlement.min_age, deliveries.c.final_before == 0
        )
    return connection.execute(
        update(deliveries)
        .where(deliveries.c.seq.in_(chosen))
        .values(state=settlement.state, reason=settlement.reason, complete_time=now)
    ).rowcount
