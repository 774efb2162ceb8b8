"""An HTTP server that keeps what it gets, and answers what it is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.harness.waiting import until


@dataclass
class Request:
    """A request as it arrived."""

    headers: dict[str, str]
    body: bytes
    path: str


@dataclass
class Receiver:
    """An HTTP server that keeps what it gets, and answers what it is told."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    status: int = 200
    extra: str = ""
    wait: float = 0.0
    gate: asyncio.Event | None = None
    open_requests: int = 0
    most_open: int = 0
    script: list[int] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self.answer_one(reader, writer):
                pass
        writer.close()

    async def answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in rest)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append(Request(headers, body, line.split(" ")[1]))
        self.open_requests += 1
        self.most_open = max(self.most_open, self.open_requests)
        if self.gate is not None:
            await self.gate.wait()
        if self.wait:
            await asyncio.sleep(self.wait)
        self.open_requests -= 1
        status = self.script.pop(0) if self.script else self.status
        writer.write(f"HTTP/1.1 {status} X\r\n{self.extra}Content-Length: 2\r\n\r\nok".encode())
        await writer.drain()
        return True

    async def got(self, count: int, within: float = 5.0) -> list[Request]:
        await until(
            lambda: len(self.requests) >= count, within, lambda: f"{len(self.requests)} came"
        )
        return self.requests

    @property
    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.requests]


@contextlib.asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    """Open a receiver on a free port of loopback."""
    made = Receiver()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made.url = f"http://127.0.0.1:{port}/hook"
    yield made
    if made.gate is not None:
        made.gate.set()
    server.close()
