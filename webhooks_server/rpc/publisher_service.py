"""PublisherService: check, call, map."""

from collections.abc import Sequence

from webhooks.v1 import publisher_service_pb2 as pb
from webhooks_server.domain.bounds import MAX_BATCH_EVENTS
from webhooks_server.domain.errors import StoreUnavailable, invalid
from webhooks_server.domain.event import Accepted, Event
from webhooks_server.ports import Telemetry
from webhooks_server.rpc import names
from webhooks_server.rpc.call import Call
from webhooks_server.rpc.convert_event import read_event_input, write_published
from webhooks_server.rpc.publish_stream import PublishStream, Requests
from webhooks_server.rpc.requests import require
from webhooks_server.rpc.streams import OpenStreams
from webhooks_server.services import Services
from webhooks_server.services.event_checks import read_through
from webhooks_server.services.publishing import PublishDraft
from webhooks_server.services.violations import Violations

# What an answer may take back to its caller, where that waits long enough.
_ANSWER_SECONDS = 0.25


class PublisherServicer:
    """Takes events. What is answered OK is on disk, together with its deliveries."""

    def __init__(self, services: Services, streams: OpenStreams, telemetry: Telemetry) -> None:
        """Take the use cases, and where streams are known and told of."""
        self._publishing = services.publishing
        self._streams = streams
        self._telemetry = telemetry

    async def Publish(self, request: pb.PublishRequest, call: Call) -> pb.PublishResponse:
        """Accept one event."""
        require(request, "event")
        draft = await read_through(request.ByteSize(), _read_one, request, call.traceparent)
        (accepted,) = await self._accepted(draft, call, validate_only=request.validate_only)
        return write_published(accepted, pb.PublishResponse())

    async def BatchPublish(
        self, request: pb.BatchPublishRequest, call: Call
    ) -> pb.BatchPublishResponse:
        """Accept several events, all or none."""
        if len(request.events) > MAX_BATCH_EVENTS:
            # Here already, so that nothing is read of what is too much.
            problem = f"must have 1 to {MAX_BATCH_EVENTS} events, has {len(request.events)}"
            raise invalid("events", problem)
        draft = await read_through(request.ByteSize(), _read_batch, request, call.traceparent)
        results = await self._accepted(draft, call, validate_only=request.validate_only)
        response = pb.BatchPublishResponse()
        for accepted in results:
            write_published(accepted, response.results.add())
        return response

    async def StreamingPublish(self, messages: Requests, call: Call) -> None:
        """Accept events one after the other."""
        stream = PublishStream(self._publishing, self._streams, messages, call)
        try:
            await stream.run()
        finally:
            self._telemetry.fact(
                "publish.stream_ended",
                request_id=call.request_id,
                client_id=stream.client_id,
                accepted=stream.accepted,
                refused=stream.refused,
            )

    async def _accepted(
        self, draft: PublishDraft, call: Call, *, validate_only: bool
    ) -> Sequence[Accepted]:
        """Accept a draft; raises StoreUnavailable while the caller still waits for an answer.

        A caller whose own deadline strikes first learns neither why nor when to come again.
        """
        accept = self._publishing.validate if validate_only else self._publishing.publish
        left: float | None = call.context.time_remaining()
        if left is None:
            return await accept(draft)
        deadline = self._streams.deadlines.within(left - min(_ANSWER_SECONDS, left / 5))
        try:
            with deadline:
                return await accept(draft)
        except TimeoutError:
            if deadline.has_struck:
                raise StoreUnavailable from None
            raise


def _read_one(request: pb.PublishRequest, traceparent: str) -> PublishDraft:
    tenant = names.read_tenant(request.parent, "parent")
    violations = Violations()
    violations.prefix = "event."
    event = read_event_input(request.event, tenant, traceparent, violations)
    return PublishDraft(
        tenant=tenant,
        events=(event,),
        structs=(0,) if request.event.HasField("data") else (),
        unreadable=violations.found(),
    )


def _read_batch(request: pb.BatchPublishRequest, traceparent: str) -> PublishDraft:
    tenant = names.read_tenant(request.parent, "parent")
    violations = Violations()
    violations.prefix = "events"
    events: list[Event] = []
    for violations.position, message in enumerate(request.events):
        events.append(read_event_input(message, tenant, traceparent, violations))
    return PublishDraft(
        tenant=tenant,
        events=tuple(events),
        is_batch=True,
        structs={at for at, one in enumerate(request.events) if one.HasField("data")},
        unreadable=violations.found(),
    )
