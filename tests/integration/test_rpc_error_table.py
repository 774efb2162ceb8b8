"""The error table: each domain error as its status."""

import grpc
import pytest
from google.rpc import error_details_pb2

from tests.harness.failing import Failing
from tests.harness.requests import publish
from tests.harness.served import Served, refused
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
    StoreConflict,
    StoreUnavailable,
    SubscriptionIsDisabled,
    TooMuchToRead,
    Violation,
    invalid,
)

Code = grpc.StatusCode

NAMED = {"resource_type": "webhooks.v1.Thing", "resource_name": "a/b"}


# The error, and what the table says: code, reason, details beside ErrorInfo, metadata.
TABLE = [
    (
        invalid("a.b", "is wrong"),
        Code.INVALID_ARGUMENT,
        "INVALID_FIELD",
        "BadRequest",
        {"field": "a.b", "violation_count": "1"},
    ),
    (
        InvalidArgument(
            [
                Violation(field="b", description="is fixed", reason="IMMUTABLE_FIELD"),
                Violation(field="a", description="is fixed", reason="IMMUTABLE_FIELD"),
            ]
        ),
        Code.INVALID_ARGUMENT,
        "IMMUTABLE_FIELD",
        "BadRequest",
        {"field": "b", "violation_count": "2"},
    ),
    (
        invalid("a", "is large", "PAYLOAD_TOO_LARGE", limit_bytes="7"),
        Code.INVALID_ARGUMENT,
        "PAYLOAD_TOO_LARGE",
        "BadRequest",
        {"field": "a", "violation_count": "1", "limit_bytes": "7"},
    ),
    (
        NotFound("webhooks.v1.Thing", "a/b"),
        Code.NOT_FOUND,
        "RESOURCE_NOT_FOUND",
        "ResourceInfo",
        NAMED,
    ),
    (
        ResourceExists("webhooks.v1.Thing", "a/b", "is there"),
        Code.ALREADY_EXISTS,
        "RESOURCE_EXISTS",
        "ResourceInfo",
        NAMED,
    ),
    (
        EventIdReused("webhooks.v1.Thing", "a/b", "is there"),
        Code.ALREADY_EXISTS,
        "EVENT_ID_REUSED",
        "ResourceInfo",
        NAMED,
    ),
    (EtagMismatch('"2"'), Code.ABORTED, "ETAG_MISMATCH", "", {"current_etag": '"2"'}),
    (StoreConflict(), Code.ABORTED, "STORE_CONFLICT", "RetryInfo", {}),
    (
        SubscriptionIsDisabled("a/b"),
        Code.FAILED_PRECONDITION,
        "SUBSCRIPTION_DISABLED",
        "PreconditionFailure",
        {"subject": "a/b"},
    ),
    (
        DeliveryNotRetryable("a/b"),
        Code.FAILED_PRECONDITION,
        "DELIVERY_NOT_RETRYABLE",
        "PreconditionFailure",
        {"subject": "a/b"},
    ),
    (
        EventPurged("a/b"),
        Code.FAILED_PRECONDITION,
        "EVENT_PURGED",
        "PreconditionFailure",
        {"subject": "a/b"},
    ),
    (
        NoEngine("a/b"),
        Code.FAILED_PRECONDITION,
        "NO_ENGINE",
        "PreconditionFailure",
        {"subject": "a/b"},
    ),
    (
        RelayIsPaused("a/b"),
        Code.FAILED_PRECONDITION,
        "RELAY_PAUSED",
        "PreconditionFailure",
        {"subject": "a/b"},
    ),
    (
        NotSupported("a/b"),
        Code.FAILED_PRECONDITION,
        "NOT_SUPPORTED",
        "PreconditionFailure",
        {"subject": "a/b"},
    ),
    (TooMuchToRead(), Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED", "", {}),
    (StoreUnavailable(), Code.UNAVAILABLE, "STORE_UNAVAILABLE", "RetryInfo", {}),
    (ServerOverloaded(), Code.UNAVAILABLE, "SERVER_OVERLOADED", "RetryInfo", {}),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: type(row[0]).__name__ + row[2])
async def test_each_error_has_its_row_in_the_table(
    broken: Served, failing: Failing, row: tuple[Exception, Code, str, str, dict[str, str]]
) -> None:
    failing.error, code, reason, detail, metadata = row
    refusal = await refused(broken.publisher.Publish(publish()))
    assert refusal.code is code
    assert refusal.reason == reason
    assert refusal.domain == "webhooks.v1"
    assert set(refusal.details) == {"ErrorInfo", detail} - {""}
    assert refusal.metadata == metadata
    assert refusal.message == str(failing.error)
    if detail == "RetryInfo":
        retry = refusal.details[detail]
        assert isinstance(retry, error_details_pb2.RetryInfo)
        assert 0 < retry.retry_delay.ToMilliseconds() <= 1000
