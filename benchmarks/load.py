"""Loads from a process of its own (`python -m benchmarks.load`): RPCs, and raw signed POSTs.

The RPCs send bytes that were made beforehand: they load the server, and not the maker of messages.
The POSTs are what anyone would write with aiohttp; they are the limit of B1 and B6.
"""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import aiohttp
import grpc
import grpc.aio

from benchmarks import helper
from benchmarks.children import Message
from webhooks.v1 import event_pb2, publisher_service_pb2

PARENT = "tenants/default"
BATCH = 100
BODY = json.dumps({"text": "x" * 500}, separators=(",", ":"))
KEY = b"k" * 32
WARM_UP = 128

Call = Callable[[bytes], Awaitable[bytes]]


def event(lane: int) -> event_pb2.EventInput:
    """Return an event for the subscription of one lane."""
    return event_pb2.EventInput(event_type=f"bench.lane{lane}.tick", data_json=BODY)


def publish_request() -> bytes:
    """Return a Publish as bytes; the server makes the id, so they are a new event each time."""
    return publisher_service_pb2.PublishRequest(parent=PARENT, event=event(0)).SerializeToString()


def batch_request(lanes: int) -> bytes:
    """Return a BatchPublish with its events spread over lanes."""
    events = [event(number % lanes) for number in range(BATCH)]
    message = publisher_service_pb2.BatchPublishRequest(parent=PARENT, events=events)
    return message.SerializeToString()


def stream_requests(count: int) -> list[bytes]:
    """Return the messages of a stream of so many events."""
    opening = publisher_service_pb2.StreamingPublishRequest.Open(parent=PARENT)
    messages = [publisher_service_pb2.StreamingPublishRequest(open=opening)]
    messages += [
        publisher_service_pb2.StreamingPublishRequest(
            publish=publisher_service_pb2.StreamingPublishRequest.Publish(
                sequence=number, event=event(0)
            )
        )
        for number in range(1, count + 1)
    ]
    return [message.SerializeToString() for message in messages]


def publisher_call(channel: grpc.aio.Channel, method: str) -> Call:
    """Return a method of the publisher that takes and gives bytes."""
    return channel.unary_unary(
        f"/webhooks.v1.PublisherService/{method}",
        request_serializer=bytes,
        response_deserializer=bytes,
    )


def signed_headers(number: int) -> dict[str, str]:
    """Return the headers that the server sends, with both signatures."""
    identity, now, body = f"evt_{number:032x}", str(int(time.time())), BODY.encode()
    signed = b"%b.%b.%b" % (identity.encode(), now.encode(), body)
    standard = base64.b64encode(hmac.digest(KEY, signed, "sha256")).decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": "webhooks-server-hookshot/1.0",
        "webhook-id": identity,
        "webhook-timestamp": now,
        "X-Webhook-Delivery": f"dlv_{number:032x}",
        "X-Webhook-Event": "bench.lane1.tick",
        "X-Webhook-Subscription": "lane1",
        "X-Webhook-Attempt": "1",
        "webhook-signature": f"v1,{standard}",
        "X-Hub-Signature-256": f"sha256={hmac.digest(KEY, body, 'sha256').hex()}",
    }


async def rpcs(address: str, method: str, request: bytes, count: int, in_flight: int) -> float:
    """Call a method that often with the same bytes; returns the seconds."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = publisher_call(channel, method)
        return await _timed(lambda _: call(request), count, in_flight)


async def stream(address: str, count: int) -> float:
    """Send so many events over one stream, and read to its end; returns the seconds."""
    requests = stream_requests(count)
    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            "/webhooks.v1.PublisherService/StreamingPublish", None, None
        )
        call = method()
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            group.create_task(_write_all(call, requests))
            while await call.read() is not grpc.aio.EOF:
                pass
        return time.perf_counter() - started


async def _write_all(
    call: "grpc.aio.StreamStreamCall[bytes, bytes]", requests: list[bytes]
) -> None:
    for request in requests:
        await call.write(request)
    await call.done_writing()


async def posts(urls: list[str], count: int, in_flight: int) -> float:
    """Send that many signed POSTs; returns the seconds."""
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post(number: int) -> None:
            url, headers = urls[number % len(urls)], signed_headers(number)
            async with session.post(url, data=BODY.encode(), headers=headers) as answer:
                await answer.read()

        await _timed(post, WARM_UP, in_flight)
        return await _timed(post, count, in_flight)


async def _timed(once: Callable[[int], Awaitable[object]], count: int, in_flight: int) -> float:
    numbers = iter(range(count))
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(_work(once, numbers))
    return time.perf_counter() - started


async def _work(once: Callable[[int], Awaitable[object]], numbers: Iterator[int]) -> None:
    for number in numbers:
        await once(number)


@asynccontextmanager
async def _loading() -> AsyncIterator[helper.Answer]:
    yield _answer


async def _answer(command: Message) -> Message:
    count, in_flight = int(command["count"]), int(command["in_flight"])
    match command["load"]:
        case "posts":
            seconds = await posts(command["urls"].split(), count, in_flight)
        case "publish":
            seconds = await rpcs(command["address"], "Publish", publish_request(), count, in_flight)
        case "stream":
            seconds = await stream(command["address"], count)
        case "batches":
            request = batch_request(int(command["lanes"]))
            seconds = await rpcs(command["address"], "BatchPublish", request, count, in_flight)
        case unknown:
            raise ValueError(unknown)
    return {"seconds": str(seconds)}


if __name__ == "__main__":
    helper.run(_loading)
