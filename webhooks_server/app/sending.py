"""What takes deliveries from a database and sends them: storage, engine, and what tells of them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.engine import RunningEngine, run_engine
from webhooks_server.ops import OpsConfig, ServerTelemetry, SystemClock, open_ops
from webhooks_server.ops.page import Page
from webhooks_server.ports import Clock, Stores, Telemetry
from webhooks_server.relay.http import open_relay
from webhooks_server.settings import SendingSettings
from webhooks_server.storage.sql import open_sqlite


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Stores, what they are kept in, and whom to tell where this process listens."""

    stores: Stores
    kind: str
    announce: Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """An engine that runs, and what it stands on."""

    clock: SystemClock
    ids: IdSource
    index: MatchIndex
    name: str
    telemetry: ServerTelemetry
    page: Page | None
    storage: Storage
    engine: RunningEngine

    def tell_page(self) -> None:
        """Say where the operations page is."""
        if self.page is not None:
            self.telemetry.fact("page.serving", address=self.page.address)


@asynccontextmanager
async def open_sender(
    settings: SendingSettings, kind: str, *, sends: bool = True, transient: bool = False
) -> AsyncIterator[Sender]:
    """Open storage and engine in the order in which they need each other.

    `kind` begins the engine's name. Without `sends` it leaves the requests to attached relays; one
    that is transient is gone soon. Raises StartError.
    """
    clock = SystemClock()
    ids = IdSource(clock.wall)
    index = MatchIndex()
    name = f"{kind}-{ids.uid().hex()}"
    async with AsyncExitStack() as rooms:
        # The first to come and the last to go: it says whether the others are there.
        ops = await rooms.enter_async_context(open_ops(ops_config(settings), clock))
        telemetry = ops.telemetry
        storage = await rooms.enter_async_context(open_storage(settings, index, clock, telemetry))
        relay = await rooms.enter_async_context(open_relay(settings.relay_config(), clock))
        engine = await rooms.enter_async_context(
            run_engine(
                config=replace(settings.engine_config(name), transient=transient, sends=sends),
                stores=storage.stores,
                # Who owns a file makes relay passes for it (EC11); of several servers on a
                # database, those that shall not send may have no way to receivers.
                relay=relay if sends or storage.kind == "sqlite" else None,
                index=index,
                clock=clock,
                ids=ids,
                telemetry=telemetry,
            )
        )
        yield Sender(
            clock=clock,
            ids=ids,
            index=index,
            name=name,
            telemetry=telemetry,
            page=ops.page,
            storage=storage,
            engine=engine,
        )


@asynccontextmanager
async def open_storage(
    settings: SendingSettings, index: MatchIndex, clock: Clock, telemetry: Telemetry
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


def ops_config(settings: SendingSettings) -> OpsConfig:
    """Return what operators shall be shown."""
    return OpsConfig(
        listen=settings.ops_listen if settings.has_page else None,
        tenants=settings.metrics_tenants,
        traces=settings.traces,
    )
