"""All lanes of one engine: what is ready, what must be read, what waits. Plain memory, no I/O."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from webhooks_server.domain.breaker import Sign
from webhooks_server.domain.delivery import DeliveryState, NewDelivery, Recorded
from webhooks_server.domain.ids import EventSeq, SubscriptionNumber
from webhooks_server.domain.lanes import LaneHead
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.engine.lane import Lane, Reading, Row, Taken, calm_of
from webhooks_server.engine.places import LaneBounds, LaneEvents, Places
from webhooks_server.engine.standings import is_sound

__all__ = ["Lanes", "Taken"]


class Lanes:
    """The lanes of the partitions that this engine owns."""

    def __init__(
        self,
        index: MatchIndex,
        monotonic: Callable[[], float],
        events: LaneEvents,
        bounds: LaneBounds,
    ) -> None:
        """Take the index that tells which subscriptions may send, a clock, and whom to call."""
        self.epochs: Mapping[int, int] = {}
        self._index = index
        self._monotonic = monotonic
        self._places = Places(
            index, monotonic, events, bounds, lambda partition: partition in self.epochs
        )
        self.standings = self._places.standings
        self.gates = self._places.gates
        self.low_water = self._places.low_water
        self.most_rows = bounds.rows
        self._highest_read = 0

    @property
    def in_flight(self) -> int:
        """How many deliveries are in flight or not yet recorded."""
        return sum(len(lane.out) for lane in self._places)

    def __len__(self) -> int:
        """Return how many lanes have work in memory."""
        return len(self._places)

    @property
    def timer_count(self) -> int:
        """How many lanes and gates wait for a time."""
        return len(self._places.timers) + len(self.gates.timers)

    def __iter__(self) -> Iterator[Lane]:
        """Yield the lanes with work in memory."""
        return iter(self._places)

    @property
    def spare(self) -> int:
        """How many more rows may be read; negative where more are here already."""
        return self._places.buffers.spare

    def offer(self, deliveries: Sequence[NewDelivery], *, crowd: bool = False) -> None:
        """Take freshly committed deliveries without reading them back, where their lanes have room.

        What goes to a `crowd` waits behind all others. A row that a refill may have read already
        is left to the store: it could have been sent and recorded by now.
        """
        now = self._monotonic()
        for delivery in deliveries:
            entry = self._owned(delivery.subscription)
            if entry is None or not self._index.sends(entry.number):
                continue
            lane = self._places.welcome(entry, crowd=crowd)
            if delivery.due_in > 0:
                self._places.arm(lane.number, now + delivery.due_in / 1_000_000)
            elif delivery.seq <= self._highest_read or self.spare <= 0 or not self.room(lane):
                lane.dirty = True
            else:
                self._places.buffers.put(lane, Row(delivery, now, now))
            self._places.place(lane, new=1)

    def take(self, *, crowd: bool = True) -> Taken | None:
        """Take the next delivery in turn, of a crowd only if it may be; None where none is."""
        places = self._places
        crowd = crowd and places.gates.crowd.admits(0.0)
        while (lane := places.ring.pop(crowd=crowd)) is not None:
            if not lane.ready or not self._index.sends(lane.number):
                places.place(lane)
                continue
            if lane.gates and not places.gates.admit(lane):
                if lane.waiting:
                    places.place(lane)
                continue
            row = places.take(lane)
            if lane.ready:
                places.ring.add(lane)
            places.feed(lane)
            return Taken(lane, row)
        return None

    def room(self, lane: Lane) -> int:
        """Return how many more rows a lane's buffer takes."""
        return self._places.room(lane)

    def sends(self, lane: Lane) -> bool:
        """Tell whether a lane may send at all: its subscription does, and its breaker is shut."""
        return self._places.sends(lane)

    def put_back(self, taken: Taken, pause: float = 0.0) -> None:
        """Undo a take: nothing was sent. With a pause its lane is not looked at for so long."""
        self._places.gates.give_back(taken.lane)
        self._end(taken)
        taken.lane.dirty = True
        if pause:
            taken.lane.waiting = True
            self._places.arm(taken.lane.number, self._monotonic() + pause)
        self._places.place(taken.lane)

    def recorded(self, taken: Taken, recorded: Recorded) -> None:
        """Take note that an attempt is on record: only now its place in flight is free."""
        lane, row = taken
        self._end(taken)
        if lane.settled is not None:
            lane.settled.add(row.delivery.seq)
        if recorded.state is DeliveryState.PENDING:
            if recorded.due_in <= 0:
                self.low_water.forget(lane.number)
                lane.dirty = True
            else:
                self._places.arm(lane.number, self._monotonic() + recorded.due_in / 1_000_000)
        self._places.place(lane, new=1)

    def refused(self, taken: Taken) -> None:
        """Take note that what came of an attempt cannot be recorded.

        The delivery stays where it is: it is not sent again before a restart, which is better than
        sending it for ever. But it does not keep others from being sent.
        """
        taken.lane.stuck += 1
        self._places.leave(*taken)
        self._places.place(taken.lane, new=1)

    def judge(self, number: SubscriptionNumber, sign: Sign) -> None:
        """Take note of what an attempt tells of a lane's receiver."""
        lane = self._places.get(number)
        if sign is Sign.WELL and lane is not None and is_sound(lane):
            return
        if (entry := self._index.get(number)) is None:
            return
        self.standings.judge(entry, sign)
        if lane is not None:
            self._places.equip(lane, entry)
            self._places.place(lane, new=lane.allowed)

    def waits(self, number: SubscriptionNumber) -> bool:
        """Tell whether a lane's own breaker or rate keeps it from sending now."""
        entry = self._index.get(number)
        return entry is not None and (self.standings.is_open(entry) or self.gates.is_shut(number))

    def wake(self, number: SubscriptionNumber) -> None:
        """Read a lane afresh now: rows of it may be due before others, or final.

        What is in memory waits for that read, but not for a second one: wake-ups that come faster
        than reads return must not stop the lane.
        """
        if (entry := self._owned(number)) is not None:
            self.standings.probe_now(entry)
            self.reread(number)

    def reread(self, number: SubscriptionNumber) -> None:
        """Do as wake(), where nobody has done anything about the lane's receiver."""
        self.low_water.forget(number)
        if (entry := self._owned(number)) is not None:
            lane = self._places.reopen(entry)
            lane.dirty = lane.urgent = True
            lane.held = lane.held or not lane.refilling
            self._places.place(lane)

    def changed(self, number: SubscriptionNumber) -> None:
        """Take note that a subscription changed: whether it sends, or within what bounds."""
        self.low_water.forget(number)
        if (entry := self._owned(number)) is not None:
            self.standings.probe_now(entry)
            lane = self._places.reopen(entry)
            lane.dirty = True
            self._places.place(lane, new=lane.max_in_flight)

    def note(self, head: LaneHead, *, is_news: bool = False) -> None:
        """Take note of a lane that the store has pending rows for (start, back-stop, resume).

        With `is_news`, of new ones among them.
        """
        number, entry = head.subscription, self._owned(head.subscription)
        if not is_news:
            self.low_water.forget(number)
        # With a max_age the first row may expire before it is due: that is seen once it is read.
        must_expire = entry is not None and entry.max_age is not None
        if head.due_in > 0 and not (must_expire and number not in self._places.timers):
            self._places.arm(number, self._monotonic() + head.due_in / 1_000_000)
        elif entry is not None:
            lane = self._places.open(entry)
            lane.dirty = True
            self._places.place(lane)

    def next_moment(self) -> float | None:
        """Return when expire_timers() is to be called next; None where nothing waits for a time."""
        return self._places.next_moment()

    def expire_timers(self) -> None:
        """Look at what has its moment now."""
        for number in self._places.timers.expired(self._monotonic()):
            if (entry := self._owned(number)) is not None:
                lane = self._places.reopen(entry)
                lane.waiting = False
                lane.dirty = True
                self._places.place(lane)
        self._places.gates.expire_timers()

    def start_refills(self, most: int) -> list[Lane]:
        """Return lanes to read now, at most so many, each marked clean before it is read (EB2)."""
        lanes: list[Lane] = []
        while len(lanes) < most and (lane := self._places.hunger.pop(len(lanes))) is not None:
            if self._places.get(lane.number) is lane and lane.hungry:
                lane.begin_refill()
                lanes.append(lane)
        return lanes

    def refilled(
        self, reading: Reading, rows: Sequence[NewDelivery], crowds: Collection[EventSeq] = ()
    ) -> None:
        """Take what a refill read: rows by due time, fewer than asked for where there are none."""
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
                self._places.arm(lane.number, now + calm / 1_000_000)
                more = False
                break
            fresh.append(Row(delivery, now, reading.asked_at))
        lane.dirty, lane.held = lane.dirty or more, False
        self._places.replace(lane, fresh, crowds)
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

    def gain(self, epochs: Mapping[int, int]) -> None:
        """Own these partitions from now on, at these epochs; their lanes are yet to be found."""
        self.epochs = {**self.epochs, **epochs}
        self._places.begin(epochs.keys())

    def restore(self, number: SubscriptionNumber, level: int) -> None:
        """Begin a tenure of a lane with how badly it fails by what is on record (EC7)."""
        if (entry := self._owned(number)) is not None:
            self._places.restore(entry, level)

    def lose(self, partitions: Collection[int]) -> None:
        """Own these partitions no more; what is in flight stays known, and is not sent twice."""
        self.epochs = {one: at for one, at in self.epochs.items() if one not in partitions}
        for lane in self._places:
            if lane.partition in partitions:
                self._places.place(lane)

    def forget(self) -> None:
        """Drop everything that is not in flight, at a stop: it is still pending in the store."""
        self._places.forget()

    def _end_refill(self, lane: Lane) -> None:
        lane.end_refill()
        self._places.place(lane, new=lane.allowed)

    def _owned(self, number: SubscriptionNumber) -> IndexEntry | None:
        entry = self._index.get(number)
        return entry if entry is not None and entry.partition in self.epochs else None

    def _end(self, taken: Taken) -> None:
        lane, row = taken
        if lane.out.pop(row.delivery.seq, None) is not None:
            self._places.leave(lane, row)
