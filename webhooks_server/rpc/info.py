"""What a server says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from webhooks_server.domain import bounds, filters
from webhooks_server.domain.json_text import MAX_DEPTH
from webhooks_server.domain.paging import MAX_PAGE_SIZE
from webhooks_server.domain.times import Instant

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""Larger than any payload that is allowed, so that our own answer comes before the runtime's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """Which server this is; `server_id` differs from process to process."""

    version: str
    server_id: str
    start_time: Instant
    features: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)


def limits_of(max_payload_bytes: int, max_concurrent_calls: int) -> dict[str, int]:
    """Return the bounds that requests are held to."""
    return {
        "max_payload_bytes": max_payload_bytes,
        "max_message_bytes": MAX_MESSAGE_BYTES,
        "max_batch_events": bounds.MAX_BATCH_EVENTS,
        "max_batch_payload_bytes": bounds.MAX_BATCH_BYTES,
        "max_outstanding_events": bounds.MAX_OUTSTANDING_EVENTS,
        "max_outstanding_bytes": bounds.MAX_OUTSTANDING_BYTES,
        "max_json_depth": MAX_DEPTH,
        "max_patterns_per_subscription": bounds.MAX_PATTERNS,
        "max_page_size": MAX_PAGE_SIZE,
        "max_filter_bytes": filters.MAX_BYTES,
        "max_concurrent_calls": max_concurrent_calls,
    }
