"""The real executable, run as a process of its own."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

WITHIN = 20.0
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        """The one JSON object that was printed."""
        content: dict[str, object] = json.loads(self.out)
        return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A server that runs as a process."""

    address: str
    data_dir: Path
    process: Process


def environment() -> dict[str, str]:
    """Return this process's environment without any setting."""
    return {name: value for name, value in os.environ.items() if "WEBHOOKS_" not in name}


async def start(
    *arguments: str,
    stdout: int = PIPE,
    stderr: int = PIPE,
    variables: Mapping[str, str] = NOTHING,
) -> Process:
    """Start a command with pipes to all that it reads and writes."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "webhooks_server",
        *arguments,
        stdin=PIPE,
        stdout=stdout,
        stderr=stderr,
        env=environment() | dict(variables),
    )


async def finish(process: Process, given: bytes = b"", within: float = WITHIN) -> Finished:
    """Give a command its input and wait for its end; one that does not end is killed."""
    try:
        async with asyncio.timeout(within):
            out, err = await process.communicate(given)
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        raise AssertionError(f"no end within {within} s: {out!r} {err!r}") from None
    assert process.returncode is not None
    return Finished(status=process.returncode, out=(out or b"").decode(), err=(err or b"").decode())


def send_signal(process: Process, number: signal.Signals) -> None:
    """Send a signal to a process, which may have ended by itself.

    Process.send_signal would look whether it has, and so take its status away from who waits.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def run(
    *arguments: str, given: bytes = b"", variables: Mapping[str, str] = NOTHING
) -> Finished:
    """Run a command to its end."""
    return await finish(await start(*arguments, variables=variables), given)


async def line_with(stream: asyncio.StreamReader | None, text: str) -> str:
    """Read lines up to the first that holds the text, and return that one."""
    assert stream is not None
    read = []
    async with asyncio.timeout(WITHIN):
        while line := (await stream.readline()).decode():
            read.append(line)
            if text in line:
                return line
    raise AssertionError(f"{text!r} never came: {''.join(read)}")


@contextlib.asynccontextmanager
async def serving(
    data_dir: Path, *arguments: str, listen: str = "127.0.0.1:0"
) -> AsyncIterator[Serving]:
    """Run a server on a free port; it is told to stop at the end and must end well."""
    where = ("--listen", listen, "--data-dir", str(data_dir))
    process = await start("serve", *where, "--log-format", "json", *arguments)
    try:
        line = await line_with(process.stderr, "server.serving")
        yield Serving(address=json.loads(line)["address"], data_dir=data_dir, process=process)
    finally:
        send_signal(process, signal.SIGTERM)
        finished = await finish(process)
    assert finished.status == 0, finished.err


@contextlib.asynccontextmanager
async def listening(*arguments: str) -> AsyncIterator[tuple[str, Process]]:
    """Run `listen`; yields its URL. It is interrupted at the end where it runs still."""
    process = await start("listen", *arguments)
    try:
        found = re.search(r"http://[0-9.:]+", await line_with(process.stderr, "listening on"))
        assert found is not None
        yield found[0], process
    finally:
        if process.returncode is None:
            send_signal(process, signal.SIGINT)
            await finish(process)


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
