"""Bytes in flight, and whether anything gets out of this host."""

import asyncio

import pytest

from tests.harness.shelf import StandingClock
from tests.harness.world import Faults
from webhooks_server.engine.budget import ByteBudget
from webhooks_server.engine.egress import FEWEST_ATTEMPTS, PROBES, Egress


async def test_bytes_are_given_in_turn_as_they_come_free() -> None:
    budget = ByteBudget(100)
    assert budget.take(60, proven=True)
    assert not budget.take(50, proven=True)
    first = asyncio.ensure_future(budget.wait_for(50, proven=True))
    second = asyncio.ensure_future(budget.wait_for(10, proven=True))
    await asyncio.sleep(0)
    # Small ones do not pass by a large one, or it would never have its turn.
    assert not budget.take(1, proven=True)
    budget.give_back(60, proven=True)
    await asyncio.gather(first, second)
    assert budget.used == 60


async def test_lanes_that_are_not_proven_have_half() -> None:
    budget = ByteBudget(100)
    assert budget.take(40, proven=False)
    assert not budget.take(20, proven=False)
    assert budget.take(60, proven=True)
    budget.give_back(40, proven=False)
    assert not budget.take(41, proven=False)
    assert budget.take(40, proven=False)


@pytest.mark.parametrize("proven", [True, False])
async def test_what_is_larger_than_all_goes_alone(proven: bool) -> None:
    budget = ByteBudget(100)
    assert budget.take(500, proven=proven)
    assert not budget.take(1, proven=True)
    budget.give_back(500, proven=proven)
    assert budget.take(1, proven=True)


async def test_who_gives_up_waiting_keeps_nothing() -> None:
    budget = ByteBudget(100)
    assert budget.take(100, proven=True)
    waits = asyncio.ensure_future(budget.wait_for(50, proven=True))
    granted = asyncio.ensure_future(budget.wait_for(50, proven=True))
    await asyncio.sleep(0)
    waits.cancel()
    await asyncio.wait([waits])
    budget.give_back(100, proven=True)
    granted.cancel()
    await asyncio.wait([granted])
    assert budget.used == 0


def egress() -> tuple[Egress, StandingClock, list[str]]:
    clock, back = StandingClock(), list[str]()
    return Egress(clock, Faults(), lambda: back.append("back")), clock, back


def test_most_attempts_failing_here_pause_taking_until_one_gets_out() -> None:
    made, clock, back = egress()
    for _ in range(FEWEST_ATTEMPTS - 1):
        made.failed(proven=True)
    assert made.admits()
    made.failed(proven=True)
    assert made.is_lost
    assert not made.admits()
    clock.advance(1.0)
    assert [made.admits() for _ in range(PROBES + 1)] == [True] * PROBES + [False]
    made.failed(proven=True)
    assert made.is_lost
    made.reached()
    assert back == ["back"]
    assert made.admits()


def test_half_of_the_attempts_or_few_of_long_ago_pause_nothing() -> None:
    made, clock, _ = egress()
    for _ in range(3 * FEWEST_ATTEMPTS):
        made.reached()
        made.failed(proven=True)
    assert not made.is_lost
    made, clock, _ = egress()
    for _ in range(FEWEST_ATTEMPTS):
        made.failed(proven=True)
        clock.advance(11)
    assert not made.is_lost


def test_receivers_that_were_never_reachable_pause_nobody() -> None:
    made, _, _ = egress()
    made.reached()
    for _ in range(100):
        made.failed(proven=False)
    assert not made.is_lost
    made, _, _ = egress()
    for _ in range(FEWEST_ATTEMPTS):
        made.failed(proven=False)
    assert made.is_lost
