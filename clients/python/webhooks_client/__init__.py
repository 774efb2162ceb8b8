"""Publish events to a webhooks server, and verify the requests that it sends."""

from webhooks_client.async_client import AsyncWebhooksClient
from webhooks_client.errors import (
    Aborted,
    AlreadyExists,
    ClientClosed,
    DeadlineExceeded,
    EventIdReused,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    WebhooksError,
)
from webhooks_client.events import Event, EventFields, Published, RawJson, new_event_id
from webhooks_client.retry import RetryPolicy
from webhooks_client.status import error_of
from webhooks_client.sync_client import WebhooksClient
from webhooks_client.verification import (
    Received,
    VerificationFailed,
    verify,
    verify_hub_signature,
)
from webhooks_client.window import Refused, StreamResult

__version__ = "0.1.0"

__all__ = [
    "Aborted",
    "AlreadyExists",
    "AsyncWebhooksClient",
    "ClientClosed",
    "DeadlineExceeded",
    "Event",
    "EventFields",
    "EventIdReused",
    "FailedPrecondition",
    "FieldViolation",
    "InvalidArgument",
    "NotFound",
    "PayloadTooLarge",
    "PermissionDenied",
    "Published",
    "RawJson",
    "Received",
    "Refused",
    "ResourceExhausted",
    "RetryPolicy",
    "StreamResult",
    "Unauthenticated",
    "Unavailable",
    "VerificationFailed",
    "WebhooksClient",
    "WebhooksError",
    "error_of",
    "new_event_id",
    "verify",
    "verify_hub_signature",
]
