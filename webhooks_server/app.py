"""The composition root: puts the rooms together, and runs them from start to stop."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from webhooks_server import __version__
from webhooks_server.domain.errors import InvalidSettings
from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.engine import RunningEngine, run_engine
from webhooks_server.ops import (
    LogConfig,
    OpsConfig,
    ServerTelemetry,
    SystemClock,
    configure_logs,
    open_ops,
)
from webhooks_server.ops.welcome import next_steps
from webhooks_server.ports import Clock, Stores, Telemetry
from webhooks_server.relay.http import open_relay
from webhooks_server.rpc.client.remote_relay import run_remote_relay
from webhooks_server.rpc.server import RunningServer, ServerInfo, open_server
from webhooks_server.services import build_services
from webhooks_server.settings import RelaySettings, Settings
from webhooks_server.storage.sql import open_sqlite

FILES_BESIDE_REQUESTS = 256
INTERRUPTED = 130


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Stores, what they are kept in, and whom to tell where this process listens."""

    stores: Stores
    kind: str
    announce: Callable[[str], None]


def run(settings: Settings) -> int:
    """Run a server until it is told to stop; returns the exit status."""
    raise_file_limit(settings.slots)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(serve(settings))


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then stop cleanly; a second one stops at once."""
    configure_logs(LogConfig(level=settings.log_level, json=settings.logs_json))
    stop = _stop_signal()
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


def run_relay(settings: RelaySettings) -> int:
    """Send for a server elsewhere until told to stop; returns the exit status."""
    raise_file_limit(settings.slots)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(relay(settings))


async def relay(settings: RelaySettings) -> int:
    """Send until SIGTERM or SIGINT, then stop cleanly; a second one stops at once."""
    configure_logs(LogConfig(level=settings.log_level, json=settings.logs_json))
    clock = SystemClock()
    telemetry = ServerTelemetry(clock)
    stop = _stop_signal()
    config = settings.remote_config(f"relay-{IdSource(clock.wall).uid().hex()}")
    telemetry.fact("relay.settings", settings=settings.chosen())
    telemetry.fact("relay.started", relay=config.relay, version=__version__, pid=os.getpid())
    async with open_relay(settings.relay_config(), clock) as sender:
        await run_remote_relay(config, sender, clock, telemetry, stop)
    telemetry.fact("relay.stopped")
    return 0


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[Running]:
    """Open all rooms in the order in which they need each other; close them in the other order."""
    clock = SystemClock()
    ids = IdSource(clock.wall)
    index = MatchIndex()
    engine_name = f"engine-{ids.uid().hex()}"
    async with AsyncExitStack() as rooms:
        # The first to come and the last to go: it says whether the others are there.
        ops = await rooms.enter_async_context(open_ops(_ops_config(settings), clock))
        telemetry = ops.telemetry
        storage = await rooms.enter_async_context(open_storage(settings, index, clock, telemetry))
        sender = await rooms.enter_async_context(open_relay(settings.relay_config(), clock))
        engine = await rooms.enter_async_context(
            run_engine(
                config=settings.engine_config(engine_name),
                stores=storage.stores,
                relay=sender if settings.relay else None,
                index=index,
                clock=clock,
                ids=ids,
                telemetry=telemetry,
            )
        )
        services = build_services(
            settings.services_config(), storage.stores, engine, index, clock, ids, telemetry
        )
        grace = Grace(clock, settings.stop_grace)
        rooms.push_async_callback(lambda: services.close(grace.left()))
        info = ServerInfo(
            version=__version__,
            server_id=engine_name,
            start_time=clock.wall(),
            features=(storage.kind, "relay") if settings.relay else (storage.kind,),
        )
        server = await rooms.enter_async_context(
            open_server(settings.server_config(), services, engine.relays, info, telemetry)
        )
        storage.announce(server.address)
        if ops.page is not None:
            ops.page.is_ready = server.is_serving
        # What exists now lives as long as the process: the collector need not look at it again. To
        # collect first would hold up the first calls, for next to nothing.
        gc.freeze()
        page = "" if ops.page is None else ops.page.address
        yield Running(server=server, engine=engine, telemetry=telemetry, page=page, grace=grace)


def _ops_config(settings: Settings) -> OpsConfig:
    return OpsConfig(
        listen=settings.ops_listen if settings.has_page else None,
        tenants=settings.metrics_tenants,
        traces=settings.traces,
    )


@asynccontextmanager
async def open_storage(
    settings: Settings, index: MatchIndex, clock: Clock, telemetry: Telemetry
) -> AsyncIterator[Storage]:
    """Open the storage that the settings name; only its driver is imported."""
    config = settings.postgres_config()
    if config is None:
        async with open_sqlite(settings.sqlite_config(), index, clock, telemetry) as opened:
            announce = opened.lock.announce
            yield Storage(stores=opened.stores, kind="sqlite", announce=announce)
        return
    from webhooks_server.storage.postgres import open_postgres  # noqa: PLC0415

    async with open_postgres(config, index, clock, telemetry) as stores:
        yield Storage(stores=stores, kind="postgresql", announce=lambda _: None)


def raise_file_limit(slots: int) -> None:
    """Raise the limit of open files as far as it goes; InvalidSettings where that is too low."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - does not exist everywhere

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = 2 * slots + FILES_BESIDE_REQUESTS
    if hard != resource.RLIM_INFINITY and hard < needed:
        message = f"{slots} slots need {needed} open files, the limit is {hard} (ulimit -n)"
        raise InvalidSettings(message)


def _stop_signal() -> asyncio.Event:
    """Return what is set by the first SIGTERM or SIGINT; the second one ends the process."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(INTERRUPTED if number is signal.SIGINT else 1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)
    return stop


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - does not exist everywhere

    return uvloop.new_event_loop
