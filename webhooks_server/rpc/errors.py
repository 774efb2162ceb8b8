"""The error table: every domain error as a status with rich details, and nothing else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

# Imported for all details, so that reflection can describe them and grpcurl prints them decoded.
from google.rpc import error_details_pb2, status_pb2

from webhooks_server.domain.errors import (
    EtagMismatch,
    EventIdReused,
    InvalidArgument,
    LeaseLost,
    NotFound,
    PreconditionFailed,
    ResourceError,
    ResourceExists,
    StoreConflict,
    StreamProtocolBroken,
    TooMuchToRead,
    Unavailable,
    WebhooksError,
)
from webhooks_server.rpc.call import REQUEST_ID_KEY

DOMAIN = "webhooks.v1"
# Beyond 8 KiB of metadata gRPC throws the whole status away. The message is sent twice, once in
# percent-encoding, which may triple it, and details may be sent in base64.
MAX_TEXT_BYTES = 384
MAX_VIOLATIONS = 20
MAX_VIOLATIONS_BYTES = 3 * 1024
DETAILS_KEY = "grpc-status-details-bin"

_CODES: Mapping[type[WebhooksError], grpc.StatusCode] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    StreamProtocolBroken: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    ResourceExists: grpc.StatusCode.ALREADY_EXISTS,
    EventIdReused: grpc.StatusCode.ALREADY_EXISTS,
    EtagMismatch: grpc.StatusCode.ABORTED,
    StoreConflict: grpc.StatusCode.ABORTED,
    LeaseLost: grpc.StatusCode.ABORTED,
    PreconditionFailed: grpc.StatusCode.FAILED_PRECONDITION,
    TooMuchToRead: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
_CONFLICT_DELAY = 0.1


@dataclass(frozen=True, slots=True)
class CallStatus(grpc.Status):
    """A failed call's status, as abort_with_status takes it."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def status_of(error: WebhooksError, request_id: str) -> CallStatus | None:
    """Return the status of an error, or None where it is a bug that it came up to here."""
    code = _code_of(error)
    return None if code is None else _status(code, error.message, list(_details(error)), request_id)


def status_message(error: InvalidArgument | EventIdReused) -> status_pb2.Status:
    """Return the status of an error that is told in a message, and does not end the call."""
    return _message(_CODES[type(error)], error.message, list(_details(error)))


def item_status(error: WebhooksError) -> status_pb2.Status:
    """Return the status of one item of an answer that is OK as a whole; a bug shows no word."""
    code = _code_of(error)
    if code is None:
        number, _ = grpc.StatusCode.INTERNAL.value
        return status_pb2.Status(code=number, message="the server failed by its own fault")
    return _message(code, error.message, list(_details(error)))


def internal_status(request_id: str) -> CallStatus:
    """Return the status of a bug: the request id, which finds it in the log, and no word more."""
    info = error_details_pb2.ErrorInfo(
        reason="INTERNAL", domain=DOMAIN, metadata={"request_id": request_id}
    )
    message = "the server failed by its own fault"
    return _status(grpc.StatusCode.INTERNAL, message, [info], request_id)


def deadline_status(request_id: str) -> CallStatus:
    """Return the status of a call that took longer than the server allows."""
    message = "the call took longer than the server allows"
    return _status(grpc.StatusCode.DEADLINE_EXCEEDED, message, [], request_id)


def _status(
    code: grpc.StatusCode, message: str, details: list[Message], request_id: str
) -> CallStatus:
    status = _message(code, message, details)
    metadata = ((DETAILS_KEY, status.SerializeToString()), (REQUEST_ID_KEY, request_id))
    return CallStatus(code, status.message, metadata)


def _message(code: grpc.StatusCode, message: str, details: list[Message]) -> status_pb2.Status:
    number, _ = code.value
    status = status_pb2.Status(code=number, message=_cut(message))
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _code_of(error: WebhooksError) -> grpc.StatusCode | None:
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), None)


def _details(error: WebhooksError) -> Iterator[Message]:
    metadata = {key: _cut(value) for key, value in error.metadata.items()}
    yield error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    match error:
        case InvalidArgument():
            yield _bad_request(error)
        case ResourceError():
            yield error_details_pb2.ResourceInfo(
                resource_type=error.resource_type,
                resource_name=error.resource_name,
                description=_cut(error.message),
            )
        case PreconditionFailed():
            failure = error_details_pb2.PreconditionFailure()
            failure.violations.add(
                type=error.reason, subject=error.subject, description=_cut(error.message)
            )
            yield failure
        case StoreConflict():
            yield _retry_info(_CONFLICT_DELAY)
        case Unavailable():
            yield _retry_info(error.retry_after_seconds)
        case _:
            pass


def _bad_request(error: InvalidArgument) -> error_details_pb2.BadRequest:
    """List as many violations as there is room for, the first always."""
    bad_request = error_details_pb2.BadRequest()
    for violation in error.violations[:MAX_VIOLATIONS]:
        added = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(violation.field),
            description=_cut(violation.description),
            reason=violation.reason,
        )
        if bad_request.ByteSize() + added.ByteSize() > MAX_VIOLATIONS_BYTES:
            break
        bad_request.field_violations.append(added)
    return bad_request


def _retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    whole = int(seconds)
    delay = Duration(seconds=whole, nanos=round((seconds - whole) * 1_000_000_000))
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _cut(text: str) -> str:
    encoded = text.encode()
    if len(encoded) <= MAX_TEXT_BYTES:
        return text
    return encoded[: MAX_TEXT_BYTES - 3].decode(errors="ignore") + "…"
