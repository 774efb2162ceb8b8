"""Publishing over a stream, which is opened anew where it breaks."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from webhooks.v1 import publisher_service_pb2 as pb
from webhooks_server.domain.errors import StoreConflict, Unavailable, WebhooksError
from webhooks_server.domain.ids import TenantId
from webhooks_server.engine.tasks import open_tasks
from webhooks_server.ports import Clock
from webhooks_server.rpc.client import messages
from webhooks_server.rpc.client.failures import failure_of_status, failure_of_stream
from webhooks_server.rpc.client.values import EventDraft, Published

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
CLIENT_ID = "webhooks-server-cli"

Answered = Callable[[Published | WebhooksError], None]

if TYPE_CHECKING:
    from webhooks.v1.publisher_service_pb2_grpc import PublisherServiceAsyncStub

    Call = grpc.aio.StreamStreamCall[pb.StreamingPublishRequest, pb.StreamingPublishResponse]


class EventStream:
    """Publishes events over one stream after the other."""

    def __init__(
        self, stub: "PublisherServiceAsyncStub", address: str, tenant: TenantId, clock: Clock
    ) -> None:
        """Take an open connection, and whose events these are."""
        self.patience = 1.0
        """Seconds from the last answer on, during which a stream is opened anew."""
        self._stub = stub
        self._address = address
        self._tenant = tenant
        self._clock = clock
        self._call: Call | None = None
        self._sequence = 0

    async def publish(self, events: Sequence[EventDraft], answered: Answered) -> None:
        """Publish events, all with an id; `answered` is told of each, in their order.

        They must not be more than a server holds of a stream (bounds.MAX_OUTSTANDING_EVENTS and
        MAX_OUTSTANDING_BYTES). Raises what is no fault of an event.
        """
        waiting = deque(events)
        count, give_up_at, pause = len(waiting), self._patient_until(), FIRST_PAUSE
        while waiting:
            try:
                await self._exchange(waiting, answered)
            except (Unavailable, StoreConflict):
                if len(waiting) < count:
                    count, give_up_at, pause = len(waiting), self._patient_until(), FIRST_PAUSE
                if self._clock.monotonic() + pause > give_up_at:
                    raise
                await self._clock.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def close(self) -> None:
        """End the stream."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _patient_until(self) -> float:
        return self._clock.monotonic() + self.patience

    async def _exchange(self, waiting: deque[EventDraft], answered: Answered) -> None:
        """Send what waits, and take from it what is answered."""
        try:
            call = self._call = self._call or await self._open()
            async with open_tasks() as tasks:
                writing = tasks.create_task(self._write(call, tuple(waiting)))
                try:
                    await self._read(call, waiting, answered)
                finally:
                    writing.cancel()
        except grpc.aio.AioRpcError as error:
            self._call = None
            raise failure_of_stream(error, self._address) from error

    async def _open(self) -> "Call":
        call: Call = self._stub.StreamingPublish()
        opening = pb.StreamingPublishRequest.Open(
            parent=f"tenants/{self._tenant}", client_id=CLIENT_ID
        )
        # Where the stream ends, reading tells why.
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(pb.StreamingPublishRequest(open=opening))
        await self._answer(call)
        return call

    async def _write(self, call: "Call", events: Sequence[EventDraft]) -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for event in events:
                self._sequence += 1
                request = pb.StreamingPublishRequest.Publish(
                    sequence=self._sequence, event=messages.event_message(event)
                )
                await call.write(pb.StreamingPublishRequest(publish=request))

    async def _read(self, call: "Call", waiting: deque[EventDraft], answered: Answered) -> None:
        while waiting:
            for ack in (await self._answer(call)).acks.acks:
                waiting.popleft()
                if ack.HasField("published"):
                    answered(messages.published(ack.published))
                else:
                    answered(failure_of_status(ack.error, self._address))

    async def _answer(self, call: "Call") -> pb.StreamingPublishResponse:
        answer = await call.read()
        if isinstance(answer, pb.StreamingPublishResponse):
            return answer
        # A server ends a stream that was not closed with a reason.
        self._call = None
        raise Unavailable(f"the stream from {self._address} broke off")
