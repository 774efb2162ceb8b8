"""What an attempt becomes on record, and when its delivery is too old: pure."""

from dataclasses import replace

from webhooks_server.domain.delivery import (
    Attempt,
    DeliveryState,
    NewDelivery,
    Outcome,
    Reason,
    Record,
    Trigger,
    Uncharged,
)
from webhooks_server.domain.leases import Lease
from webhooks_server.domain.outbound import OutboundRequest, SendResult
from webhooks_server.domain.retry import DONE, Decision, Tried, count_uncharged
from webhooks_server.domain.subscription import Subscription
from webhooks_server.domain.times import Micros
from webhooks_server.domain.values import value


def described(request: OutboundRequest, result: SendResult, engine: str) -> Attempt:
    """Return an attempt as it is recorded, but for its number."""
    return Attempt(
        number=0,
        outcome=result.outcome,
        start_time=result.start_time,
        latency=result.latency,
        url=request.url,
        status_code=result.status_code,
        error_message=result.error_message,
        remote_ip_address=result.remote_ip_address,
        request_headers=request.recorded_headers(),
        response_headers=dict(result.headers),
        response_body=result.body,
        response_body_truncated=result.body_truncated,
        retry_after=result.retry_after,
        relay=result.relay or engine,
    )


@value
class Verdict:
    """What an attempt means.

    What comes next, whether the receiver has no part in it, and what is counted of such attempts
    from now on: None where as before.
    """

    decision: Decision
    is_excused: bool = False
    uncharged: Uncharged | None = None


SUCCESS = Verdict(decision=DONE)


def verdict_of(tried: Tried, decision: Decision) -> Verdict:
    """Return what an attempt means, once it is decided what comes next."""
    counted = count_uncharged(tried)
    return Verdict(
        decision=decision,
        is_excused=tried.is_excused,
        uncharged=None if counted == tried.uncharged else counted,
    )


def record_of(lease: Lease, attempt: Attempt, verdict: Verdict) -> Record:
    """Return the record of an attempt."""
    delivery, decision = lease.delivery, verdict.decision
    return Record(
        token=lease.token,
        seq=delivery.seq,
        uid=delivery.uid,
        subscription=delivery.subscription,
        partition=lease.partition,
        epoch=lease.epoch,
        engine=lease.engine,
        retry_requests=delivery.retry_requests,
        attempt_count=delivery.attempt_count,
        attempt=attempt,
        state=decision.state,
        charged=decision.charged,
        state_reason=decision.reason,
        due_in=decision.wait,
        failing=_failing(delivery, attempt, decision),
        uncharged=verdict.uncharged,
    )


def _failing(delivery: NewDelivery, attempt: Attempt, decision: Decision) -> bool | None:
    """Tell whether the receiver fails, or works; None where the attempt does not say.

    It does not where it failed by our own fault, nor for a ping, which is tried once and by hand.
    """
    if attempt.outcome is Outcome.SUCCEEDED:
        return False
    return True if decision.charged and delivery.trigger is not Trigger.PING else None


def max_age_of(delivery: NewDelivery, subscription: Subscription) -> Micros | None:
    """Return the age at which a delivery expires; one that was final is retried at any age."""
    return None if delivery.final_before else subscription.retry_policy.max_age


def within_age(decision: Decision, max_age: Micros | None, age: int) -> Decision:
    """Let the next look at a delivery be no later than its max_age: then it expires."""
    if max_age is None or decision.state is not DeliveryState.PENDING:
        return decision
    left = max_age - age
    if left <= 0:
        return Decision(
            state=DeliveryState.EXPIRED, reason=Reason.MAX_AGE, charged=decision.charged
        )
    return replace(decision, wait=Micros(min(decision.wait, left)))
