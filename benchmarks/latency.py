"""How long one event takes when nothing else goes on (`python -m benchmarks.latency`).

The process is publisher and receiver at once, so that one clock sees an event leave and arrive.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import grpc

from benchmarks import helper
from benchmarks.children import Message
from benchmarks.load import BODY, Call, publish_request, publisher_call, signed_headers
from benchmarks.sink import CountingProtocol

PAUSE = 0.005
WARM_UP = 20


@asynccontextmanager
async def _listening() -> AsyncIterator[helper.Answer]:
    arrivals: asyncio.Queue[float] = asyncio.Queue()
    async with await asyncio.get_running_loop().create_server(
        lambda: CountingProtocol(lambda _: arrivals.put_nowait(time.perf_counter())), "127.0.0.1", 0
    ) as server:
        port = server.sockets[0].getsockname()[1]

        async def answer(command: Message) -> Message:
            return await _measure(command, arrivals) if "count" in command else {"port": str(port)}

        yield answer


async def _measure(command: Message, arrivals: asyncio.Queue[float]) -> Message:
    ours, limit = [], []
    async with (
        grpc.aio.insecure_channel(command["server"]) as server,
        grpc.aio.insecure_channel(command["empty"]) as empty,
        aiohttp.ClientSession() as session,
    ):
        publish, nothing = publisher_call(server, "Publish"), publisher_call(empty, "Publish")
        for number in range(WARM_UP + int(command["count"])):
            ours.append(await _publish_to_received(publish, arrivals))
            await asyncio.sleep(PAUSE)
            limit.append(await _rpc_and_post(nothing, session, command["sink"], number))
            await asyncio.sleep(PAUSE)
    return _summary("ours", ours[WARM_UP:]) | _summary("limit", limit[WARM_UP:])


async def _publish_to_received(publish: Call, arrivals: asyncio.Queue[float]) -> float:
    started = time.perf_counter()
    await publish(publish_request())
    return await arrivals.get() - started


async def _rpc_and_post(
    nothing: Call, session: aiohttp.ClientSession, url: str, number: int
) -> float:
    started = time.perf_counter()
    await nothing(publish_request())
    async with session.post(url, data=BODY.encode(), headers=signed_headers(number)) as answer:
        await answer.read()
    return time.perf_counter() - started


def _summary(name: str, seconds: list[float]) -> Message:
    p99 = sorted(seconds)[int(len(seconds) * 0.99)]
    return {name: str(statistics.median(seconds)), f"{name}_p99": str(p99)}


if __name__ == "__main__":
    helper.run(_listening)
