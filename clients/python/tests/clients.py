"""Both clients behind one face, so that one test holds both to the same."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol, Unpack

import grpc

from webhooks.v1 import admin_service_pb2 as admin
from webhooks.v1 import event_pb2
from webhooks.v1 import event_service_pb2 as events
from webhooks.v1 import publisher_service_pb2 as publisher
from webhooks_client import (
    AsyncWebhooksClient,
    Event,
    EventFields,
    Published,
    StreamResult,
    WebhooksClient,
)


class Client(Protocol):
    """What both can do."""

    async def publish(
        self,
        event_type: str,
        data: object,
        *,
        event_id: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as the client's own
        traceparent: str | None = None,
        **fields: Unpack[EventFields],
    ) -> Published: ...

    async def publish_batch(
        self,
        events: Iterable[Event],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as the client's own
        traceparent: str | None = None,
    ) -> tuple[Published, ...]: ...

    async def stream(
        self,
        events: Iterable[Event],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> list[StreamResult]:
        """Publish over a stream to its end."""
        ...

    async def publish_once(self, request: publisher.PublishRequest) -> publisher.PublishResponse:
        """Call the stub."""
        ...

    async def stored(self, name: str) -> event_pb2.Event:
        """Read an event back through the stub."""
        ...

    async def server_version(self) -> str:
        """Ask through the stub."""
        ...

    async def audit(self) -> admin.AuditResponse:
        """Count everything."""
        ...

    async def close(self) -> None: ...


class Asynchronous(AsyncWebhooksClient):
    async def stream(
        self,
        events: Iterable[Event],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> list[StreamResult]:
        return [result async for result in self.publish_stream(events, timeout=timeout)]

    async def publish_once(self, request: publisher.PublishRequest) -> publisher.PublishResponse:
        return await self.call(self.publisher.Publish, request)

    async def stored(self, name: str) -> event_pb2.Event:
        request = events.GetEventRequest(name=name)
        return (await self.call(self.events.GetEvent, request)).event

    async def server_version(self) -> str:
        request = admin.GetServerInfoRequest()
        return (await self.call(self.admin.GetServerInfo, request)).version

    async def audit(self) -> admin.AuditResponse:
        return await self.call(self.admin.Audit, admin.AuditRequest())


class InThread:
    """The synchronous client, each call in a thread."""

    def __init__(self, client: WebhooksClient) -> None:
        self.client = client

    async def publish(
        self,
        event_type: str,
        data: object,
        *,
        event_id: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as the client's own
        traceparent: str | None = None,
        **fields: Unpack[EventFields],
    ) -> Published:
        return await asyncio.to_thread(
            lambda: self.client.publish(
                event_type,
                data,
                event_id=event_id,
                timeout=timeout,
                traceparent=traceparent,
                **fields,
            )
        )

    async def publish_batch(
        self,
        events: Iterable[Event],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as the client's own
        traceparent: str | None = None,
    ) -> tuple[Published, ...]:
        return await asyncio.to_thread(
            self.client.publish_batch, events, timeout=timeout, traceparent=traceparent
        )

    async def stream(
        self,
        events: Iterable[Event],
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> list[StreamResult]:
        return await asyncio.to_thread(
            lambda: list(self.client.publish_stream(events, timeout=timeout))
        )

    async def publish_once(self, request: publisher.PublishRequest) -> publisher.PublishResponse:
        return await asyncio.to_thread(self.client.call, self.client.publisher.Publish, request)

    async def stored(self, name: str) -> event_pb2.Event:
        request = events.GetEventRequest(name=name)
        found = await asyncio.to_thread(self.client.call, self.client.events.GetEvent, request)
        return found.event

    async def server_version(self) -> str:
        request = admin.GetServerInfoRequest()
        answer = await asyncio.to_thread(self.client.call, self.client.admin.GetServerInfo, request)
        return answer.version

    async def audit(self) -> admin.AuditResponse:
        request = admin.AuditRequest()
        return await asyncio.to_thread(self.client.call, self.client.admin.Audit, request)

    async def close(self) -> None:
        await asyncio.to_thread(self.client.close)


Connect = Callable[..., AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def connect_async(
    target: str,
    *,
    token: str | None = None,
    tenant: str = "default",
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[Client]:
    async with Asynchronous(target, token=token, tenant=tenant, credentials=credentials) as client:
        yield client


@asynccontextmanager
async def connect_sync(
    target: str,
    *,
    token: str | None = None,
    tenant: str = "default",
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[Client]:
    with WebhooksClient(target, token=token, tenant=tenant, credentials=credentials) as client:
        yield InThread(client)
