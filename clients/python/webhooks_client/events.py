"""Events as they are handed over, and what became of them."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict


@dataclass(frozen=True, slots=True)
class RawJson:
    """A payload that is JSON text already; it arrives at receivers byte for byte."""

    text: str


class EventFields(TypedDict, total=False):
    """What can be said about an event besides its type, id and data; see Event."""

    data_content_type: str
    source: str
    subject: str
    occur_time: datetime | None
    attributes: Mapping[str, str]
    data_schema: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event to be published.

    Data is a dict, list or scalar, a dataclass, a pydantic model, a Protobuf message, RawJson, or
    bytes. One without an id gets it here, so that the same Event is stored once, however often it
    is published.
    """

    event_type: str
    data: object
    event_id: str = ""
    """The key against duplicates, and the receivers' `webhook-id`: `[A-Za-z0-9_-]{1,64}`."""
    data_content_type: str = ""
    """The media type of data. Needed for bytes, `application/json` for all else."""
    source: str = ""
    """Where it happened."""
    subject: str = ""
    """What it is about."""
    occur_time: datetime | None = None
    """When it happened, with a time zone."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    data_schema: str = ""
    """The address of a schema that data follows."""

    def __post_init__(self) -> None:
        """Give the event its id before anything can be tried with it."""
        if not self.event_id:
            object.__setattr__(self, "event_id", new_event_id())


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What became of an event. It is on disk, and so are its deliveries."""

    event: str
    """The resource name, `tenants/{tenant}/events/{event}`."""
    event_id: str
    create_time: datetime
    """When it was stored first."""
    duplicate: bool
    """It was stored before, be it by an earlier try of the same call, and nothing was added."""
    matched_subscription_count: int


def new_event_id() -> str:
    """Return a new event id: `evt_` and a UUIDv7 (RFC 9562), so that ids sort by time."""
    milliseconds = time.time_ns() // 1_000_000
    random = bytearray(os.urandom(10))
    random[0] = 0x70 | (random[0] & 0x0F)
    random[2] = 0x80 | (random[2] & 0x3F)
    return "evt_" + milliseconds.to_bytes(6).hex() + random.hex()
