"""How loud a fact is.

DEBUG is what goes as it should, a thousand times a second. INFO is what somebody did or asked for,
and what became of a delivery that had trouble with its receiver. WARNING is what whoever runs the
server may want to do something about, though it goes on by itself. ERROR is a fault of the server
or of what it stands on.
"""

import logging
from collections.abc import Mapping

from webhooks_server.domain.delivery import Outcome
from webhooks_server.ports.telemetry import Field

_SUCCEEDED = Outcome.SUCCEEDED.name.lower()
_WARNINGS = frozenset(
    {
        "audit.violated",
        "background.failed",
        "breaker.opened",
        "partitions.lost",
        "relay.stopped_dirty",
        "store.unwritable",
        "subscription.disabled",
        "worker.died",
        "worker.not_started",
        "workers.killed",
    }
)
_OVERLOADED = frozenset({"SERVER_OVERLOADED", "STORE_UNAVAILABLE", "DEADLINE_EXCEEDED"})


def level_of(name: str, fields: Mapping[str, Field]) -> int:
    """Return the level of a fact; faults are ERROR."""
    if name == "delivery.attempted":
        return logging.DEBUG if fields.get("outcome") == _SUCCEEDED else logging.INFO
    if name in _WARNINGS:
        return logging.WARNING
    if name == "rpc.refused" and fields.get("reason") in _OVERLOADED:
        return logging.WARNING
    return logging.INFO
