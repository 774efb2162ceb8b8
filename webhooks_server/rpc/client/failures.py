"""Failed calls as the errors of the domain: the error table of the contract, read backwards."""

from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from webhooks_server.domain.errors import (
    DeliveryNotRetryable,
    EtagMismatch,
    EventIdReused,
    EventPurged,
    InvalidArgument,
    NoEngine,
    NotFound,
    NotSupported,
    RelayIsPaused,
    ResourceExists,
    ServerOverloaded,
    ShuttingDown,
    StoreConflict,
    StoreUnavailable,
    SubscriptionIsDisabled,
    Unavailable,
    Violation,
    WebhooksError,
)

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS_KEY = "grpc-status-details-bin"


class ServerUnreachable(Unavailable):
    """No server answers."""


class NoAnswer(WebhooksError):
    """The server did not answer in time; what was asked for may have been done."""


class ServerFault(WebhooksError):
    """The server failed by its own fault; its log tells more."""


class CallRefused(WebhooksError):
    """The server refuses this call."""


@dataclass(slots=True)
class _Details:
    """The rich details of a status; each kind occurs at most once (AIP-193)."""

    message: str
    info: error_details_pb2.ErrorInfo = field(default_factory=error_details_pb2.ErrorInfo)
    request: error_details_pb2.BadRequest = field(default_factory=error_details_pb2.BadRequest)
    resource: error_details_pb2.ResourceInfo = field(default_factory=error_details_pb2.ResourceInfo)
    precondition: error_details_pb2.PreconditionFailure = field(
        default_factory=error_details_pb2.PreconditionFailure
    )
    retry: error_details_pb2.RetryInfo = field(default_factory=error_details_pb2.RetryInfo)

    def invalid(self) -> WebhooksError:
        violations = [
            Violation(field=one.field, description=one.description, reason=one.reason)
            for one in self.request.field_violations
        ]
        return InvalidArgument(violations) if violations else CallRefused(self.message)

    def subject(self) -> str:
        violations = self.precondition.violations
        return violations[0].subject if violations else ""


_BY_REASON: dict[str, Callable[[_Details], WebhooksError]] = {
    "RESOURCE_NOT_FOUND": lambda d: NotFound(d.resource.resource_type, d.resource.resource_name),
    "RESOURCE_EXISTS": lambda d: ResourceExists(
        d.resource.resource_type, d.resource.resource_name, d.message
    ),
    "EVENT_ID_REUSED": lambda d: EventIdReused(
        d.resource.resource_type, d.resource.resource_name, d.message
    ),
    "ETAG_MISMATCH": lambda d: EtagMismatch(d.info.metadata["current_etag"]),
    "STORE_CONFLICT": lambda d: StoreConflict(d.message),
    "SUBSCRIPTION_DISABLED": lambda d: SubscriptionIsDisabled(d.subject(), d.message),
    "DELIVERY_NOT_RETRYABLE": lambda d: DeliveryNotRetryable(d.subject(), d.message),
    "EVENT_PURGED": lambda d: EventPurged(d.subject(), d.message),
    "NO_ENGINE": lambda d: NoEngine(d.subject(), d.message),
    "RELAY_PAUSED": lambda d: RelayIsPaused(d.subject(), d.message),
    "NOT_SUPPORTED": lambda d: NotSupported(d.subject(), d.message),
    "STORE_UNAVAILABLE": lambda d: StoreUnavailable(d.message),
    "SERVER_OVERLOADED": lambda d: ServerOverloaded(d.message),
    "SHUTTING_DOWN": lambda d: ShuttingDown(d.message),
}


def failure_of(error: grpc.aio.AioRpcError, address: str) -> WebhooksError:
    """Return the error that a failed call of the server at this address stands for."""
    return _failure(error.code(), _details(error), address)


def failure_of_stream(error: grpc.aio.AioRpcError, address: str) -> WebhooksError:
    """Return the error that the end of a stream stands for.

    Where no server gave a reason the connection broke; a stream of grpc that is written to
    meanwhile calls that INTERNAL.
    """
    if error.code() is grpc.StatusCode.CANCELLED or (
        error.code() is grpc.StatusCode.INTERNAL and not _details(error).info.reason
    ):
        return Unavailable(f"the stream from {address} broke off")
    return failure_of(error, address)


def failure_of_status(status: status_pb2.Status, address: str) -> WebhooksError:
    """Return the error that the status of one event of a stream stands for."""
    details = _Details(message=status.message)
    _unpack(status, details)
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _failure(code, details, address)


def _failure(code: grpc.StatusCode, details: _Details, address: str) -> WebhooksError:
    build = _BY_REASON.get(details.info.reason)
    if build is not None:
        return _with_delay(build(details), details)
    return _by_code(code, details, address)


def _by_code(code: grpc.StatusCode, details: _Details, address: str) -> WebhooksError:
    message = details.message
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT:
            return details.invalid()
        case grpc.StatusCode.UNAVAILABLE:
            text = f"no server answers at {address}: is `webhooks-server serve` running there?"
            return _with_delay(ServerUnreachable(text), details)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return NoAnswer()
        case grpc.StatusCode.UNIMPLEMENTED:
            return CallRefused(f"the server at {address} does not offer this: {message}")
        case grpc.StatusCode.INTERNAL | grpc.StatusCode.UNKNOWN:
            request_id = details.info.metadata.get("request_id", "unknown")
            return ServerFault(f"the server failed; its log tells more by request {request_id}")
        case _:
            return CallRefused(f"{code.name}: {message}")


def _with_delay(failure: WebhooksError, details: _Details) -> WebhooksError:
    if isinstance(failure, Unavailable) and details.retry.HasField("retry_delay"):
        failure.retry_after_seconds = details.retry.retry_delay.ToMilliseconds() / 1000
    return failure


def _details(error: grpc.aio.AioRpcError) -> _Details:
    details = _Details(message=error.details() or error.code().name)
    packed = dict(error.trailing_metadata() or ()).get(_DETAILS_KEY, b"")
    try:
        status = status_pb2.Status.FromString(packed if isinstance(packed, bytes) else b"")
    except DecodeError:
        return details
    _unpack(status, details)
    return details


def _unpack(status: status_pb2.Status, details: _Details) -> None:
    for any_detail in status.details:
        for kind in (
            details.info,
            details.request,
            details.resource,
            details.precondition,
            details.retry,
        ):
            any_detail.Unpack(kind)
