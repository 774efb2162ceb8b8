"""One delivery: load, sign, send, decide. What comes out is a record."""

import random
from collections.abc import Callable

from webhooks_server.domain.breaker import Sign, sign_of
from webhooks_server.domain.delivery import (
    ALL_CHARGED,
    Attempt,
    NewDelivery,
    Outcome,
    Record,
)
from webhooks_server.domain.errors import AddressIsBusy, NoEngine, NotSent, Unavailable
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import IdSource, SubscriptionNumber, delivery_id
from webhooks_server.domain.leases import Lease
from webhooks_server.domain.outbound import OutboundRequest, Recipient, SendResult
from webhooks_server.domain.retry import Decision, Tried, decide
from webhooks_server.domain.subscription import DisableReason, RetryPolicy, Subscription
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.domain.values import value
from webhooks_server.engine.attempts import (
    SUCCESS,
    Verdict,
    described,
    max_age_of,
    record_of,
    verdict_of,
    within_age,
)
from webhooks_server.engine.budget import ByteBudget
from webhooks_server.engine.caches import Caches
from webhooks_server.engine.config import EngineConfig
from webhooks_server.engine.egress import Egress
from webhooks_server.engine.lane import Row
from webhooks_server.engine.outcomes import OUTCOME_NAMES, STATE_NAMES
from webhooks_server.ports import Clock, Relay, Telemetry

JITTER = (0.8, 1.2)
PAUSE_AFTER_FAULT = 0.25
PAUSE_OF_BUSY = 0.25
"""How long a lane rests whose receiver's address is busy, in seconds."""
_NO_POLICY = RetryPolicy()


@value
class Sent:
    """What came of an attempt.

    The record to commit, what it tells of the receiver, whether it never got out of this host,
    whether the subscription must be disabled, and whether another process has committed it.
    """

    record: Record
    sign: Sign | None = None
    is_local: bool = False
    disable: DisableReason | None = None
    is_on_record: bool = False


