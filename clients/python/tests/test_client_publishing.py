"""Publishing to a real server, by both clients."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.clients import Client, Connect
from tests.server_process import run_server
from webhooks.v1.delivery_pb2 import Delivery
from webhooks.v1.event_service_pb2 import GetEventRequest
from webhooks_client import (
    AsyncWebhooksClient,
    Event,
    EventIdReused,
    InvalidArgument,
    NotFound,
    PayloadTooLarge,
    RawJson,
    RetryPolicy,
    WebhooksClient,
    new_event_id,
)
from webhooks_client.messages import MAX_BATCH_BYTES


@dataclass(frozen=True)
class Invoice:
    number: int
    total: str


async def test_an_event_is_stored_as_it_was_published(client: Client) -> None:
    moment = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    published = await client.publish(
        "invoice.paid",
        Invoice(9007199254740993, "99 €"),
        source="billing",
        subject="invoice-17",
        occur_time=moment,
        attributes={"region": "eu"},
        data_schema="https://example.com/invoice.json",
    )
    assert published.event == f"tenants/default/events/{published.event_id}"
    assert not published.duplicate
    assert abs(datetime.now(UTC) - published.create_time) < timedelta(minutes=1)
    event = await client.stored(published.event)
    assert event.event_type == "invoice.paid"
    assert event.data_json == '{"number":9007199254740993,"total":"99 €"}'
    assert event.data_content_type == "application/json"
    assert (event.source, event.subject) == ("billing", "invoice-17")
    assert event.occur_time.ToDatetime(tzinfo=UTC) == moment
    assert dict(event.attributes) == {"region": "eu"}
    assert event.data_schema == "https://example.com/invoice.json"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        pytest.param({"a": [1, None]}, '{"a":[1,null]}', id="dict"),
        pytest.param("text", '"text"', id="text"),
        pytest.param(None, "null", id="null"),
        pytest.param(RawJson(' { "n": 1e400 }\n'), ' { "n": 1e400 }\n', id="raw"),
        pytest.param(RawJson('"\\ud800"'), '"\\ud800"', id="raw-surrogate-escape"),
        pytest.param(Delivery(attempt_count=1), '{"attemptCount":1}', id="message"),
        pytest.param(2**300, str(2**300), id="big"),
    ],
)
async def test_every_kind_of_data_is_taken(client: Client, data: object, text: str) -> None:
    published = await client.publish("kind.tried", data)
    assert (await client.stored(published.event)).data_json == text


async def test_bytes_are_taken_with_their_type(client: Client) -> None:
    published = await client.publish("image.made", b"\xff\x00", data_content_type="image/png")
    event = await client.stored(published.event)
    assert (event.data_bytes, event.data_content_type) == (b"\xff\x00", "image/png")


async def test_the_same_event_again_is_a_duplicate_and_another_is_refused(client: Client) -> None:
    event_id = new_event_id()
    first = await client.publish("a.b", {"n": 1}, event_id=event_id)
    again = await client.publish("a.b", {"n": 1}, event_id=event_id)
    assert (first.event_id, first.duplicate) == (event_id, False)
    assert (again.event_id, again.duplicate) == (event_id, True)
    assert again.create_time == first.create_time
    with pytest.raises(EventIdReused) as caught:
        await client.publish("a.b", {"n": 2}, event_id=event_id)
    assert event_id in caught.value.message


async def test_a_batch_is_stored_in_order(client: Client) -> None:
    batch = [Event(event_type="b.c", data=number) for number in range(500)]
    results = await client.publish_batch(batch)
    assert [result.event_id for result in results] == [event.event_id for event in batch]
    assert (await client.stored(results[499].event)).data_json == "499"
    assert all(result.duplicate for result in await client.publish_batch(batch))


async def test_a_batch_is_stored_whole_or_not_at_all(client: Client) -> None:
    good, bad = Event(event_type="b.c", data=1), Event(event_type="not a type", data=2)
    with pytest.raises(InvalidArgument) as caught:
        await client.publish_batch([good, bad])
    assert [one.field for one in caught.value.field_violations] == ["events[1].event_type"]
    with pytest.raises(NotFound):
        await client.stored(f"tenants/default/events/{good.event_id}")


async def test_the_largest_batch_fits(client: Client) -> None:
    count = 16
    share = "x" * (MAX_BATCH_BYTES // count - 2)
    batch = [Event(event_type="b.c", data=share) for _ in range(count)]
    assert len(await client.publish_batch(batch)) == count
    with pytest.raises(PayloadTooLarge):
        await client.publish_batch([*batch, Event(event_type="b.c", data=1)])


async def test_the_server_names_the_field_and_the_limit(client: Client) -> None:
    with pytest.raises(InvalidArgument) as invalid:
        await client.publish("not a type", {})
    assert [one.field for one in invalid.value.field_violations] == ["event.event_type"]
    with pytest.raises(PayloadTooLarge) as large:
        await client.publish("a.b", "x" * 256 * 1024)
    assert large.value.metadata["limit_bytes"] == str(256 * 1024)


async def test_an_unknown_tenant_is_not_found(server: str, connect: Connect) -> None:
    async with connect(server, tenant="nobody") as client:
        with pytest.raises(NotFound, match="tenants/nobody"):
            await client.publish("a.b", {})


async def test_the_stubs_answer(client: Client) -> None:
    assert await client.server_version()


@pytest.mark.long
async def test_patience_outlasts_a_restart_of_the_server(tmp_path: Path) -> None:
    event = Event(event_type="a.b", data={"n": 1})
    with run_server(tmp_path) as address:
        async with AsyncWebhooksClient(address) as client:
            await client.publish_batch([event])
    patience = RetryPolicy(attempts=100, multiplier=2.0, longest_pause=0.5)
    async with AsyncWebhooksClient(address, timeout=30.0, retry=patience) as client:
        publishing = asyncio.create_task(client.publish_batch([event]))
        await asyncio.sleep(0.2)
        with run_server(tmp_path, address):
            (again,) = await publishing
    assert (again.event_id, again.duplicate) == (event.event_id, True)


async def test_many_at_once_over_one_client(server: str) -> None:
    async with AsyncWebhooksClient(server) as client:
        results = await asyncio.gather(*(client.publish("m.n", n) for n in range(200)))
        names = [result.event for result in results]
        assert len(set(names)) == 200
        request = GetEventRequest(name=names[199])
        assert (await client.events.GetEvent(request, timeout=5)).event.data_json == "199"


def test_threads_may_share_one_client(server: str) -> None:
    with WebhooksClient(server) as client, ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda n: client.publish("m.n", n), range(100)))
    assert len({result.event_id for result in results}) == 100
