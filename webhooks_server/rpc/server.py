"""The gRPC server: opened, watched, and ended in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import cast

import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from webhooks_server.domain.bounds import MAX_PAYLOAD_BYTES
from webhooks_server.domain.errors import StartError
from webhooks_server.engine.relays import Relays
from webhooks_server.ports import Telemetry
from webhooks_server.rpc.admission import Admission
from webhooks_server.rpc.call import Context
from webhooks_server.rpc.handlers import (
    contract_handlers,
    health_handler,
    reflection_handlers,
    service_names,
)
from webhooks_server.rpc.info import MAX_MESSAGE_BYTES, ServerInfo, limits_of
from webhooks_server.rpc.lease_tokens import LeaseTokens
from webhooks_server.rpc.pages import Pages
from webhooks_server.rpc.relay_service import RelayServicer
from webhooks_server.rpc.streams import LONGEST_STREAM_SECONDS, OpenStreams
from webhooks_server.rpc.streams import MAX_STREAMS as MAX_PUBLISH_STREAMS
from webhooks_server.rpc.tokens import PageTokens
from webhooks_server.rpc.wall import Wall
from webhooks_server.services import Services

__all__ = ["RunningServer", "ServerConfig", "ServerInfo", "open_server"]

MAX_STREAMS = 100
"""Reflection streams at once, and health watches; each holds its place for as long as it likes."""
MAX_CHECKS = 1000
PART_OF_GRACE = 5 / 6
"""A publish stream gets no older than this part of the grace, so that no connection cuts it off."""
_STOP_SECONDS = 5.0
_LINGER_SECONDS = 0.15
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where the server listens (`host:port`, port 0 for a free one), and what it bears.

    A second server on a port fails, but where it `shares_port`: then it shares its calls. Callers
    are sent to a new connection after `connection_age` seconds, 0 for never, and the old one is cut
    off `connection_grace` seconds later.
    """

    listen: str
    shares_port: bool = False
    connection_age: float = 300.0
    connection_grace: float = 60.0
    reflection: bool = True
    max_concurrent_calls: int = 1000
    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    kept_response_bytes: int = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that answers at this address."""

    address: str
    port: int
    health: health_aio.HealthServicer
    calls: Admission
    streams: Admission
    publish_streams: OpenStreams

    async def is_serving(self) -> bool:
        """Tell what the health service answers for the server as a whole."""
        answer = await self.health.Check(
            # It looks at its context only where a service is not known.
            health_pb2.HealthCheckRequest(),
            cast("Context", None),
        )
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def drain(self, grace: float, delay: float = 0.0) -> bool:
        """Report NOT_SERVING, then refuse new calls and wait for those that run.

        Load balancers get `delay` seconds to notice, the calls `grace` seconds to end; tells
        whether all have ended. Publish streams are told to end.
        """
        await self.health.enter_graceful_shutdown()
        await asyncio.sleep(delay)
        self.streams.close()
        self.calls.close()
        self.publish_streams.close()
        idle = (self.calls.wait_idle(grace), self.publish_streams.admission.wait_idle(grace))
        ended = all(await asyncio.gather(*idle))
        # gRPC cuts off what it has received and not handed over. So what is under way when the door
        # closes still gets here, and is told that it may be repeated elsewhere.
        await asyncio.sleep(_LINGER_SECONDS)
        return ended


@asynccontextmanager
async def open_server(
    config: ServerConfig,
    services: Services,
    relays: Relays,
    info: ServerInfo,
    telemetry: Telemetry,
) -> AsyncIterator[RunningServer]:
    """Serve the use cases until the context ends; raises StartError where the address is taken.

    Who ends the context without drain() cuts off the calls that run.
    """
    calls, streams = Admission(config.max_concurrent_calls), Admission(MAX_STREAMS)
    publish_streams = OpenStreams(
        PART_OF_GRACE * config.connection_grace if config.connection_age else LONGEST_STREAM_SECONDS
    )
    health = health_aio.HealthServicer()
    server = grpc.aio.server(options=_options(config))
    key = await services.admin.page_token_key()
    server.add_generic_rpc_handlers(
        contract_handlers(
            services,
            replace(info, limits=limits_of(config.max_payload_bytes, config.max_concurrent_calls)),
            Pages(PageTokens(key)),
            _relaying(config, relays, key),
            Wall(calls, telemetry, "calls"),
            publish_streams,
            telemetry,
        )
    )
    _add_tools(server, config, health, streams, telemetry)
    readiness = services.admin.readiness()
    await _report(health, ready=await anext(readiness))
    port = _bound(server, config.listen)
    await server.start()
    host = config.listen.rpartition(":")[0]
    reporting = asyncio.create_task(_keep_reporting(health, readiness), name="health")
    try:
        yield RunningServer(
            address=f"{host}:{port}",
            port=port,
            health=health,
            calls=calls,
            streams=streams,
            publish_streams=publish_streams,
        )
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        await server.stop(None)
        await _idle(calls, publish_streams)


async def _idle(calls: Admission, publish_streams: OpenStreams) -> None:
    # gRPC does not wait for the methods that it cancels; what they use is closed after this.
    calls.close()
    publish_streams.close()
    await calls.wait_idle(_STOP_SECONDS)
    await publish_streams.admission.wait_idle(_STOP_SECONDS)


def _relaying(config: ServerConfig, relays: Relays, key: bytes) -> RelayServicer:
    tokens = LeaseTokens(key)
    return RelayServicer(relays, tokens, config.kept_response_bytes, config.connection_age)


def _add_tools(
    server: grpc.aio.Server,
    config: ServerConfig,
    health: health_aio.HealthServicer,
    streams: Admission,
    telemetry: Telemetry,
) -> None:
    # Of their own: a server that is busy, or on its way out, still says so.
    checks = Wall(Admission(MAX_CHECKS), telemetry, "health_checks")
    watches = Wall(Admission(MAX_STREAMS), telemetry, "health_watches")
    server.add_generic_rpc_handlers([health_handler(health, checks, watches)])
    if config.reflection:
        server.add_generic_rpc_handlers(reflection_handlers(Wall(streams, telemetry, "reflection")))


def _options(config: ServerConfig) -> list[tuple[str, int]]:
    # Our own answer shall come first: a stream that gRPC refuses fails without a reason or details,
    # and a new connection opens as many as it likes before it has heard of a bound.
    most_streams = config.max_concurrent_calls + MAX_CHECKS + MAX_STREAMS + MAX_PUBLISH_STREAMS
    ages = {"age": config.connection_age, "age_grace": config.connection_grace}
    # Moves long-lived connections to new servers, and drops clients that lost their rights.
    aging = [(f"grpc.max_connection_{name}_ms", round(1000 * ages[name])) for name in ages]
    return [
        *_OPTIONS,
        *(aging if config.connection_age else ()),
        ("grpc.so_reuseport", int(config.shares_port)),
        ("grpc.max_concurrent_streams", most_streams),
    ]


async def _keep_reporting(
    health: health_aio.HealthServicer, readiness: AsyncIterator[bool]
) -> None:
    async for ready in readiness:
        await _report(health, ready=ready)


async def _report(health: health_aio.HealthServicer, *, ready: bool) -> None:
    status = health_pb2.HealthCheckResponse
    for name in ("", *service_names()):
        await health.set(name, status.SERVING if ready else status.NOT_SERVING)


def _bound(server: grpc.aio.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError:
        # Its text is about sockets; the reason is nearly always the same.
        raise StartError(f"cannot listen on {address}: is another server running there?") from None
