"""The client for threads."""

import threading
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Self, TypeVar, Unpack

import grpc

from webhooks.v1.admin_service_pb2_grpc import AdminServiceStub
from webhooks.v1.delivery_service_pb2_grpc import DeliveryServiceStub
from webhooks.v1.event_service_pb2_grpc import EventServiceStub
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
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
from webhooks_client.sync_stream import SyncStream
from webhooks_client.window import StreamResult

Request = TypeVar("Request")
Response = TypeVar("Response")


class WebhooksClient:
    """One connection to a webhooks server. Threads may share it; make it after a fork.

    What it does is what AsyncWebhooksClient does.
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
        """Take what AsyncWebhooksClient takes."""
        self._defaults = CallDefaults(tenant=tenant, token=token, timeout=timeout, retry=retry)
        self._closed = threading.Event()
        options = channel_options(target, secure=credentials is not None)
        self._channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )
        self.admin = AdminServiceStub(self._channel)
        self.deliveries = DeliveryServiceStub(self._channel)
        self.events = EventServiceStub(self._channel)
        self.publisher = PublisherServiceStub(self._channel)
        self.subscriptions = SubscriptionServiceStub(self._channel)

    def publish(
        self,
        event_type: str,
        data: object,
        *,
        event_id: str | None = None,
        timeout: float | None = None,
        traceparent: str | None = None,
        **fields: Unpack[EventFields],
    ) -> Published:
        """Publish one event, described in Event; it is on disk when this returns."""
        event = Event(event_type=event_type, data=data, event_id=event_id or "", **fields)
        request = publish_request(self._defaults.tenant, event)
        tries = self._defaults.tries(timeout, repeat=True)
        return published(self._run(self.publisher.Publish, request, tries, traceparent))

    def publish_batch(
        self,
        events: Iterable[Event],
        *,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> tuple[Published, ...]:
        """Publish 1 to 500 events with at most 3 MiB of payloads: all are stored, or none."""
        request = batch_request(self._defaults.tenant, events)
        tries = self._defaults.tries(timeout, repeat=True)
        response = self._run(self.publisher.BatchPublish, request, tries, traceparent)
        return tuple(published(result) for result in response.results)

    def publish_stream(
        self,
        events: Iterable[Event],
        *,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> Generator[StreamResult, None, None]:
        """Publish any number of events over a stream; yields what became of each, in their order.

        The events are taken in a thread of its own, as fast as they are acknowledged.
        """
        stream = SyncStream(self.publisher, self._defaults, self._closed, timeout, traceparent)
        return stream.results(events)

    def call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        *,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> Response:
        """Call a method of a stub with the client's deadline and token, and its errors."""
        tries = self._defaults.tries(timeout, repeat=False)
        return self._run(method, request, tries, traceparent)

    def close(self) -> None:
        """Close the connection; calls that run fail with ClientClosed."""
        self._closed.set()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        tries: Tries,
        traceparent: str | None,
    ) -> Response:
        metadata = self._defaults.metadata(traceparent)
        while not self._closed.is_set():
            try:
                return method(request, timeout=tries.remaining(), metadata=metadata)
            except grpc.RpcError as cause:
                failure = error_of(cause)
                if self._closed.is_set() and failure.code is grpc.StatusCode.CANCELLED:
                    break
                pause = tries.pause_after(failure)
                if pause is None:
                    raise failure from cause
            except ValueError:
                # What grpc raises where another thread closed the channel just now.
                if not self._closed.is_set():
                    raise
                break
            self._closed.wait(pause)
        raise closed()
