"""Publishes events in batches such that one that is refused never holds up its neighbours."""

import re
from collections.abc import Sequence
from typing import Protocol

from webhooks_server.cli.event_lines import EventLine
from webhooks_server.domain.bounds import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from webhooks_server.domain.errors import EventIdReused, InvalidArgument
from webhooks_server.domain.ids import TenantId
from webhooks_server.rpc.client import Published, ServerClient

MAX_REQUEST_BYTES = 4 * 1024 * 1024
"""Of a batch's lines, payloads and all else; the server reads messages of twice that."""

_EVENT_FIELD = re.compile(r"events\[(\d+)\]\.?(.*)", re.DOTALL)


class Ledger(Protocol):
    """Where it is written down what became of each line."""

    def published(self, line: EventLine, result: Published) -> None:
        """Take note of an event that is stored now."""
        ...

    def refused(self, number: int, reason: str) -> None:
        """Take note of a line that is not, and never will be."""
        ...


class Batch:
    """Lines that fit one BatchPublish; no event id occurs twice, so that errors name one line."""

    def __init__(self) -> None:
        """Start empty."""
        self.lines: list[EventLine] = []
        self._ids: set[str] = set()
        self._payload_size = 0
        self._size = 0

    def takes(self, line: EventLine) -> bool:
        """Tell whether there is room for the line; an empty batch takes any."""
        return not self.lines or (
            len(self.lines) < MAX_BATCH_EVENTS
            and self._payload_size + line.payload_size <= MAX_BATCH_BYTES
            and self._size + line.size <= MAX_REQUEST_BYTES
            and line.event.event_id not in self._ids
        )

    def add(self, line: EventLine) -> None:
        """Put a line in."""
        self.lines.append(line)
        self._ids.add(line.event.event_id)
        self._payload_size += line.payload_size
        self._size += line.size


async def publish_batch(
    client: ServerClient, tenant: TenantId, lines: Sequence[EventLine], ledger: Ledger
) -> None:
    """Publish the lines: all that the server takes, the others are written down as refused.

    Raises what is no fault of a line, such as a server that is gone; then the lines that are not in
    the ledger may have been stored or not.
    """
    waiting = list(lines)
    while waiting:
        try:
            results = await client.batch_publish(tenant, [line.event for line in waiting])
        except (InvalidArgument, EventIdReused) as error:
            refused = _named(error, waiting)
            if not refused and not _is_about_events(error):
                raise
            if not refused and len(waiting) > 1:
                for line in waiting:
                    await publish_batch(client, tenant, [line], ledger)
                return
            refused = refused or {0: error.message}
            for index, reason in refused.items():
                ledger.refused(waiting[index].number, reason)
            waiting = [line for index, line in enumerate(waiting) if index not in refused]
        else:
            for line, result in zip(waiting, results, strict=True):
                ledger.published(line, result)
            return


def _named(error: InvalidArgument | EventIdReused, lines: Sequence[EventLine]) -> dict[int, str]:
    """Return the reasons by the indexes of the lines that the error names."""
    if isinstance(error, EventIdReused):
        return {
            index: error.message
            for index, line in enumerate(lines)
            if error.resource_name.endswith(f"/events/{line.event.event_id}")
        }
    reasons: dict[int, str] = {}
    for violation in error.violations:
        found = _EVENT_FIELD.fullmatch(violation.field)
        if found is not None and int(found[1]) < len(lines):
            reason = f"{found[2]} {violation.description}".strip()
            index = int(found[1])
            reasons[index] = f"{reasons[index]}; {reason}" if index in reasons else reason
    return reasons


def _is_about_events(error: InvalidArgument | EventIdReused) -> bool:
    return isinstance(error, EventIdReused) or all(
        violation.field.startswith("events") for violation in error.violations
    )
