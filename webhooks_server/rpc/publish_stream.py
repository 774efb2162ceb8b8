"""StreamingPublish: reads ahead while the store commits, and acknowledges by the commit.

One append is under way at a time. What is read meanwhile is the next one, so that events are stored
and acknowledged in the order in which they came, and groups grow with the load by themselves.
"""

import asyncio
import random
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from webhooks.v1 import publisher_service_pb2 as pb
from webhooks_server.domain.bounds import (
    MAX_BATCH_EVENTS,
    MAX_CLIENT_ID,
    MAX_OUTSTANDING_BYTES,
    MAX_OUTSTANDING_EVENTS,
    text_problem,
)
from webhooks_server.domain.errors import (
    EventIdReused,
    InvalidArgument,
    StreamAged,
    StreamProtocolBroken,
    WebhooksError,
    invalid,
)
from webhooks_server.domain.event import Accepted, Event
from webhooks_server.domain.ids import TenantId
from webhooks_server.engine.tasks import open_tasks
from webhooks_server.rpc import names, wall
from webhooks_server.rpc.call import Call
from webhooks_server.rpc.convert_event import read_event_input, write_published
from webhooks_server.rpc.errors import status_message
from webhooks_server.rpc.streams import OpenStreams
from webhooks_server.services.event_checks import read_through
from webhooks_server.services.publishing import Publishing
from webhooks_server.services.tenants import known
from webhooks_server.services.violations import Violations

_YOUNGEST = 0.8

Refusal = InvalidArgument | EventIdReused
Requests = wall.Messages[pb.StreamingPublishRequest]


class Taken(NamedTuple):
    """An event that was read, or why it is refused, and the bytes of its message."""

    sequence: int
    event: Event | InvalidArgument
    size: int


