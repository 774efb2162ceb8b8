"""Relays as processes of their own, and a line to the server that can be cut."""

import asyncio
import contextlib
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator

from tests.harness.command_line import Finished, finish, line_with, send_signal, start


@contextlib.asynccontextmanager
async def relaying(server: str, *arguments: str, within: float = 20.0) -> AsyncIterator[Process]:
    """Run a relay until the end of the block, where it is told to stop if it runs still."""
    where = ("--server", f"grpc://{server}", "--relay-name", "far-away")
    process = await start("relay", "--log-format", "json", *where, *arguments)
    try:
        await line_with(process.stderr, "relay.attached")
        yield process
    finally:
        if process.returncode is None:
            send_signal(process, signal.SIGTERM)
            await finish(process, within=within)


async def stopped(process: Process) -> Finished:
    """Tell a relay to stop, and wait until it has."""
    send_signal(process, signal.SIGTERM)
    return await finish(process)


class Line:
    """A TCP proxy on loopback that can be cut and mended, and be slow.

    What goes to the target arrives after `delay` seconds.
    """

    def __init__(self, target: str) -> None:
        host, port = target.split(":")
        self._target = (host, int(port))
        self._open: set[asyncio.StreamWriter] = set()
        self.is_cut = False
        self.delay = 0.0
        self.address = ""
        self.taken = bytearray()
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._open |= {writer, far_writer}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._copy(reader, far_writer))
            tasks.create_task(self._copy(far_reader, writer, keep=True))

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool = False
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if keep:
                    self.taken += data
                elif self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    def cut(self) -> None:
        """Drop what is open, and let nobody through."""
        self.is_cut = True
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    def mend(self) -> None:
        """Let those through that come."""
        self.is_cut = False


@contextlib.asynccontextmanager
async def open_line(target: str) -> AsyncIterator[Line]:
    """Open a line to a server."""
    line = Line(target)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    line.address = f"127.0.0.1:{port}"
    try:
        yield line
    finally:
        line.cut()
        server.close()
