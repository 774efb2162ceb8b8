"""Attempts as rows, and rows as attempts."""

from webhooks_server.domain.delivery import Attempt, Outcome, Record, Recorded
from webhooks_server.domain.ids import DeliverySeq
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.storage.sql.rows.values import (
    Columns,
    Row,
    pack_pairs,
    storable,
    unpack_pairs,
)
from webhooks_server.storage.sql.schema import attempts

ATTEMPT_COLUMNS = (
    "delivery_seq",
    "number",
    "token",
    "outcome",
    "late",
    "start_time",
    "latency",
    "url",
    "status_code",
    "error_message",
    "remote_ip_address",
    "request_headers",
    "response_headers",
    "response_body",
    "response_body_truncated",
    "retry_after",
    "relay",
)
WHOLE_ATTEMPT = tuple(attempts.c[name] for name in ATTEMPT_COLUMNS[1:] if name != "token")
BASIC_ATTEMPT = tuple(
    column
    for column in WHOLE_ATTEMPT
    if column.name not in {"request_headers", "response_headers", "response_body"}
)


def attempt_row(seq: DeliverySeq, record: Record, recorded: Recorded) -> Row:
    """Return the attempt of a record in the order of ATTEMPT_COLUMNS."""
    attempt = record.attempt
    return (
        seq,
        recorded.attempt_number,
        record.token,
        attempt.outcome,
        recorded.late,
        attempt.start_time,
        attempt.latency,
        attempt.url,
        attempt.status_code,
        storable(attempt.error_message),
        attempt.remote_ip_address,
        pack_pairs(attempt.request_headers),
        pack_pairs(attempt.response_headers),
        attempt.response_body,
        attempt.response_body_truncated,
        attempt.retry_after,
        attempt.relay,
    )


def attempt_of(row: Columns) -> Attempt:
    """Return the attempt of a row of WHOLE_ATTEMPT or BASIC_ATTEMPT."""
    retry_after = row["retry_after"]
    return Attempt(
        number=row["number"],
        outcome=Outcome(row["outcome"]),
        late=bool(row["late"]),
        start_time=Instant(row["start_time"]),
        latency=Micros(row["latency"]),
        url=row["url"],
        status_code=row["status_code"],
        error_message=row["error_message"],
        remote_ip_address=row["remote_ip_address"],
        request_headers=unpack_pairs(row.get("request_headers", "")),
        response_headers=unpack_pairs(row.get("response_headers", "")),
        response_body=row.get("response_body", b""),
        response_body_truncated=bool(row["response_body_truncated"]),
        retry_after=None if retry_after is None else Micros(retry_after),
        relay=row["relay"],
    )
