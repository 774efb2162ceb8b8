"""Requests that may be repeated: request_id of Create, Update, Rotate and Retry (AIP-155)."""

from webhooks_server.domain.ids import TenantId
from webhooks_server.domain.times import DAY
from webhooks_server.domain.values import value

REMEMBERED = DAY
"""How long the first answer is kept."""


@value
class RequestKey:
    """A request_id and the SHA-256 over method and request.

    By it a repetition is told from a reuse.
    """

    tenant: TenantId
    request_id: str
    fingerprint: bytes
