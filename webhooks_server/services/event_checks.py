"""What must hold for every event that is accepted (security.md, 5; api.md 1.4)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from webhooks_server.domain.bounds import (
    MAX_TEXT,
    attributes_problem,
    media_type_problem,
    text_problem,
)
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import is_event_id
from webhooks_server.domain.json_text import json_problem
from webhooks_server.domain.patterns import event_type_problem, is_reserved
from webhooks_server.domain.subscription import JSON_CONTENT_TYPE
from webhooks_server.services.violations import Violations

INLINE_BYTES = 64 * 1024
"""To look through more than this on the event loop would hold up every other call for too long."""

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


async def read_through(
    size: int,
    read: Callable[Arguments, Result],
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Result:
    """Call what reads through so many bytes: here, or on another thread where they are many."""
    if size <= INLINE_BYTES:
        return read(*arguments, **named)
    return await asyncio.to_thread(read, *arguments, **named)


def payload_bytes(events: Sequence[Event]) -> int:
    """Return the size of all payloads together."""
    return sum([len(event.payload) for event in events])


def check_event(
    event: Event, payload_field: str, largest_payload: int, violations: Violations
) -> None:
    """Check an event, whose caller gave its payload in this field; an empty id will be made."""
    if problem := _event_type_problem(event.event_type):
        violations.add("event_type", problem)
    if event.id and not is_event_id(event.id):
        violations.add("event_id", "must be 1 to 64 of A-Z a-z 0-9 _ -")
    if event.content_type != JSON_CONTENT_TYPE:
        violations.add("data_content_type", media_type_problem(event.content_type))
    if event.source:
        violations.add("source", text_problem(event.source, MAX_TEXT))
    if event.subject:
        violations.add("subject", text_problem(event.subject, MAX_TEXT))
    if event.data_schema:
        violations.add("data_schema", text_problem(event.data_schema, MAX_TEXT))
    if event.attributes:
        violations.add("attributes", attributes_problem(event.attributes))
    size = len(event.payload)
    if size > largest_payload:
        violations.add(
            payload_field,
            f"must have at most {largest_payload} bytes, has {size}",
            "PAYLOAD_TOO_LARGE",
            limit_bytes=str(largest_payload),
        )
    elif event.is_json and (problem := json_problem(event.payload.decode())):
        violations.add(payload_field, problem)


def _event_type_problem(event_type: str) -> str | None:
    problem = event_type_problem(event_type)
    if problem is None and is_reserved(event_type):
        return "must not begin with webhooks, which is the server's own"
    return problem
