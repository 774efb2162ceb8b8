"""What must hold for every event that is accepted (security.md, 5; api.md 1.4)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFields:
    """How the caller named an event's fields.

    `prefix` stands before each (`events[3].`), `payload` is the one that held the payload.
    """

    prefix: str = ""
    payload: str = "data_json"


async def check_events(
    events: Sequence[Event],
    fields: Sequence[EventFields],
    largest_payload: int,
    violations: Violations,
) -> None:
    """Check events, whose fields are named one by one; an empty id is one that will be made."""
    size = sum([len(event.payload) for event in events])
    if size <= INLINE_BYTES:
        _check_all(events, fields, largest_payload, violations)
    else:
        await asyncio.to_thread(_check_all, events, fields, largest_payload, violations)


def _check_all(
    events: Sequence[Event],
    fields: Sequence[EventFields],
    largest_payload: int,
    violations: Violations,
) -> None:
    for event, named in zip(events, fields, strict=True):
        _check_event(event, named, largest_payload, violations)
        if violations.is_full:
            break


def _check_event(
    event: Event, fields: EventFields, largest_payload: int, violations: Violations
) -> None:
    prefix = fields.prefix
    if problem := _event_type_problem(event.event_type):
        violations.add(f"{prefix}event_type", problem)
    if event.id and not is_event_id(event.id):
        violations.add(f"{prefix}event_id", "must be 1 to 64 of A-Z a-z 0-9 _ -")
    if event.content_type != JSON_CONTENT_TYPE:
        violations.add(f"{prefix}data_content_type", media_type_problem(event.content_type))
    if event.source:
        violations.add(f"{prefix}source", text_problem(event.source, MAX_TEXT))
    if event.subject:
        violations.add(f"{prefix}subject", text_problem(event.subject, MAX_TEXT))
    if event.data_schema:
        violations.add(f"{prefix}data_schema", text_problem(event.data_schema, MAX_TEXT))
    if event.attributes:
        violations.add(f"{prefix}attributes", attributes_problem(event.attributes))
    size = len(event.payload)
    if size > largest_payload:
        violations.add(
            prefix + fields.payload,
            f"must have at most {largest_payload} bytes, has {size}",
            "PAYLOAD_TOO_LARGE",
            limit_bytes=str(largest_payload),
        )
    elif event.is_json and (problem := json_problem(event.payload.decode())):
        violations.add(prefix + fields.payload, problem)


def _event_type_problem(event_type: str) -> str | None:
    problem = event_type_problem(event_type)
    if problem is None and is_reserved(event_type):
        return "must not begin with webhooks, which is the server's own"
    return problem
