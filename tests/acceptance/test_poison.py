"""Deliveries that nobody can send hold up nobody else, on each storage."""

import json
from dataclasses import replace

from tests.harness.receiver import Receiver
from tests.harness.waiting import until, until_async
from tests.harness.world import World
from webhooks_server.domain.delivery import Delivery, DeliveryState, Outcome
from webhooks_server.domain.ids import DEFAULT_TENANT, EventSeq
from webhooks_server.domain.subscription import RetryPolicy
from webhooks_server.domain.times import Micros

FAST = RetryPolicy(initial_backoff=Micros(20_000), backoff_multiplier=1.0, max_attempts=3)


async def test_a_poison_delivery_is_quarantined(world: World, receiver: Receiver) -> None:
    """Its URL is one that the front door refuses: nothing can be sent there, ever."""
    poison = await world.subscribe("http://127.0.0.1:9/\u00e9")
    await world.subscribe(receiver.url)
    async with world.engine() as engine:
        accepted = await world.publish(engine)
        (uid,) = [one.uid for one in accepted.deliveries if one.subscription == poison.number]

        async def read() -> Delivery:
            return await world.stores.deliveries.get(DEFAULT_TENANT, poison.id, uid, full=False)

        for count in (1, 2, 3):

            async def attempted(count: int = count) -> bool:
                return (await read()).attempt_count == count

            await until_async(attempted)
            if count < 3:
                assert (await read()).state is DeliveryState.PENDING
                # By hand, since the next one would come seconds later.
                await world.stores.deliveries.retry(DEFAULT_TENANT, poison.id, uid)
                engine.wake(poison.number)
        await receiver.got(1)
        await world.settled()
    found = await read()
    assert (found.state, found.state_reason) == (DeliveryState.FAILED, "quarantined")
    assert found.last_attempt is not None
    assert found.last_attempt.outcome is Outcome.INTERNAL


async def test_a_delivery_whose_event_is_gone_blocks_nobody(
    world: World, receiver: Receiver
) -> None:
    await world.subscribe(receiver.url, "a")
    async with world.engine() as engine:
        accepted = await world.append("a", [b"1", b"2", b"3"])
        bad = replace(accepted[1].deliveries[0], event_seq=EventSeq(999_999))
        engine.accepted([accepted[0], replace(accepted[1], deliveries=(bad,)), accepted[2]])
        await receiver.got(2)
        body = {json.loads(request.body) for request in receiver.requests}
        assert body == {1, 3}
        await until(lambda: bool(world.telemetry.faults))
        assert [name for name, _ in world.telemetry.faults] == ["delivery.broken"]
        world.telemetry.faults.clear()
