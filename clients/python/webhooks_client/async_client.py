"""The client for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from webhooks.v1.admin_service_pb2_grpc import AdminServiceStub
from webhooks.v1.delivery_service_pb2_grpc import DeliveryServiceStub
from webhooks.v1.event_service_pb2_grpc import EventServiceStub
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from webhooks_client.async_stream import AsyncStream, is_being_cancelled
from webhooks_client.channel import (
    DEFAULT_TARGET,
    DEFAULT_TIMEOUT,
    CallDefaults,
    channel_options,
)
from webhooks_client.errors import closed
from webhooks_client.events import Event, EventFields, Published
from webhooks_client.messages import batch_request, publish_request, published
from webhooks_client.retry import DEFAULT_RETRY, RetryPolicy, Tries
from webhooks_client.status import error_of
from webhooks_client.window import StreamResult

Request = TypeVar("Request")
Response = TypeVar("Response")


class AsyncWebhooksClient:
    """One connection to a webhooks server. Make it in the event loop that uses it.

    Everything but publishing goes over the stubs `subscriptions`, `events`, `deliveries`, `admin`
    and `publisher`, best through `call`.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        tenant: str = "default",
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retry: RetryPolicy = DEFAULT_RETRY,
    ) -> None:
        """Take the server as `host:port`, or `dns:///host:port` for all servers of a name.

        Without credentials, such as `grpc.ssl_channel_credentials()`, all goes in plain text, the
        token too. Timeout in seconds holds for each call that names none.
        """
        self._defaults = CallDefaults(tenant=tenant, token=token, timeout=timeout, retry=retry)
        self._closed = asyncio.Event()
        options = channel_options(target, secure=credentials is not None)
        self._channel = (
            grpc.aio.insecure_channel(target, options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options)
        )
        self.admin = AdminServiceStub(self._channel)
        self.deliveries = DeliveryServiceStub(self._channel)
        self.events = EventServiceStub(self._channel)
        self.publisher = PublisherServiceStub(self._channel)
        self.subscriptions = SubscriptionServiceStub(self._channel)

    async def publish(
        self,
        event_type: str,
        data: object,
        *,
        event_id: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - also the deadline that the server is told
        traceparent: str | None = None,
        **fields: Unpack[EventFields],
    ) -> Published:
        """Publish one event, described in Event; it is on disk when this returns.

        Tries again while no server is available. The event has its id before the first try, so that
        it is stored once.
        """
        event = Event(event_type=event_type, data=data, event_id=event_id or "", **fields)
        request = publish_request(self._defaults.tenant, event)
        tries = self._defaults.tries(timeout, repeat=True)
        return published(await self._run(self.publisher.Publish, request, tries, traceparent))

    async def publish_batch(
        self,
        events: Iterable[Event],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as in publish
        traceparent: str | None = None,
    ) -> tuple[Published, ...]:
        """Publish 1 to 500 events with at most 3 MiB of payloads: all are stored, or none.

        Tries again like publish. The results are in the order of the events.
        """
        request = batch_request(self._defaults.tenant, events)
        tries = self._defaults.tries(timeout, repeat=True)
        response = await self._run(self.publisher.BatchPublish, request, tries, traceparent)
        return tuple(published(result) for result in response.results)

    def publish_stream(
        self,
        events: Iterable[Event] | AsyncIterable[Event],
        *,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> AsyncGenerator[StreamResult, None]:
        """Publish any number of events over a stream; yields what became of each, in their order.

        A Published is on disk. A Refused never will be, and those around it go on. Streams that
        break are opened anew, and what was not acknowledged is sent again, so that each event is
        stored once. That many events are held in memory at most: 1,000, or 4 MiB. `timeout` bounds
        the time without a server. What the events raise, or data that cannot be JSON, is raised
        here once all before it are acknowledged.
        """
        stream = AsyncStream(
            self.publisher, self._defaults, self._closed.is_set, timeout, traceparent
        )
        return stream.results(events)

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as in publish
        traceparent: str | None = None,
    ) -> Response:
        """Call a method of a stub with the client's deadline and token, and its errors."""
        tries = self._defaults.tries(timeout, repeat=False)
        return await self._run(method, request, tries, traceparent)

    async def close(self) -> None:
        """Close the connection; calls that run fail with ClientClosed."""
        self._closed.set()
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        tries: Tries,
        traceparent: str | None,
    ) -> Response:
        metadata = self._defaults.metadata(traceparent)
        while not self._closed.is_set():
            try:
                return await method(request, timeout=tries.remaining(), metadata=metadata)
            except asyncio.CancelledError:
                # Closing cancels the calls inside grpc, and not the tasks that wait for them.
                if not self._closed.is_set() or is_being_cancelled():
                    raise
                break
            except grpc.RpcError as cause:
                failure = error_of(cause)
                pause = tries.pause_after(failure)
                if pause is None:
                    raise failure from cause
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), pause)
        raise closed()
