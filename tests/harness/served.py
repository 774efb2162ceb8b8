"""A whole server in this process: a real database file, engine, relay and channel."""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from tests.harness.egress import HERE
from tests.harness.world import Faults
from webhooks.v1.admin_service_pb2_grpc import AdminServiceStub
from webhooks.v1.delivery_service_pb2_grpc import DeliveryServiceStub
from webhooks.v1.event_service_pb2_grpc import EventServiceStub
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.relay_service_pb2_grpc import RelayServiceStub
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from webhooks_server.domain.egress import EgressPolicy
from webhooks_server.domain.ids import IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.engine import EngineConfig, RunningEngine, run_engine
from webhooks_server.ops import SystemClock
from webhooks_server.ports import Stores
from webhooks_server.relay.http import RelayConfig, open_relay
from webhooks_server.rpc.server import RunningServer, ServerConfig, ServerInfo, open_server
from webhooks_server.services import Services, ServicesConfig, build_services
from webhooks_server.storage.postgres import PostgresConfig, open_postgres
from webhooks_server.storage.sql import SqliteConfig, open_sqlite

if TYPE_CHECKING:
    # They exist in the stubs alone.
    from webhooks.v1.admin_service_pb2_grpc import AdminServiceAsyncStub
    from webhooks.v1.delivery_service_pb2_grpc import DeliveryServiceAsyncStub
    from webhooks.v1.event_service_pb2_grpc import EventServiceAsyncStub
    from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceAsyncStub
    from webhooks.v1.relay_service_pb2_grpc import RelayServiceAsyncStub
    from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceAsyncStub

PARENT = "tenants/default"
POLICY = HERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server, and everything a test may want to reach around it."""

    server: RunningServer
    services: Services
    stores: Stores
    telemetry: Faults
    channel: grpc.aio.Channel
    subscriptions: "SubscriptionServiceAsyncStub"
    publisher: "PublisherServiceAsyncStub"
    events: "EventServiceAsyncStub"
    deliveries: "DeliveryServiceAsyncStub"
    admin: "AdminServiceAsyncStub"
    relays: "RelayServiceAsyncStub"
    engine: RunningEngine

    @property
    def address(self) -> str:
        return self.server.address

    async def raw(self, method: str, data: bytes) -> bytes:
        """Call a unary method, such as `/webhooks.v1.PublisherService/Publish`, with bytes."""
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        call = self.channel.unary_unary(method, None, None)
        return await call(data, timeout=10)


@contextlib.asynccontextmanager
async def open_served(
    data_dir: Path,
    *,
    egress: EgressPolicy = POLICY,
    front: Callable[[Stores], Stores] = lambda stores: stores,
    telemetry: Faults | None = None,
    sends: bool = True,
    engine: str = "engine-1",
    database: PostgresConfig | None = None,
    **changes: object,
) -> AsyncIterator[Served]:
    """Open a server on a free port; `changes` go into its ServerConfig.

    `front` may put something between the use cases and the stores; the engine has the stores, and
    a relay of its own where it `sends`. With a `database` it has that instead of a file.
    """
    clock, index, telemetry = SystemClock(), MatchIndex(), telemetry or Faults()
    ids = IdSource(clock.wall)
    config = ServerConfig(**{"listen": "127.0.0.1:0", **changes})  # type: ignore[arg-type]
    info = ServerInfo(version="1.2.3", server_id=f"test-{os.getpid()}", start_time=clock.wall())
    engine_config = EngineConfig(engine=engine, user_agent="test/1")
    async with contextlib.AsyncExitStack() as rooms:
        enter = rooms.enter_async_context
        if database is not None:
            stores = await enter(open_postgres(database, index, clock, telemetry))
        else:
            sqlite = SqliteConfig(data_dir=data_dir)
            stores = (await enter(open_sqlite(sqlite, index, clock, telemetry))).stores
        relay = await enter(open_relay(RelayConfig(egress=HERE), clock))
        running = await enter(
            run_engine(
                config=engine_config,
                stores=stores,
                relay=relay if sends else None,
                index=index,
                clock=clock,
                ids=ids,
                telemetry=telemetry,
            )
        )
        services_config = ServicesConfig(egress=egress, max_payload_bytes=config.max_payload_bytes)
        services = build_services(
            services_config, front(stores), running, index, clock, ids, telemetry
        )
        rooms.push_async_callback(services.close)
        server = await enter(open_server(config, services, running.relays, info, telemetry))
        channel = await enter(grpc.aio.insecure_channel(server.address))
        yield Served(
            server=server,
            services=services,
            stores=stores,
            telemetry=telemetry,
            channel=channel,
            subscriptions=SubscriptionServiceStub(channel),
            publisher=PublisherServiceStub(channel),
            events=EventServiceStub(channel),
            deliveries=DeliveryServiceStub(channel),
            admin=AdminServiceStub(channel),
            relays=RelayServiceStub(channel),
            engine=running,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A failed call, taken apart."""

    code: grpc.StatusCode
    message: str
    request_id: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str]
    details: dict[str, Message]

    @property
    def fields(self) -> dict[str, str]:
        """The violations by field."""
        request = self.details.get("BadRequest")
        assert isinstance(request, error_details_pb2.BadRequest), self
        return {one.field: one.description for one in request.field_violations}


async def refused(call: Awaitable[Message]) -> Refusal:
    """Await a call that must fail, and return how."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    raise AssertionError(f"was answered: {answer}")


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """Take a failed call apart."""
    trailing = dict(error.trailing_metadata() or ())
    status = status_pb2.Status()
    packed = trailing.get("grpc-status-details-bin")
    if isinstance(packed, bytes):
        status.ParseFromString(packed)
    details: dict[str, Message] = {}
    for detail in status.details:
        kind = getattr(error_details_pb2, detail.TypeName().rpartition(".")[2])
        unpacked = kind.FromString(detail.value)
        # AIP-193: one of each type at most.
        assert kind.__name__ not in details
        details[kind.__name__] = unpacked
    info = details.get("ErrorInfo")
    return Refusal(
        code=error.code(),
        message=error.details() or "",
        request_id=str(trailing.get("x-request-id", "")),
        reason=info.reason if isinstance(info, error_details_pb2.ErrorInfo) else "",
        domain=info.domain if isinstance(info, error_details_pb2.ErrorInfo) else "",
        metadata=dict(info.metadata) if isinstance(info, error_details_pb2.ErrorInfo) else {},
        details=details,
    )
