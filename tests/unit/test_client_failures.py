"""The client reads back what the server's error table says, and what the runtime says by itself."""

import grpc
import pytest

from webhooks_server.domain import errors
from webhooks_server.domain.errors import InvalidArgument, Unavailable, Violation, WebhooksError
from webhooks_server.rpc.client.failures import (
    CallRefused,
    NoAnswer,
    ServerFault,
    ServerUnreachable,
    failure_of,
)
from webhooks_server.rpc.errors import CallStatus, internal_status, status_of

ADDRESS = "127.0.0.1:50051"
EVENT = "webhooks.v1.Event"


def read_back(status: CallStatus) -> WebhooksError:
    metadata = grpc.aio.Metadata(*status.trailing_metadata)
    error = grpc.aio.AioRpcError(status.code, None, metadata, status.details)
    return failure_of(error, ADDRESS)


@pytest.mark.parametrize(
    "error",
    [
        errors.NotFound(EVENT, "tenants/default/events/e"),
        errors.ResourceExists(EVENT, "tenants/default/events/e", "the id is taken"),
        errors.EventIdReused(EVENT, "tenants/default/events/e", "other content"),
        errors.EtagMismatch('"7"'),
        errors.StoreConflict(),
        errors.SubscriptionIsDisabled("tenants/default/subscriptions/s"),
        errors.DeliveryNotRetryable("tenants/default/subscriptions/s/deliveries/d"),
        errors.EventPurged("tenants/default/events/e"),
        errors.NoEngine("tenants/default"),
        errors.RelayIsPaused("tenants/default/subscriptions/s"),
        errors.NotSupported("server", "not on this storage"),
        errors.StoreUnavailable(),
        errors.ServerOverloaded(),
        errors.ShuttingDown(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_as_it_was(error: WebhooksError) -> None:
    status = status_of(error, "request-1")
    assert status is not None
    found = read_back(status)

    assert type(found) is type(error)
    assert (found.message, found.metadata) == (error.message, error.metadata)
    if isinstance(error, Unavailable):
        assert isinstance(found, Unavailable)
        assert found.retry_after_seconds == error.retry_after_seconds


def test_violations_come_back_with_field_and_reason() -> None:
    violations = (
        Violation(field="events[0].event_type", description="is required"),
        Violation(field="events[1]", description="too large", reason="PAYLOAD_TOO_LARGE"),
    )
    status = status_of(InvalidArgument(violations), "request-1")
    assert status is not None
    found = read_back(status)

    assert isinstance(found, InvalidArgument)
    assert found.violations == violations


def test_a_bug_is_told_by_its_request_alone() -> None:
    found = read_back(internal_status("request-7"))

    assert isinstance(found, ServerFault)
    assert found.message == "the server failed; its log tells more by request request-7"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (grpc.StatusCode.UNAVAILABLE, ServerUnreachable, f"no server answers at {ADDRESS}"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, NoAnswer, "did not answer in time"),
        (grpc.StatusCode.UNIMPLEMENTED, CallRefused, f"the server at {ADDRESS} does not offer"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, CallRefused, "RESOURCE_EXHAUSTED: text"),
        (grpc.StatusCode.INVALID_ARGUMENT, CallRefused, "text"),
        (grpc.StatusCode.FAILED_PRECONDITION, CallRefused, "FAILED_PRECONDITION: text"),
        (grpc.StatusCode.UNKNOWN, ServerFault, "the server failed"),
    ],
)
def test_what_comes_without_details_is_told_by_its_code(
    code: grpc.StatusCode, kind: type[WebhooksError], words: str
) -> None:
    garbled = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff"))
    for metadata in (None, garbled):
        found = failure_of(grpc.aio.AioRpcError(code, None, metadata, "text"), ADDRESS)
        assert type(found) is kind
        assert words in found.message
