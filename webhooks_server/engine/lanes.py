"""All lanes of one engine.

What is ready, what must be read, what waits. Plain memory, no I/O, one event loop.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from webhooks_server.domain.delivery import DeliveryState, NewDelivery, Recorded
from webhooks_server.domain.ids import DeliverySeq, SubscriptionNumber
from webhooks_server.domain.lanes import LaneHead
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.engine.lane import Lane, Row
from webhooks_server.engine.ring import Ring
from webhooks_server.engine.timers import Timers

SHARED_ROWS = 512


class Taken(NamedTuple):
    """A delivery that a sender has taken, and its lane."""

    lane: Lane
    row: Row


class Reading(NamedTuple):
    """A refill that is out: its lane at a generation, the rows asked for, and when."""

    lane: Lane
    generation: int
    limit: int
    asked_at: float


class LaneEvents(NamedTuple):
    """What the lanes call when there is something to do.

    Rows can be sent, lanes must be read, the first timer moved.
    """

    ready: Callable[[int], None]
    hungry: Callable[[], None]
    timer: Callable[[], None]


class Lanes:
    """The lanes of the partitions that this engine owns."""

    def __init__(
        self,
        index: MatchIndex,
        monotonic: Callable[[], float],
        events: LaneEvents,
        shared_rows: int = SHARED_ROWS,
    ) -> None:
        """Take the index that tells which subscriptions may send, a clock, and whom to call."""
        self.epochs: Mapping[int, int] = {}
        self._index = index
        self._monotonic = monotonic
        self._events = events
        self._shared_rows = shared_rows
        self._lanes: dict[SubscriptionNumber, Lane] = {}
        self._hungry: dict[SubscriptionNumber, None] = {}
        self._ring = Ring()
        self.timers = Timers()
        self._highest_read = 0

    @property
    def in_flight(self) -> int:
        """How many deliveries are in flight or not yet recorded."""
        return sum(len(lane.out) for lane in self._lanes.values())

    def __len__(self) -> int:
        """Return how many lanes have work in memory."""
        return len(self._lanes)

    def offer(self, deliveries: Sequence[NewDelivery]) -> None:
        """Take freshly committed deliveries without reading them back, where their lanes have room.

        A row that a refill may have read already is left to the store: it could have been sent and
        recorded by now.
        """
        now = self._monotonic()
        for delivery in deliveries:
            lane = self._open_sending(delivery.subscription)
            if lane is None:
                continue
            if delivery.due_in > 0:
                self._arm(lane.number, now + delivery.due_in / 1_000_000)
            elif delivery.seq <= self._highest_read or not self.room(lane):
                lane.dirty = True
            else:
                lane.buffer.append(Row(delivery, now, now))
            self._evaluate(lane, new=1)

    def take(self) -> Taken | None:
        """Take the next delivery in turn; None where no lane can send."""
        while (lane := self._ring.pop()) is not None:
            if not lane.ready:
                continue
            if not self._index.sends(lane.number):
                self._evaluate(lane)
                continue
            row = lane.buffer.popleft()
            lane.out[row.delivery.seq] = row
            if lane.ready:
                self._ring.add(lane)
            self._feed(lane)
            return Taken(lane, row)
        return None

    def room(self, lane: Lane) -> int:
        """Return how many more rows a lane's buffer takes.

        That is twice what it may have in flight, or its share of a few hundred where lanes are few:
        the rows in memory are bounded, and few are read twice.
        """
        most = max(2 * lane.max_in_flight, self._shared_rows // len(self._lanes))
        return max(0, most - len(lane.buffer))

    def put_back(self, taken: Taken) -> None:
        """Undo a take: nothing was sent."""
        lane, row = taken
        lane.out.pop(row.delivery.seq, None)
        lane.dirty = True
        self._evaluate(lane)

    def recorded(self, taken: Taken, recorded: Recorded) -> None:
        """Take note that an attempt is on record: only now its place in flight is free."""
        lane, row = taken
        lane.out.pop(row.delivery.seq, None)
        if lane.refilling:
            lane.settled.add(row.delivery.seq)
        if recorded.state is DeliveryState.PENDING:
            if recorded.due_in <= 0:
                lane.dirty = True
            else:
                self._arm(lane.number, self._monotonic() + recorded.due_in / 1_000_000)
        self._evaluate(lane, new=1)

    def wake(self, number: SubscriptionNumber) -> None:
        """Read a lane afresh: rows may be due earlier, or final, or the subscription changed."""
        entry = self._owned(number)
        if entry is None:
            return
        lane = self._open(entry)
        lane.max_in_flight = entry.max_in_flight
        lane.drop_buffer()
        lane.dirty = True
        self._evaluate(lane)

    def note(self, head: LaneHead) -> None:
        """Take note of a lane that the store has pending rows for (start, back-stop, resume)."""
        if head.due_in > 0:
            self._arm(head.subscription, self._monotonic() + head.due_in / 1_000_000)
            return
        entry = self._owned(head.subscription)
        if entry is None:
            return
        lane = self._open(entry)
        lane.dirty = True
        self._evaluate(lane)

    def expire_timers(self) -> None:
        """Look at the lanes whose moment has come."""
        for number in self.timers.expired(self._monotonic()):
            entry = self._owned(number)
            if entry is not None:
                lane = self._open(entry)
                lane.dirty = True
                self._evaluate(lane)

    def start_refills(self, most: int) -> list[Lane]:
        """Return lanes to read now, at most so many, each marked clean before it is read (EB2)."""
        lanes: list[Lane] = []
        while self._hungry and len(lanes) < most:
            number = next(iter(self._hungry))
            del self._hungry[number]
            lane = self._lanes.get(number)
            if lane is not None and lane.hungry:
                lane.dirty = False
                lane.refilling = True
                lanes.append(lane)
        return lanes

    def refilled(self, reading: Reading, rows: Sequence[NewDelivery]) -> None:
        """Take what a refill read.

        Rows by due time, fewer than asked for where the store has no others.
        """
        lane = reading.lane
        if lane.generation != reading.generation:
            self.refill_failed(lane)
            return
        now = self._monotonic()
        known = {row.delivery.seq for row in lane.buffer} | lane.out.keys() | lane.settled
        fresh: list[Row] = []
        more = len(rows) >= reading.limit
        for delivery in rows:
            self._highest_read = max(self._highest_read, delivery.seq)
            if delivery.seq in known:
                continue
            if delivery.due_in > 0:
                self._arm(lane.number, now + delivery.due_in / 1_000_000)
                more = False
                break
            fresh.append(Row(delivery, now, reading.asked_at))
        if fresh:
            merged = sorted([*lane.buffer, *fresh], key=lambda row: (row.due_at, row.delivery.seq))
            lane.buffer.clear()
            lane.buffer.extend(merged)
        lane.dirty = lane.dirty or more
        self._end_refill(lane)

    def refill_failed(self, lane: Lane) -> None:
        """Take note that a refill told nothing: it must be read again."""
        lane.dirty = True
        self._end_refill(lane)

    def settled(self, lane: Lane, *, more: bool) -> None:
        """Take note that a held lane was visited; with more, there are rows left to settle."""
        lane.dirty = lane.dirty or more
        self._end_refill(lane)

    def excluded(self, lane: Lane) -> tuple[DeliverySeq, ...]:
        """Return the rows of a lane whose requests are in flight or not yet recorded."""
        return tuple(lane.out)

    def forget(self) -> None:
        """Drop everything that is not in flight, at a stop: it is still pending in the store."""
        for lane in list(self._lanes.values()):
            lane.drop_buffer()
            lane.dirty = False
            self._drop_if_idle(lane)
        self._hungry.clear()
        self.timers.clear()

    def _end_refill(self, lane: Lane) -> None:
        lane.refilling = False
        lane.settled.clear()
        self._evaluate(lane, new=lane.max_in_flight)

    def _owned(self, number: SubscriptionNumber) -> IndexEntry | None:
        entry = self._index.get(number)
        return entry if entry is not None and entry.partition in self.epochs else None

    def _open(self, entry: IndexEntry) -> Lane:
        lane = self._lanes.get(entry.number)
        if lane is None:
            lane = self._lanes[entry.number] = Lane(entry)
        return lane

    def _open_sending(self, number: SubscriptionNumber) -> Lane | None:
        lane = self._lanes.get(number)
        if not self._index.sends(number):
            return None
        if lane is not None:
            return lane
        entry = self._owned(number)
        return None if entry is None else self._open(entry)

    def _evaluate(self, lane: Lane, *, new: int = 0) -> None:
        """Put a lane where it belongs now; at most `new` rows more than before can be taken."""
        if not self._index.sends(lane.number):
            lane.drop_buffer()
        elif lane.ready:
            self._ring.add(lane)
            self._events.ready(min(new, len(lane.buffer), lane.max_in_flight - len(lane.out)))
        self._feed(lane)
        self._drop_if_idle(lane)

    def _feed(self, lane: Lane) -> None:
        if lane.hungry and lane.number not in self._hungry:
            self._hungry[lane.number] = None
            self._events.hungry()

    def _drop_if_idle(self, lane: Lane) -> None:
        if lane.idle and self._lanes.get(lane.number) is lane:
            del self._lanes[lane.number]

    def _arm(self, number: SubscriptionNumber, moment: float) -> None:
        if self.timers.arm(number, moment):
            self._events.timer()
