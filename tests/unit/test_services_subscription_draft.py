"""What becomes of a subscription that is updated."""

from dataclasses import fields, replace

import pytest

from webhooks_server.domain.errors import InvalidArgument
from webhooks_server.domain.ids import SubscriptionId, TenantId, Version
from webhooks_server.domain.secrets import Secret, new_signing_secret
from webhooks_server.domain.subscription import (
    ClientErrorPolicy,
    DisableReason,
    RetryPolicy,
    SignatureScheme,
    State,
    Subscription,
)
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.services.subscription_draft import (
    PATHS,
    SECRET_HEADERS_PATH,
    SECRET_PATH,
    SubscriptionDraft,
    default_schemes,
    merged,
    new_subscription,
)

OTHER = SubscriptionDraft(
    tenant=TenantId("default"),
    display_name="other",
    events=("other",),
    active=False,
    url="https://other.example",
    content_type="other/type",
    signature_schemes=(SignatureScheme.HUB_LEGACY,),
    headers={"X-Other": "1"},
    secret_headers={"X-Secret": Secret("other")},
    timeout=Micros(2_000_000),
    max_in_flight=2,
    max_requests_per_minute=3,
    retry_policy=RetryPolicy(
        max_attempts=2,
        initial_backoff=Micros(2),
        max_backoff=Micros(3),
        backoff_multiplier=4.0,
        max_age=Micros(5),
        client_error_policy=ClientErrorPolicy.FAIL_DELIVERY,
    ),
    annotations={"other": "1"},
)


def current() -> Subscription:
    draft = SubscriptionDraft(
        tenant=TenantId("default"), events=("a",), url="https://a.example", display_name="mine"
    )
    made = new_subscription(
        draft,
        subscription_id=SubscriptionId("s"),
        uid="u",
        secret=new_signing_secret(),
        now=Instant(1),
    )
    return replace(made, version=Version(3), paused=True, pause_reason="why", creator="me")


def differing(before: Subscription, after: Subscription) -> set[str]:
    found: set[str] = set()
    for prefix, old, new in (
        ("", before, after),
        ("config.", before.config, after.config),
        ("retry_policy.", before.retry_policy, after.retry_policy),
    ):
        for field in fields(old):
            if getattr(old, field.name) != getattr(new, field.name):
                found.add(prefix + field.name)
    return found - {"config", "retry_policy"}


@pytest.mark.parametrize("path", sorted(PATHS | {SECRET_HEADERS_PATH}))
def test_each_path_changes_its_own_field_alone(path: str) -> None:
    before = current()
    after = merged(before, OTHER, frozenset({path}))
    assert differing(before, after) == {path}


def test_where_nothing_changes_it_is_the_same_subscription() -> None:
    before = current()
    assert merged(before, OTHER, frozenset()) is before
    same = SubscriptionDraft(tenant=before.tenant, display_name="mine", events=("a",))
    assert merged(before, same, frozenset({"display_name", "events"})) is before


def test_the_secret_is_never_changed_by_an_update() -> None:
    with pytest.raises(InvalidArgument) as raised:
        merged(current(), OTHER, frozenset({SECRET_PATH}))
    assert raised.value.reason == "IMMUTABLE_FIELD"


def test_only_saying_that_it_is_active_lifts_what_the_server_did() -> None:
    before = replace(current(), active=False, disable_reason=DisableReason.GONE)
    assert before.state is State.DISABLED
    active = replace(OTHER, active=True)
    assert merged(before, active, frozenset({"display_name"})).state is State.DISABLED
    assert merged(before, OTHER, frozenset({"active"})).state is State.DISABLED
    # The pause underneath is still there.
    assert merged(before, active, frozenset({"active"})).state is State.PAUSED


def test_the_default_schemes_fit_the_secret() -> None:
    assert SignatureScheme.STANDARD_HMAC in default_schemes(new_signing_secret())
    assert default_schemes(Secret("a-passphrase")) == (SignatureScheme.HUB_SHA256,)
    unset = SubscriptionDraft(tenant=TenantId("default"))
    before = replace(
        current(),
        config=replace(
            current().config,
            secret=Secret("a-passphrase"),
            signature_schemes=(SignatureScheme.HUB_LEGACY,),
        ),
    )
    after = merged(before, unset, frozenset({"config.signature_schemes"}))
    assert after.config.signature_schemes == (SignatureScheme.HUB_SHA256,)


def test_a_draft_does_not_print_its_secrets() -> None:
    draft = replace(OTHER, secret=Secret("canary"), secret_headers={"a": Secret("canary")})
    assert "canary" not in repr(draft)
