"""Subscriptions: the contract's message to a draft, and the domain to the contract."""

from webhooks.v1 import subscription_pb2 as pb
from webhooks_server.domain.bounds import MAX_HEADERS, MAX_PAIRS, MAX_PATTERNS
from webhooks_server.domain.ids import SubscriptionId, TenantId, is_lower_id
from webhooks_server.domain.secrets import Secret
from webhooks_server.domain.subscription import (
    DEFAULT_MAX_IN_FLIGHT,
    DEFAULT_TIMEOUT,
    JSON_CONTENT_TYPE,
    ClientErrorPolicy,
    RetryPolicy,
    SignatureScheme,
    Subscription,
    SubscriptionConfig,
)
from webhooks_server.domain.times import Micros
from webhooks_server.rpc.convert_times import (
    duration,
    optional_duration,
    optional_timestamp,
    read_duration,
    timestamp,
)
from webhooks_server.services.subscription_draft import SubscriptionDraft
from webhooks_server.services.violations import Violations

_UNSUPPORTED = "is not supported yet"
_CONTENT_TYPES = frozenset({"", "json", JSON_CONTENT_TYPE})
_FORM_TYPES = frozenset({"form", "application/x-www-form-urlencoded"})
_SCHEMES: frozenset[int] = frozenset(SignatureScheme)
_POLICIES: frozenset[int] = frozenset(ClientErrorPolicy)
_NO_FORMATS = (pb.PAYLOAD_FORMAT_UNSPECIFIED, pb.PAYLOAD_FORMAT_DATA_ONLY)
_NO_VERIFICATION = (pb.VERIFICATION_MODE_UNSPECIFIED, pb.VERIFICATION_MODE_NONE)
_PATH = "subscription"


def read_draft(
    message: pb.Subscription, tenant: TenantId, subscription: SubscriptionId | None
) -> SubscriptionDraft:
    """Read what a caller wants of a subscription; OUTPUT_ONLY fields are not looked at."""
    _refuse_too_many(message)
    violations = Violations()
    _refuse_unsupported(message, violations)
    config = message.config
    timeout = DEFAULT_TIMEOUT
    if config.HasField("timeout"):
        timeout = read_duration(config.timeout, f"{_PATH}.config.timeout", violations)
    return SubscriptionDraft(
        tenant=tenant,
        id=subscription,
        etag=message.etag,
        display_name=message.display_name,
        events=tuple(message.events),
        active=message.active if message.HasField("active") else True,
        url=config.url,
        secret=Secret(config.secret) if config.secret else None,
        content_type=_read_content_type(config.content_type, violations),
        signature_schemes=_read_schemes(config, violations),
        headers=dict(config.headers),
        secret_headers={name: Secret(value) for name, value in config.secret_headers.items()},
        timeout=timeout,
        max_in_flight=config.max_in_flight or DEFAULT_MAX_IN_FLIGHT,
        max_requests_per_minute=config.max_requests_per_minute,
        retry_policy=_read_policy(message.retry_policy, violations),
        annotations=dict(message.annotations),
        unreadable=violations.found(),
    )


def read_subscription_id(value: str) -> SubscriptionId | None:
    """Read the id that a caller chose, None where it is left out; raises InvalidArgument."""
    violations = Violations()
    if value and not is_lower_id(value):
        violations.add(
            "subscription_id", "must be 1 to 63 of a-z 0-9 _ - and not begin with _ or -"
        )
    violations.raise_any()
    return SubscriptionId(value) if value else None


def subscription_message(subscription: Subscription) -> pb.Subscription:
    """Return a subscription as callers see it: no secret and no secret header's value."""
    policy = subscription.retry_policy
    reason = subscription.disable_reason
    return pb.Subscription(
        name=subscription.name,
        uid=subscription.uid,
        display_name=subscription.display_name,
        events=subscription.events,
        config=_config_message(subscription.config),
        active=subscription.active,
        state=pb.Subscription.State.ValueType(subscription.state),
        disable_reason=pb.Subscription.DisableReason.ValueType(reason or 0),
        retry_policy=None if policy == RetryPolicy() else _policy_message(policy),
        annotations=subscription.annotations,
        creator=subscription.creator,
        create_time=timestamp(subscription.create_time),
        update_time=timestamp(subscription.update_time),
        etag=subscription.etag,
    )


def _read_content_type(value: str, violations: Violations) -> str:
    if value in _FORM_TYPES:
        violations.add(f"{_PATH}.config.content_type", f"{value} {_UNSUPPORTED}")
    elif value not in _CONTENT_TYPES:
        violations.add(f"{_PATH}.config.content_type", f"must be {JSON_CONTENT_TYPE}")
    return JSON_CONTENT_TYPE


