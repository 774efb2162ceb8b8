"""A stream of events for asyncio, which outlives the connections it goes over."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING

import grpc

from webhooks.v1 import publisher_service_pb2 as pb
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks_client.channel import CallDefaults
from webhooks_client.errors import WebhooksError, closed
from webhooks_client.events import Event
from webhooks_client.retry import Tries
from webhooks_client.status import error_of
from webhooks_client.window import StreamResult, Window, broken_off

if TYPE_CHECKING:
    # It exists in the stubs alone.
    from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceAsyncStub

    Stub = PublisherServiceAsyncStub
else:
    Stub = PublisherServiceStub


class AsyncStream:
    """Sends events over one stream after the other until each is acknowledged."""

    def __init__(
        self,
        stub: Stub,
        defaults: CallDefaults,
        is_closed: Callable[[], bool],
        timeout: float | None,
        traceparent: str | None,
    ) -> None:
        """Take the connection, and what AsyncWebhooksClient.publish_stream takes."""
        self._stub = stub
        self._defaults = defaults
        self._is_closed = is_closed
        self._timeout = timeout
        self._metadata = defaults.metadata(traceparent)
        self._window = Window(defaults.tenant)
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._opened = asyncio.Event()
        self._number = 0
        self._tries: Tries | None = None

    async def results(
        self, events: Iterable[Event] | AsyncIterable[Event]
    ) -> AsyncGenerator[StreamResult, None]:
        """Yield what became of each event, in their order."""
        # Not a task group: one may not be left open across a yield.
        feeding = asyncio.get_running_loop().create_task(self._feed(events))
        try:
            while await self._has_more():
                failure: WebhooksError | None = None
                self._opened = asyncio.Event()
                call = self._stub.StreamingPublish(
                    self._requests(self._number), metadata=self._metadata
                )
                try:
                    async for response in call:
                        self._opened.set()
                        for result in self._window.results(response):
                            self._tries = None
                            self._room.set()
                            yield result
                except asyncio.CancelledError:
                    # Closing the client ends the call so, and so does grpc where the connection
                    # breaks just when the last event was sent.
                    if is_being_cancelled():
                        raise
                except grpc.RpcError as cause:
                    failure = error_of(cause)
                finally:
                    call.cancel()
                    self._end_requests()
                if self._window:
                    await self._pause_after(broken_off(failure))
            await feeding
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    async def _feed(self, events: Iterable[Event] | AsyncIterable[Event]) -> None:
        try:
            async for event in _each(events):
                while self._window.is_full:
                    self._room.clear()
                    await self._room.wait()
                self._window.add(event)
                self._changed.set()
        finally:
            self._window.is_closed = True
            self._changed.set()

    async def _has_more(self) -> bool:
        """Wait for an event that is not acknowledged; False where there will be none."""
        while not self._window:
            if self._window.is_closed:
                return False
            self._changed.clear()
            await self._changed.wait()
        if self._is_closed():
            raise closed()
        return True

    async def _requests(self, number: int) -> AsyncIterator[pb.StreamingPublishRequest]:
        """Yield the messages of a stream, until it is not the latest one any more."""
        if number == self._number:
            yield self._window.rewind()
        # What is written to a stream that the server ends takes the place of the server's reason,
        # and the reasons that matter come in the place of this answer.
        await self._opened.wait()
        while number == self._number:
            request = self._window.next_request()
            if request is not None:
                yield request
            elif self._window.is_closed:
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    def _end_requests(self) -> None:
        """Let the requests of a stream that is over come to their end: grpc waits for them."""
        self._number += 1
        self._opened.set()
        self._changed.set()

    async def _pause_after(self, failure: WebhooksError) -> None:
        if self._is_closed():
            raise closed()
        if self._tries is None:
            self._tries = self._defaults.tries_of_stream(self._timeout)
        pause = self._tries.pause_after(failure)
        if pause is None:
            raise failure
        await asyncio.sleep(pause)


def is_being_cancelled() -> bool:
    """Tell whether the owner of this task cancels it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _each(events: Iterable[Event] | AsyncIterable[Event]) -> AsyncIterator[Event]:
    if isinstance(events, AsyncIterable):
        async for event in events:
            yield event
    else:
        for event in events:
            yield event
