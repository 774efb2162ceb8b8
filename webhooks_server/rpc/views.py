"""Views: how much of a resource is read (AIP-157)."""

from collections.abc import Sequence

from webhooks.v1 import delivery_pb2, event_pb2
from webhooks_server.domain.errors import invalid


def is_full_event(view: event_pb2.EventView.ValueType, *, unspecified: bool) -> bool:
    """Tell whether an event is read whole; raises InvalidArgument where the view is unknown."""
    return _is_full(view, event_pb2.EventView.values(), unspecified=unspecified)


def is_full_delivery(view: delivery_pb2.DeliveryView.ValueType, *, unspecified: bool) -> bool:
    """Tell whether a delivery or attempt is read whole; raises as is_full_event does."""
    return _is_full(view, delivery_pb2.DeliveryView.values(), unspecified=unspecified)


def _is_full(view: int, known: Sequence[int], *, unspecified: bool) -> bool:
    """Both enums count UNSPECIFIED, BASIC, FULL."""
    if view not in known:
        raise invalid("view", "must be a known view")
    return bool(view == known[-1] or (not view and unspecified))
