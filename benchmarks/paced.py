"""Publishes at a fixed rate and receives (`python -m benchmarks.paced`): one clock sees both.

The rate does not wait for answers: a server that is slow for a while has more to do, not less.
"""

import asyncio
import re
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from benchmarks import helper
from benchmarks.children import Message
from benchmarks.load import PARENT, Call, publisher_call
from benchmarks.sink import CountingProtocol
from webhooks.v1 import event_pb2, publisher_service_pb2

LAST_ARRIVAL_SECONDS = 30.0
_NUMBER = re.compile(rb'"n":(\d+)')
_FILLING = "x" * 490


class _Received:
    """When each of our events came first, and how often; others that come count for nothing."""

    def __init__(self) -> None:
        self.times: dict[int, float] = {}
        self.counts: Counter[int] = Counter()

    def note(self, body: bytes) -> None:
        """Take note of a request."""
        if found := _NUMBER.search(body):
            number = int(found[1])
            self.counts[number] += 1
            self.times.setdefault(number, time.perf_counter())


class _Pacer:
    def __init__(self, received: _Received) -> None:
        self._received = received
        self._published = 0
        self._sent: dict[int, float] = {}
        self._refused: Counter[str] = Counter()

    async def run(self, address: str, rate: float, seconds: float, lanes: range) -> Message:
        """Publish to lanes by turns; returns how it went, in milliseconds, once all has arrived."""
        first = self._published
        count = int(rate * seconds)
        async with grpc.aio.insecure_channel(address) as channel:
            publish = publisher_call(channel, "Publish")
            started = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                for number in range(count):
                    await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
                    lane = lanes[(first + number) % len(lanes)]
                    group.create_task(self._publish(publish, lane))
        mine = range(first, first + count)
        await self._all_there(mine)
        return self._summary(mine)

    async def _publish(self, publish: Call, lane: int) -> None:
        number = self._published
        self._published += 1
        event = event_pb2.EventInput(
            event_type=f"bench.lane{lane}.tick", data_json=f'{{"n":{number},"text":"{_FILLING}"}}'
        )
        request = publisher_service_pb2.PublishRequest(parent=PARENT, event=event)
        self._sent[number] = time.perf_counter()
        try:
            await publish(request.SerializeToString())
        except grpc.aio.AioRpcError as error:
            self._refused[error.code().name] += 1

    async def _all_there(self, mine: range) -> None:
        deadline = time.perf_counter() + LAST_ARRIVAL_SECONDS
        while time.perf_counter() < deadline:
            if all(number in self._received.times for number in mine):
                return
            await asyncio.sleep(0.05)

    def _summary(self, mine: range) -> Message:
        times, counts = self._received.times, self._received.counts
        took = sorted(times[one] - self._sent[one] for one in mine if one in times)
        return {
            "wrong": self._wrong(
                missing=len(mine) - len(took), twice=sum(counts[one] > 1 for one in mine)
            ),
            "median": str(1000 * statistics.median(took or [0.0])),
            "p99": str(1000 * took[int(len(took) * 0.99)] if took else 0.0),
        }

    def _wrong(self, **counts: int) -> str:
        """Return in words what should not be, and how often; nothing where all is well."""
        found = {**counts, **self._refused}
        return ", ".join(f"{count} {name}" for name, count in found.items() if count)


@asynccontextmanager
async def _pacing() -> AsyncIterator[helper.Answer]:
    received = _Received()
    pacer = _Pacer(received)
    async with await asyncio.get_running_loop().create_server(
        lambda: CountingProtocol(received.note), "127.0.0.1", 0, backlog=1024
    ) as server:
        port = server.sockets[0].getsockname()[1]

        async def answer(command: Message) -> Message:
            if "rate" not in command:
                return {"port": str(port)}
            lanes = range(int(command["first_lane"]), int(command["last_lane"]) + 1)
            rate, seconds = float(command["rate"]), float(command["seconds"])
            return await pacer.run(command["address"], rate, seconds, lanes)

        yield answer


if __name__ == "__main__":
    helper.run(_pacing)
