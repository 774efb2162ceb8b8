"""Events: immutable published facts."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from webhooks_server.domain.delivery import NewDelivery, Trigger
from webhooks_server.domain.ids import EventId, EventSeq, SubscriptionNumber, TenantId
from webhooks_server.domain.times import Instant
from webhooks_server.domain.values import value

LARGEST_GROUP = 1000
"""An event that goes to more subscriptions than this goes to a crowd, which waits for others."""


class Event(NamedTuple):
    """An event as it was published. `payload` holds the exact bytes that are sent.

    They are stored, signed and sent just as they came.

    The store adds seq, create_time and delivery_count. A list in the BASIC view leaves the payload
    empty. A named tuple, since every event is copied twice until it is stored.
    """

    tenant: TenantId
    id: EventId
    event_type: str
    payload: bytes
    is_json: bool
    """True where the payload came as JSON text (data, data_json, or none), false for data_bytes."""
    content_type: str
    source: str = ""
    subject: str = ""
    occur_time: Instant | None = None
    attributes: Mapping[str, str] = MappingProxyType({})
    data_schema: str = ""
    publisher: str = ""
    traceparent: str = ""
    seq: EventSeq = EventSeq(0)
    create_time: Instant = Instant(0)
    payload_size: int = 0
    delivery_count: int = 0

    @property
    def name(self) -> str:
        """The resource name."""
        return f"tenants/{self.tenant}/events/{self.id}"

    def identified(self, event: EventId) -> "Event":
        """Return it with its id. By position, here and below: names cost three times as much."""
        return Event._make((self.tenant, event, *self[2:]))

    def stored(self, seq: EventSeq, create_time: Instant, delivery_count: int) -> "Event":
        """Return it as a store accepted it."""
        return Event._make(
            (*self[:_STORED_FROM], seq, create_time, len(self.payload), delivery_count)
        )


_STORED_FROM = Event._fields.index("seq")
_NO_TEXT = bytes(4)


def content_hash(event: Event) -> bytes:
    """Return SHA-256 over what the publisher gave.

    By it the same event is told from a reused id (api.md 1.4).
    """
    attributes, occurred = event.attributes, event.occur_time
    parts = [
        _framed(event.event_type),
        _framed(event.content_type),
        _framed(event.source),
        _framed(event.subject),
        _framed(event.data_schema),
    ]
    if attributes:
        parts += [_framed(part) for pair in sorted(attributes.items()) for part in pair]
    parts.append(_NO_TEXT if occurred is None else _framed(str(occurred)))
    parts.append(event.payload)
    return hashlib.sha256(b"".join(parts)).digest()


def _framed(text: str) -> bytes:
    """Return a text after its length, so that no two lists of texts look alike."""
    if not text:
        return _NO_TEXT
    encoded = text.encode()
    return len(encoded).to_bytes(4) + encoded


@value
class Publish:
    """One operation of an event store.

    The events of a Publish or BatchPublish, accepted together or not at all.

    With `only` the events go to that one subscription instead of those that match (ping and test),
    and `first_due_delay` microseconds pass before the engine may take the delivery by itself.
    """

    tenant: TenantId
    events: tuple[Event, ...]
    only: SubscriptionNumber | None = None
    trigger: Trigger = Trigger.PUBLISH
    first_due_delay: int = 0


@value
class Accepted:
    """What became of one event of a Publish.

    The event as stored, and its deliveries as far as they exist already.

    A duplicate has no deliveries here. Above a bound the rest is filled in by the engine (`fan_out`
    is true).
    """

    event: Event
    duplicate: bool
    deliveries: tuple[NewDelivery, ...] = ()
    fan_out: bool = False
