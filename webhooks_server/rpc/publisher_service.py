"""PublisherService: check, call, map."""

from collections.abc import Sequence

from webhooks.v1 import publisher_service_pb2 as pb
from webhooks_server.domain.bounds import MAX_BATCH_EVENTS
from webhooks_server.domain.errors import invalid
from webhooks_server.domain.event import Accepted
from webhooks_server.rpc import names
from webhooks_server.rpc.call import Call
from webhooks_server.rpc.convert_event import read_event_input
from webhooks_server.rpc.convert_times import timestamp
from webhooks_server.rpc.requests import read_aside, require
from webhooks_server.services import Services
from webhooks_server.services.publishing import PublishDraft
from webhooks_server.services.violations import Violations


class PublisherServicer:
    """Takes events. What is answered OK is on disk, together with its deliveries."""

    def __init__(self, services: Services) -> None:
        """Take the use cases."""
        self._publishing = services.publishing

    async def Publish(self, request: pb.PublishRequest, call: Call) -> pb.PublishResponse:
        """Accept one event."""
        require(request, "event")
        draft = await read_aside(_read_one, request, call.traceparent)
        accepted = await self._accept(draft, validate_only=request.validate_only)
        return _response(accepted[0])

    async def BatchPublish(
        self, request: pb.BatchPublishRequest, call: Call
    ) -> pb.BatchPublishResponse:
        """Accept several events, all or none."""
        if len(request.events) > MAX_BATCH_EVENTS:
            # Here already, so that nothing is read of what is too much.
            raise invalid(
                "events", f"must have 1 to {MAX_BATCH_EVENTS} events, has {len(request.events)}"
            )
        draft = await read_aside(_read_batch, request, call.traceparent)
        accepted = await self._accept(draft, validate_only=request.validate_only)
        return pb.BatchPublishResponse(results=[_response(one) for one in accepted])

    async def _accept(self, draft: PublishDraft, *, validate_only: bool) -> Sequence[Accepted]:
        if validate_only:
            return await self._publishing.validate(draft)
        return await self._publishing.publish(draft)


def _read_one(request: pb.PublishRequest, traceparent: str) -> PublishDraft:
    tenant = names.read_tenant(request.parent, "parent")
    violations = Violations()
    event, fields = read_event_input(request.event, tenant, "event.", traceparent, violations)
    return PublishDraft(
        tenant=tenant, events=(event,), fields=(fields,), unreadable=violations.found()
    )


def _read_batch(request: pb.BatchPublishRequest, traceparent: str) -> PublishDraft:
    tenant = names.read_tenant(request.parent, "parent")
    violations = Violations()
    read = [
        read_event_input(one, tenant, f"events[{position}].", traceparent, violations)
        for position, one in enumerate(request.events)
    ]
    return PublishDraft(
        tenant=tenant,
        events=tuple([event for event, _ in read]),
        fields=tuple([fields for _, fields in read]),
        unreadable=violations.found(),
    )


def _response(accepted: Accepted) -> pb.PublishResponse:
    event = accepted.event
    return pb.PublishResponse(
        event=event.name if event.id else "",
        # There is none of an event that was only validated.
        create_time=timestamp(event.create_time) if event.create_time else None,
        duplicate=accepted.duplicate,
        matched_subscription_count=event.delivery_count,
    )
