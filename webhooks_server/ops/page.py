"""The operations page: `/metrics`, `/live` and `/ready` over HTTP, for scrapes and probes.

One answer a connection, to GET and HEAD alone, and everything about it is bounded: whoever reaches
the port can neither change anything nor hold the server up.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import NamedTuple

from webhooks_server.domain.addresses import split_address
from webhooks_server.domain.errors import StartError

MAX_CONNECTIONS = 32
MAX_HEAD_BYTES = 8192
EXCHANGE_SECONDS = 5.0
_PLAIN = "text/plain; charset=utf-8"


class Figures(NamedTuple):
    """What a scrape gets, and how it is written."""

    text: Callable[[], bytes]
    content_type: str


class Answer(NamedTuple):
    """A status, a body, and what kind of text that is."""

    status: HTTPStatus
    body: bytes = b""
    content_type: str = _PLAIN


class Page:
    """What the page knows; who runs the server says when it is ready."""

    def __init__(self, figures: Figures) -> None:
        """Take what a scrape gets; until told otherwise the server is not ready."""
        self.address = ""
        self.is_ready: Callable[[], Awaitable[bool]] = _not_yet
        self._figures = figures
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, within its time, and close the connection."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs is run by a task
        if len(self._running) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._running.add(task)
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(EXCHANGE_SECONDS):
                    await self._exchange(reader, writer)
        finally:
            self._running.discard(task)
            # Whoever does not read is not waited for.
            writer.transport.abort()

    async def close(self) -> None:
        """Give up the exchanges that run."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            answer, has_body = Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), True
        else:
            method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
            target, _, version = rest.partition(b" ")
            answer = await self._answer(method, target.partition(b"?")[0], version)
            has_body = method != b"HEAD"
        writer.write(_rendered(answer, has_body=has_body))
        writer.close()
        await writer.wait_closed()

    async def _answer(self, method: bytes, path: bytes, version: bytes) -> Answer:
        if not version.startswith(b"HTTP/1."):
            return Answer(HTTPStatus.BAD_REQUEST)
        if method not in {b"GET", b"HEAD"}:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED)
        match path:
            case b"/metrics":
                return Answer(HTTPStatus.OK, self._figures.text(), self._figures.content_type)
            case b"/live":
                return Answer(HTTPStatus.OK, b"live\n")
            case b"/ready":
                if await self.is_ready():
                    return Answer(HTTPStatus.OK, b"ready\n")
                return Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"not ready\n")
            case _:
                return Answer(HTTPStatus.NOT_FOUND)


@asynccontextmanager
async def open_page(listen: str, figures: Figures) -> AsyncIterator[Page]:
    """Serve the page on `host:port` for the length of the block; raises StartError if taken."""
    page = Page(figures)
    host, port = split_address(listen)
    try:
        server = await asyncio.start_server(page.serve, host, port, limit=MAX_HEAD_BYTES)
    except OSError:
        raise StartError(
            f"the operations page cannot listen on {listen}: is another program there?"
        ) from None
    page.address = f"{listen.rpartition(':')[0]}:{server.sockets[0].getsockname()[1]}"
    try:
        yield page
    finally:
        server.close()
        await page.close()


async def _not_yet() -> bool:
    return False


def _rendered(answer: Answer, *, has_body: bool) -> bytes:
    body = answer.body or f"{answer.status.phrase}\n".encode()
    allow = "Allow: GET, HEAD\r\n" if answer.status is HTTPStatus.METHOD_NOT_ALLOWED else ""
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{allow}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (body if has_body else b"")
