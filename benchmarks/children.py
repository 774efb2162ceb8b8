"""Processes that a benchmark starts and ends: helpers spoken to in JSON lines, and servers."""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

Message = dict[str, str]
"""A command or an answer: words, so that both sides say what they take them for."""
STOP_SECONDS = 40.0


class BenchmarkError(Exception):
    """A benchmark could not be run, or what it ran did not do what it should."""


class Child:
    """A running helper, which answers each line with a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._one_at_a_time = asyncio.Lock()

    async def ask(self, **words: str | float) -> Message:
        """Send a command and return its answer."""
        reading, writing = self._process.stdout, self._process.stdin
        if reading is None or writing is None:
            raise BenchmarkError("a helper has no pipes")
        message: Message = {name: str(word) for name, word in words.items()}
        async with self._one_at_a_time:
            writing.write(json.dumps(message).encode() + b"\n")
            line = await reading.readline()
        if not line:
            raise BenchmarkError(f"a helper died while it did {message}")
        answer: Message = json.loads(line)
        return answer


@asynccontextmanager
async def child(module: str) -> AsyncIterator[Child]:
    """Run `python -m benchmarks.<module>`; it ends when its input does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"benchmarks.{module}",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=quiet_environment(),
        cwd=Path(__file__).parent.parent,
    )
    try:
        yield Child(process)
    finally:
        await end(process)


@asynccontextmanager
async def program(
    *command: str, environment: Mapping[str, str], output: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program with its output in a file."""
    with output.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and see to it that it does."""
    if process.stdin is not None:
        process.stdin.close()
    elif process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def quiet_environment() -> dict[str, str]:
    """Return the environment of a child: without settings of ours, and without gRPC's remarks."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("WEBHOOKS_")
    }
    return inherited | {"GRPC_ENABLE_FORK_SUPPORT": "0", "GRPC_VERBOSITY": "ERROR"}


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def resident_mebibytes(process_id: int) -> float:
    """Return how much memory of a process is resident."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise BenchmarkError(f"process {process_id} tells nothing of its memory")


def cpu_seconds(process_id: int) -> float:
    """Return how much CPU time a process has used, all its threads together."""
    # Its name comes second, in brackets, and may hold anything.
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def until(
    true: Callable[[], Awaitable[bool]], what: str, *, within: float = 120.0, every: float = 0.01
) -> None:
    """Wait until something is so; raises BenchmarkError where it does not come to be in time."""
    end_time = time.monotonic() + within
    while not await true():
        if time.monotonic() > end_time:
            raise BenchmarkError(f"not within {within:g} s: {what}")
        await asyncio.sleep(every)
