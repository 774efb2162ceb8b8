"""EventService: check, call, map."""

from webhooks.v1 import event_pb2
from webhooks.v1 import event_service_pb2 as pb
from webhooks_server.domain.errors import invalid
from webhooks_server.domain.ids import EventId, TenantId
from webhooks_server.rpc import names
from webhooks_server.rpc.call import Call
from webhooks_server.rpc.convert_event import event_message, read_event_input
from webhooks_server.rpc.pages import Pages
from webhooks_server.rpc.views import is_full_event
from webhooks_server.services import Services
from webhooks_server.services.event_checks import read_through
from webhooks_server.services.events import ExplainDraft, Explained
from webhooks_server.services.violations import Violations


class EventServicer:
    """Reads what was published."""

    def __init__(self, services: Services, pages: Pages) -> None:
        """Take the use cases."""
        self._events = services.events
        self._pages = pages

    async def GetEvent(self, request: pb.GetEventRequest, call: Call) -> pb.GetEventResponse:
        """Read one event."""
        tenant, event = names.read_event(request.name, "name")
        full = is_full_event(request.view, unspecified=True)
        found = await self._events.get(tenant, event)
        return pb.GetEventResponse(event=event_message(found, full=full))

    async def ListEvents(self, request: pb.ListEventsRequest, call: Call) -> pb.ListEventsResponse:
        """Read a page of events."""
        tenant = names.read_tenant_or_all(request.parent, "parent")
        full = is_full_event(request.view, unspecified=False)
        asked = self._pages.read(request)
        page = await self._events.list(tenant, request.filter, asked, full=full)
        shown, token = self._pages.fill(
            request, page, lambda event: event_message(event, full=full), lambda event: event.seq
        )
        return pb.ListEventsResponse(events=shown, next_page_token=token)

    async def ExplainMatch(
        self, request: pb.ExplainMatchRequest, call: Call
    ) -> pb.ExplainMatchResponse:
        """Say of every subscription whether an event reaches it."""
        tenant = names.read_tenant(request.parent, "parent")
        asked = self._pages.read(request)
        if request.HasField("event_input"):
            size = request.ByteSize()
            draft = await read_through(size, _read_draft, request.event_input, tenant)
            page = await self._events.explain_draft(draft, asked)
        else:
            event = _read_stored(request, tenant)
            page = await self._events.explain_stored(tenant, event, asked)
        shown, token = self._pages.fill(
            request, page, _explanation, lambda one: one.explanation.entry.number
        )
        return pb.ExplainMatchResponse(explanations=shown, next_page_token=token)


def _read_stored(request: pb.ExplainMatchRequest, tenant: TenantId) -> EventId:
    event_tenant, event = names.read_event(request.event, "event")
    if event_tenant != tenant:
        raise invalid("event", "must belong to the tenant that parent names")
    return event


def _read_draft(message: event_pb2.EventInput, tenant: TenantId) -> ExplainDraft:
    violations = Violations()
    violations.prefix = "event_input."
    event = read_event_input(message, tenant, "", violations)
    return ExplainDraft(
        event=event,
        payload_field=message.WhichOneof("payload") or "data_json",
        unreadable=violations.found(),
    )


def _explanation(explained: Explained) -> pb.ExplainMatchResponse.Explanation:
    one = explained.explanation
    return pb.ExplainMatchResponse.Explanation(
        subscription=f"tenants/{one.entry.tenant}/subscriptions/{one.entry.id}",
        matched=one.matched,
        reason=one.reason,
        pattern=one.pattern,
        delivery=explained.delivery_name,
    )
