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
from webhooks_server.engine.buffers import Buffers
from webhooks_server.engine.lane import Lane, Reading, Row, calm_of
from webhooks_server.engine.ring import Ring
from webhooks_server.engine.timers import Timers

MOST_ROWS = 1024
SHARED_ROWS = 512
# What a lane gets from a refill at least, if it has as much and may hold it.
ROWS_PER_LANE = 8


class Taken(NamedTuple):
    """A delivery that a sender has taken, and its lane."""

    lane: Lane
    row: Row


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
        most_rows: int = MOST_ROWS,
        shared_rows: int = SHARED_ROWS,
    ) -> None:
        """Take the index that tells which subscriptions may send, a clock, and whom to call.

        `most_rows` is about how many may be in buffers at once: four times the slots, of which
        `shared_rows`, a half, for lanes that hold more than they must.
        """
        self.epochs: Mapping[int, int] = {}
        self._index = index
        self._monotonic = monotonic
        self._events = events
        self._buffers = Buffers(most_rows, shared_rows, self._tell_hungry)
        self._lanes: dict[SubscriptionNumber, Lane] = {}
        self._ring = Ring()
        self._hungry = Ring()
        self._urgent = Ring()
        self.timers = Timers()
        self._highest_read = 0

    @property
    def in_flight(self) -> int:
        """How many deliveries are in flight or not yet recorded."""
        return sum(len(lane.out) for lane in self._lanes.values())

    def __len__(self) -> int:
        """Return how many lanes have work in memory."""
        return len(self._lanes)

    @property
    def spare(self) -> int:
        """How many more rows may be read; negative where more are here already."""
        return self._buffers.spare

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
            elif delivery.seq <= self._highest_read or self.spare <= 0 or not self.room(lane):
                lane.dirty = True
            else:
                self._buffers.put(lane, Row(delivery, now, now))
            self._evaluate(lane, new=1)

    def take(self) -> Taken | None:
        """Take the next delivery in turn; None where no lane can send."""
        while (lane := self._ring.pop()) is not None:
            if not lane.ready:
                continue
            if not self._index.sends(lane.number):
                self._evaluate(lane)
                continue
            row = self._buffers.take(lane)
            lane.out[row.delivery.seq] = row
            if lane.ready:
                self._ring.add(lane)
            self._feed(lane)
            return Taken(lane, row)
        return None

    def room(self, lane: Lane) -> int:
        """Return how many more rows a lane's buffer takes."""
        return self._buffers.room(lane, len(self._lanes))

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
        if lane.settled is not None:
            lane.settled.add(row.delivery.seq)
        if recorded.state is DeliveryState.PENDING:
            if recorded.due_in <= 0:
                lane.dirty = True
            else:
                self._arm(lane.number, self._monotonic() + recorded.due_in / 1_000_000)
        self._evaluate(lane, new=1)

    def wake(self, number: SubscriptionNumber) -> None:
        """Read a lane afresh now: rows of it may be due before others, or final.

        What is in memory waits for that read, but not for a second one: wake-ups that come faster
        than reads return must not stop the lane.
        """
        entry = self._owned(number)
        if entry is not None:
            lane = self._open(entry)
            lane.dirty = lane.urgent = True
            lane.held = lane.held or not lane.refilling
            self._evaluate(lane)

    def changed(self, number: SubscriptionNumber) -> None:
        """Take note that a subscription changed: whether it sends, or within what bounds."""
        entry = self._owned(number)
        if entry is not None:
            lane = self._open(entry)
            lane.max_in_flight = self._buffers.in_flight_of(entry)
            lane.dirty = True
            self._evaluate(lane, new=lane.max_in_flight)

    def note(self, head: LaneHead) -> None:
        """Take note of a lane that the store has pending rows for (start, back-stop, resume)."""
        number, entry = head.subscription, self._owned(head.subscription)
        # With a max_age the first row may expire before it is due: that is seen once it is read.
        must_expire = entry is not None and entry.max_age is not None
        if head.due_in > 0 and not (must_expire and number not in self.timers):
            self._arm(number, self._monotonic() + head.due_in / 1_000_000)
        elif entry is not None:
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
        while len(lanes) < most and (lane := self._next_to_read(len(lanes))) is not None:
            if self._lanes.get(lane.number) is lane and lane.hungry:
                lane.begin_refill()
                lanes.append(lane)
        return lanes

    def _next_to_read(self, reading: int) -> Lane | None:
        # What is urgent needs no room: most of it is here already.
        has_room = ROWS_PER_LANE * reading < self.spare
        return self._urgent.pop() or (self._hungry.pop() if has_room else None)

    def refilled(self, reading: Reading, rows: Sequence[NewDelivery]) -> None:
        """Take what a refill read.

        Rows by due time, fewer than asked for where the store has no others.
        """
        lane = reading.lane
        if lane.generation != reading.generation:
            self.refill_failed(lane)
            return
        now = self._monotonic()
        fresh: list[Row] = []
        more = len(rows) >= reading.limit
        for at, delivery in enumerate(rows):
            self._highest_read = max(self._highest_read, delivery.seq)
            if lane.passes_over(delivery.seq):
                continue
            if delivery.due_in > 0:
                calm = calm_of(rows[at:], self._index.get(lane.number))
                self._arm(lane.number, now + calm / 1_000_000)
                more = False
                break
            fresh.append(Row(delivery, now, reading.asked_at))
        lane.dirty = lane.dirty or more
        lane.held = False
        self._buffers.replace(lane, fresh, len(self._lanes))
        self._end_refill(lane)

    def refill_failed(self, lane: Lane) -> None:
        """Take note that a refill told nothing: it must be read again."""
        lane.dirty = True
        lane.urgent = lane.urgent or lane.held
        self._end_refill(lane)

    def settled(self, lane: Lane, *, more: bool) -> None:
        """Take note that a held lane was visited; with more, there are rows left to settle."""
        lane.dirty = lane.dirty or more
        lane.held = False
        self._end_refill(lane)

    def excluded(self, lane: Lane) -> tuple[DeliverySeq, ...]:
        """Return the rows of a lane whose requests are in flight or not yet recorded."""
        return tuple(lane.out)

    def forget(self) -> None:
        """Drop everything that is not in flight, at a stop: it is still pending in the store."""
        for lane in list(self._lanes.values()):
            self._buffers.drop(lane)
            lane.dirty = False
            self._drop_if_idle(lane)
        self._hungry.clear()
        self._urgent.clear()
        self.timers.clear()

    def _end_refill(self, lane: Lane) -> None:
        lane.end_refill()
        self._evaluate(lane, new=lane.max_in_flight)

    def _owned(self, number: SubscriptionNumber) -> IndexEntry | None:
        entry = self._index.get(number)
        return entry if entry is not None and entry.partition in self.epochs else None

    def _open(self, entry: IndexEntry) -> Lane:
        lane = self._lanes.get(entry.number)
        if lane is None:
            lane = self._lanes[entry.number] = Lane(entry, self._buffers.in_flight_of(entry))
        return lane

    def _open_sending(self, number: SubscriptionNumber) -> Lane | None:
        entry = self._owned(number) if self._index.sends(number) else None
        return None if entry is None else self._open(entry)

    def _evaluate(self, lane: Lane, *, new: int = 0) -> None:
        """Put a lane where it belongs now; at most `new` rows more than before can be taken."""
        if not self._index.sends(lane.number):
            self._buffers.drop(lane)
        elif lane.ready:
            self._ring.add(lane)
            self._events.ready(min(new, len(lane.buffer), lane.max_in_flight - len(lane.out)))
        self._feed(lane)
        self._drop_if_idle(lane)

    def _feed(self, lane: Lane) -> None:
        if lane.hungry:
            (self._urgent if lane.urgent else self._hungry).add(lane)
            self._events.hungry()

    def _tell_hungry(self) -> None:
        if self._hungry:
            self._events.hungry()

    def _drop_if_idle(self, lane: Lane) -> None:
        if lane.idle and self._lanes.get(lane.number) is lane:
            del self._lanes[lane.number]

    def _arm(self, number: SubscriptionNumber, moment: float) -> None:
        if self.timers.arm(number, moment):
            self._events.timer()
