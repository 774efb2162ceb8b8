"""Deliveries and their attempts.

One event for one subscription, and each HTTP request made for it.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import IntEnum
from typing import NamedTuple

from webhooks_server.domain.failures import Failures
from webhooks_server.domain.ids import (
    DeliveryId,
    DeliverySeq,
    EventId,
    EventSeq,
    SubscriptionId,
    SubscriptionNumber,
    TenantId,
    delivery_id,
)
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.domain.values import value


class DeliveryState(IntEnum):
    """All but PENDING are final. The numbers are the contract's."""

    PENDING = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4
    EXPIRED = 5


class Trigger(IntEnum):
    """What made the delivery. The numbers are the contract's."""

    PUBLISH = 1
    PING = 2
    TEST = 3
    REPLAY = 4


class Outcome(IntEnum):
    """What came of an attempt. The numbers are the contract's."""

    SUCCEEDED = 1
    HTTP_ERROR = 2
    TIMEOUT = 3
    CONNECTION_ERROR = 4
    TLS_ERROR = 5
    BLOCKED_ADDRESS = 6
    REDIRECT = 7
    ABANDONED = 8
    PROTOCOL_ERROR = 9
    DNS_ERROR = 10
    INTERNAL = 11


class Reason:
    """Why a delivery is final: the values of the contract's `state_reason` that the store keeps."""

    ATTEMPTS_SPENT = "attempts_spent"
    GONE = "gone"
    CLIENT_ERROR = "client_error"
    MAX_AGE = "max_age"
    DELETED = "deleted"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"


class Uncharged(NamedTuple):
    """Attempts of a delivery that were not charged to it, as far as they decide anything.

    `abandoned` and `own` are those right before the next one, in a row: that nobody reported, and
    that failed on this side. `internal` and `doubtful` are all there were: of which no request
    could be made, and whose failure either side can be the reason of. Late ones are none of them.
    All are small: what counts further makes no difference.
    """

    abandoned: int = 0
    own: int = 0
    internal: int = 0
    doubtful: int = 0


ALL_CHARGED = Uncharged()


@value
class NewDelivery:
    """A pending delivery as the engine knows it: which row, and when it is due.

    `due_in` is what was left until the due time when the store answered, in microseconds, negative
    where overdue; `age` how long the delivery existed then. Spans and not instants, so that only
    the store's clock counts (EC5).
    """

    seq: DeliverySeq
    uid: bytes
    subscription: SubscriptionNumber
    event_seq: EventSeq
    due_in: int = 0
    age: int = 0
    attempt_count: int = 0
    charged_count: int = 0
    retry_requests: int = 0
    trigger: Trigger = Trigger.PUBLISH
    final_before: bool = False
    """Set by a manual retry of a final delivery: one attempt, and FAILED again if it fails."""
    uncharged: Uncharged = ALL_CHARGED


@value
class FirstDelivery:
    """What an event made for a subscription as it was accepted; a replay is none.

    `uid` is None where a fan-out still owes the row.
    """

    trigger: Trigger
    uid: bytes | None


@value
class Attempt:
    """One HTTP request for a delivery, and what came of it."""

    number: int
    outcome: Outcome
    start_time: Instant
    latency: Micros
    url: str
    status_code: int = 0
    error_message: str = ""
    remote_ip_address: str = ""
    request_headers: Mapping[str, str] = field(default_factory=dict)
    response_headers: Mapping[str, str] = field(default_factory=dict)
    response_body: bytes = b""
    response_body_truncated: bool = False
    retry_after: Micros | None = None
    relay: str = ""
    late: bool = False


@value
class Delivery:
    """A delivery as callers see it."""

    seq: DeliverySeq
    uid: bytes
    tenant: TenantId
    subscription: SubscriptionId
    event: EventId
    event_type: str
    state: DeliveryState
    trigger: Trigger
    attempt_count: int
    create_time: Instant
    state_reason: str = ""
    next_attempt_time: Instant | None = None
    complete_time: Instant | None = None
    last_attempt: Attempt | None = None

    @property
    def id(self) -> DeliveryId:
        """The public id."""
        return delivery_id(self.uid)

    @property
    def name(self) -> str:
        """The resource name."""
        return f"tenants/{self.tenant}/subscriptions/{self.subscription}/deliveries/{self.id}"


@value
class Record:
    """What the engine asks the store to record of one attempt.

    `token` is random and unique: the same record repeated changes nothing. It is fenced (R4) by
    the `epoch` since which `engine` owned the partition as the attempt began; an empty name is that
    of the engine that the store was opened for.

    The store sets the due time `due_in` microseconds after its own now, or to now where a manual
    retry came since the delivery was taken with `retry_requests`. The `attempt_count` that it was
    taken with is a hint, for its row alone numbers its attempts. With `state` final, `due_in` is
    ignored. `failing` is what the attempt says of the receiver: that it fails, that it works, or
    nothing. `uncharged` is what the delivery has of such attempts now, None where as before.
    """

    token: bytes
    seq: DeliverySeq
    uid: bytes
    subscription: SubscriptionNumber
    partition: int
    epoch: int
    retry_requests: int
    attempt_count: int
    attempt: Attempt
    state: DeliveryState
    charged: bool
    state_reason: str = ""
    due_in: int = 0
    failing: bool | None = None
    engine: str = ""
    uncharged: Uncharged | None = None


@value
class Recorded:
    """What the store made of a record: the state and number after it.

    Late where it changed nothing but the count. `failures` are those of its subscription since the
    last success, where it was one more of them.
    """

    token: bytes
    state: DeliveryState
    attempt_number: int
    late: bool
    due_in: int = 0
    failures: Failures | None = None


@value
class DeliveryCounts:
    """How many deliveries are in which state.

    Retrying is the part of pending with at least one attempt.
    """

    pending: int = 0
    retrying: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    attempts: int = 0
    oldest_pending_time: Instant | None = None
