"""Reading due deliveries from the store into their lanes, many lanes at once."""

from collections.abc import Collection, Mapping, Sequence

from webhooks_server.domain.delivery import DeliveryState, NewDelivery, Reason
from webhooks_server.domain.errors import Unavailable
from webhooks_server.domain.ids import EventSeq, SubscriptionNumber
from webhooks_server.domain.lanes import LaneRead, Settlement
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.engine.caches import Caches
from webhooks_server.engine.lane import Lane, Reading
from webhooks_server.engine.lanes import Lanes
from webhooks_server.engine.signals import Signal
from webhooks_server.ports import Clock, LaneStore, Telemetry

LANES_PER_READ = 64
ROWS_PER_READ = 512
PAUSE_AFTER_FAULT = 0.25


class Refill:
    """The loop that reads hungry lanes; a held lane is settled instead of read."""

    def __init__(
        self,
        *,
        store: LaneStore,
        lanes: Lanes,
        index: MatchIndex,
        caches: Caches,
        clock: Clock,
        telemetry: Telemetry,
        wanted: Signal,
    ) -> None:
        """Take the collaborators, and the signal that a lane is hungry."""
        self._store = store
        self._lanes = lanes
        self._index = index
        self._subscriptions, self._payloads = caches
        self._clock = clock
        self._telemetry = telemetry
        self._wanted = wanted

    async def run(self) -> None:
        """Read lanes as they become hungry, for ever."""
        while True:
            await self._wanted.wait()
            while lanes := self._lanes.start_refills(LANES_PER_READ):
                try:
                    await self._serve_all(lanes)
                finally:
                    for lane in lanes:
                        if lane.refilling:
                            self._lanes.refill_failed(lane)

    async def _serve_all(self, lanes: Sequence[Lane]) -> None:
        """Serve lanes together; one that cannot be served does not keep the others from it."""
        try:
            await self._serve(lanes)
        except Unavailable as error:
            await self._pause_after(error)
        except Exception as error:  # noqa: BLE001 - the loop never dies, see EA1
            if len(lanes) == 1:
                await self._pause_after(error)
                return
            for lane in lanes:
                if lane.refilling:
                    await self._serve_all([lane])

    async def _pause_after(self, error: Exception) -> None:
        self._telemetry.fault("lanes.unreadable", error)
        await self._clock.sleep(PAUSE_AFTER_FAULT)

    async def _serve(self, lanes: Sequence[Lane]) -> None:
        sending = [lane for lane in lanes if self._lanes.sends(lane)]
        for lane in lanes:
            if lane not in sending:
                await self._settle_held(lane)
        if sending:
            await self._read(sending)

    async def _read(self, lanes: Sequence[Lane]) -> None:
        share = min(ROWS_PER_READ, self._lanes.spare) // len(lanes)
        readings = [self._reading(lane, share) for lane in lanes]
        reads = [
            LaneRead(
                subscription=reading.lane.number,
                partition=reading.lane.partition,
                limit=reading.limit,
                since=self._lanes.low_water.begin(reading.lane.number),
            )
            for reading in readings
        ]
        answers: dict[SubscriptionNumber, Sequence[NewDelivery]] = {}
        for answer in await self._store.due(reads):
            answers[answer.subscription] = answer.rows
            self._lanes.low_water.learn(answer.subscription, answer.low_water)
        crowded = await self._prefetch(lanes, answers)
        for reading in readings:
            rows = answers.get(reading.lane.number, ())
            if not await self._expire(reading.lane, rows):
                self._lanes.refilled(reading, rows, crowded)

    async def _prefetch(
        self,
        lanes: Sequence[Lane],
        answers: Mapping[SubscriptionNumber, Sequence[NewDelivery]],
    ) -> Collection[EventSeq]:
        """Read what is needed to send what is due, where it is not in flight already.

        Returns which events of these, as far as they are here, go to very many.
        """
        due = [
            row
            for lane in lanes
            for row in answers.get(lane.number, ())
            if row.due_in <= 0 and row.seq not in lane.out
        ]
        await self._subscriptions.fetch(dict.fromkeys(row.subscription for row in due))
        events = {row.event_seq for row in due}
        await self._payloads.fetch(events)
        return self._payloads.crowded(events)

    def _reading(self, lane: Lane, share: int) -> Reading:
        # What is known is read again, so that as many rows as wanted are new (EB1).
        known = len(lane.buffer) + len(lane.out)
        wanted = max(1, min(self._lanes.room(lane), share))
        return Reading(lane, lane.generation, wanted + known, self._clock.monotonic())

    async def _expire(self, lane: Lane, rows: Sequence[NewDelivery]) -> bool:
        """Settle rows beyond the subscription's max_age.

        Tells whether there were any, so that the rows are stale.
        """
        entry = self._index.get(lane.number)
        if entry is None or entry.max_age is None:
            return False
        if not any(
            row.age >= entry.max_age and not row.final_before and row.seq not in lane.out
            for row in rows
        ):
            return False
        await self._settle(self._expiry(entry, lane), entry)
        self._lanes.refill_failed(lane)
        return True

    async def _settle_held(self, lane: Lane) -> None:
        """Cancel what is pending for a deleted subscription (EA8).

        For a held one only its clock runs on.
        """
        entry = self._index.get(lane.number)
        if entry is not None and entry.deleted:
            settlement = Settlement(
                subscription=lane.number,
                partition=lane.partition,
                epoch=self._lanes.epochs.get(lane.partition, 0),
                state=DeliveryState.CANCELLED,
                reason=Reason.DELETED,
                excluding=lane.excluded,
            )
        elif entry is not None and entry.max_age is not None:
            settlement = self._expiry(entry, lane)
        else:
            self._lanes.settled(lane, more=False)
            return
        count = await self._settle(settlement, entry)
        self._lanes.settled(lane, more=count >= settlement.limit)

    async def _settle(self, settlement: Settlement, entry: IndexEntry) -> int:
        """Make rows final without an attempt; returns how many."""
        count = await self._store.settle(settlement)
        if count:
            state = settlement.state.name.lower()
            self._telemetry.count("deliveries", entry.tenant, state, amount=count)
            self._telemetry.fact(
                "deliveries.settled",
                tenant=entry.tenant,
                subscription=entry.id,
                state=state,
                reason=settlement.reason,
                count=count,
            )
        return count

    def _expiry(self, entry: IndexEntry, lane: Lane) -> Settlement:
        return Settlement(
            subscription=lane.number,
            partition=lane.partition,
            epoch=self._lanes.epochs.get(lane.partition, 0),
            state=DeliveryState.EXPIRED,
            reason=Reason.MAX_AGE,
            min_age=entry.max_age,
            excluding=lane.excluded,
        )
