"""StreamingPublish: what bounds a stream, and how it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from tests.harness.gated import Gated
from tests.harness.served import PARENT, Refusal, Served, open_served
from tests.harness.streams import Stream, open_stream
from tests.harness.waiting import until
from webhooks.v1 import admin_service_pb2
from webhooks.v1 import publisher_service_pb2 as pb
from webhooks_server.domain.errors import StoreConflict, StoreUnavailable, WebhooksError
from webhooks_server.rpc import streams, wall

CANARY = "canary-51be"
Code = grpc.StatusCode
GatedServed = tuple[Served, Gated]


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[GatedServed]:
    """A server whose appends wait at a gate."""
    gated = Gated()
    async with open_served(tmp_path, front=gated.front) as served:
        yield served, gated
        gated.gate.set()


async def count(served: Served) -> int:
    return (await served.admin.Audit(admin_service_pb2.AuditRequest())).event_count


async def end_of(stream: Stream) -> Refusal:
    refusal = await stream.end()
    assert refusal is not None
    return refusal


async def test_nothing_is_acknowledged_before_its_commit(held: GatedServed) -> None:
    served, gated = held
    stream = await open_stream(served)
    for _ in range(10):
        await stream.send()
    reading = asyncio.ensure_future(stream.acked(10))
    await until(lambda: bool(gated.sizes))
    await asyncio.sleep(0.1)
    assert (stream.acks, await count(served)) == ([], 0)
    gated.gate.set()
    await reading
    assert await count(served) == 10
    # What came while the first was under way went as one.
    assert gated.sizes == [1, 9]
    await stream.close()


async def test_a_stuck_store_stops_the_reading(held: GatedServed) -> None:
    served, gated = held
    stream = await open_stream(served)
    sent = 0

    async def flood() -> None:
        nonlocal sent
        for _ in range(60):
            await stream.send(data_json='"' + "x" * 250_000 + '"')
            sent += 1

    flooding = asyncio.ensure_future(flood())
    await until(lambda: sent > 17)
    await asyncio.sleep(0.3)
    # 4 MiB are 17 such events; the rest fills what HTTP/2 lets wait on both sides.
    stopped_at = sent
    await asyncio.sleep(0.2)
    assert stopped_at == sent < 50
    gated.gate.set()
    await flooding
    assert len(await stream.close()) == 60


@pytest.mark.parametrize("then", ["reads", "leaves"])
async def test_a_caller_that_does_not_read_stops_the_reading(served: Served, then: str) -> None:
    # Without these the window of HTTP/2 grows to megabytes.
    options = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536))
    async with grpc.aio.insecure_channel(served.address, options) as channel:
        stream = await open_stream(served, channel)
        flooding = asyncio.ensure_future(flood(stream, 5000))
        await until(lambda: stream.sequence > 1000)
        stopped_at = 0
        while stopped_at != stream.sequence:
            stopped_at = stream.sequence
            await asyncio.sleep(0.2)
        assert not flooding.done()
        if then == "reads":
            await stream.acked(5000)
            await flooding
            assert [ack.sequence for ack in await stream.close()] == list(range(1, 5001))
        else:
            stream.call.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
    await until(lambda: served.server.publish_streams.admission.running == 0)


async def flood(stream: Stream, events: int) -> None:
    """Send events that are refused with many words, so that acknowledgements are large too."""
    for _ in range(events):
        await stream.send(
            event_type="",
            event_id=".",
            source="s" * 1025,
            subject="s" * 1025,
            data_schema="s" * 1025,
            ordering_key="k",
            data_content_type="x",
            attributes={"Ä": ""},
            data_json="{",
        )


async def test_a_cancelled_stream_loses_nothing_that_was_committed(held: GatedServed) -> None:
    served, gated = held
    stream = await open_stream(served)
    await stream.send(event_id="first")
    await until(lambda: gated.sizes == [1])
    await stream.send(event_id="second")
    stream.call.cancel()
    await until(lambda: served.server.publish_streams.admission.running == 0)
    gated.gate.set()
    again = await open_stream(served)
    await again.send(event_id="first")
    await again.send(event_id="second")
    assert len(await again.close()) == 2
    assert await count(served) == 2
    assert served.telemetry.faults == []


async def test_streams_may_be_cancelled_at_any_moment(served: Served) -> None:
    async def run(number: int) -> None:
        async with grpc.aio.insecure_channel(served.address) as channel:
            stream = await open_stream(served, channel)
            writing = asyncio.ensure_future(write(stream))
            await asyncio.sleep(0.003 * number)
            if number % 2:
                stream.call.cancel()
            else:
                await channel.close()
            await asyncio.gather(writing, return_exceptions=True)

    async def write(stream: Stream) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for _ in range(2000):
                await stream.send()

    await asyncio.gather(*[run(number) for number in range(40)])
    await until(lambda: served.server.publish_streams.admission.running == 0)
    assert served.telemetry.faults == []


async def test_a_deadline_ends_a_stream(held: GatedServed) -> None:
    served, _ = held
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
    method = served.channel.stream_stream(
        "/webhooks.v1.PublisherService/StreamingPublish", None, None
    )
    call = method(timeout=0.2)
    opening = pb.StreamingPublishRequest(open=pb.StreamingPublishRequest.Open(parent=PARENT))
    await call.write(opening.SerializeToString())
    await call.read()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call.read()
    assert failed.value.code() is Code.DEADLINE_EXCEEDED
    await until(lambda: served.server.publish_streams.admission.running == 0)


async def test_draining_acknowledges_what_was_taken_and_ends_all_streams(held: GatedServed) -> None:
    served, gated = held
    idle, silent, busy = await open_stream(served), Stream(served), await open_stream(served)
    await until(lambda: served.server.publish_streams.admission.running == 3)
    for _ in range(5):
        await busy.send()
    await until(lambda: gated.sizes == [1])
    await asyncio.sleep(0.05)
    drained = asyncio.ensure_future(served.server.drain(10))
    for stream in (idle, silent):
        refusal = await end_of(stream)
        assert (refusal.code, refusal.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
        assert "RetryInfo" in refusal.details
    assert not drained.done()
    late = Stream(served)
    assert (await end_of(late)).reason == "SHUTTING_DOWN"
    gated.gate.set()
    assert (await end_of(busy)).reason == "SHUTTING_DOWN"
    assert [ack.sequence for ack in busy.acks] == [1, 2, 3, 4, 5]
    assert await drained
    assert served.telemetry.faults == []


async def test_a_stream_ends_at_its_age_and_its_successor_goes_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.server.publish_streams, "seconds", 0.2)
    for round_ in range(2):
        stream = await open_stream(served)
        for number in range(10):
            await stream.send(event_id=f"e-{round_}-{number}")
        refusal = await end_of(stream)
        assert (refusal.code, refusal.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
        assert [ack.sequence for ack in stream.acks] == list(range(1, 11))
    assert await count(served) == 20


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (StoreUnavailable(), Code.UNAVAILABLE, "STORE_UNAVAILABLE"),
        (StoreConflict(), Code.ABORTED, "STORE_CONFLICT"),
        (RuntimeError(CANARY), Code.INTERNAL, "INTERNAL"),
        (WebhooksError(CANARY), Code.INTERNAL, "INTERNAL"),
    ],
)
async def test_a_failing_store_ends_the_stream_and_shows_nothing(
    held: GatedServed, error: Exception, code: Code, reason: str
) -> None:
    served, gated = held
    gated.gate.set()
    stream = await open_stream(served)
    await stream.send()
    await stream.acked(1)
    gated.error = error
    await stream.send()
    refusal = await end_of(stream)
    assert (refusal.code, refusal.reason) == (code, reason)
    assert len(stream.acks) == 1
    assert CANARY not in repr(refusal)
    told = [given for _, given in served.telemetry.faults]
    assert told == ([error] if code is Code.INTERNAL else [])


async def test_a_store_that_takes_too_long_ends_the_stream(
    held: GatedServed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wall, "CALL_SECONDS", 0.1)
    served, _ = held
    stream = await open_stream(served)
    await stream.send()
    assert (await end_of(stream)).code is Code.DEADLINE_EXCEEDED


async def test_the_streams_of_a_connection_and_of_the_server_are_bounded(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS_OF_CONNECTION", 2)
    first = await open_stream(served)
    second = await open_stream(served)
    refusal = await end_of(Stream(served))
    assert (refusal.code, refusal.reason) == (Code.UNAVAILABLE, "SERVER_OVERLOADED")
    assert "RetryInfo" in refusal.details
    async with grpc.aio.insecure_channel(served.address, [("a", 1)]) as other:
        await (await open_stream(served, other)).close()
    await first.close()
    third = await open_stream(served)
    await second.close()
    await third.close()
    monkeypatch.setattr(served.server.publish_streams.admission, "capacity", 0)
    assert (await end_of(Stream(served))).reason == "SERVER_OVERLOADED"


async def test_all_streams_together_read_no_more_than_memory_bears(
    held: GatedServed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_UNSTORED_BYTES", 1_000_000)
    served, gated = held
    many = [await open_stream(served) for _ in range(8)]
    payload = '"' + "x" * 100_000 + '"'

    async def send(stream: Stream) -> None:
        for _ in range(10):
            await stream.send(data_json=payload)

    sending = [asyncio.ensure_future(send(stream)) for stream in many]
    open_streams = served.server.publish_streams
    await until(lambda: open_streams.is_full)
    await asyncio.sleep(0.2)
    # Each stream may have read one more event before it waits.
    assert open_streams.unstored_bytes <= 1_000_000 + 8 * 101_000
    many[0].call.cancel()
    gated.gate.set()
    await asyncio.gather(*sending[1:])
    for stream in many[1:]:
        assert len(await stream.close()) == 10
    await asyncio.gather(sending[0], return_exceptions=True)
    await until(lambda: open_streams.admission.running == 0)
    assert open_streams.unstored_bytes == 0
