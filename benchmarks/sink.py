"""Receivers that cost as little as possible: nginx where it is installed, else a bare protocol.

`python -m benchmarks.sink` is the helper with the bare protocol.
"""

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, cast

from benchmarks import helper
from benchmarks.children import Child, Message, child, free_port, program, quiet_environment, until

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 2048; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  client_body_buffer_size 512k; client_max_body_size 8m;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location = /count {{ stub_status; }}
    location / {{ return 200 ok; }}
  }}
}}
"""


class Sink(Protocol):
    """A receiver in a process of its own."""

    kind: str

    def url(self, path: str) -> str:
        """Return the URL of a path of this receiver."""
        ...

    async def count(self) -> int:
        """Return how many requests have come so far."""
        ...


class CountingProtocol(asyncio.Protocol):
    """Answers every request with the same bytes as soon as its body is in."""

    def __init__(self, received: Callable[[bytes], None]) -> None:
        self._received = received
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to answer."""
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._waiting, 0, end + 2)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self._waiting) < size:
                return
            body, self._waiting = self._waiting[end + 4 : size], self._waiting[size:]
            self._received(body)
            self._write(ANSWER)


class BareSink:
    """The bare protocol in a helper."""

    kind = "bare protocol"

    def __init__(self, running: Child, port: int) -> None:
        self._running = running
        self._port = port

    def url(self, path: str) -> str:
        """Return the URL of a path of this receiver."""
        return f"http://127.0.0.1:{self._port}/{path}"

    async def count(self) -> int:
        """Return how many requests have come so far."""
        return int((await self._running.ask())["count"])


class NginxSink:
    """Nginx, which counts by itself."""

    kind = "nginx"

    def __init__(self, port: int) -> None:
        self._port = port
        self._own = 0

    def url(self, path: str) -> str:
        """Return the URL of a path of this receiver."""
        return f"http://127.0.0.1:{self._port}/{path}"

    async def count(self) -> int:
        """Return how many requests have come so far, without those that ask for this number."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"GET /count HTTP/1.0\r\n\r\n")
        text = await reader.read()
        writer.close()
        await writer.wait_closed()
        self._own += 1
        return int(text.split(b"requests\n")[1].split()[2]) - self._own

    async def answers(self) -> bool:
        """Tell whether it is up."""
        try:
            await self.count()
        except ConnectionError:
            return False
        return True


@asynccontextmanager
async def open_sink() -> AsyncIterator[Sink]:
    """Run the fastest receiver there is on this machine."""
    nginx = shutil.which("nginx")
    if nginx is None:
        async with child("sink") as running:
            yield BareSink(running, int((await running.ask())["port"]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "conf").write_text(_NGINX.format(folder=folder, port=port))
        command = (nginx, "-c", str(folder / "conf"), "-p", name)
        sink = NginxSink(port)
        async with program(*command, environment=quiet_environment(), output=folder / "log"):
            await until(sink.answers, "nginx answers", within=10)
            yield sink


@asynccontextmanager
async def open_silence() -> AsyncIterator[str]:
    """Run a receiver that takes everything and never answers; yields its URL."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/silence"
    finally:
        # Not `async with`, which waits for connections that nobody ends.
        server.close()


@asynccontextmanager
async def _counting() -> AsyncIterator[helper.Answer]:
    count = 0

    def received(_: bytes) -> None:
        nonlocal count
        count += 1

    async with await asyncio.get_running_loop().create_server(
        lambda: CountingProtocol(received), "127.0.0.1", 0, backlog=1024
    ) as server:
        port = server.sockets[0].getsockname()[1]

        async def answer(_: Message) -> Message:
            return {"port": str(port), "count": str(count)}

        yield answer


if __name__ == "__main__":
    helper.run(_counting)