class Sending:
    """Makes attempts: the same steps for a lane's delivery and for a ping."""

    def __init__(
        self,
        *,
        config: EngineConfig,
        relay: Relay,
        may_send: Callable[[SubscriptionNumber, int, int], bool],
        caches: Caches,
        clock: Clock,
        ids: IdSource,
        telemetry: Telemetry,
        egress: Egress,
    ) -> None:
        """Take the collaborators, and what tells whether a request to a subscription may start."""
        self._config = config
        self._relay = relay
        self._may_send = may_send
        self._subscriptions, self._payloads = caches
        self._clock = clock
        self._ids = ids
        self._telemetry = telemetry
        self._egress = egress
        self.budget = ByteBudget(config.bytes_in_flight)

    def lease(
        self,
        delivery: NewDelivery,
        subscription: Subscription,
        partition: int,
        epoch: int,
        token: bytes,
        age: int = 0,
    ) -> Lease:
        """Begin an attempt."""
        return Lease(
            delivery=delivery,
            partition=partition,
            epoch=epoch,
            token=token,
            age=age,
            engine=self._config.engine,
            delivery_name=f"{subscription.name}/deliveries/{delivery_id(delivery.uid)}",
        )

    async def attempt(
        self, row: Row, partition: int, epoch: int, *, proven: bool = True
    ) -> Sent | None:
        """Make an attempt of a lane's delivery.

        None where it must not be sent now, and nothing was; raises AddressIsBusy.

        `proven` says that the lane's receiver took something before. What is ours to answer for
        becomes an INTERNAL outcome.
        """
        delivery, token = row.delivery, self._ids.uid()
        # The edge around one delivery: whatever is wrong with it must not end the sender or touch
        # its neighbours.
        try:
            event = await self._payloads.get(delivery.event_seq)
            size = len(event.payload)
            has_room = self.budget.take(size, proven=proven)
            if not has_room:
                # Its bytes are not to be here as long as it waits for room for them.
                del event
                await self.budget.wait_for(size, proven=proven)
            try:
                if not has_room:
                    event = await self._payloads.get(delivery.event_seq)
                return await self._attempt(row, event, partition, epoch, token)
            finally:
                self.budget.give_back(size, proven=proven)
        except AddressIsBusy:
            raise
        except NotSent:
            # A relay that gives everything back at once must not make a loop without a pause.
            await self._clock.sleep(PAUSE_AFTER_FAULT)
            return None
        except Unavailable as error:
            # The store's trouble, not this delivery's (R7).
            self._telemetry.fault("delivery.postponed", error, delivery=delivery.uid.hex())
            await self._clock.sleep(PAUSE_AFTER_FAULT)
            return None
        except Exception as error:  # noqa: BLE001
            self._telemetry.fault("delivery.broken", error, delivery=delivery.uid.hex())
            return self._broken(
                Lease(delivery=delivery, partition=partition, epoch=epoch, token=token)
            )

    async def _attempt(
        self, row: Row, event: Event, partition: int, epoch: int, token: bytes
    ) -> Sent | None:
        delivery = row.delivery
        recipient = await self._subscriptions.get(delivery.subscription)
        subscription = recipient.subscription
        max_age = max_age_of(delivery, subscription)
        if subscription.deleted:
            # The index has yet to hear of it, and there is no secret left to sign with.
            return None
        # No await between this and the send: what it tells must still be true then (EB3).
        age = self._age(row.created_at)
        too_old = max_age is not None and age >= max_age
        if too_old or not self._may_send(delivery.subscription, partition, epoch):
            return None
        self._telemetry.measure("lag_seconds", self._clock.monotonic() - row.due_at)
        lease = self.lease(delivery, subscription, partition, epoch, token, age)
        request, result = await self._send(recipient, event, lease)
        return self.settle(lease, subscription, request, result, self._age(row.created_at))

    async def load(self, delivery: NewDelivery) -> tuple[Recipient, Event]:
        """Read what a delivery needs; raises GoneError."""
        recipient = await self._subscriptions.get(delivery.subscription)
        return recipient, await self._payloads.get(delivery.event_seq)

    async def ping(
        self, subscription: Subscription, event: Event, delivery: NewDelivery, epoch: int
    ) -> Sent:
        """Make the one attempt of a ping; raises NoEngine where nobody could send it."""
        recipient = Recipient(subscription, self._config.user_agent)
        token = self._ids.uid()
        lease = self.lease(delivery, subscription, subscription.partition, epoch, token)
        try:
            request, result = await self._send(recipient, event, lease)
        except NotSent:
            raise NoEngine(subscription.name) from None
        return self.settle(lease, subscription, request, result, age=0)

    async def _send(
        self, recipient: Recipient, event: Event, lease: Lease
    ) -> tuple[OutboundRequest, SendResult]:
        """Build the request of an attempt, and send it before anything else happens."""
        uid, number = lease.delivery.uid, lease.attempt_number
        with self._telemetry.span("delivery.attempt", event.traceparent) as span:
            now = self._clock.wall()
            request = recipient.request(event, uid, number, now, span.traceparent, lease)
            result = await self._relay.send(request)
            if span.is_kept:
                span.note(
                    subscription=recipient.subscription.id,
                    delivery=uid.hex(),
                    attempt=number,
                    outcome=OUTCOME_NAMES[result.outcome],
                    status_code=result.status_code,
                )
        return request, result

    def settle(
        self,
        lease: Lease,
        subscription: Subscription,
        request: OutboundRequest,
        result: SendResult,
        age: int,
    ) -> Sent:
        """Decide what an attempt means, and state it."""
        verdict = self._judge(lease.delivery, subscription, result, age)
        decision = verdict.decision
        if not result.is_on_record:
            self._told(lease, subscription, result, decision)
        attempt = described(request, result, self._config.engine)
        return Sent(
            record=record_of(lease, attempt, verdict),
            sign=None if verdict.is_excused else sign_of(result.outcome, result.status_code),
            is_local=result.is_ours or result.may_be_ours,
            disable=decision.disable,
            is_on_record=result.is_on_record,
        )

    def _judge(
        self, delivery: NewDelivery, subscription: Subscription, result: SendResult, age: int
    ) -> Verdict:
        """Decide what comes after an attempt; nearly all succeed, and then nothing is weighed."""
        if result.outcome is Outcome.SUCCEEDED and delivery.uncharged == ALL_CHARGED:
            return SUCCESS
        tried = self._tried(delivery, result)
        decision = decide(
            subscription.retry_policy,
            tried,
            random.uniform(*JITTER),  # noqa: S311
        )
        return verdict_of(tried, within_age(decision, max_age_of(delivery, subscription), age))

    def _told(
        self, lease: Lease, subscription: Subscription, result: SendResult, decision: Decision
    ) -> None:
        self._telemetry.fact(
            "delivery.attempted",
            tenant=subscription.tenant,
            subscription=subscription.id,
            delivery=lease.delivery.uid.hex(),
            attempt=lease.attempt_number,
            outcome=OUTCOME_NAMES[result.outcome],
            status_code=result.status_code,
            latency_ms=result.latency // 1000,
            state=STATE_NAMES[decision.state],
        )

    def _age(self, created_at: float) -> int:
        return round((self._clock.monotonic() - created_at) * 1_000_000)

    def _broken(self, lease: Lease) -> Sent:
        attempt = Attempt(
            number=0,
            outcome=Outcome.INTERNAL,
            start_time=self._clock.wall(),
            latency=Micros(0),
            url="",
            error_message="internal: the request could not be made",
            relay=self._config.engine,
        )
        result = SendResult(outcome=Outcome.INTERNAL, start_time=Instant(0), latency=Micros(0))
        tried = self._tried(lease.delivery, result)
        verdict = verdict_of(tried, decide(_NO_POLICY, tried, 1.0))
        return Sent(record=record_of(lease, attempt, verdict))

    def _tried(self, delivery: NewDelivery, result: SendResult) -> Tried:
        return Tried(
            outcome=result.outcome,
            status_code=result.status_code,
            retry_after=result.retry_after,
            charged_count=delivery.charged_count,
            uncharged=delivery.uncharged,
            trigger=delivery.trigger,
            final_before=delivery.final_before,
            is_ours=result.is_ours or (result.may_be_ours and self._egress.is_lost),
            is_doubtful=result.may_be_ours,
        )
