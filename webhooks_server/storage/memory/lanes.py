"""Lanes in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from typing_extensions import override

from webhooks_server.domain.delivery import DeliveryState, Reason, Record, Recorded
from webhooks_server.domain.ids import EventSeq, SubscriptionNumber
from webhooks_server.domain.lanes import FanOutStep, LaneHead, LaneRead, LaneRows, Settlement
from webhooks_server.domain.times import Instant
from webhooks_server.ports import LaneStore
from webhooks_server.storage.memory.rows import Rows, StoredDelivery, index_entry
from webhooks_server.storage.owner import Owner
from webhooks_server.storage.targets import FAN_OUT_CHUNK
from webhooks_server.storage.transitions import (
    count_failure,
    due_in,
    finish,
    low_water_of,
    record_attempt,
    recorded_before,
    recorded_nowhere,
    with_failures,
)

FAN_OUTS_AT_ONCE = 100


class MemoryLanes(LaneStore):
    """The port LaneStore."""

    def __init__(self, rows: Rows, owner: Owner) -> None:
        self._rows = rows
        self._owner = owner

    @override
    async def find(self, partitions: Sequence[int]) -> Sequence[LaneHead]:
        now = self._rows.now()
        heads: dict[tuple[int, int], LaneHead] = {}
        for one in self._rows.deliveries.values():
            if one.row.state is not DeliveryState.PENDING or one.partition not in partitions:
                continue
            key = (one.partition, one.subscription)
            left = due_in(one.row, now)
            if key not in heads or left < heads[key].due_in:
                heads[key] = LaneHead(
                    subscription=one.subscription, partition=one.partition, due_in=left
                )
        return list(heads.values())

    @override
    async def failing(
        self, subscriptions: Sequence[SubscriptionNumber]
    ) -> Mapping[SubscriptionNumber, int]:
        kept = self._rows.failing
        return {one: kept[one][0] for one in subscriptions if one in kept and kept[one][0]}

    @override
    async def due(self, reads: Sequence[LaneRead]) -> Sequence[LaneRows]:
        return [self._first_of(read, self._rows.now()) for read in reads]

    @override
    async def record(self, records: Sequence[Record]) -> Sequence[Recorded]:
        now = self._rows.now()
        return [self._record(record, now) for record in records]

    @override
    async def settle(self, settlement: Settlement) -> int:
        if not self._holds(settlement.partition, settlement.epoch):
            return 0
        now = self._rows.now()
        by_age = settlement.min_age is not None
        oldest = now - (settlement.min_age or 0)
        chosen = [
            one
            for one in self._pending(settlement)
            if one.create_time <= oldest
            and not (by_age and one.row.final_before)
            and one.row.seq not in settlement.excluding
        ]
        for one in chosen[: settlement.limit]:
            one.row = finish(one.row, settlement.state, settlement.reason, now)
        return min(len(chosen), settlement.limit)

    @override
    async def fan_outs(self) -> Sequence[EventSeq]:
        return sorted(self._rows.fan_outs)[:FAN_OUTS_AT_ONCE]

    @override
    async def fan_out(self, event: EventSeq) -> FanOutStep:
        rows = self._rows
        fan_out = rows.fan_outs.get(event)
        if fan_out is None:
            return FanOutStep(deliveries=(), done=True)
        chunk = fan_out.numbers[fan_out.position : fan_out.position + FAN_OUT_CHUNK]
        fan_out.position += len(chunk)
        done = fan_out.position >= len(fan_out.numbers)
        if done:
            del rows.fan_outs[event]
        targets = [index_entry(rows.subscriptions[SubscriptionNumber(number)]) for number in chunk]
        deleted = {target.number for target in targets if target.deleted}
        added = rows.add_deliveries(rows.events[event], targets, fan_out.trigger, 0)
        for one in added:
            if one.subscription in deleted:
                stored = rows.deliveries[one.seq]
                stored.row = finish(stored.row, DeliveryState.CANCELLED, Reason.DELETED, rows.now())
        live = [one for one in added if one.subscription not in deleted]
        return FanOutStep(deliveries=live, done=done)

    def _first_of(self, read: LaneRead, now: Instant) -> LaneRows:
        rows = [one.as_new(now) for one in self._pending(read)[: read.limit]]
        return LaneRows(
            subscription=read.subscription, rows=rows, low_water=low_water_of(rows, now)
        )

    def _holds(self, partition: int, epoch: int, engine: str = "") -> bool:
        return self._rows.owners[partition] == (engine or self._owner.name, epoch)

    def _pending(self, lane: LaneRead | Settlement) -> list[StoredDelivery]:
        return sorted(
            (
                one
                for one in self._rows.deliveries.values()
                if one.row.state is DeliveryState.PENDING
                and one.subscription == lane.subscription
                and one.partition == lane.partition
            ),
            key=lambda one: (one.row.due_time, one.row.seq),
        )

    def _record(self, record: Record, now: Instant) -> Recorded:
        rows = self._rows
        seq = rows.delivery_seqs.get(record.uid)
        if seq is None:
            return recorded_nowhere(record)
        stored = rows.deliveries[seq]
        known = rows.tokens.get(record.token)
        if known is not None:
            return recorded_before(record, stored.row, known.number, late=known.late, now=now)
        fenced = seq == record.seq and self._holds(record.partition, record.epoch, record.engine)
        stored.row, recorded = record_attempt(stored.row, record, fenced=fenced, now=now)
        attempt = replace(record.attempt, number=recorded.attempt_number, late=recorded.late)
        rows.attempts.setdefault(seq, []).append(attempt)
        rows.tokens[record.token] = attempt
        failures = count_failure(
            rows.failures.pop(stored.subscription, None), record, recorded, now
        )
        if failures is not None:
            rows.failures[stored.subscription] = failures
        return with_failures(recorded, record, failures, now)
