"""What is finished goes when its time is over, and nothing else does."""

import asyncio
from collections import Counter

from tests.harness.receiver import Receiver
from tests.harness.waiting import until, until_async
from tests.harness.world import World
from webhooks_server.domain.delivery import DeliveryState
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.subscription import RetryPolicy
from webhooks_server.domain.times import HOUR


async def types(world: World) -> list[str]:
    page = await world.stores.events.list(None, (), PageRequest(), full=False)
    return [one.event_type for one in page.items]


def purged(world: World) -> Counter[str]:
    counts = Counter[str]()
    for fact, fields in world.telemetry.facts:
        if fact == "events.purged":
            counts.update({name: int(str(count)) for name, count in fields.items()})
    return counts


async def test_only_what_is_finished_is_removed(world: World, receiver: Receiver) -> None:
    """S13: a retention far shorter than the retries."""
    hourly = RetryPolicy(initial_backoff=HOUR)
    await world.subscribe(receiver.url, "sent.*", policy=hourly)
    held = await world.subscribe(receiver.url, "held.*")
    await world.change(held, paused=True)
    receiver.script = [503]
    async with world.engine(retention=0.2) as engine:
        await world.publish(engine, "sent.failed")
        await receiver.got(1)
        for event_type in ("held.a", "sent.a", "nobody.a", "sent.b"):
            await world.publish(engine, event_type)

        async def removed() -> bool:
            return await types(world) == ["held.a", "sent.failed"]

        await until_async(removed)
        await asyncio.sleep(0.3)
        assert await removed()
        page = await world.stores.deliveries.list(None, None, (), PageRequest(), full=False)
        assert [one.state for one in page.items] == [DeliveryState.PENDING] * 2
        # It is told at the end of a round, which takes a while longer on a busy machine.
        await until(lambda: purged(world)["events"] == 3)
    assert purged(world) == {"events": 3, "deliveries": 2}


async def test_everything_is_kept_without_retention(world: World, receiver: Receiver) -> None:
    await world.subscribe(receiver.url)
    async with world.engine() as engine:
        await world.publish(engine)
        await world.settled()
        await asyncio.sleep(0.2)
        assert await types(world) == ["a.b"]


async def test_an_engine_without_the_first_partition_leaves_it_to_the_one_that_has_it(
    world: World, receiver: Receiver
) -> None:
    await world.subscribe(receiver.url)
    async with world.engine(retention=0.05) as engine:
        engine._lanes.epochs = {one: 1 for one in engine._lanes.epochs if one}
        await world.publish(engine)
        await world.settled()
        await asyncio.sleep(0.2)
        assert await types(world) == ["a.b"]
