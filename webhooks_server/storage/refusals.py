"""What stores refuse, in the same words whichever store it is."""

from webhooks_server.domain.delivery import DeliveryState
from webhooks_server.domain.errors import (
    DeliveryNotRetryable,
    EventIdReused,
    InvalidArgument,
    NotFound,
    ResourceExists,
    SubscriptionIsDisabled,
    invalid,
)
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import EventId, SubscriptionId, TenantId, delivery_id
from webhooks_server.domain.subscription import State, Subscription
from webhooks_server.storage.transitions import DeliveryRow

_SUBSCRIPTION = "webhooks.v1.Subscription"
_EVENT = "webhooks.v1.Event"
_DELIVERY = "webhooks.v1.Delivery"


def no_subscription(tenant: TenantId | None, subscription: SubscriptionId) -> NotFound:
    """Return the error for a subscription that never existed, or was deleted."""
    return NotFound(_SUBSCRIPTION, f"tenants/{tenant or '-'}/subscriptions/{subscription}")


def no_event(tenant: TenantId, event: EventId) -> NotFound:
    """Return the error for an event that does not exist."""
    return NotFound(_EVENT, f"tenants/{tenant}/events/{event}")


def no_delivery(tenant: TenantId, subscription: SubscriptionId, uid: bytes) -> NotFound:
    """Return the error for a delivery that does not exist."""
    return NotFound(_DELIVERY, delivery_name(tenant, subscription, uid))


def delivery_name(tenant: TenantId, subscription: SubscriptionId, uid: bytes) -> str:
    """Return a delivery's resource name."""
    return f"tenants/{tenant}/subscriptions/{subscription}/deliveries/{delivery_id(uid)}"


def id_taken(subscription: Subscription) -> ResourceExists:
    """Return the error for a subscription id that was taken once, for ever."""
    name = subscription.name
    return ResourceExists(
        _SUBSCRIPTION, name, f"{name} exists already, or did; an id is not used again"
    )


def same_target(other: str) -> ResourceExists:
    """Return the error for a second subscription with the URL and patterns of the one so named."""
    return ResourceExists(
        _SUBSCRIPTION, other, f"{other} has the same url and the same events already"
    )


def event_id_reused(event: Event) -> EventIdReused:
    """Return the error for an event id that stands for another content already."""
    message = f"{event.name} exists already with another content"
    return EventIdReused(_EVENT, event.name, message)


def request_id_reused() -> InvalidArgument:
    """Return the error for a request id that came with another request before."""
    return invalid("request_id", "was used for another request already", "REQUEST_ID_REUSED")


def check_retryable(row: DeliveryRow, subscription: Subscription) -> None:
    """Raise where a delivery cannot be retried by hand (api.md 1.4)."""
    name = delivery_name(subscription.tenant, subscription.id, row.uid)
    if subscription.deleted:
        raise DeliveryNotRetryable(name, f"{subscription.name} is deleted")
    if row.state is DeliveryState.PENDING and row.attempt_count == 0:
        raise DeliveryNotRetryable(name, f"{name} waits for its first attempt")
    if subscription.state is State.DISABLED:
        raise SubscriptionIsDisabled(subscription.name)
