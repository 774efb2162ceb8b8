"""SubscriptionService: check, call, map."""

from webhooks.v1 import subscription_service_pb2 as pb
from webhooks_server.domain.errors import NotFound
from webhooks_server.domain.ids import TenantId
from webhooks_server.domain.secrets import Secret
from webhooks_server.rpc import names
from webhooks_server.rpc.call import Call
from webhooks_server.rpc.convert_delivery import attempt_message, delivery_message
from webhooks_server.rpc.convert_struct import NotJson, render_struct
from webhooks_server.rpc.convert_subscription import (
    read_draft,
    read_subscription_id,
    subscription_message,
)
from webhooks_server.rpc.convert_times import read_duration
from webhooks_server.rpc.pages import Pages
from webhooks_server.rpc.requests import read_request_key, require
from webhooks_server.rpc.update_mask import read_update_mask
from webhooks_server.services import Services
from webhooks_server.services.event_checks import read_through
from webhooks_server.services.pings import TestDraft
from webhooks_server.services.rotations import RotationDraft
from webhooks_server.services.subscriptions import Change
from webhooks_server.services.violations import Violations


class SubscriptionServicer:
    """Registers who wants to be told about which events."""

    def __init__(self, services: Services, pages: Pages) -> None:
        """Take the use cases."""
        self._subscriptions = services.subscriptions
        self._rotations = services.rotations
        self._pings = services.pings
        self._pages = pages

    async def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, call: Call
    ) -> pb.CreateSubscriptionResponse:
        """Register a subscription."""
        tenant = names.read_tenant(request.parent, "parent")
        require(request, "subscription")
        subscription_id = read_subscription_id(request.subscription_id)
        draft = read_draft(request.subscription, tenant, subscription_id)
        changed = await self._subscriptions.create(
            draft, _change(request, tenant), skip_ping=request.skip_ping
        )
        return pb.CreateSubscriptionResponse(
            subscription=subscription_message(changed.subscription), secret=changed.secret
        )

    async def GetSubscription(
        self, request: pb.GetSubscriptionRequest, call: Call
    ) -> pb.GetSubscriptionResponse:
        """Read one subscription."""
        tenant, subscription = names.read_subscription(request.name, "name")
        found = await self._subscriptions.get(tenant, subscription)
        return pb.GetSubscriptionResponse(subscription=subscription_message(found))

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, call: Call
    ) -> pb.ListSubscriptionsResponse:
        """Read a page of subscriptions."""
        tenant = names.read_tenant_or_all(request.parent, "parent")
        asked = self._pages.read(request)
        page = await self._subscriptions.list(tenant, request.filter, asked)
        shown, token = self._pages.fill(
            request, page, subscription_message, lambda found: found.number
        )
        return pb.ListSubscriptionsResponse(subscriptions=shown, next_page_token=token)

    async def UpdateSubscription(
        self, request: pb.UpdateSubscriptionRequest, call: Call
    ) -> pb.UpdateSubscriptionResponse:
        """Change a subscription, or create it where that is allowed and there is none."""
        require(request, "subscription")
        tenant, subscription = names.read_subscription(
            request.subscription.name, "subscription.name"
        )
        paths = read_update_mask(request)
        draft = read_draft(request.subscription, tenant, None)
        change = _change(request, tenant)
        subscriptions = self._subscriptions
        update = subscriptions.create_or_update if request.allow_missing else subscriptions.update
        changed = await update(subscription, draft, paths, change)
        return pb.UpdateSubscriptionResponse(
            subscription=subscription_message(changed.subscription), secret=changed.secret
        )

    async def DeleteSubscription(
        self, request: pb.DeleteSubscriptionRequest, call: Call
    ) -> pb.DeleteSubscriptionResponse:
        """Remove a subscription."""
        tenant, subscription = names.read_subscription(request.name, "name")
        try:
            deleted = await self._subscriptions.delete(tenant, subscription, request.etag)
        except NotFound:
            if request.allow_missing:
                return pb.DeleteSubscriptionResponse()
            raise
        return pb.DeleteSubscriptionResponse(subscription=subscription_message(deleted))

    async def PauseSubscription(
        self, request: pb.PauseSubscriptionRequest, call: Call
    ) -> pb.PauseSubscriptionResponse:
        """Hold back a subscription's deliveries."""
        tenant, subscription = names.read_subscription(request.name, "name")
        paused = await self._subscriptions.pause(tenant, subscription, request.reason)
        return pb.PauseSubscriptionResponse(subscription=subscription_message(paused))

    async def ResumeSubscription(
        self, request: pb.ResumeSubscriptionRequest, call: Call
    ) -> pb.ResumeSubscriptionResponse:
        """Let a subscription's deliveries flow again."""
        tenant, subscription = names.read_subscription(request.name, "name")
        resumed = await self._subscriptions.resume(tenant, subscription)
        return pb.ResumeSubscriptionResponse(
            subscription=subscription_message(resumed.subscription),
            held_delivery_count=resumed.held_delivery_count,
        )

    async def PingSubscription(
        self, request: pb.PingSubscriptionRequest, call: Call
    ) -> pb.PingSubscriptionResponse:
        """Make one attempt at once and answer with it."""
        tenant, subscription = names.read_subscription(request.name, "name")
        result = await self._pings.ping(tenant, subscription)
        attempt = attempt_message(result.attempt, result.delivery_name, full=True)
        return pb.PingSubscriptionResponse(attempt=attempt)

    async def TestSubscription(
        self, request: pb.TestSubscriptionRequest, call: Call
    ) -> pb.TestSubscriptionResponse:
        """Send an event to this subscription alone."""
        draft = await read_through(request.ByteSize(), _read_test, request)
        delivery = await self._pings.test(draft)
        return pb.TestSubscriptionResponse(delivery=delivery_message(delivery, full=False))

    async def RotateSubscriptionSecret(
        self, request: pb.RotateSubscriptionSecretRequest, call: Call
    ) -> pb.RotateSubscriptionSecretResponse:
        """Replace the secret."""
        tenant, subscription = names.read_subscription(request.name, "name")
        violations = Violations()
        overlap = None
        if request.HasField("overlap_duration"):
            overlap = read_duration(request.overlap_duration, "overlap_duration", violations)
        draft = RotationDraft(
            tenant=tenant,
            subscription=subscription,
            secret=Secret(request.new_secret) if request.new_secret else None,
            overlap=overlap,
            etag=request.etag,
            request=read_request_key(request, tenant),
            unreadable=violations.found(),
        )
        changed = await self._rotations.rotate(draft)
        return pb.RotateSubscriptionSecretResponse(
            subscription=subscription_message(changed.subscription), secret=changed.secret
        )


def _change(
    request: pb.CreateSubscriptionRequest | pb.UpdateSubscriptionRequest, tenant: TenantId
) -> Change:
    return Change(request=read_request_key(request, tenant), dry_run=request.validate_only)


def _read_test(request: pb.TestSubscriptionRequest) -> TestDraft:
    tenant, subscription = names.read_subscription(request.name, "name")
    violations = Violations()
    payload = b"{}"
    try:
        payload = render_struct(request.data)
    except NotJson as problem:
        violations.add("data", str(problem))
    return TestDraft(
        tenant=tenant,
        subscription=subscription,
        event_type=request.event_type,
        payload=payload,
        unreadable=violations.found(),
    )
