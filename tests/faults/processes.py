"""Servers and relays as processes of their own, and what can be done to them."""

import asyncio
import contextlib
import json
import os
import signal
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.command_line import start

_LOGGED = ("--log-format", "json")
_STARTS_WITHIN = 30.0
_STOPS_WITHIN = 45.0


@dataclass
class Running:
    """A process that serves or relays; its pid is the only way to it."""

    name: str
    process: Process
    log: Path
    address: str = ""
    engine: str = ""
    """The name by which its engine owns partitions, once somebody has asked."""

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    def pause(self) -> None:
        """Freeze it."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it without a word, frozen or not."""
        self._signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> float:
        """Tell it to stop and wait until it has, well; returns how many seconds that took."""
        begun = time.monotonic()
        self._signal(signal.SIGTERM)
        async with asyncio.timeout(_STOPS_WITHIN):
            status = await self.process.wait()
        assert status == 0, f"{self.name} ended with {status}: {self.log.read_text()[-2000:]}"
        return time.monotonic() - begun

    async def line_with(self, text: str) -> dict[str, object]:
        """Wait for the first line of the log with this event, and return it."""
        deadline = time.monotonic() + _STARTS_WITHIN
        while time.monotonic() < deadline:
            for line in self.log.read_text().splitlines():
                if text in line:
                    found: dict[str, object] = json.loads(line)
                    return found
            assert self.is_running, f"{self.name} ended: {self.log.read_text()[-2000:]}"
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.name} never said {text}: {self.log.read_text()[-2000:]}")

    def _signal(self, number: signal.Signals) -> None:
        assert self.is_running, f"{self.name} ended by itself: {self.log.read_text()[-2000:]}"
        os.kill(self.process.pid, number)


@dataclass
class Controller:
    """Starts processes, and ends those that are left."""

    directory: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    started: list[Running] = field(default_factory=list)

    async def serve(self, name: str, *arguments: str, listen: str = "127.0.0.1:0") -> Running:
        """Start a server, and wait until it serves."""
        given = ("--listen", listen, *_LOGGED, *arguments)
        running = await self._start(name, "serve", *given)
        running.address = str((await running.line_with("server.serving"))["address"])
        return running

    async def relay(self, name: str) -> Running:
        """Start a relay on the shared database, and wait until it has begun."""
        # It may send to this machine, as servers that listen on loopback do.
        running = await self._start(name, "relay", "--profile", "development", *_LOGGED)
        running.engine = str((await running.line_with("relay.started"))["relay"])
        return running

    async def relay_elsewhere(self, name: str, server: str) -> Running:
        """Start a relay that has nothing but a way to a server, and wait until it is attached."""
        where = ("--server", f"grpc://{server}", "--relay-name", name)
        running = await self._start(name, "relay", *where, *_LOGGED, variables={})
        await running.line_with("relay.attached")
        return running

    def faults(self) -> list[str]:
        """Return what the processes logged as errors."""
        return [
            line
            for log in sorted({running.log for running in self.started})
            for line in log.read_text().splitlines()
            if '"level":"error"' in line.replace(": ", ":")
        ]

    async def _start(
        self, name: str, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> Running:
        # Each life has a log of its own: a line of an earlier one would be taken for a new one.
        log = self.directory / f"{name}.{len(self.started)}.log"
        with log.open("wb") as file:
            output = file.fileno()
            settings = self.variables if variables is None else variables
            process = await start(*arguments, stdout=output, stderr=output, variables=settings)
        running = Running(name=name, process=process, log=log)
        self.started.append(running)
        return running

    async def end(self) -> None:
        """Kill what runs still."""
        for running in self.started:
            if running.is_running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(running.process.pid, signal.SIGKILL)
                await running.process.wait()


@contextlib.asynccontextmanager
async def controlling(
    directory: Path, variables: Mapping[str, str] | None = None
) -> AsyncIterator[Controller]:
    """Control processes that get these settings; none is left at the end."""
    controller = Controller(directory, variables or {})
    async with AsyncExitStack() as stack:
        stack.push_async_callback(controller.end)
        yield controller
