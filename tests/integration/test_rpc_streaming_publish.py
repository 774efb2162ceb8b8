"""StreamingPublish: what is acknowledged, in which order, and what a bad event is told."""

import asyncio
import json

import grpc
import grpc.aio
import pytest

from tests.harness.receiver import Receiver
from tests.harness.requests import stored_event, subscribe
from tests.harness.served import PARENT, Served
from tests.harness.streams import Stream, fields_of, open_stream, reason_of
from webhooks.v1 import admin_service_pb2
from webhooks.v1 import publisher_service_pb2 as pb

Code = grpc.StatusCode


async def event_count(served: Served) -> int:
    return (await served.admin.Audit(admin_service_pb2.AuditRequest())).event_count


async def test_events_are_acknowledged_in_order_and_delivered(
    served: Served, receiver: Receiver
) -> None:
    await subscribe(served, receiver.url, "streamed.*")
    stream = Stream(served)
    opened = (await stream.open(client_id="cli-1")).opened
    assert (opened.max_outstanding_events, opened.max_outstanding_bytes) == (1000, 4 * 1024 * 1024)
    for number in range(300):
        await stream.send(event_type="streamed.a", data_json=json.dumps(number))
    acks = await stream.close()
    assert [ack.sequence for ack in acks] == list(range(1, 301))
    assert {ack.published.matched_subscription_count for ack in acks} == {1}
    assert len({ack.published.event for ack in acks}) == 300
    event = await stored_event(served, acks[41].published.event)
    assert event.data_json == "41"
    assert event.create_time == acks[41].published.create_time
    bodies = [int(request.body) for request in await receiver.got(300)]
    assert sorted(bodies) == list(range(300))
    (fact,) = (given for name, given in served.telemetry.facts if "stream" in name)
    assert (fact["client_id"], fact["accepted"], fact["refused"]) == ("cli-1", 300, 0)


async def test_one_event_is_acknowledged_at_once(served: Served) -> None:
    stream = await open_stream(served)
    for number in range(1, 4):
        await stream.send(event_id=f"one-{number}")
        (*_, ack) = await stream.acked(number)
        assert ack.published.event == f"{PARENT}/events/one-{number}"
    await stream.close()


async def test_sequences_may_have_gaps(shared: Served) -> None:
    stream = await open_stream(shared)
    for sequence in (5, 6, 1000, 2**63 - 1):
        await stream.send(sequence)
    assert [ack.sequence for ack in await stream.close()] == [5, 6, 1000, 2**63 - 1]


async def test_a_stream_of_nothing_ends_well(shared: Served) -> None:
    assert await (await open_stream(shared)).close() == []


async def test_a_bad_event_has_its_own_acknowledgement_and_ends_nothing(served: Served) -> None:
    stream = await open_stream(served)
    await stream.send(event_id="good-1")
    await stream.send(event_type="a..b", source="s" * 1025)
    await stream.send(data_json="{")
    await stream.send(ordering_key="k")
    await stream.send(data_json='"' + "x" * 262_144 + '"')
    await stream.call.write(
        pb.StreamingPublishRequest(publish=pb.StreamingPublishRequest.Publish(sequence=6))
    )
    await stream.send(7, event_id="good-1", data_json="2")
    await stream.send(event_id="good-2")
    acks = await stream.close()
    assert [ack.sequence for ack in acks] == list(range(1, 9))
    assert [ack.WhichOneof("result") for ack in acks] == [
        "published",
        *["error"] * 6,
        "published",
    ]
    assert fields_of(acks[1].error) == {
        "event.event_type": "INVALID_FIELD",
        "event.source": "INVALID_FIELD",
    }
    assert fields_of(acks[2].error) == {"event.data_json": "INVALID_FIELD"}
    assert fields_of(acks[3].error) == {"event.ordering_key": "INVALID_FIELD"}
    assert fields_of(acks[4].error) == {"event.data_json": "PAYLOAD_TOO_LARGE"}
    assert fields_of(acks[5].error) == {"event": "INVALID_FIELD"}
    assert [reason_of(ack.error) for ack in acks[1:7]] == [
        "INVALID_FIELD",
        "INVALID_FIELD",
        "INVALID_FIELD",
        "PAYLOAD_TOO_LARGE",
        "INVALID_FIELD",
        "EVENT_ID_REUSED",
    ]
    assert acks[6].error.code == Code.ALREADY_EXISTS.value[0]
    assert await event_count(served) == 2


