"""Where lanes stand: among those that can send, at a gate that is shut, or among those to read."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from webhooks_server.domain.ids import EventSeq, SubscriptionNumber
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.engine.buffers import Buffers
from webhooks_server.engine.gates import NO_CAPS, Gates, HostCaps
from webhooks_server.engine.hunger import Hunger
from webhooks_server.engine.lane import Lane, Row
from webhooks_server.engine.low_water import LowWater
from webhooks_server.engine.ring import Turns
from webhooks_server.engine.standings import Standings
from webhooks_server.engine.timers import Timers

ROWS_PER_SLOT = 4
SHARED_PER_SLOT = 2


class LaneBounds(NamedTuple):
    """How many requests there are slots for, and the rows of them that memory holds.

    About `rows` may be in buffers at once: four times the slots, of which `shared_rows`, a half,
    for lanes that hold more than they must.
    """

    slots: int
    rows: int
    shared_rows: int
    hosts: HostCaps = NO_CAPS


def bounds_for(slots: int, hosts: HostCaps) -> LaneBounds:
    """Return the bounds of an engine with so many slots."""
    return LaneBounds(
        slots=slots,
        rows=ROWS_PER_SLOT * slots,
        shared_rows=SHARED_PER_SLOT * slots,
        hosts=hosts,
    )


class LaneEvents(NamedTuple):
    """What the lanes call when there is something to do.

    Rows can be sent, lanes must be read, the first timer moved.
    """

    ready: Callable[[int], None]
    hungry: Callable[[], None]
    timer: Callable[[], None]


class Places:
    """All lanes that have work in memory, each where it belongs by what it holds and may do."""

    def __init__(
        self,
        index: MatchIndex,
        monotonic: Callable[[], float],
        events: LaneEvents,
        bounds: LaneBounds,
        is_owned: Callable[[int], bool],
    ) -> None:
        """Take the index that tells which subscriptions may send, a clock, and whom to call.

        `is_owned` tells whether a partition is this engine's.
        """
        self._index = index
        self._is_owned = is_owned
        self._monotonic = monotonic
        self._events = events
        self._lanes: dict[SubscriptionNumber, Lane] = {}
        self.buffers = Buffers(bounds.rows, bounds.shared_rows, self._tell_hungry)
        self.ring: Turns[Lane] = Turns()
        self.hunger = Hunger(self.buffers)
        self.gates = Gates(bounds.slots, bounds.hosts, monotonic, self._give_way, events.timer)
        self.standings = Standings(monotonic)
        self.low_water = LowWater()
        self.timers: Timers[SubscriptionNumber] = Timers()

    def __len__(self) -> int:
        """Return how many lanes there are."""
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        """Go through all lanes, which may be dropped meanwhile."""
        return iter(list(self._lanes.values()))

    def get(self, number: SubscriptionNumber) -> Lane | None:
        """Return a lane that has work in memory."""
        return self._lanes.get(number)

    def room(self, lane: Lane) -> int:
        """Return how many more rows a lane's buffer takes."""
        return self.buffers.room(lane, len(self._lanes))

    def replace(self, lane: Lane, rows: Sequence[Row], crowded: Collection[EventSeq]) -> None:
        """Hold what a refill read in the place of what was here when it began.

        It shows whether a lane of which nothing else is known is one of a crowd.
        """
        if rows and (lane.crowd or not (lane.buffer or lane.dirty)):
            self.mark(lane, crowd=all(row.delivery.event_seq in crowded for row in rows))
        self.buffers.replace(lane, rows, len(self._lanes))

    def sends(self, lane: Lane) -> bool:
        """Tell whether a lane may send at all: its subscription does, and its breaker is shut."""
        return lane.allowed > 0 and self._index.sends(lane.number)

    def open(self, entry: IndexEntry) -> Lane:
        """Return the lane of a subscription, made where it had no work so far."""
        lane = self._lanes.get(entry.number)
        if lane is None:
            lane = self._lanes[entry.number] = Lane(entry, self.buffers.in_flight_of(entry))
            self.equip(lane, entry)
        return lane

    def reopen(self, entry: IndexEntry) -> Lane:
        """Open a lane for which something may have changed meanwhile."""
        lane = self.open(entry)
        lane.max_in_flight = self.buffers.in_flight_of(entry)
        self.equip(lane, entry)
        return lane

    def welcome(self, entry: IndexEntry, *, crowd: bool) -> Lane:
        """Open a lane for a new delivery, which goes to a crowd or not."""
        is_new = entry.number not in self._lanes
        lane = self.open(entry)
        if lane.crowd or is_new:
            self.mark(lane, crowd=crowd)
        return lane

    def mark(self, lane: Lane, *, crowd: bool) -> None:
        """Take note of whether a lane has nothing but what goes to crowds."""
        if lane.crowd is not crowd:
            self.buffers.leave_class(lane)
            lane.crowd = crowd
            self.buffers.join_class(lane)

    def take(self, lane: Lane) -> Row:
        """Take the first row of a lane out, to be sent."""
        row = self.buffers.take(lane)
        lane.out[row.delivery.seq] = row
        row.crowd = lane.crowd
        if row.crowd:
            self.gates.crowd.in_flight += 1
        return row

    def leave(self, lane: Lane, row: Row) -> None:
        """Free the places that a row's request had."""
        if lane.gates:
            self.gates.leave(lane)
        if row.crowd:
            row.crowd = False
            self.gates.crowd.in_flight -= 1
            if self.ring.crowded:
                self._events.ready(1)

    def begin(self, partitions: Collection[int]) -> None:
        """Begin to own partitions: nothing is proven, and no rate has anything left (EC7)."""
        index = self._index

        def of_these(number: SubscriptionNumber) -> bool:
            entry = index.get(number)
            return entry is not None and entry.partition in partitions

        self.gates.begin(partitions, filter(of_these, self.gates.numbers))
        self.standings.forget(list(filter(of_these, self.standings.known)))
        self.low_water.forget_all(of_these)

    def restore(self, entry: IndexEntry, level: int) -> None:
        """Hold a lane to what is on record of its health."""
        self.standings.restore(entry, level)
        if (lane := self._lanes.get(entry.number)) is not None:
            self.equip(lane, entry)
            self.place(lane)

    def equip(self, lane: Lane, entry: IndexEntry) -> None:
        """Hold a lane to what its health and its subscription allow now."""
        health = self.standings.health_of(entry)
        gates, before = self.gates.of(entry, health.standing), lane.gates
        self.buffers.leave_class(lane)
        lane.health = health
        lane.allowed = self.standings.allowed(health, lane.max_in_flight)
        if gates != before:
            # It may be parked where it need not wait any more.
            lane.waiting = False
            self.gates.equip(lane, gates)
        self.buffers.join_class(lane)
        if gates != before:
            # Its rows count in another class now: there may be room for others.
            self._tell_hungry()

    def place(self, lane: Lane, *, new: int = 0) -> None:
        """Put a lane where it belongs now; at most `new` rows more than before can be taken."""
        if not self._is_owned(lane.partition):
            lane.waiting = lane.dirty = lane.urgent = False
            self.buffers.drop(lane)
        elif not self._index.sends(lane.number):
            lane.waiting = False
            self.buffers.drop(lane)
        elif not lane.allowed:
            self._rest(lane)
        elif lane.waiting:
            lane.dirty = True
            self.buffers.drop(lane)
        elif lane.ready:
            self.ring.add(lane)
            self._events.ready(min(new, len(lane.buffer), lane.allowed - lane.sent))
        if lane.gates and not lane.ready:
            self.gates.pass_on(lane)
        self.feed(lane)
        self.drop_if_idle(lane)

    def _rest(self, lane: Lane) -> None:
        """Leave the rows of a lane whose breaker is open alone until it may try again (L1)."""
        lane.waiting = False
        self.buffers.drop(lane)
        entry = self._index.get(lane.number)
        if lane.health.open_until is not None:
            self.arm(lane.number, lane.health.open_until)
        # What expires meanwhile is settled as that of a held lane is.
        if entry is None or entry.max_age is None:
            lane.dirty = lane.urgent = False

    def _give_way(self, lane: Lane) -> bool:
        """Put a lane back that was parked at a gate; tells whether it still wants through."""
        if self._lanes.get(lane.number) is not lane or not self._index.sends(lane.number):
            return False
        if lane.waiting:
            lane.waiting = False
            self.feed(lane)
            return True
        if not lane.ready:
            return False
        self.ring.add(lane)
        self._events.ready(1)
        return True

    def feed(self, lane: Lane) -> None:
        """Let a lane be read in its turn, where it should be."""
        if lane.hungry:
            self.hunger.add(lane)
            self._events.hungry()

    def _tell_hungry(self) -> None:
        if self.hunger:
            self._events.hungry()

    def drop_if_idle(self, lane: Lane) -> None:
        """Forget a lane that has nothing to do."""
        if lane.idle and self._lanes.get(lane.number) is lane:
            del self._lanes[lane.number]
            if lane.gates:
                self.gates.equip(lane, ())

    def forget(self) -> None:
        """Drop everything that is not in flight."""
        for lane in self:
            self.buffers.drop(lane)
            lane.dirty = False
            self.drop_if_idle(lane)
        self.hunger.clear()
        self.gates.clear()
        self.timers.clear()

    def next_moment(self) -> float | None:
        """Return when the next of the timers goes off."""
        moments = (self.timers.next(), self.gates.timers.next())
        return min((moment for moment in moments if moment is not None), default=None)

    def arm(self, number: SubscriptionNumber, moment: float) -> None:
        """Look at a lane again at that moment."""
        if self.timers.arm(number, moment):
            self._events.timer()
