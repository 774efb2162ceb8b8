"""Resource names: read with the field they came in, so that an error can say which one is wrong."""

from webhooks_server.domain.errors import InvalidArgument, invalid
from webhooks_server.domain.ids import (
    DEFAULT_TENANT,
    EventId,
    SubscriptionId,
    TenantId,
    delivery_uid,
    is_event_id,
    is_lower_id,
)
from webhooks_server.services.deliveries import DeliveryKey

TENANT = "tenants/{tenant}"
SUBSCRIPTION = "tenants/{tenant}/subscriptions/{subscription}"
EVENT = "tenants/{tenant}/events/{event}"
DELIVERY = "tenants/{tenant}/subscriptions/{subscription}/deliveries/{delivery}"
EVERY = "-"
DEFAULT_NAME = f"tenants/{DEFAULT_TENANT}"


def read_tenant(name: str, path: str) -> TenantId:
    """Read the name of a tenant; raises InvalidArgument on the field at this path."""
    if name == DEFAULT_NAME:
        # What nearly every call names.
        return DEFAULT_TENANT
    return TenantId(_parts(name, path, TENANT)[0])


def read_tenant_or_all(name: str, path: str) -> TenantId | None:
    """Read the name of a tenant, or None for `tenants/-`."""
    return None if name == f"tenants/{EVERY}" else read_tenant(name, path)


def read_optional_tenant(name: str, path: str) -> TenantId | None:
    """Read the name of a tenant, or None where it is left out."""
    return read_tenant(name, path) if name else None


def read_subscription(name: str, path: str) -> tuple[TenantId, SubscriptionId]:
    """Read the name of a subscription."""
    tenant, subscription = _parts(name, path, SUBSCRIPTION)
    return TenantId(tenant), SubscriptionId(subscription)


def read_subscription_or_all(name: str, path: str) -> tuple[TenantId | None, SubscriptionId | None]:
    """Read the name of a subscription, with `-` in one place or both for all."""
    segments = name.split("/")
    if len(segments) != 4 or segments[3] != EVERY:  # noqa: PLR2004
        return read_subscription(name, path)
    if segments[2] != "subscriptions":
        raise _wrong(path, SUBSCRIPTION)
    return read_tenant_or_all("/".join(segments[:2]), path), None


def read_event(name: str, path: str) -> tuple[TenantId, EventId]:
    """Read the name of an event."""
    tenant, event = _parts(name, path, EVENT, is_last_event=True)
    return TenantId(tenant), EventId(event)


def read_delivery(name: str, path: str) -> DeliveryKey:
    """Read the name of a delivery."""
    head, _, last = name.rpartition("/deliveries/")
    uid = delivery_uid(last)
    if uid is None:
        raise _wrong(path, DELIVERY)
    tenant, subscription = _parts(head, path, SUBSCRIPTION, DELIVERY)
    return DeliveryKey(tenant=TenantId(tenant), subscription=SubscriptionId(subscription), uid=uid)


def _parts(
    name: str, path: str, form: str, shown: str = "", *, is_last_event: bool = False
) -> list[str]:
    segments, wanted = name.split("/"), form.split("/")
    if not name:
        raise invalid(path, "is required")
    if len(segments) != len(wanted) or segments[::2] != wanted[::2]:
        raise _wrong(path, shown or form)
    ids = segments[1::2]
    lower = ids[:-1] if is_last_event else ids
    if not all(map(is_lower_id, lower)) or (is_last_event and not is_event_id(ids[-1])):
        raise _wrong(path, shown or form)
    return ids


def _wrong(path: str, form: str) -> InvalidArgument:
    return invalid(path, f"must be a resource name of the form {form}")