class PublishStream:
    """One stream, from `open` to its end."""

    def __init__(
        self, publishing: Publishing, streams: OpenStreams, messages: Requests, call: Call
    ) -> None:
        """Take the use case, all streams that are open, and both directions of this one."""
        self.client_id = ""
        self.accepted = 0
        self.refused = 0
        self._publishing = publishing
        self._streams = streams
        self._messages = messages
        self._call = call
        self._tenant = TenantId("")
        self._sequence = 0
        self._waiting: deque[Taken] = deque()
        self._outstanding_events = 0
        self._outstanding_bytes = 0
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._is_over = False
        self._failure: WebhooksError | None = None

    async def run(self) -> None:
        """Serve the stream; raises what ends it, once all that was taken is acknowledged."""
        with self._streams.opened(self._call.context.peer(), self.end):
            age = self._streams.seconds * random.uniform(_YOUNGEST, 1.0)  # noqa: S311 - nothing secret
            timer = asyncio.get_running_loop().call_later(age, self.end, StreamAged())
            try:
                async with open_tasks() as tasks:
                    self._reading = tasks.create_task(self._read())
                    await self._acknowledge()
            finally:
                timer.cancel()
                self._streams.stored(sum([one.size for one in self._waiting]))
        if self._failure is not None:
            raise self._failure

    def end(self, failure: WebhooksError | None = None) -> None:
        """Read nothing more, acknowledge what was taken, and then end with this."""
        if self._is_over:
            return
        self._is_over = True
        self._failure = failure
        self._changed.set()
        if self._reading is not None:
            self._reading.cancel()

    async def _open(self) -> None:
        """Read `open` and answer it."""
        read = await self._messages.read()
        request = pb.StreamingPublishRequest() if read is None else read[0]
        if request.WhichOneof("request") != "open":
            raise StreamProtocolBroken("the first message must be open")
        tenant = names.read_tenant(request.open.parent, "open.parent")
        self._tenant = known(tenant)
        self.client_id = _read_client_id(request.open.client_id)
        opened = pb.StreamingPublishResponse.Opened(
            max_outstanding_events=MAX_OUTSTANDING_EVENTS,
            max_outstanding_bytes=MAX_OUTSTANDING_BYTES,
        )
        await self._messages.write(pb.StreamingPublishResponse(opened=opened))

    async def _read(self) -> None:
        """Take events until the caller has no more, or sends what is none."""
        failure = None
        try:
            await self._open()
            while (read := await self._messages.read()) is not None:
                request, size = read
                taken = await self._take(request, size)
                self._outstanding_events += 1
                self._outstanding_bytes += size
                self._streams.took(size)
                self._waiting.append(taken)
                self._changed.set()
                while self._is_full():
                    self._room.clear()
                    await self._room.wait()
                if self._streams.is_full:
                    await self._streams.wait_for_room()
        except WebhooksError as error:
            failure = error
        self._reading = None
        self.end(failure)

    def _is_full(self) -> bool:
        return (
            self._outstanding_events >= MAX_OUTSTANDING_EVENTS
            or self._outstanding_bytes >= MAX_OUTSTANDING_BYTES
        )

    async def _take(self, request: pb.StreamingPublishRequest, size: int) -> Taken:
        if request.WhichOneof("request") != "publish":
            raise StreamProtocolBroken("every message after the first must be publish")
        publish = request.publish
        sequence = publish.sequence
        if sequence <= self._sequence:
            raise StreamProtocolBroken(
                f"sequence {sequence} does not come after {self._sequence}",
                sequence=str(sequence),
            )
        self._sequence = sequence
        try:
            event: Event | InvalidArgument = await read_through(size, self._event, publish)
        except InvalidArgument as error:
            event = error
        return Taken(sequence, event, size)

    def _event(self, publish: pb.StreamingPublishRequest.Publish) -> Event:
        if not publish.HasField("event"):
            raise invalid("event", "is required")
        message = publish.event
        violations = Violations()
        violations.prefix = "event."
        event = read_event_input(message, self._tenant, self._call.traceparent, violations)
        self._publishing.check_event(event, violations, is_struct=message.HasField("data"))
        violations.raise_any()
        return event

    async def _acknowledge(self) -> None:
        """Store and acknowledge what was taken, until nothing more comes."""
        while self._waiting or not self._is_over:
            if not self._waiting:
                self._changed.clear()
                await self._changed.wait()
                continue
            some = self._next()
            size = sum([one.size for one in some])
            try:
                results = await self._stored([one.event for one in some])
            finally:
                self._streams.stored(size)
            await self._messages.write(self._acks(some, results))
            self._outstanding_events -= len(some)
            self._outstanding_bytes -= size
            self._room.set()

    def _next(self) -> list[Taken]:
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(len(waiting), MAX_BATCH_EVENTS))]

    async def _stored(
        self, taken: Sequence[Event | InvalidArgument]
    ) -> Sequence[Accepted | EventIdReused]:
        events = tuple([event for event in taken if isinstance(event, Event)])
        if not events:
            return ()
        accepting = self._publishing.accept_each(self._tenant, events)
        return await wall.bounded(accepting, self._streams.deadlines.within(wall.CALL_SECONDS))

    def _acks(
        self, some: Sequence[Taken], results: Iterable[Accepted | EventIdReused]
    ) -> pb.StreamingPublishResponse:
        response = pb.StreamingPublishResponse()
        add = response.acks.acks.add
        stored = iter(results)
        for sequence, event, _ in some:
            ack = add(sequence=sequence)
            result = next(stored) if isinstance(event, Event) else event
            if isinstance(result, Accepted):
                write_published(result, ack.published)
                self.accepted += 1
            else:
                ack.error.CopyFrom(status_message(result))
                self.refused += 1
        return response


def _read_client_id(text: str) -> str:
    problem = text_problem(text, MAX_CLIENT_ID)
    if problem is None and not text.isprintable():
        # It stands in the log, and shall not look like more than one line there.
        problem = "must be printable"
    if problem is not None:
        raise invalid("open.client_id", problem)
    return text
