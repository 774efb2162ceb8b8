"""Reports that nobody here waits for: their lease has ended, or another process gave it (EB5)."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

from webhooks_server.domain.delivery import Attempt, Outcome, Record, Recorded
from webhooks_server.domain.errors import LeaseLost
from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.leases import Lease
from webhooks_server.domain.outbound import OutboundRequest, SendResult
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.partitions import Reported
from webhooks_server.domain.subscription import DisableReason, Subscription
from webhooks_server.domain.times import Micros
from webhooks_server.engine.caches import GoneError, Subscriptions
from webhooks_server.engine.ownership import Ownership
from webhooks_server.engine.recording import Recorder
from webhooks_server.engine.sending import Sending
from webhooks_server.ports import DeliveryStore

NO_EPOCH = -1
"""Older than any: what is recorded with it is late."""


class LateReports:
    """Records a report by what its lease alone tells."""

    def __init__(
        self,
        *,
        engine: str,
        sending: Sending,
        recorder: Recorder,
        subscriptions: Subscriptions,
        deliveries: DeliveryStore,
        ownership: Ownership,
        disable: Callable[[SubscriptionNumber, DisableReason], None],
    ) -> None:
        """Take this engine's name, the collaborators, and whom to tell what a result asks for."""
        self._engine = engine
        self._sending = sending
        self._recorder = recorder
        self._subscriptions = subscriptions
        self._deliveries = deliveries
        self._lanes = ownership.lanes
        self._announcing = ownership.announcing
        self._disable = disable

    async def record(self, lease: Lease, result: SendResult) -> Recorded:
        """Record the attempt of a lease, or beside it, where it counts as abandoned, a late one.

        Repeated, both change nothing. Raises LeaseLost where there is no such delivery any more,
        RecordRefused where the store takes nothing of it.
        """
        try:
            recipient = await self._subscriptions.get(lease.delivery.subscription)
        except GoneError:
            raise LeaseLost from None
        subscription = recipient.subscription
        request = OutboundRequest(
            url=subscription.config.url, headers=(), body=b"", timeout=Micros(0)
        )
        sent = self._sending.settle(
            lease, subscription, request, result, lease.age + result.latency
        )
        recorded = await self._recorder.record(sent.record)
        if not recorded.attempt_number:
            raise LeaseLost
        if await self._was_abandoned(subscription, sent.record, recorded):
            recorded = await self._recorder.record(_late(sent.record))
        elif sent.disable is not None and not recorded.late:
            self._disable(subscription.number, sent.disable)
        self._tell(lease, result)
        return recorded

    def _tell(self, lease: Lease, result: SendResult) -> None:
        number = lease.delivery.subscription
        # Whatever is in memory of it has another count of attempts now.
        self._lanes.reread(number)
        if lease.engine != self._engine:
            report = Reported(
                token=lease.token,
                subscription=number,
                outcome=result.outcome,
                status_code=result.status_code,
            )
            self._announcing.reported(report)

    async def _was_abandoned(
        self, subscription: Subscription, record: Record, recorded: Recorded
    ) -> bool:
        """Tell whether the attempt is on record already as one of which nobody knew the result."""
        if record.attempt.outcome is Outcome.ABANDONED:
            return False
        stored = await self._attempt(subscription, record, recorded.attempt_number)
        return stored is not None and stored.outcome is Outcome.ABANDONED

    async def _attempt(
        self, subscription: Subscription, record: Record, number: int
    ) -> Attempt | None:
        page = await self._deliveries.attempts(
            subscription.tenant,
            subscription.id,
            record.uid,
            PageRequest(size=1, before=number + 1),
            full=False,
        )
        return page.items[0] if page.items else None


def _late(record: Record) -> Record:
    """Return the second row of an attempt: its token comes from the first's, so that it is one."""
    token = hashlib.sha256(b"late report of " + record.token).digest()[:16]
    return replace(record, token=token, epoch=NO_EPOCH)
