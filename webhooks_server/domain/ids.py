"""Identifiers: their types, their grammar, and the one place that makes them."""

import os
import re
from collections.abc import Callable
from typing import NewType

TenantId = NewType("TenantId", str)
SubscriptionId = NewType("SubscriptionId", str)
EventId = NewType("EventId", str)
DeliveryId = NewType("DeliveryId", str)

SubscriptionNumber = NewType("SubscriptionNumber", int)
"""The store's own number of a subscription.

What the match index, the lanes and the delivery rows hold.
"""
EventSeq = NewType("EventSeq", int)
DeliverySeq = NewType("DeliverySeq", int)
Version = NewType("Version", int)
"""A value of the one control version, by which all changes of control data are ordered."""

DEFAULT_TENANT = TenantId("default")

_RANDOM_BYTES = 10
_DRAWN = 512
# The version and the variant, as they lie in the last 80 bits of a UUID, for all that are drawn.
_EACH = sum(1 << 8 * _RANDOM_BYTES * number for number in range(_DRAWN))
_FIXED_BITS = (0xF << 76 | 0b11 << 62) * _EACH
_VERSION_7 = (0x7 << 76 | 0b10 << 62) * _EACH
_LOWER_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_DELIVERY_ID = re.compile(r"dlv_([0-9a-f]{32})", re.ASCII)
_REQUEST_ID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", re.ASCII
)


def is_lower_id(value: str) -> bool:
    """Tell whether value can be the id of a tenant or a subscription."""
    return _LOWER_ID.fullmatch(value) is not None


def is_event_id(value: str) -> bool:
    """Tell whether value can be an event id.

    Never a full stop, since Standard Webhooks signs `id.timestamp.body`.
    """
    return _EVENT_ID.fullmatch(value) is not None


def is_request_id(value: str) -> bool:
    """Tell whether value is a UUID in its 36 character form (AIP-155)."""
    return _REQUEST_ID.fullmatch(value) is not None


def delivery_id(uid: bytes) -> DeliveryId:
    """Return the public id of the delivery with this 16 byte uid."""
    return DeliveryId("dlv_" + uid.hex())


def delivery_uid(value: str) -> bytes | None:
    """Return the 16 byte uid behind a public delivery id, or None where value is no such id."""
    found = _DELIVERY_ID.fullmatch(value)
    return bytes.fromhex(found[1]) if found else None


class IdSource:
    """Makes ids: UUIDv7 (RFC 9562), so that they sort by time and index inserts stay local."""

    def __init__(self, wall: Callable[[], int]) -> None:
        """Take the wall clock: a function that returns microseconds since the epoch."""
        self._wall = wall
        self._random = b""
        self._next = 0

    def uid(self) -> bytes:
        """Return 16 new bytes: 48 bits of milliseconds, then 74 random bits."""
        start = self._next
        if start == len(self._random):
            self._random, start = _drawn(), 0
        self._next = end = start + _RANDOM_BYTES
        return (self._wall() // 1000).to_bytes(6) + self._random[start:end]

    def uids(self, count: int) -> list[bytes]:
        """Return so many of them, of one moment, for a fraction of the price."""
        while len(self._random) - self._next < count * _RANDOM_BYTES:
            self._random, self._next = self._random[self._next :] + _drawn(), 0
        start = self._next
        self._next = end = start + count * _RANDOM_BYTES
        head, random = (self._wall() // 1000).to_bytes(6), self._random
        return [head + random[at : at + _RANDOM_BYTES] for at in range(start, end, _RANDOM_BYTES)]

    def subscription(self) -> SubscriptionId:
        """Return a new subscription id."""
        return SubscriptionId("sub_" + self.uid().hex())

    def event(self) -> EventId:
        """Return a new event id."""
        return EventId("evt_" + self.uid().hex())

    def events(self, count: int) -> list[EventId]:
        """Return so many new event ids."""
        return [EventId("evt_" + uid.hex()) for uid in self.uids(count)]


def _drawn() -> bytes:
    """Return the last ten bytes of many ids: a system call for each would be the dearest part."""
    random = int.from_bytes(os.urandom(_RANDOM_BYTES * _DRAWN))
    return (random & ~_FIXED_BITS | _VERSION_7).to_bytes(_RANDOM_BYTES * _DRAWN)
