"""Refills begin where the ones before found the first pending row (engine.md, EC2)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from tests.harness.failing import Moody
from tests.harness.receiver import Receiver
from tests.harness.world import World
from webhooks_server.domain.lanes import FROM_THE_FIRST, LaneRead
from webhooks_server.ports import LaneStore


async def test_the_first_refill_looks_at_all_rows_and_those_after_it_do_not(
    world: World, receiver: Receiver
) -> None:
    lanes = Moody(world.stores.lanes)
    world.stores = replace(world.stores, lanes=cast("LaneStore", lanes))
    asked: list[int] = []

    def see(reads: Sequence[LaneRead]) -> None:
        asked.extend(read.since for read in reads)

    lanes.before["due"] = see
    await world.subscribe(receiver.url)
    await world.append("a", [b"1"] * 100)
    async with world.engine(slots=2):
        await receiver.got(100)
        await world.settled()
    assert asked[0] == FROM_THE_FIRST
    assert max(asked) > FROM_THE_FIRST
