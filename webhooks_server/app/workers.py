"""Several processes run as one: started, kept running, and stopped together (`--workers`).

They are started anew and never forked: a child made by fork() after gRPC has started can hang.
This process has neither gRPC nor the database in it; all it does is to look after the others.
"""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import nullcontext, suppress

from webhooks_server import __version__
from webhooks_server.app.port import reserved
from webhooks_server.app.process import INTERRUPTED
from webhooks_server.app.starter import READY, order
from webhooks_server.domain.addresses import split_address
from webhooks_server.domain.errors import StartError
from webhooks_server.ops import LogConfig, ServerTelemetry, SystemClock, configure_logs
from webhooks_server.ops.welcome import next_steps
from webhooks_server.ports import Telemetry
from webhooks_server.settings import SendingSettings, Settings

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
PROVEN_SECONDS = 60.0
"""A worker that ran for so long is started at once again, however often it failed before."""
BEYOND_GRACE = 5.0


def run_workers(command: str, settings: SendingSettings) -> int:
    """Run as many processes as the settings say until told to stop; returns the exit status.

    Raises StartError where they cannot start.
    """
    configure_logs(LogConfig(level=settings.log_level, json=settings.logs_json))
    port = reserved(settings.listen) if isinstance(settings, Settings) else nullcontext("")
    with port as address:
        return asyncio.run(_Workers(command, settings, address).run())


class _Worker:
    """One of them: its process, or the one after that."""

    def __init__(self, number: int, line: bytes, telemetry: Telemetry) -> None:
        self._number = number
        self._line = line
        self._telemetry = telemetry
        self._process: Process | None = None

    async def start(self) -> None:
        """Start a process, and return when it is ready; raises StartError, which says why not."""
        self._process = process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "webhooks_server.app.worker"),
            stdin=PIPE,
            stdout=PIPE,
            # Ctrl-C is for the starter, which passes it on: twice would be an order to end at once.
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        with suppress(ConnectionError):
            process.stdin.write(self._line)
            await process.stdin.drain()
        word = await process.stdout.readline()
        if not word:
            status = await process.wait()
            raise StartError(f"worker {self._number} ended with {status} before it was ready")
        said = json.loads(word)
        if said != READY:
            await process.wait()
            raise StartError(said)
        self._telemetry.fact("worker.started", worker=self._number, pid=process.pid)

    async def keep(self) -> None:
        """Start a process in the place of each that ends, for ever."""
        loop = asyncio.get_running_loop()
        pause, began = FIRST_PAUSE, loop.time()
        while (process := self._process) is not None:
            status = await process.wait()
            if loop.time() - began > PROVEN_SECONDS:
                pause = FIRST_PAUSE
            self._telemetry.fact(
                "worker.died", worker=self._number, pid=process.pid, code=status, seconds=pause
            )
            await asyncio.sleep(pause)
            pause, began = min(2 * pause, LONGEST_PAUSE), loop.time()
            with suppress(StartError):
                await self._start_again()

    async def _start_again(self) -> None:
        try:
            await self.start()
        except StartError as error:
            self._telemetry.fact("worker.not_started", worker=self._number, reason=error.message)
            raise

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def ended(self) -> None:
        """Return when the process has ended."""
        if self._process is not None:
            await self._process.wait()


class _Workers:
    """All of them."""

    def __init__(self, command: str, settings: SendingSettings, address: str) -> None:
        self._command = command
        self._settings = settings
        self._address = address
        self._telemetry = ServerTelemetry(SystemClock())
        self._workers = [
            _Worker(number, self._order(number), self._telemetry)
            for number in range(settings.workers)
        ]

    async def run(self) -> int:
        """Start all, keep them running, and stop them."""
        stop = self._stop_signal()
        told = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(self._start())
        keepers: list[asyncio.Task[None]] = []
        try:
            await asyncio.wait({told, starting}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                self._tell()
                keepers = [asyncio.create_task(worker.keep()) for worker in self._workers]
                await told
            self._telemetry.fact("server.stopping" if self._address else "relay.stopping")
        finally:
            for task in (told, starting, *keepers):
                task.cancel()
            status = await self._stop()
        self._telemetry.fact("server.stopped" if self._address else "relay.stopped")
        return status

    async def _start(self) -> None:
        first, *others = self._workers
        # What keeps one from starting keeps all: it shall be said once.
        await first.start()
        await asyncio.gather(*(worker.start() for worker in others))

    async def _stop(self) -> int:
        """Have all of them stop by themselves, and end those that do not."""
        ended = [asyncio.create_task(worker.ended()) for worker in self._workers]
        self._send(signal.SIGTERM)
        _, late = await asyncio.wait(ended, timeout=self._grace + BEYOND_GRACE)
        if not late:
            return 0
        self._telemetry.fact("workers.killed", count=len(late))
        self._send(signal.SIGKILL)
        await asyncio.wait(late)
        return 1

    def _tell(self) -> None:
        settings, telemetry = self._settings, self._telemetry
        telemetry.fact(
            "server.settings" if self._address else "relay.settings", settings=settings.chosen()
        )
        fields: dict[str, str | int] = {"version": __version__, "pid": os.getpid()}
        if not self._address:
            telemetry.fact("relay.started", count=settings.workers, **fields)
            return
        telemetry.fact("server.serving", address=self._address, count=settings.workers, **fields)
        if settings.is_development and not settings.logs_json:
            sys.stderr.write(next_steps(self._address))

    def _order(self, number: int) -> bytes:
        changes: dict[str, object] = {"workers": 1}
        if self._address:
            changes["listen"] = self._address
        if self._settings.has_page:
            changes["ops_listen"] = page_of(self._settings.ops_listen, number)
        return order(self._command, self._settings, **changes)

    def _send(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.send(number)

    def _stop_signal(self) -> asyncio.Event:
        """Return what the first SIGTERM or SIGINT sets; the second one ends all of them."""
        stop = asyncio.Event()

        def told(number: signal.Signals) -> None:
            if stop.is_set():
                self._send(signal.SIGKILL)
                os._exit(INTERRUPTED if number is signal.SIGINT else 1)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, told, number)
        return stop

    @property
    def _grace(self) -> float:
        settings = self._settings
        delay = settings.drain_delay if isinstance(settings, Settings) else 0.0
        return settings.stop_grace + delay


def page_of(listen: str, number: int) -> str:
    """Return where the operations page of a worker is: one port after the other."""
    _, port = split_address(listen)
    return f"{listen.rpartition(':')[0]}:{port + number if port else 0}"
