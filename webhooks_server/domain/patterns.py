"""Event types and the patterns that subscribe to them.

A pattern is an event type, `*` (everything), or a prefix followed by `.*` (that prefix, any depth).
So matching is an equality look-up: an event type has at most nine candidate patterns.
"""

import re
from functools import lru_cache

MAX_LENGTH = 128
MAX_SEGMENTS = 8
RESERVED = "webhooks"
"""The first segment of the server's own event types.

Nobody may publish them, and `*` does not match them.
"""
PING = "webhooks.ping"
DISABLED = "webhooks.subscription.disabled"
"""A subscription was disabled by the server."""

_SEGMENTS = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", re.ASCII)


def event_type_problem(value: str) -> str | None:
    """Tell what is wrong with an event type, or None."""
    if not value:
        return "is required"
    if len(value) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} characters, has {len(value)}"
    return _segments_problem(value)


# Millions of events have some hundred types. Only texts of a bounded length are remembered.
@lru_cache(maxsize=4096)
def _segments_problem(value: str) -> str | None:
    if _SEGMENTS.fullmatch(value) is None:
        return "must be segments of A-Z a-z 0-9 _ - joined by full stops, such as invoice.paid"
    if value.count(".") >= MAX_SEGMENTS:
        return f"must have at most {MAX_SEGMENTS} segments, has {value.count('.') + 1}"
    return None


def pattern_problem(value: str) -> str | None:
    """Tell what is wrong with a pattern, or None."""
    if value == "*":
        return None
    if len(value) > MAX_LENGTH:
        return f"must have at most {MAX_LENGTH} characters, has {len(value)}"
    problem = event_type_problem(value.removesuffix(".*"))
    if problem is None or "*" not in value:
        return problem
    return "may have a wildcard only as the whole pattern (*) or at its end (invoice.*)"


def is_reserved(event_type: str) -> bool:
    """Tell whether the event type is one of the server's own."""
    return event_type.startswith(RESERVED) and event_type.split(".", 1)[0] == RESERVED


@lru_cache(maxsize=4096)
def candidates(event_type: str) -> tuple[str, ...]:
    """Return the patterns that match the event type, the most general first; at most nine."""
    segments = event_type.split(".")
    prefixes = [".".join(segments[:count]) + ".*" for count in range(1, len(segments))]
    every = [] if is_reserved(event_type) else ["*"]
    return (*every, *prefixes, event_type)
