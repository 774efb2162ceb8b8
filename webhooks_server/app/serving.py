"""A server: takes events over gRPC, and sends them where it is told to."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from webhooks_server import __version__
from webhooks_server.app.process import run_to_end, spare_collector, stop_signal
from webhooks_server.app.sending import Sender, open_sender
from webhooks_server.app.starter import READY, Starter
from webhooks_server.engine import RunningEngine
from webhooks_server.ops import LogConfig, ServerTelemetry, SystemClock, configure_logs
from webhooks_server.ops.welcome import next_steps
from webhooks_server.rpc.server import RunningServer, ServerInfo, open_server
from webhooks_server.services import build_services
from webhooks_server.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that serves."""

    server: RunningServer
    engine: RunningEngine
    telemetry: ServerTelemetry
    page: str
    grace: "Grace"

    async def stop(self, settings: Settings) -> None:
        """Begin a stop, whose end is that of open_app(): one deadline for all of its steps."""
        seconds = settings.drain_delay + settings.stop_grace
        self.grace.begin(seconds)
        self.engine.stop_taking(seconds)
        self.engine.relays.close()
        await self.server.drain(settings.stop_grace, settings.drain_delay)


class Grace:
    """How long what is under way may still take."""

    def __init__(self, clock: SystemClock, seconds: float) -> None:
        """Take what there is as long as nobody has begun to stop."""
        self._clock = clock
        self._left = seconds
        self._end: float | None = None

    def begin(self, seconds: float) -> None:
        """Let everything end within so many seconds."""
        self._end = self._clock.monotonic() + seconds

    def left(self) -> float:
        """Return how many seconds are left."""
        return self._left if self._end is None else max(0.0, self._end - self._clock.monotonic())


def run(settings: Settings, starter: Starter | None = None) -> int:
    """Run a server until it is told to stop; returns the exit status.

    With a starter it is one of several on one port, and leaves it to that to speak for all.
    """
    main = serve(settings) if starter is None else serve_with_others(settings, starter)
    return run_to_end(main, settings.slots)


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then stop cleanly; a second one stops at once."""
    configure_logs(LogConfig(level=settings.log_level, json=settings.logs_json))
    stop = stop_signal()
    async with open_app(settings) as running:
        address = running.server.address
        running.telemetry.fact("server.settings", settings=settings.chosen())
        running.telemetry.fact(
            "server.serving", address=address, version=__version__, pid=os.getpid()
        )
        if running.page:
            running.telemetry.fact("page.serving", address=running.page)
        if settings.is_development and not settings.logs_json:
            sys.stderr.write(next_steps(address))
        await stop.wait()
        running.telemetry.fact("server.stopping")
        await running.stop(settings)
    running.telemetry.fact("server.stopped")
    return 0


async def serve_with_others(settings: Settings, starter: Starter) -> int:
    """Serve on a port that others serve too, until told to stop or the starter is gone."""
    configure_logs(LogConfig(level=settings.log_level, json=settings.logs_json))
    stop = stop_signal()
    starter.watch(stop)
    async with open_app(settings, shares_port=True) as running:
        if running.page:
            running.telemetry.fact("page.serving", address=running.page)
        starter.tell(READY)
        await stop.wait()
        await running.stop(settings)
    return 0


@asynccontextmanager
async def open_app(settings: Settings, *, shares_port: bool = False) -> AsyncIterator[Running]:
    """Open all rooms in the order in which they need each other; close them in the other order."""
    async with AsyncExitStack() as rooms:
        sender = await rooms.enter_async_context(
            open_sender(settings, "engine", sends=settings.relay)
        )
        stores, engine, telemetry = sender.storage.stores, sender.engine, sender.telemetry
        services = build_services(
            settings.services_config(),
            stores,
            engine,
            sender.index,
            sender.clock,
            sender.ids,
            telemetry,
        )
        grace = Grace(sender.clock, settings.stop_grace)
        rooms.push_async_callback(lambda: services.close(grace.left()))
        server = await rooms.enter_async_context(
            open_server(
                settings.server_config(shares_port=shares_port),
                services,
                engine.relays,
                _info(settings, sender),
                telemetry,
            )
        )
        sender.storage.announce(server.address)
        page = "" if sender.page is None else sender.page.address
        running = Running(server=server, engine=engine, telemetry=telemetry, page=page, grace=grace)
        if sender.page is not None:
            sender.page.is_ready = server.is_serving
        spare_collector()
        yield running


def _info(settings: Settings, sender: Sender) -> ServerInfo:
    kind = sender.storage.kind
    return ServerInfo(
        version=__version__,
        server_id=sender.name,
        start_time=sender.clock.wall(),
        features=(kind, "relay") if settings.relay else (kind,),
    )
