"""Times, Structs, tokens, names and errors, as pure functions."""

import contextlib
import json
import math
from collections.abc import Sequence

import grpc
import pytest
from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import Parse
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from webhooks.v1 import error_reason_pb2, event_service_pb2, subscription_pb2
from webhooks_server.domain.errors import InvalidArgument, StartError, WebhooksError
from webhooks_server.domain.times import LATEST, Instant, Micros
from webhooks_server.rpc import names
from webhooks_server.rpc.convert_struct import NotJson, render_struct
from webhooks_server.rpc.convert_times import duration, read_duration, read_timestamp, timestamp
from webhooks_server.rpc.errors import status_of
from webhooks_server.rpc.tokens import PageTokens
from webhooks_server.services.subscription_draft import PATHS, SECRET_HEADERS_PATH, SECRET_PATH
from webhooks_server.services.violations import Violations

EARLIEST = -62_135_596_800_000_000
TEN_THOUSAND_YEARS = 315_576_000_000_000_000


@settings(deadline=None)
@given(st.integers(EARLIEST, LATEST))
def test_an_instant_comes_back_as_it_went(instant: int) -> None:
    message = timestamp(Instant(instant))
    assert Timestamp.FromString(message.SerializeToString()).ToMicroseconds() == instant
    violations = Violations()
    assert read_timestamp(message, "a", violations) == instant
    assert violations.found() == ()


@settings(deadline=None)
@given(st.integers(-TEN_THOUSAND_YEARS, TEN_THOUSAND_YEARS))
def test_a_span_comes_back_as_it_went(span: int) -> None:
    message = duration(Micros(span))
    assert message.ToMicroseconds() == span
    violations = Violations()
    assert read_duration(message, "a", violations) == span
    assert violations.found() == ()


@pytest.mark.parametrize(("nanos", "micros"), [(1, 1), (999, 1), (1000, 1), (1001, 2), (-1, -1)])
def test_less_than_a_microsecond_never_rounds_into_a_bound(nanos: int, micros: int) -> None:
    assert read_duration(Duration(nanos=nanos), "a", Violations()) == micros


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(), json_values))
def test_a_struct_means_the_same_as_its_text(data: dict[str, object]) -> None:
    struct = Parse(json.dumps(data), Struct())
    text = render_struct(struct).decode()
    assert json.loads(text) == data
    assert text == text.strip()


@settings(deadline=None)
@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_whole_number_has_no_fraction(number: int) -> None:
    struct = Struct()
    struct.update({"n": number})
    assert render_struct(struct) == b'{"n":%d}' % number


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_of_json_is_refused(number: float) -> None:
    struct = Struct()
    struct.update({"a": [number]})
    with pytest.raises(NotJson):
        render_struct(struct)


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1), st.text(max_size=20), st.integers(0, 1000))
def test_a_token_holds_for_its_arguments_and_its_key(cursor: int, text: str, size: int) -> None:
    request = event_service_pb2.ListEventsRequest(parent=text)
    tokens = PageTokens(b"k" * 32)
    token = tokens.issue(request, cursor)
    request.page_token = token
    request.page_size = size
    assert tokens.read(request, token) == cursor
    with pytest.raises(InvalidArgument):
        PageTokens(b"l" * 32).read(request, token)
    request.filter = "a = b"
    with pytest.raises(InvalidArgument):
        tokens.read(request, token)


def test_there_is_no_token_after_the_last_page() -> None:
    assert PageTokens(b"k").issue(event_service_pb2.ListEventsRequest(), None) == ""


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_a_name_or_an_invalid_argument(text: str) -> None:
    for read in (
        names.read_tenant,
        names.read_tenant_or_all,
        names.read_optional_tenant,
        names.read_subscription,
        names.read_subscription_or_all,
        names.read_event,
        names.read_delivery,
    ):
        for name in (text, f"tenants/{text}", f"tenants/default/subscriptions/{text}"):
            with contextlib.suppress(InvalidArgument):
                read(name, "field")


def _every(kind: type[WebhooksError]) -> list[type[WebhooksError]]:
    return [kind, *(deeper for below in kind.__subclasses__() for deeper in _every(below))]


OURS = [
    kind
    for kind in _every(WebhooksError)
    if kind.__module__ == "webhooks_server.domain.errors" and not issubclass(kind, StartError)
]
# The others are what these have in common.
RAISED = [kind for kind in OURS if kind.reason != "INTERNAL"]


@pytest.mark.parametrize("kind", RAISED, ids=lambda kind: kind.__name__)
def test_every_error_has_a_row_in_the_table(kind: type[WebhooksError]) -> None:
    """An error that is new must be given a code, or it would reach callers as a bug."""
    error = kind.__new__(kind)
    WebhooksError.__init__(error, "text")
    for name in ("resource_type", "resource_name", "subject"):
        setattr(error, name, "x")
    error.violations = ()  # type: ignore[attr-defined]
    status = status_of(error, "request")
    assert status is not None
    assert status.code is not grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_every_reason_is_in_the_contract(kind: type[WebhooksError]) -> None:
    assert f"ERROR_REASON_{kind.reason}" in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118


UNSUPPORTED = {
    "ordered",
    "filter",
    "config.insecure_ssl",
    "config.payload_format",
    "config.verification_mode",
}


def test_every_writable_field_can_be_updated() -> None:
    """A field that is new in the contract must be added to PATHS, or be refused when set."""
    writable = {
        path
        for path, field in _leaves(subscription_pb2.Subscription.DESCRIPTOR.fields)
        if not {"OUTPUT_ONLY", "IDENTIFIER"} & _behaviors(field)
    }
    supported = PATHS | {SECRET_PATH, SECRET_HEADERS_PATH}
    assert writable == supported | UNSUPPORTED | {"etag"}


def _behaviors(field: FieldDescriptor) -> set[str]:
    text = str(field.GetOptions())
    return {name for name in field_behavior_pb2.FieldBehavior.keys() if name in text}  # noqa: SIM118


def _leaves(
    fields: Sequence[FieldDescriptor], prefix: str = ""
) -> list[tuple[str, FieldDescriptor]]:
    found = []
    for field in fields:
        nested = field.message_type
        if nested is not None and nested.full_name in (
            "webhooks.v1.SubscriptionConfig",
            "webhooks.v1.RetryPolicy",
        ):
            found += _leaves(nested.fields, f"{prefix}{field.name}.")
        else:
            found.append((prefix + field.name, field))
    return found