def _read_schemes(
    config: pb.SubscriptionConfig, violations: Violations
) -> tuple[SignatureScheme, ...]:
    path = f"{_PATH}.config.signature_schemes"
    schemes: list[SignatureScheme] = []
    for number in config.signature_schemes:
        if number == pb.SIGNATURE_SCHEME_STANDARD_ED25519:
            violations.add(path, f"SIGNATURE_SCHEME_STANDARD_ED25519 {_UNSUPPORTED}")
        elif number not in _SCHEMES:
            violations.add(path, "must name known schemes only")
        else:
            schemes.append(SignatureScheme(number))
    if len(set(schemes)) != len(schemes):
        violations.add(path, "must not name a scheme twice")
    return tuple(schemes)


def _read_policy(message: pb.RetryPolicy, violations: Violations) -> RetryPolicy:
    path = f"{_PATH}.retry_policy"
    spans: dict[str, Micros] = {}
    if message.HasField("initial_backoff"):
        name = "initial_backoff"
        spans[name] = read_duration(message.initial_backoff, f"{path}.{name}", violations)
    if message.HasField("max_backoff"):
        name = "max_backoff"
        spans[name] = read_duration(message.max_backoff, f"{path}.{name}", violations)
    if message.HasField("max_age"):
        spans["max_age"] = read_duration(message.max_age, f"{path}.max_age", violations)
    number = message.client_error_policy
    is_known = number in _POLICIES
    if number and not is_known:
        violations.add(f"{path}.client_error_policy", "must be a known policy")
    return RetryPolicy(
        max_attempts=message.max_attempts,
        initial_backoff=spans.get("initial_backoff"),
        max_backoff=spans.get("max_backoff"),
        backoff_multiplier=message.backoff_multiplier,
        max_age=spans.get("max_age"),
        client_error_policy=ClientErrorPolicy(number) if is_known else None,
    )


def _refuse_too_many(message: pb.Subscription) -> None:
    """Count before anything is walked through: a message has room for millions of entries."""
    config = message.config
    headers = len(config.headers) + len(config.secret_headers)
    counts = {
        "events": (len(message.events), MAX_PATTERNS, "patterns"),
        "annotations": (len(message.annotations), MAX_PAIRS, "pairs"),
        "config.signature_schemes": (len(config.signature_schemes), len(_SCHEMES), "schemes"),
        "config.headers": (headers, MAX_HEADERS, "headers, secret ones among them"),
    }
    violations = Violations()
    for name, (count, most, what) in counts.items():
        if count > most:
            violations.add(f"{_PATH}.{name}", f"must have at most {most} {what}, has {count}")
    violations.raise_any()


def _refuse_unsupported(message: pb.Subscription, violations: Violations) -> None:
    config = message.config
    wanted = {
        "ordered": message.ordered,
        "filter": message.filter,
        "config.insecure_ssl": config.insecure_ssl,
        "config.payload_format": config.payload_format not in _NO_FORMATS,
        "config.verification_mode": config.verification_mode not in _NO_VERIFICATION,
    }
    for name, is_wanted in wanted.items():
        if is_wanted:
            violations.add(f"{_PATH}.{name}", _UNSUPPORTED)


def _config_message(config: SubscriptionConfig) -> pb.SubscriptionConfig:
    return pb.SubscriptionConfig(
        url=config.url,
        content_type=config.content_type,
        secret_set=True,
        payload_format=pb.PAYLOAD_FORMAT_DATA_ONLY,
        signature_schemes=[pb.SignatureScheme.ValueType(one) for one in config.signature_schemes],
        headers=config.headers,
        secret_header_names=sorted(config.secret_headers),
        timeout=duration(config.timeout),
        max_in_flight=config.max_in_flight,
        max_requests_per_minute=config.max_requests_per_minute,
        previous_secret_expire_time=optional_timestamp(config.previous_secret_expire_time),
        verification_mode=pb.VERIFICATION_MODE_NONE,
    )


def _policy_message(policy: RetryPolicy) -> pb.RetryPolicy:
    return pb.RetryPolicy(
        max_attempts=policy.max_attempts,
        initial_backoff=optional_duration(policy.initial_backoff),
        max_backoff=optional_duration(policy.max_backoff),
        backoff_multiplier=policy.backoff_multiplier,
        max_age=optional_duration(policy.max_age),
        client_error_policy=pb.ClientErrorPolicy.ValueType(policy.client_error_policy or 0),
    )
