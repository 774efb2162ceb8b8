"""Events as rows, and rows as events."""

import json

from sqlalchemy import LargeBinary, func, literal

from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import EventId, EventSeq, TenantId
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.rows.values import Columns, Row, compact
from webhooks_server.storage.sql.schema import events

EVENT_COLUMNS = (
    "seq",
    "tenant",
    "id",
    "event_type",
    "payload",
    "is_json",
    "content_type",
    "source",
    "subject",
    "occur_time",
    "attributes",
    "data_schema",
    "publisher",
    "traceparent",
    "content_hash",
    "matched_count",
    "create_time",
)

_NO_BYTES = literal(b"", LargeBinary)
_SIZE = func.length(events.c.payload).label("payload_size")
WHOLE_EVENT = (
    *(events.c[name] for name in EVENT_COLUMNS if name != "content_hash"),
    _SIZE,
)
BASIC_EVENT = (
    *(events.c[name] for name in EVENT_COLUMNS if name not in {"content_hash", "payload"}),
    _NO_BYTES.label("payload"),
    _SIZE,
)


def event_row(event: Event, content_hash: bytes) -> Row:
    """Return an accepted event in the order of EVENT_COLUMNS."""
    return (
        event.seq,
        event.tenant,
        event.id,
        event.event_type,
        event.payload,
        event.is_json,
        event.content_type,
        event.source,
        event.subject,
        event.occur_time,
        compact(dict(event.attributes)) if event.attributes else "{}",
        event.data_schema,
        event.publisher,
        event.traceparent,
        content_hash,
        event.delivery_count,
        event.create_time,
    )


def event_of(row: Columns) -> Event:
    """Return the event of a row of WHOLE_EVENT or BASIC_EVENT."""
    occur_time = row["occur_time"]
    attributes = row["attributes"]
    return Event(
        seq=EventSeq(row["seq"]),
        tenant=TenantId(row["tenant"]),
        id=EventId(row["id"]),
        event_type=row["event_type"],
        payload=row["payload"],
        is_json=bool(row["is_json"]),
        content_type=row["content_type"],
        source=row["source"],
        subject=row["subject"],
        occur_time=None if occur_time is None else Instant(occur_time),
        attributes={} if attributes == "{}" else json.loads(attributes),
        data_schema=row["data_schema"],
        publisher=row["publisher"],
        traceparent=row["traceparent"],
        create_time=Instant(row["create_time"]),
        payload_size=row["payload_size"],
        delivery_count=row["matched_count"],
    )
