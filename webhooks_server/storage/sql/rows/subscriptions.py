"""Subscriptions as rows, and rows as subscriptions; in JSON also as remembered answers."""

import hashlib
import json
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from webhooks_server.domain.ids import SubscriptionId, SubscriptionNumber, TenantId, Version
from webhooks_server.domain.secrets import Secret
from webhooks_server.domain.subscription import (
    ClientErrorPolicy,
    DisableReason,
    IndexEntry,
    RelayPause,
    RetryPolicy,
    SignatureScheme,
    State,
    Subscription,
    SubscriptionConfig,
)
from webhooks_server.domain.target_url import host_of
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.storage.sql.rows.values import Columns, compact
from webhooks_server.storage.sql.schema import relay_pauses

PAUSE_COLUMNS = (relay_pauses.c.tenant, relay_pauses.c.reason, relay_pauses.c.pause_time)

_STATES = {int(state): state for state in State}

Value = str | int | None


def target_hash(subscription: Subscription) -> bytes:
    """Return what two live subscriptions of a tenant must not share: URL and set of patterns."""
    target = "\n".join((subscription.config.url, *sorted(subscription.events)))
    return hashlib.sha256(target.encode()).digest()


def subscription_values(subscription: Subscription) -> dict[str, Value]:
    """Return the row of a subscription but for `target_hash`; every value fits JSON."""
    config = subscription.config
    previous = config.previous_secret
    return {
        "number": subscription.number,
        "tenant": subscription.tenant,
        "id": subscription.id,
        "uid": subscription.uid,
        "partition": subscription.partition,
        "version": subscription.version,
        "state": int(subscription.state),
        "deleted": int(subscription.deleted),
        "url": config.url,
        "content_type": config.content_type,
        "secret": config.secret.reveal(),
        "previous_secret": None if previous is None else previous.reveal(),
        "previous_secret_expire_time": config.previous_secret_expire_time,
        "signature_schemes": compact([int(scheme) for scheme in config.signature_schemes]),
        "headers": compact(dict(config.headers)),
        "secret_headers": compact(
            {name: value.reveal() for name, value in config.secret_headers.items()}
        ),
        "timeout": config.timeout,
        "max_in_flight": config.max_in_flight,
        "max_requests_per_minute": config.max_requests_per_minute,
        "events": compact(list(subscription.events)),
        "display_name": subscription.display_name,
        "active": int(subscription.active),
        "paused": int(subscription.paused),
        "pause_reason": subscription.pause_reason,
        "disable_reason": subscription.disable_reason,
        "retry_policy": compact(_policy_values(subscription.retry_policy)),
        "annotations": compact(dict(subscription.annotations)),
        "creator": subscription.creator,
        "create_time": subscription.create_time,
        "update_time": subscription.update_time,
    }


def subscription_of(row: Columns) -> Subscription:
    """Return the subscription of a row, or of what subscription_values() made."""
    reason = row["disable_reason"]
    return Subscription(
        number=SubscriptionNumber(row["number"]),
        tenant=TenantId(row["tenant"]),
        id=SubscriptionId(row["id"]),
        uid=row["uid"],
        partition=row["partition"],
        version=Version(row["version"]),
        deleted=bool(row["deleted"]),
        events=tuple(json.loads(row["events"])),
        config=_config_of(row),
        display_name=row["display_name"],
        active=bool(row["active"]),
        paused=bool(row["paused"]),
        pause_reason=row["pause_reason"],
        disable_reason=None if reason is None else DisableReason(reason),
        retry_policy=_policy_of(json.loads(row["retry_policy"])),
        annotations=json.loads(row["annotations"]),
        creator=row["creator"],
        create_time=Instant(row["create_time"]),
        update_time=Instant(row["update_time"]),
    )


def entry_of(row: Sequence[Any]) -> IndexEntry:
    """Return what the match index keeps of a row of ENTRY_COLUMNS.

    All 100,000 are read at a start: equal texts of them are read once, and kept once.
    """
    number, tenant, subscription, partition, version, state, deleted, *wishes = row
    patterns, max_in_flight, policy, max_requests_per_minute, failing, url = wishes
    return IndexEntry(
        number=SubscriptionNumber(number),
        tenant=TenantId(sys.intern(tenant)),
        id=SubscriptionId(subscription),
        partition=partition,
        version=Version(version),
        state=_STATES[state],
        deleted=bool(deleted),
        patterns=_patterns_of(patterns),
        max_in_flight=max_in_flight,
        max_age=_max_age_of(policy),
        max_requests_per_minute=max_requests_per_minute,
        failing=failing,
        host=host_of(url),
    )


@lru_cache(maxsize=4096)
def _patterns_of(text: str) -> tuple[str, ...]:
    patterns: list[str] = json.loads(text)
    return tuple(map(sys.intern, patterns))


@lru_cache(maxsize=256)
def _max_age_of(policy: str) -> Micros | None:
    max_age: Micros | None = json.loads(policy).get("max_age")
    return max_age


def pause_of(row: Sequence[Any]) -> RelayPause:
    """Return the pause of a row of PAUSE_COLUMNS."""
    tenant, reason, pause_time = row
    return RelayPause(tenant=tenant, reason=reason, pause_time=Instant(pause_time))


def _config_of(row: Columns) -> SubscriptionConfig:
    previous, expire_time = row["previous_secret"], row["previous_secret_expire_time"]
    hidden = json.loads(row["secret_headers"])
    return SubscriptionConfig(
        url=row["url"],
        secret=Secret(row["secret"]),
        content_type=row["content_type"],
        signature_schemes=tuple(
            SignatureScheme(number) for number in json.loads(row["signature_schemes"])
        ),
        headers=json.loads(row["headers"]),
        secret_headers={name: Secret(value) for name, value in hidden.items()},
        timeout=Micros(row["timeout"]),
        max_in_flight=row["max_in_flight"],
        # An answer that was remembered before there was such a limit does not have it.
        max_requests_per_minute=row.get("max_requests_per_minute", 0),
        previous_secret=None if previous is None else Secret(previous),
        previous_secret_expire_time=None if expire_time is None else Instant(expire_time),
    )


def _policy_values(policy: RetryPolicy) -> dict[str, float | None]:
    values = {
        "max_attempts": policy.max_attempts,
        "initial_backoff": policy.initial_backoff,
        "max_backoff": policy.max_backoff,
        "backoff_multiplier": policy.backoff_multiplier,
        "max_age": policy.max_age,
        "client_error_policy": policy.client_error_policy,
    }
    return {name: value for name, value in values.items() if value}


def _policy_of(values: Columns) -> RetryPolicy:
    client_errors = values.get("client_error_policy")
    return RetryPolicy(
        max_attempts=values.get("max_attempts", 0),
        initial_backoff=values.get("initial_backoff"),
        max_backoff=values.get("max_backoff"),
        backoff_multiplier=values.get("backoff_multiplier", 0.0),
        max_age=values.get("max_age"),
        client_error_policy=None if client_errors is None else ClientErrorPolicy(client_errors),
    )
