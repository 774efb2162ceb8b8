"""DeliveryService: check, call, map."""

from webhooks.v1 import delivery_service_pb2 as pb
from webhooks_server.rpc import names
from webhooks_server.rpc.call import Call
from webhooks_server.rpc.convert_delivery import attempt_message, delivery_message
from webhooks_server.rpc.pages import Pages
from webhooks_server.rpc.requests import read_request_key
from webhooks_server.rpc.views import is_full_delivery
from webhooks_server.services import Services


class DeliveryServicer:
    """Shows what became of the events, and intervenes."""

    def __init__(self, services: Services, pages: Pages) -> None:
        """Take the use cases."""
        self._deliveries = services.deliveries
        self._pages = pages

    async def GetDelivery(
        self, request: pb.GetDeliveryRequest, call: Call
    ) -> pb.GetDeliveryResponse:
        """Read one delivery."""
        key = names.read_delivery(request.name, "name")
        full = is_full_delivery(request.view, unspecified=True)
        found = await self._deliveries.get(key, full=full)
        return pb.GetDeliveryResponse(delivery=delivery_message(found, full=full))

    async def ListDeliveries(
        self, request: pb.ListDeliveriesRequest, call: Call
    ) -> pb.ListDeliveriesResponse:
        """Read a page of deliveries."""
        tenant, subscription = names.read_subscription_or_all(request.parent, "parent")
        full = is_full_delivery(request.view, unspecified=False)
        asked = self._pages.read(request)
        page = await self._deliveries.list(tenant, subscription, request.filter, asked, full=full)
        shown, token = self._pages.fill(
            request,
            page,
            lambda delivery: delivery_message(delivery, full=full),
            lambda delivery: delivery.seq,
        )
        return pb.ListDeliveriesResponse(deliveries=shown, next_page_token=token)

    async def ListDeliveryAttempts(
        self, request: pb.ListDeliveryAttemptsRequest, call: Call
    ) -> pb.ListDeliveryAttemptsResponse:
        """Read a page of a delivery's attempts."""
        key = names.read_delivery(request.parent, "parent")
        full = is_full_delivery(request.view, unspecified=False)
        asked = self._pages.read(request)
        page = await self._deliveries.attempts(key, asked, full=full)
        shown, token = self._pages.fill(
            request,
            page,
            lambda attempt: attempt_message(attempt, request.parent, full=full),
            lambda attempt: attempt.number,
        )
        return pb.ListDeliveryAttemptsResponse(attempts=shown, next_page_token=token)

    async def RetryDelivery(
        self, request: pb.RetryDeliveryRequest, call: Call
    ) -> pb.RetryDeliveryResponse:
        """Make a delivery due now."""
        key = names.read_delivery(request.name, "name")
        retried = await self._deliveries.retry(key, read_request_key(request, key.tenant))
        return pb.RetryDeliveryResponse(delivery=delivery_message(retried, full=False))

    async def CancelDelivery(
        self, request: pb.CancelDeliveryRequest, call: Call
    ) -> pb.CancelDeliveryResponse:
        """Give up a pending delivery."""
        key = names.read_delivery(request.name, "name")
        cancelled = await self._deliveries.cancel(key)
        return pb.CancelDeliveryResponse(delivery=delivery_message(cancelled, full=False))
