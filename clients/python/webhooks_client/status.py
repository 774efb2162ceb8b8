"""Failed calls as errors: reads the rich details of a status (AIP-193)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from webhooks_client.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    ErrorDetails,
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

_DETAILS_KEY = "grpc-status-details-bin"

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_BY_REASON = {"EVENT_ID_REUSED": EventIdReused, "PAYLOAD_TOO_LARGE": PayloadTooLarge}
_BY_CODE = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """The kinds of detail that callers decide by; each occurs at most once."""

    info: error_details_pb2.ErrorInfo = field(default_factory=error_details_pb2.ErrorInfo)
    request: error_details_pb2.BadRequest = field(default_factory=error_details_pb2.BadRequest)
    retry: error_details_pb2.RetryInfo = field(default_factory=error_details_pb2.RetryInfo)


def error_of(error: grpc.RpcError) -> WebhooksError:
    """Return what a failed call of a stub, synchronous or not, stands for."""
    # A proxy may have written anything here: what cannot be read leaves code and message.
    try:
        status = status_pb2.Status.FromString(_packed(error))
    except DecodeError:
        status = status_pb2.Status()
    return _error(error.code(), error.details(), status)


def error_of_status(status: status_pb2.Status) -> WebhooksError:
    """Return what the status of one event of a stream stands for."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _error(code, status.message, status)


def _error(code: grpc.StatusCode, message: str | None, status: status_pb2.Status) -> WebhooksError:
    unpacked = _unpack(status)
    kind = _BY_REASON.get(unpacked.info.reason) or _BY_CODE.get(code, WebhooksError)
    details = ErrorDetails(
        code=code,
        reason=unpacked.info.reason,
        metadata=dict(unpacked.info.metadata),
        field_violations=tuple(
            FieldViolation(field=one.field, description=one.description, reason=one.reason)
            for one in unpacked.request.field_violations
        ),
        retry_delay=_seconds(unpacked.retry),
    )
    return kind(message or code.name, details)


def _unpack(status: status_pb2.Status) -> _Unpacked:
    unpacked = _Unpacked()
    try:
        for detail in status.details:
            for kind in (unpacked.info, unpacked.request, unpacked.retry):
                detail.Unpack(kind)
    except DecodeError:
        return _Unpacked()
    return unpacked


def _packed(error: grpc.RpcError) -> bytes:
    # Pairs, both of the synchronous and the asynchronous stubs, whatever the typing of grpc says.
    pairs = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    for key, value in pairs:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return value
    return b""


def _seconds(retry: error_details_pb2.RetryInfo) -> float | None:
    if not retry.HasField("retry_delay"):
        return None
    return retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
