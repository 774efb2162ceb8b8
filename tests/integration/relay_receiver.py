"""A receiver that says any bytes at all: HTTP servers are too polite to misbehave."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from webhooks_server.domain.outbound import OutboundRequest
from webhooks_server.domain.signing import Header
from webhooks_server.domain.times import SECOND, Micros

HEADERS: tuple[Header, ...] = (("Content-Type", "application/json"), ("User-Agent", "test/1"))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    head: bytes
    body: bytes

    @property
    def lines(self) -> list[str]:
        return self.head.decode().removesuffix("\r\n\r\n").split("\r\n")


@dataclass(slots=True, kw_only=True)
class Receiver:
    port: int = 0
    connections: int = 0
    closed_by_sender: int = 0
    requests: list[Received] = field(default_factory=list)

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def request(self, *, timeout: float = 5.0, body: bytes = b"{}") -> OutboundRequest:
        return post(self.url(), timeout=timeout, body=body)


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def post(
    url: str,
    *,
    timeout: float = 5.0,
    body: bytes = b"{}",
    headers: tuple[Header, ...] = HEADERS,
) -> OutboundRequest:
    return OutboundRequest(
        url=url, headers=headers, body=body, timeout=Micros(round(timeout * SECOND))
    )


def says(raw: bytes, *, close: bool = False) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        if close:
            writer.close()

    return answer


async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def receiving(
    answer: Answer, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Serve on a free port; `answer` runs after each whole request."""
    receiver = Receiver()
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        try:
            while not writer.is_closing():
                receiver.requests.append(await _read_request(reader))
                await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            receiver.closed_by_sender += 1
        finally:
            writer.transport.abort()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> Received:
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return Received(head=head, body=await reader.readexactly(size))


async def until(condition: Callable[[], bool], *, seconds: float = 2.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come about in time"
        await asyncio.sleep(0.005)
