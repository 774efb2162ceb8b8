"""Lanes against a model of the store, in every order of events (engine.md EB1, EB2)."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from webhooks_server.domain.breaker import FAILURES_TO_OPEN, Sign
from webhooks_server.domain.delivery import DeliveryState, NewDelivery, Recorded
from webhooks_server.domain.ids import (
    DeliverySeq,
    EventSeq,
    SubscriptionId,
    SubscriptionNumber,
    TenantId,
    Version,
)
from webhooks_server.domain.lanes import LaneHead
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import Changes, IndexEntry, State
from webhooks_server.engine.gates import NO_CAPS, HostCaps
from webhooks_server.engine.lane import Lane, Reading
from webhooks_server.engine.lanes import Lanes, Taken
from webhooks_server.engine.places import LaneBounds, LaneEvents
from webhooks_server.engine.ring import Ring
from webhooks_server.engine.timers import Timers

SECOND = 1_000_000


def entry(
    number: int,
    *,
    version: int = 1,
    state: State = State.ACTIVE,
    tenant: str = "default",
    cap: int = 2,
    per_minute: int = 0,
    host: str = "",
) -> IndexEntry:
    return IndexEntry(
        number=SubscriptionNumber(number),
        tenant=TenantId(tenant),
        id=SubscriptionId(f"s{number}"),
        partition=number % 4,
        version=Version(version),
        state=state,
        deleted=False,
        patterns=("*",),
        max_in_flight=cap,
        max_requests_per_minute=per_minute,
        host=host,
    )


def delivery(seq: int, number: int = 1, due_in: int = 0) -> NewDelivery:
    return NewDelivery(
        seq=DeliverySeq(seq),
        uid=seq.to_bytes(16),
        subscription=SubscriptionNumber(number),
        event_seq=EventSeq(seq),
        due_in=due_in,
    )


@dataclass
class World:
    """Lanes with a clock and an index that a test moves."""

    now: float = 1000.0
    version: int = 1
    ready: int = 0
    hungry: bool = False
    timer: bool = False
    most_rows: int = 1024
    shared_rows: int = 0
    slots: int = 1000
    hosts: HostCaps = NO_CAPS
    trusting: bool = True
    busy: int = 0
    index: MatchIndex = field(default_factory=MatchIndex)
    lanes: Lanes = field(init=False)

    def __post_init__(self) -> None:
        self.lanes = Lanes(
            self.index,
            lambda: self.now,
            LaneEvents(self.count_ready, self.set_hungry, self.set_timer),
            LaneBounds(
                slots=self.slots,
                rows=self.most_rows,
                shared_rows=self.shared_rows,
                hosts=self.hosts,
            ),
        )
        self.lanes.epochs = dict.fromkeys(range(4), 1)

    def count_ready(self, count: int) -> None:
        self.ready = min(self.ready + count, self.slots - self.busy)

    def set_hungry(self) -> None:
        self.hungry = True

    def set_timer(self) -> None:
        self.timer = True

    @property
    def rows(self) -> int:
        return sum(len(lane.buffer) for lane in self.lanes._places)

    def know(self, *entries: IndexEntry) -> None:
        self.version += 1
        stamped = tuple(replace(one, version=Version(self.version)) for one in entries)
        self.index.apply(
            Changes(version=Version(self.version), entries=stamped, pauses=(), complete=True)
        )
        if self.trusting:
            # As after a first success of each.
            for one in entries:
                self.lanes.judge(one.number, Sign.WELL)


@dataclass
class Stored:
    """A row of the model: when it is due, and whether it is pending."""

    number: int
    due: float
    pending: bool = True


@dataclass
class Answer:
    """A refill that is out, and what its snapshot shows."""

    reading: Reading
    rows: list[NewDelivery]


class LanesAgainstStore(RuleBasedStateMachine):
    """Publish, offer, read, answer, send, record, cancel, pause, each late: none twice or stuck.

    Nor is anything sent by a lane whose breaker is open, beyond its rate, or beyond what its class
    or its host may have in flight.

    Lanes are read, taken from and timed only after their signal, as the engine's loops do it, so
    that a signal that is not given leaves something unsent.
    """

    all_numbers = (1, 2, 3, 5, 6, 9, 10)
    slow, together = (5,), (6, 9)
    numbers = st.sampled_from(all_numbers)

    @initialize()
    def begin(self) -> None:
        self.world = World(
            most_rows=12, slots=4, hosts=HostCaps(in_flight=1), trusting=self.trusting
        )
        self.world.know(*(self.entry(number) for number in self.all_numbers))
        self.begun = self.world.now
        self.spent = 0
        self.store: dict[int, Stored] = {}
        self.unoffered: list[NewDelivery] = []
        self.readings: list[Answer] = []
        self.in_flight: list[Taken] = []
        self.committed: list[tuple[Taken, Recorded]] = []
        self.paused: set[int] = set()
        self.unwoken: set[int] = set()
        self.reading_when_woken: dict[int, Reading] = {}
        self.looking_for_lanes = False
        self.alarm: float | None = None

    trusting = True

    def entry(self, number: int, state: State = State.ACTIVE) -> IndexEntry:
        return entry(
            number,
            state=state,
            per_minute=60 if number in self.slow else 0,
            host="h" if number in self.together else "",
        )

    @rule(number=numbers, count=st.integers(1, 6), due_in=st.sampled_from([0, 0, 0, 2 * SECOND]))
    def publish(self, number: int, count: int, due_in: int) -> None:
        for _ in range(count):
            seq = len(self.store) + 1
            self.store[seq] = Stored(number, self.world.now + due_in / SECOND)
            self.unoffered.append(delivery(seq, number, due_in))

    @precondition(lambda self: self.unoffered)
    @rule(count=st.integers(1, 8), crowd=st.booleans())
    def offer(self, count: int, *, crowd: bool = False) -> None:
        self.world.lanes.offer(self.unoffered[:count], crowd=crowd)
        del self.unoffered[:count]

    @rule()
    def read(self) -> None:
        """Start to read what is hungry; the next lanes once these are answered."""
        if self.readings or not (self.looking_for_lanes or self.world.hungry):
            return
        self.world.hungry = False
        lanes = self.world.lanes
        spare, started = lanes.spare, lanes.start_refills(2)
        self.looking_for_lanes = bool(started)
        for lane in started:
            wanted = max(1, min(lanes.room(lane), spare // len(started)))
            limit = wanted + len(lane.buffer) + len(lane.out)
            reading = Reading(lane, lane.generation, limit, self.world.now)
            self.readings.append(Answer(reading, self.rows(lane.number, limit)))

    def rows(self, number: int, limit: int) -> list[NewDelivery]:
        pending = [
            (row.due, seq)
            for seq, row in self.store.items()
            if row.number == number and row.pending
        ]
        now = self.world.now
        return [
            delivery(seq, number, round((due - now) * SECOND))
            for due, seq in sorted(pending)[:limit]
        ]

    @precondition(lambda self: self.readings)
    @rule(at=st.integers(0, 3))
    def answer(self, at: int) -> None:
        answer = self.readings.pop(at % len(self.readings))
        number = answer.reading.lane.number
        if self.reading_when_woken.get(number) is not answer.reading:
            self.reading_when_woken.pop(number, None)
        self.world.lanes.refilled(answer.reading, answer.rows)

    @precondition(lambda self: self.readings)
    @rule(at=st.integers(0, 3))
    def fail_reading(self, at: int) -> None:
        answer = self.readings.pop(at % len(self.readings))
        self.world.lanes.refill_failed(answer.reading.lane)

    @rule()
    def take(self) -> None:
        if not self.world.ready:
            return
        self.world.ready -= 1
        taken = self.world.lanes.take()
        if taken is None:
            return
        self.world.busy += 1
        seq = taken.row.delivery.seq
        row = self.store[seq]
        assert row.number not in self.paused
        # A refill that was out at the wake-up may show what has become final; the next does not.
        may_be_final = row.number in self.unwoken or row.number in self.reading_when_woken
        assert row.pending or may_be_final, f"{seq} is sent although it is final"
        assert row.due <= self.world.now + 1e-6, f"{seq} is sent before it is due"
        out = [one.row.delivery.seq for one in self.in_flight]
        assert seq not in out, f"{seq} is sent twice at once"
        lane = taken.lane
        assert lane.sent <= lane.allowed, f"{seq} is sent by a lane that is to send less"
        for gate in lane.gates:
            assert not gate.most or gate.in_flight <= gate.most, f"{seq} is sent beyond a cap"
        if row.number in self.slow:
            self.spent += 1
            assert self.spent <= self.world.now - self.begun + 1e-3, "a rate is exceeded"
        self.in_flight.append(taken)
        assert sum(1 for one in self.in_flight if one.lane.number == row.number) <= 2

    @precondition(lambda self: self.in_flight)
    @rule(
        at=st.integers(0, 5),
        wait=st.sampled_from([None, None, 0, SECOND]),
        sign=st.sampled_from([Sign.WELL, Sign.WELL, Sign.REFUSED, Sign.TROUBLE]),
    )
    def commit(self, at: int, wait: int | None, sign: Sign = Sign.WELL) -> None:
        index = at % len(self.in_flight)
        taken = self.in_flight[index]
        if any(taken is one for one, _ in self.committed):
            return
        row = self.store[taken.row.delivery.seq]
        self.world.lanes.judge(taken.lane.number, sign)
        late = not row.pending
        if not late:
            row.pending = wait is not None
            row.due = self.world.now + (wait or 0) / SECOND
        state = DeliveryState.PENDING if row.pending else DeliveryState.SUCCEEDED
        answer = Recorded(token=b"", state=state, attempt_number=1, late=late, due_in=wait or 0)
        self.committed.append((taken, answer))
        self.rest()

    def rest(self) -> None:
        """Let a sender that is done look for more."""
        self.world.busy -= 1
        self.world.ready += 1

    @precondition(lambda self: self.in_flight)
    @rule(at=st.integers(0, 5))
    def put_back(self, at: int) -> None:
        taken = self.in_flight[at % len(self.in_flight)]
        if any(taken is one for one, _ in self.committed):
            return
        self.in_flight = [one for one in self.in_flight if one is not taken]
        self.spent -= taken.lane.number in self.slow
        self.world.lanes.put_back(taken)
        self.rest()

    @precondition(lambda self: self.committed)
    @rule(at=st.integers(0, 5))
    def tell(self, at: int) -> None:
        taken, answer = self.committed.pop(at % len(self.committed))
        self.in_flight = [one for one in self.in_flight if one is not taken]
        self.world.lanes.recorded(taken, answer)

    @rule(number=numbers)
    def cancel_all(self, number: int) -> None:
        # A caller cannot name a delivery before its publish was answered, which is after the offer.
        unoffered = {one.seq for one in self.unoffered}
        for seq, row in self.store.items():
            if row.number == number and seq not in unoffered:
                row.pending = False
        self.unwoken.add(number)

    @rule()
    def wake(self) -> None:
        out = {one.reading.lane.number: one.reading for one in self.readings}
        for number in self.unwoken:
            if (reading := out.get(SubscriptionNumber(number))) is not None:
                self.reading_when_woken[number] = reading
            self.world.lanes.wake(SubscriptionNumber(number))
        self.unwoken.clear()

    @rule(number=numbers)
    def pause_or_resume(self, number: int) -> None:
        self.paused ^= {number}
        state = State.PAUSED if number in self.paused else State.ACTIVE
        self.world.know(self.entry(number, state))
        self.world.lanes.changed(SubscriptionNumber(number))

    @rule(number=numbers)
    def break_down(self, number: int) -> None:
        """Let a receiver fail so often that the breaker opens."""
        for _ in range(FAILURES_TO_OPEN):
            self.world.lanes.judge(SubscriptionNumber(number), Sign.TROUBLE)

    @rule(seconds=st.sampled_from([0.5, 3.0, 31.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.now += seconds
        self.fire_timers()

    def fire_timers(self) -> None:
        if self.world.timer:
            self.world.timer = False
            self.alarm = self.world.lanes.next_moment()
        if self.alarm is not None and self.alarm <= self.world.now:
            self.world.lanes.expire_timers()
            self.alarm = self.world.lanes.next_moment()

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "world"):
            lanes = self.world.lanes
            assert lanes.spare == self.world.most_rows - self.world.rows
            # Offers may come while a refill of as many is out.
            assert self.world.rows <= 2 * self.world.most_rows

    @invariant()
    def ready_lanes_are_in_the_ring(self) -> None:
        lanes = getattr(self, "world", World()).lanes
        for lane in lanes._places:
            is_placed = lane in lanes._places.ring or any(lane in one.parked for one in lane.gates)
            assert not lane.ready or is_placed or lane.number in self.paused

    @invariant()
    def gates_count_what_is_in_flight(self) -> None:
        lanes = list(getattr(self, "world", World()).lanes._places)
        for gate in {gate for lane in lanes for gate in lane.gates}:
            standing = [lane for lane in lanes if gate in lane.gates]
            assert gate.in_flight == sum(lane.sent for lane in standing)
            assert gate.holders == len(standing)
        rows = [row for lane in lanes for row in lane.out.values()]
        crowd = getattr(self, "world", World()).lanes.gates.crowd
        assert crowd.in_flight == sum(row.crowd for row in rows) <= crowd.most

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        for number in list(self.paused):
            self.pause_or_resume(number)
        self.wake()
        for _ in range(3 * len(self.store) + 12):
            self.go_on()
            self.pass_time(10.0)
        # What the last timers woke is looked at.
        for _ in self.all_numbers:
            self.go_on()
        stuck = [seq for seq, row in self.store.items() if row.pending]
        assert not stuck, f"never sent: {stuck}"
        assert len(self.world.lanes) == 0, "an idle engine keeps lanes"

    def go_on(self) -> None:
        """Do once what the loops of the engine do all the time."""
        self.offer(8)
        while self.readings:
            self.answer(0)
        self.read()
        while self.readings:
            self.answer(0)
        while self.world.ready:
            self.take()
        self.commit_success()
        while self.committed:
            self.tell(0)

    def commit_success(self) -> None:
        for at in range(len(self.in_flight)):
            self.commit(at, None)


LanesAgainstStore.TestCase.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None
)
TestLanesAgainstStore = LanesAgainstStore.TestCase


class UnprovenLanesAgainstStore(LanesAgainstStore):
    """The same where no lane has had a success yet."""

    trusting = False


UnprovenLanesAgainstStore.TestCase.settings = settings(
    max_examples=100, stateful_step_count=60, deadline=None
)
TestUnprovenLanesAgainstStore = UnprovenLanesAgainstStore.TestCase


def test_a_lane_never_has_more_in_flight_than_it_may() -> None:
    world = World()
    world.know(entry(1, cap=3))
    world.lanes.offer([delivery(seq) for seq in range(1, 7)])
    taken = [world.lanes.take() for _ in range(6)]
    assert sum(1 for one in taken if one is not None) == 3


def test_tenants_and_lanes_take_turns() -> None:
    world = World()
    world.know(entry(1, cap=10), entry(2, cap=10), entry(3, cap=10, tenant="other"))
    world.lanes.offer([delivery(seq, 1) for seq in range(1, 5)])
    world.lanes.offer([delivery(seq, 2) for seq in range(5, 9)])
    world.lanes.offer([delivery(seq, 3) for seq in range(9, 13)])
    order = [taken.lane.number for _ in range(8) if (taken := world.lanes.take())]
    assert order == [1, 3, 2, 3, 1, 3, 2, 3]


def test_a_full_lane_leaves_the_rest_to_the_store() -> None:
    world = World()
    world.know(entry(1, cap=2))
    world.lanes.offer([delivery(seq) for seq in range(1, 11)])
    count = 0
    while world.lanes.take():
        count += 1
    assert count == 2
    (lane,) = world.lanes._places
    assert len(lane.buffer) == 2
    assert lane.dirty


@pytest.mark.parametrize("due_in", [SECOND, 10 * SECOND])
def test_a_lane_with_nothing_due_costs_a_timer_and_no_object(due_in: int) -> None:
    world = World()
    world.know(entry(1))
    world.lanes.note(LaneHead(subscription=SubscriptionNumber(1), partition=1, due_in=due_in))
    assert len(world.lanes) == 0
    assert world.lanes._places.timers.next() == pytest.approx(1000 + due_in / SECOND)
    world.now += due_in / SECOND
    world.lanes.expire_timers()
    assert len(world.lanes.start_refills(10)) == 1


def test_partitions_of_others_are_left_alone() -> None:
    world = World()
    world.know(entry(1), entry(2))
    world.lanes.epochs = {1: 1}
    world.lanes.offer([delivery(1, 1), delivery(2, 2)])
    taken = world.lanes.take()
    assert taken is not None
    assert taken.lane.number == 1
    assert world.lanes.take() is None


def test_the_ring_forgets_tenants_without_lanes() -> None:
    ring: Ring[Lane] = Ring()
    lane = Lane(entry(1), 10)
    ring.add(lane)
    ring.add(lane)
    assert ring.pop() is lane
    assert ring.pop() is None


def test_timers_keep_the_earliest_moment_and_shed_stale_entries() -> None:
    timers: Timers[SubscriptionNumber] = Timers()
    number = SubscriptionNumber(7)
    for moment in range(1000, 0, -1):
        timers.arm(number, float(moment))
    assert len(timers._heap) < 100
    assert not timers.arm(number, 5.0)
    assert timers.next() == 1.0
    assert timers.expired(0.5) == []
    assert timers.expired(1.0) == [number]
    assert timers.next() is None


def test_what_was_recorded_while_a_refill_was_out_is_not_sent_again() -> None:
    world = World()
    world.know(entry(1, cap=2))
    world.lanes.offer([delivery(1)])
    taken = world.lanes.take()
    assert taken is not None
    world.lanes.note(LaneHead(subscription=SubscriptionNumber(1), partition=1, due_in=0))
    (lane,) = world.lanes.start_refills(1)
    snapshot = [delivery(1), delivery(2)]
    done = Recorded(token=b"", state=DeliveryState.SUCCEEDED, attempt_number=1, late=False)
    world.lanes.recorded(taken, done)
    world.lanes.refilled(Reading(lane, lane.generation, 4, world.now), snapshot)
    again = world.lanes.take()
    assert again is not None
    assert again.row.delivery.seq == 2
    assert world.lanes.take() is None


def test_a_wake_up_during_a_refill_is_not_lost() -> None:
    world = World()
    world.know(entry(1, cap=2))
    world.lanes.note(LaneHead(subscription=SubscriptionNumber(1), partition=1, due_in=0))
    (lane,) = world.lanes.start_refills(1)
    world.lanes.note(LaneHead(subscription=SubscriptionNumber(1), partition=1, due_in=0))
    world.lanes.refilled(Reading(lane, lane.generation, 4, world.now), [])
    assert world.lanes.start_refills(1) == [lane]
    world.lanes.refilled(Reading(lane, lane.generation, 4, world.now), [])
    assert world.lanes.start_refills(1) == []
