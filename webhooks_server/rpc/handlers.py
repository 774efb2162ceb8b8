"""The methods that a server answers, each behind the wall."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import cast

import grpc
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection_pb2

from webhooks.v1 import (
    admin_service_pb2,
    delivery_service_pb2,
    event_service_pb2,
    publisher_service_pb2,
    relay_service_pb2,
    subscription_service_pb2,
)
from webhooks_server.ports import Telemetry
from webhooks_server.rpc.admin_service import AdminServicer
from webhooks_server.rpc.call import Call, Context
from webhooks_server.rpc.delivery_service import DeliveryServicer
from webhooks_server.rpc.event_service import EventServicer
from webhooks_server.rpc.info import ServerInfo
from webhooks_server.rpc.pages import Pages
from webhooks_server.rpc.publisher_service import PublisherServicer
from webhooks_server.rpc.reflection import ALPHA, METHOD, STABLE, open_reflection
from webhooks_server.rpc.relay_service import RelayServicer
from webhooks_server.rpc.streams import MAX_UNSTORED_BYTES, OpenStreams
from webhooks_server.rpc.subscription_service import SubscriptionServicer
from webhooks_server.rpc.wall import Handler, Wall
from webhooks_server.services import Services

FILES: Sequence[FileDescriptor] = (
    # The first is looked up first: publishing is what is called most.
    publisher_service_pb2.DESCRIPTOR,
    subscription_service_pb2.DESCRIPTOR,
    event_service_pb2.DESCRIPTOR,
    delivery_service_pb2.DESCRIPTOR,
    admin_service_pb2.DESCRIPTOR,
    relay_service_pb2.DESCRIPTOR,
)
ATTACH_RELAY = "AttachRelay"
ReflectionMethod = Callable[
    [AsyncIterator[reflection_pb2.ServerReflectionRequest], Context],
    AsyncIterator[reflection_pb2.ServerReflectionResponse],
]


def service_names() -> list[str]:
    """Return the full names of the contract's services."""
    return [service.full_name for service in _services()]


def contract_handlers(
    services: Services,
    info: ServerInfo,
    pages: Pages,
    relays: RelayServicer,
    wall: Wall,
    streams: OpenStreams,
    telemetry: Telemetry,
) -> list[grpc.GenericRpcHandler]:
    """Return the handlers of the contract's services."""
    servicers = (
        PublisherServicer(services, streams, telemetry),
        SubscriptionServicer(services, pages),
        EventServicer(services, pages),
        DeliveryServicer(services, pages),
        AdminServicer(services, info),
        relays,
    )
    stream_wall = Wall(streams.admission, telemetry, "publish_streams")
    telemetry.watch("stream_bytes", lambda: streams.unstored_bytes, bound=MAX_UNSTORED_BYTES)

    def guard(method: MethodDescriptor) -> Callable[..., Handler]:
        if not method.client_streaming:
            return wall.unary
        # A relay's stream ends when it has nothing more in hand, as a call does.
        return wall.stream if method.name == ATTACH_RELAY else stream_wall.stream

    return [
        grpc.method_handlers_generic_handler(
            service.full_name,
            {
                method.name: guard(method)(
                    method.full_name,
                    GetMessageClass(method.input_type).FromString,
                    getattr(servicer, method.name),
                )
                for method in service.methods
            },
        )
        for service, servicer in zip(_services(), servicers, strict=True)
    ]


def health_handler(
    servicer: health_aio.HealthServicer, checks: Wall, watches: Wall
) -> grpc.GenericRpcHandler:
    """Return the handlers of the health service."""

    async def check(
        request: health_pb2.HealthCheckRequest, call: Call
    ) -> health_pb2.HealthCheckResponse:
        return await servicer.Check(request, call.context)

    parse = health_pb2.HealthCheckRequest.FromString
    return grpc.method_handlers_generic_handler(
        HEALTH,
        {
            "Check": checks.unary(f"{HEALTH}.Check", parse, check),
            "Watch": watches.unary_stream(f"{HEALTH}.Watch", parse, servicer.Watch),
        },
    )


def reflection_handlers(wall: Wall) -> list[grpc.GenericRpcHandler]:
    """Return the handlers of server reflection under both of its names."""
    servicer = open_reflection([*service_names(), HEALTH])
    # Its stub calls it a coroutine; it is a generator.
    behavior = cast("ReflectionMethod", servicer.ServerReflectionInfo)
    parse = reflection_pb2.ServerReflectionRequest.FromString
    return [
        grpc.method_handlers_generic_handler(
            name, {METHOD: wall.stream_stream(f"{name}.{METHOD}", parse, behavior)}
        )
        for name in (STABLE, ALPHA)
    ]


def _services() -> Iterator[ServiceDescriptor]:
    for file in FILES:
        yield from file.services_by_name.values()
