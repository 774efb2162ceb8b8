"""What a call can fail with, from one root."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

_TRANSIENT_CODES = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
_TRANSIENT_REASONS = frozenset({"STORE_CONFLICT", "RATE_LIMITED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldViolation:
    """One thing that is wrong with a request: the field by its path, such as `event.event_type`."""

    field: str
    description: str
    reason: str = "INVALID_FIELD"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorDetails:
    """What a failed call says besides its message."""

    code: grpc.StatusCode
    reason: str = ""
    """A value of ErrorReason without its prefix; empty where not our server failed the call."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Every changing part of the message once more, such as `limit_bytes`."""
    field_violations: tuple[FieldViolation, ...] = ()
    retry_delay: float | None = None
    """Seconds to wait before another try, where the server asks for that."""


class WebhooksError(Exception):
    """A call failed. The subclasses are the failures that callers tell apart."""

    def __init__(self, message: str, details: ErrorDetails) -> None:
        """Take the message for people, and what programs decide by."""
        super().__init__(message, details)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        """Return reason and message in one line."""
        return f"{self.reason or self.code.name}: {self.message}"

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status code."""
        return self.details.code

    @property
    def reason(self) -> str:
        """What exactly is the matter: a value of ErrorReason without its prefix, or empty."""
        return self.details.reason

    @property
    def metadata(self) -> Mapping[str, str]:
        """Every changing part of the message once more."""
        return self.details.metadata

    @property
    def field_violations(self) -> tuple[FieldViolation, ...]:
        """What is wrong with which field of the request."""
        return self.details.field_violations

    @property
    def retry_delay(self) -> float | None:
        """Seconds to wait before another try, where the server asks for that."""
        return self.details.retry_delay

    @property
    def is_transient(self) -> bool:
        """Whether the same call can succeed a little later."""
        # CANCELLED from the other side is a server that stopped: gRPC cuts off what it had received
        # and not begun. A task that is cancelled by its owner never gets here, and a client that
        # was closed gives ClientClosed.
        return self.code in _TRANSIENT_CODES or self.reason in _TRANSIENT_REASONS


class InvalidArgument(WebhooksError):
    """The request breaks a rule; `field_violations` says which."""


class PayloadTooLarge(InvalidArgument):
    """A payload, or all those of a batch together, is over the limit."""


class NotFound(WebhooksError):
    """The resource does not exist."""


class AlreadyExists(WebhooksError):
    """A resource with this id, or to this effect, exists."""


class EventIdReused(AlreadyExists):
    """An event with this id and other content is stored."""


class FailedPrecondition(WebhooksError):
    """The resource is not in a state that allows this."""


class Aborted(WebhooksError):
    """The resource changed in between: an etag is out of date, or another write came first."""


class ResourceExhausted(WebhooksError):
    """A rate, a quota or the size of a message is over its limit."""


class PermissionDenied(WebhooksError):
    """The caller may not do this."""


class Unauthenticated(WebhooksError):
    """The token is missing or not valid."""


class Unavailable(WebhooksError):
    """No server can take the call right now."""


class DeadlineExceeded(WebhooksError):
    """No answer came in time; the server may have done what was asked."""


class ClientClosed(WebhooksError):
    """The client was closed, before the call or during it; then the server may have done it."""

    @property
    def is_transient(self) -> bool:
        """False: only another client can make the call again."""
        return False


def closed() -> ClientClosed:
    """Return the error for a call of a client that was closed."""
    return ClientClosed("the client was closed", ErrorDetails(code=grpc.StatusCode.CANCELLED))


def invalid(path: str, description: str) -> InvalidArgument:
    """Return the error the server would send for one field, for what is refused before the call."""
    violation = FieldViolation(field=path, description=description)
    return InvalidArgument(
        f"{path}: {description}",
        ErrorDetails(
            code=grpc.StatusCode.INVALID_ARGUMENT,
            reason=violation.reason,
            field_violations=(violation,),
        ),
    )
