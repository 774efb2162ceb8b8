"""Lanes that are many, hang, or are woken all the time: bounded memory, and no standstill."""

from dataclasses import replace

import pytest

from tests.unit.test_engine_lanes import SECOND, World, delivery, entry
from webhooks_server.domain.breaker import Standing
from webhooks_server.domain.delivery import DeliveryState, Recorded
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.lanes import LaneHead
from webhooks_server.domain.subscription import State
from webhooks_server.domain.times import Micros
from webhooks_server.engine.gates import Gates, HostCaps
from webhooks_server.engine.lane import Reading


def due(world: World, number: int) -> None:
    head = LaneHead(subscription=SubscriptionNumber(number), partition=number % 4, due_in=0)
    world.lanes.note(head)


def refill(world: World, most: int = 64, rows: int = 10) -> int:
    """Read hungry lanes as the engine does, each with so many rows; returns how many lanes."""
    lanes = world.lanes
    spare, started = lanes.spare, lanes.start_refills(most)
    for lane in started:
        wanted = max(1, min(lanes.room(lane), spare // len(started)))
        known = len(lane.buffer) + len(lane.out)
        reading = Reading(lane, lane.generation, wanted + known, world.now)
        first = 1000 * lane.number
        shown = [delivery(first + at, lane.number) for at in range(min(rows, wanted + known))]
        lanes.refilled(reading, shown)
    return len(started)


def test_rows_in_memory_are_bounded_over_all_lanes() -> None:
    world = World(most_rows=40)
    world.know(*(entry(number, cap=10) for number in range(1, 101)))
    for number in range(1, 101):
        due(world, number)
    while refill(world):
        pass
    assert 40 <= world.rows <= 50
    world.lanes.offer([delivery(200_000 + number, number) for number in range(1, 101)])
    assert world.rows <= 50


def test_what_leaves_memory_makes_room_for_the_next_lane() -> None:
    world = World(most_rows=8)
    world.know(entry(1), entry(2), entry(3))
    world.lanes.offer([delivery(seq, 1 + seq % 2) for seq in range(1, 9)])
    assert world.lanes.spare == 0
    due(world, 3)
    world.hungry = False
    assert world.lanes.start_refills(64) == []
    assert world.lanes.take() is not None
    assert world.hungry
    assert refill(world) == 1


def test_lanes_that_hang_leave_room_for_others() -> None:
    world = World(most_rows=40, shared_rows=20)
    hanging, quick = range(1, 10), range(20, 30)
    world.know(*(entry(number, cap=1) for number in (*hanging, *quick)))
    for number in hanging:
        due(world, number)
        while refill(world):
            pass
    assert sum(1 for _ in range(50) if world.lanes.take()) == len(hanging)
    sent = set()
    for number in quick:
        due(world, number)
    for _ in range(200):
        refill(world)
        taken = world.lanes.take()
        if taken is not None:
            sent.add(taken.lane.number)
            done = Recorded(token=b"", state=DeliveryState.SUCCEEDED, attempt_number=1, late=False)
            world.lanes.recorded(taken, done)
    assert sent == set(quick)


def test_a_tenant_with_many_lanes_does_not_keep_others_from_being_read() -> None:
    world = World(most_rows=40)
    world.know(*(entry(number, cap=10) for number in range(1, 101)), entry(200, tenant="other"))
    for number in range(1, 101):
        due(world, number)
    due(world, 200)
    while refill(world):
        pass
    assert 200 in {lane.number for lane in world.lanes._places if lane.buffer}


def test_wake_ups_at_every_refill_do_not_stop_a_lane() -> None:
    world = World()
    world.know(entry(1, cap=10))
    number = SubscriptionNumber(1)
    world.lanes.wake(number)
    taken = 0
    for at in range(20):
        (lane,) = world.lanes.start_refills(10)
        reading = Reading(lane, lane.generation, 50, world.now)
        world.lanes.wake(number)
        # Nor does it while the refill is out.
        taken += at == 5 and world.lanes.take() is not None
        world.lanes.refilled(reading, [delivery(seq) for seq in range(1, 21)])
        assert at > 5 or world.lanes.take() is not None
    assert taken == 1


def test_what_became_final_in_memory_is_not_sent_after_the_wake_up() -> None:
    world = World()
    world.know(entry(1, cap=10))
    world.lanes.offer([delivery(1), delivery(2), delivery(3)])
    world.lanes.wake(SubscriptionNumber(1))
    assert world.lanes.take() is None
    (lane,) = world.lanes.start_refills(10)
    reading = Reading(lane, lane.generation, 4, world.now)
    world.lanes.refilled(reading, [delivery(1), delivery(3)])
    sent = [taken.row.delivery.seq for _ in range(3) if (taken := world.lanes.take())]
    assert sent == [1, 3]


def test_a_woken_lane_is_read_again_where_the_first_read_fails_and_memory_is_full() -> None:
    world = World(most_rows=8)
    world.know(entry(1), entry(2))
    world.lanes.offer([delivery(seq, 1 + seq % 2) for seq in range(1, 9)])
    world.lanes.wake(SubscriptionNumber(1))
    (lane,) = world.lanes.start_refills(10)
    world.lanes.refill_failed(lane)
    assert world.lanes.start_refills(10) == [lane]


def test_what_a_refill_brings_beyond_the_room_is_read_again() -> None:
    world = World()
    world.know(entry(1, cap=1))
    due(world, 1)
    (lane,) = world.lanes.start_refills(1)
    reading = Reading(lane, lane.generation, 2, world.now)
    world.lanes.offer([delivery(7), delivery(8)])
    world.lanes.refilled(reading, [delivery(1, due_in=-SECOND)])
    assert [row.delivery.seq for row in lane.buffer] == [1, 7]
    assert lane.dirty
    assert world.lanes.spare == world.most_rows - 2


def test_what_is_due_first_comes_before_a_full_buffer() -> None:
    world = World()
    world.know(entry(1, cap=2))
    world.lanes.offer([delivery(seq) for seq in range(1, 5)])
    world.lanes.wake(SubscriptionNumber(1))
    (lane,) = world.lanes.start_refills(10)
    reading = Reading(lane, lane.generation, 5, world.now)
    shown = [delivery(9, due_in=-10 * SECOND), *(delivery(seq) for seq in range(1, 5))]
    world.lanes.refilled(reading, shown)
    first = world.lanes.take()
    assert first is not None
    assert first.row.delivery.seq == 9


def test_a_change_keeps_what_may_still_be_sent() -> None:
    world = World()
    world.know(entry(1, cap=2))
    world.lanes.offer([delivery(1), delivery(2), delivery(3)])
    assert world.lanes.take() is not None
    world.know(entry(1, cap=1))
    world.lanes.changed(SubscriptionNumber(1))
    assert world.lanes.take() is None
    world.know(entry(1, cap=3))
    world.lanes.changed(SubscriptionNumber(1))
    assert world.lanes.take() is not None
    world.know(entry(1, state=State.PAUSED))
    world.lanes.changed(SubscriptionNumber(1))
    assert world.lanes.take() is None
    assert world.rows == 0


def test_a_lane_in_which_something_expires_first_is_read_by_then() -> None:
    world = World()
    world.know(replace(entry(1), max_age=Micros(3 * SECOND)))
    number = SubscriptionNumber(1)
    world.lanes.note(LaneHead(subscription=number, partition=1, due_in=60 * SECOND))
    (lane,) = world.lanes.start_refills(1)
    young = replace(delivery(1, due_in=60 * SECOND), age=SECOND)
    old = replace(delivery(2, due_in=90 * SECOND), age=2 * SECOND)
    by_hand = replace(delivery(3, due_in=90 * SECOND), age=9 * SECOND, final_before=True)
    reading = Reading(lane, lane.generation, 8, world.now)
    world.lanes.refilled(reading, [young, old, by_hand])
    assert world.lanes._places.timers.next() == pytest.approx(world.now + 1)
    world.lanes.note(LaneHead(subscription=number, partition=1, due_in=60 * SECOND))
    assert len(world.lanes) == 0


def test_a_share_of_a_bound_of_hosts_holds_for_gates_that_are_there() -> None:
    """EC10: what spans subscriptions is divided by the engines that send, and never nothing."""
    caps = HostCaps(in_flight=4, requests_per_second=1)
    gates = Gates(8, caps, lambda: 0.0, lambda _: False, lambda: None)
    one = replace(entry(1), host="a.example")
    (gate,) = gates.of(one, Standing.PROVEN)
    found = []
    for engines in (1, 2, 1000, 1):
        gates.share(engines)
        assert gates.of(one, Standing.PROVEN) == (gate,)
        assert gate.rate is not None
        found.append((gate.most, round(gate.rate.interval)))
    assert found == [(4, 1), (2, 2), (1, 60), (4, 1)]


def test_a_lane_that_is_taken_over_begins_with_an_empty_bucket() -> None:
    """EC7: who had it before may have emptied it a moment ago."""
    now = 0.0
    gates = Gates(8, HostCaps(), lambda: now, lambda _: False, lambda: None)
    limited = replace(entry(1), max_requests_per_minute=60)
    now = 100.0
    (gate,) = gates.of(limited, Standing.PROVEN)
    assert gate.admits(now)
    gates.begin([limited.partition], [limited.number])
    assert not gate.admits(now)
    assert gate.admits(now + 1.1)
    gates.begin([entry(2).partition], [])
    (other,) = gates.of(replace(entry(2), max_requests_per_minute=60), Standing.PROVEN)
    assert not other.admits(now)
