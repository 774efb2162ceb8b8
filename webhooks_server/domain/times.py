"""Time as whole microseconds: exact, cheap to compare, and the same in every store."""

from typing import NewType

Instant = NewType("Instant", int)
"""Microseconds since 1970-01-01T00:00:00Z."""
Micros = NewType("Micros", int)
"""A span of time in microseconds."""

SECOND = Micros(1_000_000)
MINUTE = Micros(60 * SECOND)
HOUR = Micros(60 * MINUTE)
DAY = Micros(24 * HOUR)

LATEST = Instant(253_402_300_799_999_999)
"""9999-12-31T23:59:59.999999Z, the last instant a Protobuf Timestamp can hold in microseconds."""


def after(instant: Instant, span: int) -> Instant:
    """Return the instant that lies span microseconds after the given one, never past LATEST."""
    return Instant(min(instant + span, LATEST))


def seconds(span: int) -> float:
    """Return a span of microseconds in seconds."""
    return span / 1_000_000
