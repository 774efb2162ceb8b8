"""Many publishers at once, one receiver that takes its time: everything arrives, nothing twice."""

import asyncio
from pathlib import Path

import pytest

from tests.harness.command_line import serving
from tests.harness.receiver import Receiver
from tests.harness.signed import subscribe_at
from tests.harness.waiting import until_async
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.ops import SystemClock
from webhooks_server.rpc.client import EventDraft, Published, ServerClient, connect

PUBLISHERS = 64
EVENTS_EACH = 40
COUNT = PUBLISHERS * EVENTS_EACH


async def publish_all(address: str, publisher: int) -> dict[str, Published]:
    """Publish one event after the other over a connection of its own."""
    published = {}
    async with connect(address, SystemClock()) as client:
        for number in range(EVENTS_EACH):
            body = f'{{"publisher":{publisher},"number":{number}}}'
            draft = EventDraft(event_type="concurrent.published", data_json=body)
            published[body] = await client.publish(DEFAULT_TENANT, draft)
    return published


async def see_all_succeeded(client: ServerClient) -> None:
    async def none_pending() -> bool:
        return (await client.audit()).pending == 0

    await until_async(none_pending)
    report = await client.audit()
    assert report.violations == ()
    assert (report.events, report.deliveries, report.succeeded) == (COUNT, COUNT, COUNT)
    assert (report.attempts, report.unmatched_events) == (COUNT, 0)


@pytest.mark.long
async def test_nothing_of_64_publishers_is_lost_or_sent_twice(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.wait = 0.005
    published: dict[str, Published] = {}
    async with serving(tmp_path / "data") as server:
        await subscribe_at(server.address, receiver.url)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            publishing = [
                group.create_task(publish_all(server.address, publisher))
                for publisher in range(PUBLISHERS)
            ]
        for one in publishing:
            published |= one.result()
        await receiver.got(COUNT, within=20)
        async with connect(server.address, SystemClock()) as client:
            await see_all_succeeded(client)

    assert not any(one.duplicate for one in published.values())
    assert {one.matched_subscriptions for one in published.values()} == {1}
    sent = {one.event.rpartition("/")[2]: body.encode() for body, one in published.items()}
    assert len(receiver.requests) == len(sent) == COUNT
    assert {one.headers["webhook-id"]: one.body for one in receiver.requests} == sent
