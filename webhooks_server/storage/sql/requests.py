"""Answers that are remembered by request id (AIP-155)."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, exists, insert, select

from webhooks_server.domain.requests import REMEMBERED, RequestKey
from webhooks_server.domain.times import Instant
from webhooks_server.storage.refusals import request_id_reused
from webhooks_server.storage.sql.rows.values import Columns
from webhooks_server.storage.sql.schema import request_ids


def first_answer(
    connection: Connection, request: RequestKey | None, now: Instant
) -> Columns | None:
    """Return the answer that this request got before; raises where another one had its id."""
    if request is None:
        return None
    found = connection.execute(
        select(request_ids.c.fingerprint, request_ids.c.answer).where(
            request_ids.c.tenant == request.tenant,
            request_ids.c.request_id == request.request_id,
            request_ids.c.create_time > now - REMEMBERED,
        )
    ).one_or_none()
    if found is None:
        return None
    if found.fingerprint != request.fingerprint:
        raise request_id_reused()
    answer: dict[str, Any] = json.loads(found.answer)
    return answer


def has_outdated(connection: Connection, now: Instant) -> bool:
    """Tell whether there is an answer that is too old."""
    outdated = exists().where(request_ids.c.create_time <= now - REMEMBERED)
    return bool(connection.execute(select(outdated)).scalar_one())


def forget_outdated(connection: Connection, now: Instant) -> None:
    """Forget answers that are too old."""
    connection.execute(delete(request_ids).where(request_ids.c.create_time <= now - REMEMBERED))


def remember(
    connection: Connection, request: RequestKey | None, answer: Mapping[str, object], now: Instant
) -> None:
    """Keep the first answer to a request, and forget what is too old."""
    if request is None:
        return
    forget_outdated(connection, now)
    connection.execute(
        insert(request_ids).values(
            tenant=request.tenant,
            request_id=request.request_id,
            fingerprint=request.fingerprint,
            answer=json.dumps(answer),
            create_time=now,
        )
    )
