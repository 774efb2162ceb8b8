"""What a stream of events has handed over and not yet seen acknowledged."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from webhooks.v1 import publisher_service_pb2 as pb
from webhooks_client.encode import event_input
from webhooks_client.errors import ErrorDetails, Unavailable, WebhooksError
from webhooks_client.events import Event, Published
from webhooks_client.messages import published
from webhooks_client.status import error_of_status

MAX_EVENTS = 1000
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An event of a stream that the server does not take; those around it go on."""

    event_id: str
    error: WebhooksError


StreamResult = Published | Refused


@dataclass(slots=True)
class _Entry:
    event_id: str
    sequence: int
    request: pb.StreamingPublishRequest
    size: int


class Window:
    """Holds the events that are not acknowledged, in their order, and which of them were sent.

    It outlives the streams: what a broken one left is sent again by the next. The server knows the
    events by their ids, and so stores none twice.
    """

    def __init__(self, tenant: str) -> None:
        """Start empty."""
        self.is_closed = False
        """Whether no event comes any more."""
        self._tenant = tenant
        self._entries: deque[_Entry] = deque()
        self._bytes = 0
        self._sent = 0
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_full(self) -> bool:
        """Whether the next event has to wait."""
        return len(self._entries) >= MAX_EVENTS or self._bytes >= MAX_BYTES

    def add(self, event: Event) -> None:
        """Take an event; raises InvalidArgument for data that cannot be JSON."""
        message = pb.StreamingPublishRequest.Publish(
            sequence=self._sequence + 1, event=event_input(event, "event")
        )
        request = pb.StreamingPublishRequest(publish=message)
        self._sequence += 1
        entry = _Entry(event.event_id, self._sequence, request, request.ByteSize())
        self._entries.append(entry)
        self._bytes += entry.size

    def rewind(self) -> pb.StreamingPublishRequest:
        """Begin a new stream, which sends everything again; returns its first message."""
        self._sent = 0
        opening = pb.StreamingPublishRequest.Open(parent=f"tenants/{self._tenant}")
        return pb.StreamingPublishRequest(open=opening)

    def next_request(self) -> pb.StreamingPublishRequest | None:
        """Return the next event that was not sent on this stream, None where all were."""
        if self._sent == len(self._entries):
            return None
        self._sent += 1
        return self._entries[self._sent - 1].request

    def results(self, response: pb.StreamingPublishResponse) -> Iterator[StreamResult]:
        """Yield what became of the events that a message of the server acknowledges."""
        for ack in response.acks.acks:
            if not self._sent or self._entries[0].sequence != ack.sequence:
                raise WebhooksError(
                    f"the server acknowledges the event {ack.sequence} out of its order",
                    ErrorDetails(code=grpc.StatusCode.INTERNAL, reason="STREAM_PROTOCOL"),
                )
            entry = self._entries.popleft()
            self._sent -= 1
            self._bytes -= entry.size
            if ack.HasField("published"):
                yield published(ack.published)
            else:
                yield Refused(event_id=entry.event_id, error=error_of_status(ack.error))


def broken_off(failure: WebhooksError | None) -> WebhooksError:
    """Return what the end of a stream before its last acknowledgement stands for.

    None is an end that the server called a good one. Where no server gave a reason the connection
    broke; a stream of grpc that is written to meanwhile calls that INTERNAL.
    """
    code = None if failure is None else failure.code
    if failure is None or (code is grpc.StatusCode.INTERNAL and not failure.reason):
        return Unavailable("the stream broke off", ErrorDetails(code=grpc.StatusCode.UNAVAILABLE))
    return failure