async def test_reused_ids_hold_up_none_of_their_neighbours(served: Served) -> None:
    """All come in one group, which cannot be stored as one."""
    stream = await open_stream(served)
    for number in range(60):
        await stream.send(event_id=f"id-{number % 20}", data_json=str(number // 40))
    acks = await stream.close()
    assert [ack.published.duplicate for ack in acks[:40]] == [False] * 20 + [True] * 20
    assert [reason_of(ack.error) for ack in acks[40:]] == ["EVENT_ID_REUSED"] * 20
    assert await event_count(served) == 20


async def test_what_is_sent_again_is_a_duplicate(served: Served) -> None:
    for expected in (False, True):
        stream = await open_stream(served)
        for number in range(50):
            await stream.send(event_id=f"again-{number}")
        acks = await stream.close()
        assert [ack.published.duplicate for ack in acks] == [expected] * 50
        names = [ack.published.event for ack in acks]
        assert names == [f"{PARENT}/events/again-{number}" for number in range(50)]
    assert await event_count(served) == 50


@pytest.mark.parametrize("parent", ["", "default", "tenants/", "tenants/Default"])
async def test_open_names_a_tenant(shared: Served, parent: str) -> None:
    stream = Stream(shared)
    opening = pb.StreamingPublishRequest.Open(parent=parent)
    await stream.call.write(pb.StreamingPublishRequest(open=opening))
    refusal = await stream.end()
    assert refusal is not None
    assert refusal.code is Code.INVALID_ARGUMENT
    assert list(refusal.fields) == ["open.parent"]


async def test_open_names_a_tenant_that_exists(shared: Served) -> None:
    stream = Stream(shared)
    opening = pb.StreamingPublishRequest.Open(parent="tenants/nobody")
    await stream.call.write(pb.StreamingPublishRequest(open=opening))
    refusal = await stream.end()
    assert refusal is not None
    assert (refusal.code, refusal.reason) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize("client_id", ["c" * 129, "a\nb", "a\0"])
async def test_a_client_id_is_short_and_printable(shared: Served, client_id: str) -> None:
    stream = Stream(shared)
    opening = pb.StreamingPublishRequest.Open(parent=PARENT, client_id=client_id)
    await stream.call.write(pb.StreamingPublishRequest(open=opening))
    refusal = await stream.end()
    assert refusal is not None
    assert list(refusal.fields) == ["open.client_id"]


@pytest.mark.parametrize("first", ["publish", "", "end"])
async def test_the_first_message_is_open(shared: Served, first: str) -> None:
    stream = Stream(shared)
    match first:
        case "publish":
            await stream.send()
        case "":
            await stream.call.write(pb.StreamingPublishRequest())
        case _:
            await stream.call.done_writing()
    await assert_broken(stream)


@pytest.mark.parametrize("sequence", [-1, 0, 1, 2])
async def test_a_sequence_that_goes_back_ends_the_stream_after_the_acknowledgements(
    shared: Served, sequence: int
) -> None:
    stream = await open_stream(shared)
    await stream.send(1)
    await stream.send(2)
    event = pb.StreamingPublishRequest.Publish(sequence=sequence)
    await stream.call.write(pb.StreamingPublishRequest(publish=event))
    await assert_broken(stream)
    assert [ack.sequence for ack in stream.acks] == [1, 2]


@pytest.mark.parametrize("kind", ["open", "nothing"])
async def test_another_message_ends_the_stream_after_the_acknowledgements(
    shared: Served, kind: str
) -> None:
    stream = await open_stream(shared)
    await stream.send()
    request = pb.StreamingPublishRequest()
    if kind == "open":
        request.open.parent = PARENT
    await stream.call.write(request)
    await assert_broken(stream)
    assert len(stream.acks) == 1


async def assert_broken(stream: Stream) -> None:
    refusal = await stream.end()
    assert refusal is not None
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "STREAM_PROTOCOL")
    assert refusal.request_id


@pytest.mark.parametrize("is_opened", [False, True])
async def test_malformed_bytes_end_the_stream(shared: Served, is_opened: bool) -> None:
    call: grpc.aio.StreamStreamCall[bytes, bytes] = shared.channel.stream_stream(
        "/webhooks.v1.PublisherService/StreamingPublish", None, None
    )()
    stream = Stream(shared)
    stream.call.cancel()
    # The same face, over bytes.
    stream.call = call  # type: ignore[assignment]
    if is_opened:
        opening = pb.StreamingPublishRequest(open=pb.StreamingPublishRequest.Open(parent=PARENT))
        await call.write(opening.SerializeToString())
        await call.read()
    await call.write(b"\xff")
    refusal = await stream.end()
    assert refusal is not None
    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "INVALID_FIELD")


async def test_a_message_that_is_too_large_ends_its_stream_alone(served: Served) -> None:
    stream, other = await open_stream(served), await open_stream(served)
    await stream.send(event_id="before")
    await stream.acked(1)
    await stream.send(data_bytes=b"x" * (9 * 1024 * 1024), data_content_type="image/png")
    refusal = await stream.end()
    assert refusal is not None
    assert refusal.code is Code.RESOURCE_EXHAUSTED
    await other.send()
    assert len(await other.close()) == 1


async def test_64_streams_of_one_connection_at_once(served: Served) -> None:
    async def run(number: int) -> None:
        stream = await open_stream(served)
        for count in range(20):
            await stream.send(event_id=f"s{number}-{count}")
        acks = await stream.close()
        assert [ack.published.duplicate for ack in acks] == [False] * 20

    async with asyncio.TaskGroup() as tasks:
        for number in range(64):
            tasks.create_task(run(number))
    assert await event_count(served) == 64 * 20
