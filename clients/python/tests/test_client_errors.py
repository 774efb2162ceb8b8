"""What failed calls turn into."""

import pickle

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.rpc import error_details_pb2, status_pb2

from tests.clients import Client
from tests.fault_server import Fault, FaultServer, info, retry_after
from webhooks_client import (
    Aborted,
    AlreadyExists,
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
    error_of,
)

DETAILS_KEY = "grpc-status-details-bin"


def failed(*metadata: tuple[str, str | bytes]) -> grpc.aio.AioRpcError:
    """Return a failed call with whatever a proxy may have made of it."""
    return grpc.aio.AioRpcError(
        grpc.StatusCode.NOT_FOUND,
        initial_metadata=grpc.aio.Metadata(),
        trailing_metadata=grpc.aio.Metadata(*metadata),
        details="no such thing",
    )


def packed(*values: bytes) -> bytes:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    details = [Packed(type_url=kind, value=value) for value in values]
    return status_pb2.Status(code=5, details=details).SerializeToString()


async def test_all_that_the_server_says_arrives(faulty: Client, fault_server: FaultServer) -> None:
    bad = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field="event.event_type", description="must be set", reason="INVALID_FIELD"
            )
        ]
    )
    details = [info("INVALID_FIELD", limit="3"), bad, retry_after(1500)]
    fault_server.script = [Fault(code=grpc.StatusCode.INVALID_ARGUMENT, details=details)]
    with pytest.raises(InvalidArgument) as caught:
        await faulty.publish("a", {})
    error = caught.value
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "INVALID_FIELD"
    assert error.message == "told to"
    assert error.metadata == {"limit": "3"}
    assert error.field_violations == (
        FieldViolation(field="event.event_type", description="must be set"),
    )
    assert error.retry_delay == 1.5
    assert str(error) == "INVALID_FIELD: told to"
    assert isinstance(error.__cause__, grpc.RpcError)


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", InvalidArgument),
        (grpc.StatusCode.INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE", PayloadTooLarge),
        (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", NotFound),
        (grpc.StatusCode.ALREADY_EXISTS, "RESOURCE_EXISTS", AlreadyExists),
        (grpc.StatusCode.ALREADY_EXISTS, "EVENT_ID_REUSED", EventIdReused),
        (grpc.StatusCode.FAILED_PRECONDITION, "UNKNOWN_EVENT_TYPE", FailedPrecondition),
        (grpc.StatusCode.ABORTED, "ETAG_MISMATCH", Aborted),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", ResourceExhausted),
        (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING", PermissionDenied),
        (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_MISSING", Unauthenticated),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", DeadlineExceeded),
        (grpc.StatusCode.INTERNAL, "INTERNAL", WebhooksError),
        (grpc.StatusCode.DATA_LOSS, "", WebhooksError),
        (grpc.StatusCode.UNIMPLEMENTED, "", WebhooksError),
    ],
)
async def test_each_failure_has_its_class(
    faulty: Client,
    fault_server: FaultServer,
    code: grpc.StatusCode,
    reason: str,
    kind: type[WebhooksError],
) -> None:
    fault_server.script = [Fault(code=code, details=[info(reason)] if reason else [])]
    with pytest.raises(WebhooksError) as caught:
        await faulty.publish("a", {})
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.reason) == (code, reason)


async def test_nobody_listens(unused_address: str, connect_unused: Client) -> None:
    with pytest.raises(Unavailable) as caught:
        await connect_unused.publish("a", {}, timeout=1.0)
    assert caught.value.reason == ""
    assert unused_address in caught.value.message


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("other-bin", b"\x08\x05"),),
        ((DETAILS_KEY, b"\xff\xff not a status"),),
        ((DETAILS_KEY, "text"),),
        ((DETAILS_KEY, packed(b"\xff\xff not an error info")),),
        ((DETAILS_KEY, packed(b"", b"\x0a")),),
    ],
)
def test_details_that_cannot_be_read_leave_code_and_message(
    metadata: tuple[tuple[str, str | bytes], ...],
) -> None:
    error = error_of(failed(*metadata))
    assert type(error) is NotFound
    assert str(error) == "NOT_FOUND: no such thing"
    assert (error.reason, error.metadata, error.retry_delay) == ("", {}, None)


def test_an_error_survives_the_way_between_processes() -> None:
    error = error_of(failed((DETAILS_KEY, packed(info("EVENT_ID_REUSED").SerializeToString()))))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(again) is EventIdReused
    assert (str(again), again.details) == (str(error), error.details)
