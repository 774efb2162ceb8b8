"""A stream of events for threads, which outlives the connections it goes over."""

import threading
from collections.abc import Generator, Iterable, Iterator

import grpc

from webhooks.v1 import publisher_service_pb2 as pb
from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceStub
from webhooks_client.channel import CallDefaults
from webhooks_client.errors import WebhooksError, closed
from webhooks_client.events import Event
from webhooks_client.retry import Tries
from webhooks_client.status import error_of
from webhooks_client.window import StreamResult, Window, broken_off


class SyncStream:
    """Sends events over one stream after the other until each is acknowledged.

    Three threads meet at the window: the caller's takes the results, one of ours takes the events,
    and one of grpc the requests.
    """

    def __init__(
        self,
        stub: PublisherServiceStub,
        defaults: CallDefaults,
        is_closed: threading.Event,
        timeout: float | None,
        traceparent: str | None,
    ) -> None:
        """Take the connection, and what WebhooksClient.publish_stream takes."""
        self._stub = stub
        self._defaults = defaults
        self._is_closed = is_closed
        self._timeout = timeout
        self._metadata = defaults.metadata(traceparent)
        self._window = Window(defaults.tenant)
        self._changed = threading.Condition()
        self._number = 0
        self._is_left = False
        self._fault: BaseException | None = None
        self._tries: Tries | None = None

    def results(self, events: Iterable[Event]) -> Generator[StreamResult, None, None]:
        """Yield what became of each event, in their order."""
        # A daemon: it may wait for an event that never comes.
        threading.Thread(target=self._feed, args=(events,), daemon=True).start()
        try:
            while self._has_more():
                yield from self._over_one_stream()
            if self._fault is not None:
                raise self._fault
        finally:
            self._is_left = True
            self._begin()

    def _over_one_stream(self) -> Iterator[StreamResult]:
        failure: WebhooksError | None = None
        number = self._begin()
        try:
            call = self._stub.StreamingPublish(self._requests(number), metadata=self._metadata)
        except ValueError:
            # What grpc raises where another thread closed the channel just now.
            if not self._is_closed.is_set():
                raise
            raise closed() from None
        try:
            for response in call:
                with self._changed:
                    results = list(self._window.results(response))
                    self._changed.notify_all()
                self._tries = None if results else self._tries
                yield from results
        except grpc.RpcError as cause:
            failure = error_of(cause)
        finally:
            call.cancel()
        if self._window:
            self._pause_after(broken_off(failure))

    def _feed(self, events: Iterable[Event]) -> None:
        try:
            for event in events:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_left or not self._window.is_full)
                    if self._is_left:
                        return
                    self._window.add(event)
                    self._changed.notify_all()
        except BaseException as fault:  # noqa: BLE001 - the caller's thread raises it
            self._fault = fault
        finally:
            with self._changed:
                self._window.is_closed = True
                self._changed.notify_all()

    def _has_more(self) -> bool:
        """Wait for an event that is not acknowledged; False where there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._window or self._window.is_closed)
            has_more = bool(self._window)
        if has_more and self._is_closed.is_set():
            raise closed()
        return has_more

    def _begin(self) -> int:
        """Make all streams so far former ones; returns the number of the next."""
        with self._changed:
            self._number += 1
            self._changed.notify_all()
            return self._number

    def _requests(self, number: int) -> Iterator[pb.StreamingPublishRequest]:
        """Yield the messages of a stream, until it is not the latest one any more."""
        with self._changed:
            request: pb.StreamingPublishRequest | None = self._window.rewind()
        while request is not None:
            yield request
            request = self._next_request(number)

    def _next_request(self, number: int) -> pb.StreamingPublishRequest | None:
        with self._changed:
            while number == self._number:
                request = self._window.next_request()
                if request is not None or self._window.is_closed:
                    return request
                self._changed.wait()
        return None

    def _pause_after(self, failure: WebhooksError) -> None:
        if self._is_closed.is_set():
            raise closed()
        if self._tries is None:
            self._tries = self._defaults.tries_of_stream(self._timeout)
        pause = self._tries.pause_after(failure)
        if pause is None:
            raise failure
        self._is_closed.wait(pause)
