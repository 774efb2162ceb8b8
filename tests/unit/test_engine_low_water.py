"""From where on refills look for the rows of their lanes (engine.md, EC2)."""

import pytest

from tests.unit.test_engine_lanes import World, delivery, entry
from webhooks_server.domain.breaker import Sign
from webhooks_server.domain.delivery import DeliveryState, Recorded
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.lanes import FROM_THE_FIRST, LaneHead
from webhooks_server.domain.times import Instant
from webhooks_server.engine.low_water import LowWater

ONE, TWO, THREE = map(SubscriptionNumber, (1, 2, 3))
HEAD = LaneHead(subscription=ONE, partition=1, due_in=0)


@pytest.fixture
def world() -> World:
    """A lane of which it is known from where on it has rows."""
    world = World()
    world.know(entry(1), entry(2))
    for number in (ONE, TWO):
        assert world.lanes.low_water.begin(number) == FROM_THE_FIRST
        world.lanes.low_water.learn(number, Instant(50))
    return world


def test_what_a_refill_told_holds_for_the_next(world: World) -> None:
    water = world.lanes.low_water
    assert water.begin(ONE) == 50
    water.learn(ONE, Instant(60))
    assert water.begin(ONE) == 60
    assert water.begin(TWO) == 50


@pytest.mark.parametrize("reason", ["back-stop", "manual retry", "change", "taken over"])
def test_a_lane_is_read_from_its_first_row_again_when_that_may_be_another(
    world: World, reason: str
) -> None:
    lanes = world.lanes
    lanes.low_water.begin(ONE)
    match reason:
        case "back-stop":
            lanes.note(HEAD)
        case "manual retry":
            lanes.wake(ONE)
        case "change":
            lanes.changed(ONE)
        case _:
            lanes.gain({1: 2})
    # A refill that was out may have looked before that happened.
    lanes.low_water.learn(ONE, Instant(60))
    assert lanes.low_water.begin(ONE) == FROM_THE_FIRST
    assert lanes.low_water.begin(TWO) == 50


def test_news_and_successes_change_nothing_of_it(world: World) -> None:
    world.lanes.note(HEAD, is_news=True)
    world.lanes.offer([delivery(1)])
    world.lanes.judge(ONE, Sign.WELL)
    world.now += 60
    world.lanes.expire_timers()
    assert world.lanes.low_water.begin(ONE) == 50


@pytest.mark.parametrize(("due_in", "since"), [(5_000_000, 50), (-1_000_000, FROM_THE_FIRST)])
def test_a_delivery_for_which_a_retry_was_asked_while_it_was_out_is_the_first(
    world: World, due_in: int, since: int
) -> None:
    world.lanes.offer([delivery(1)])
    taken = world.lanes.take()
    assert taken is not None
    recorded = Recorded(
        token=b"", state=DeliveryState.PENDING, attempt_number=1, late=False, due_in=due_in
    )
    world.lanes.recorded(taken, recorded)
    assert world.lanes.low_water.begin(ONE) == since


def test_the_marks_that_are_kept_are_those_of_the_lanes_read_last() -> None:
    water = LowWater(most=2)
    for number in (ONE, TWO, ONE, THREE):
        water.begin(number)
        water.learn(number, Instant(number))
    assert [water.begin(number) for number in (ONE, TWO, THREE)] == [1, FROM_THE_FIRST, 3]
