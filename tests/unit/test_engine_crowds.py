"""What goes to very many waits behind everybody else, and is not forgotten (reliability L6)."""

import asyncio
from collections.abc import Sequence

from tests.unit.test_engine_lanes import World, delivery, entry
from webhooks_server.domain.breaker import Sign
from webhooks_server.domain.delivery import DeliveryState, NewDelivery, Recorded
from webhooks_server.domain.ids import EventSeq, SubscriptionNumber
from webhooks_server.domain.lanes import LaneHead
from webhooks_server.engine.lane import Reading
from webhooks_server.engine.lanes import Taken
from webhooks_server.engine.pace import STARTS_PER_TURN, Pace

DONE = Recorded(token=b"", state=DeliveryState.SUCCEEDED, attempt_number=1, late=False)


def crowd_of(numbers: Sequence[int]) -> list[NewDelivery]:
    return [delivery(1000 + number, number) for number in numbers]


def world_with(count: int, *, slots: int = 1000, most_rows: int = 1024) -> World:
    """Lanes 1 to `count`, all of them proven: nothing but what is tested here holds them."""
    world = World(slots=slots, most_rows=most_rows)
    world.know(*(entry(number, cap=8) for number in range(1, count + 1)))
    for number in range(1, count + 1):
        world.lanes.judge(SubscriptionNumber(number), Sign.WELL)
    return world


def taken_numbers(world: World, most: int = 100) -> list[int]:
    found: list[int] = []
    while len(found) < most and (taken := world.lanes.take()) is not None:
        found.append(int(taken.lane.number))
    return found


def test_a_crowd_has_every_fourth_turn_while_others_wait_and_all_of_them_after() -> None:
    world = world_with(6)
    world.lanes.offer(crowd_of(range(2, 7)), crowd=True)
    world.lanes.offer([delivery(seq, 1) for seq in range(2001, 2007)])
    assert taken_numbers(world) == [1, 1, 1, 2, 1, 1, 1, 3, 4, 5, 6]


def test_a_crowd_has_half_of_the_slots_at_most() -> None:
    world = world_with(9, slots=8)
    world.lanes.offer(crowd_of(range(2, 10)), crowd=True)
    taken = [one for _ in range(8) if (one := world.lanes.take()) is not None]
    assert [one.lane.number for one in taken] == [2, 3, 4, 5]
    world.lanes.offer([delivery(2001, 1)])
    assert taken_numbers(world) == [1]
    world.ready = 0
    world.lanes.recorded(taken[0], DONE)
    assert world.ready == 1
    assert taken_numbers(world) == [6]
    world.lanes.put_back(taken[1])
    assert taken_numbers(world) == [7]
    world.lanes.refused(taken[2])
    assert taken_numbers(world) == [8]


def test_a_crowd_leaves_room_in_memory() -> None:
    world = world_with(41, most_rows=40)
    world.lanes.offer(crowd_of(range(2, 42)), crowd=True)
    assert world.rows == 10
    world.lanes.offer([delivery(2001, 1)])
    assert taken_numbers(world, 1) == [1]
    # Those that had no room are read as the others leave it.
    assert world.lanes.start_refills(64) == []
    assert len(taken_numbers(world)) == 10
    assert [lane.number for lane in world.lanes.start_refills(1)] == [12]


def test_a_lane_that_gets_something_else_leaves_the_crowd() -> None:
    world = world_with(5, slots=2)
    world.lanes.offer(crowd_of(range(1, 6)), crowd=True)
    assert taken_numbers(world) == [1]
    world.lanes.offer([delivery(2001, 5)])
    assert taken_numbers(world) == [5, 5]
    # What had begun before goes on.
    world.lanes.offer(crowd_of([5]), crowd=True)
    assert taken_numbers(world) == [5]


def read(world: World, number: int, crowds: Sequence[EventSeq]) -> None:
    world.lanes.note(LaneHead(subscription=SubscriptionNumber(number), partition=1, due_in=0))
    (lane,) = world.lanes.start_refills(1)
    reading = Reading(lane, lane.generation, 4, world.now)
    world.lanes.refilled(reading, crowd_of([number]), crowds)


def test_a_crowd_that_is_read_from_the_store_is_known_by_its_event() -> None:
    world = world_with(3, slots=2)
    for number in (1, 2):
        read(world, number, [EventSeq(1000 + number)])
    read(world, 3, [EventSeq(1)])
    assert taken_numbers(world) == [3, 1]


class Paced:
    """A pace over lanes, with senders that only count."""

    def __init__(self, world: World) -> None:
        self.woken = 0
        self.pace = Pace(world.lanes, self._wake)

    def _wake(self, count: int) -> None:
        self.woken += count

    def take_all(self) -> list[Taken]:
        found = []
        while (taken := self.pace.take()) is not None:
            found.append(taken)
        return found


async def test_in_each_turn_of_the_loop_few_of_a_crowd_start() -> None:
    world = world_with(9)
    paced = Paced(world)
    world.lanes.offer(crowd_of(range(1, 10)), crowd=True)
    taken = []
    for _ in range(4):
        taken.append(len(paced.take_all()))
        await asyncio.sleep(0)
    assert taken == [STARTS_PER_TURN] * 4
    assert paced.woken == STARTS_PER_TURN * 4
    assert len(paced.take_all()) == 1
    await asyncio.sleep(0)
    assert paced.woken == STARTS_PER_TURN * 4


async def test_where_others_are_served_a_crowd_rests_between_its_turns() -> None:
    world = world_with(9)
    paced = Paced(world)
    world.lanes.offer([delivery(2001, 1)])
    world.lanes.offer(crowd_of(range(2, 10)), crowd=True)
    assert len(paced.take_all()) == 1 + STARTS_PER_TURN
    world.lanes.offer([delivery(2002, 1)])
    assert [one.lane.number for one in paced.take_all()] == [1]
    assert paced.woken == 0
    await asyncio.sleep(0.06)
    assert paced.woken == STARTS_PER_TURN
