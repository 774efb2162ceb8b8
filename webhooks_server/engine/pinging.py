"""Pings: one attempt at once, outside the lanes, made by the engine that owns the partition."""

from collections.abc import Callable
from dataclasses import replace

from webhooks_server.domain.delivery import Attempt, NewDelivery
from webhooks_server.domain.errors import NoEngine
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import TenantId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import Subscription
from webhooks_server.domain.times import seconds
from webhooks_server.engine.learning import Learning
from webhooks_server.engine.ownership import Ownership
from webhooks_server.engine.relays import Relays
from webhooks_server.engine.senders import Senders
from webhooks_server.engine.sending import Sending
from webhooks_server.ports import Clock, DeliveryStore, Telemetry

MAX_HEARD = 32
"""Pings of other processes at once; one more is sent by its lane, when it is due."""
ELSEWHERE_SECONDS = 12.0
"""What a ping of another engine may take beside its request."""
FIRST_LOOK, LONGEST_LOOK = 0.02, 0.1


class Pinging:
    """Makes the attempts of this engine's pings, and of those that others announce (EB5)."""

    def __init__(
        self,
        *,
        sending: Sending,
        senders: Senders,
        ownership: Ownership,
        learning: Learning,
        index: MatchIndex,
        may_send: Callable[[TenantId], bool],
        telemetry: Telemetry,
    ) -> None:
        """Take the collaborators, and what tells whether a request of a tenant may start."""
        self._sending = sending
        self._senders = senders
        self._lanes = ownership.lanes
        self._learning = learning
        self._index = index
        self._may_send = may_send
        self._telemetry = telemetry

    async def send(
        self, subscription: Subscription, event: Event, delivery: NewDelivery
    ) -> Attempt:
        """Make the attempt here; returns it as recorded. Raises NoEngine."""
        epoch = self._lanes.epochs.get(subscription.partition, 0)
        sent = await self._sending.ping(subscription, event, delivery, epoch)
        recorded = await self._learning.record_ping(subscription.number, sent)
        return replace(sent.record.attempt, number=recorded.attempt_number)

    def heard(self, delivery: NewDelivery) -> None:
        """Make the attempt of a ping that somebody waits for at another process."""
        entry = self._index.get(delivery.subscription)
        # One that this engine has yet to hear of is looked up.
        may_be_mine = entry is None or entry.partition in self._lanes.epochs
        if may_be_mine and self._senders.beside < MAX_HEARD:
            self._senders.start_beside(self._send_heard(delivery))

    async def _send_heard(self, delivery: NewDelivery) -> None:
        # What is not sent here is sent by its lane, when it is due.
        try:
            recipient, event = await self._sending.load(delivery)
            subscription = recipient.subscription
            is_mine = subscription.partition in self._lanes.epochs
            # No await between this and the send (EB3).
            if is_mine and self._may_send(subscription.tenant) and not subscription.deleted:
                await self.send(subscription, event, delivery)
        except NoEngine:
            return
        except Exception as error:  # noqa: BLE001 - the edge around one delivery
            self._telemetry.fault("ping.broken", error, delivery=delivery.uid.hex())


class PingsAnywhere:
    """Has a ping's attempt made by who owns its partition, in this process or in another one."""

    def __init__(
        self,
        here: Pinging,
        relays: Relays,
        ownership: Ownership,
        deliveries: DeliveryStore,
        clock: Clock,
    ) -> None:
        """Take who sends here, and what tells who does elsewhere."""
        self._here = here
        self._relays = relays
        self._lanes = ownership.lanes
        self._tenure = ownership.tenure
        self._announcing = ownership.announcing
        self._deliveries = deliveries
        self._clock = clock

    async def send(
        self, subscription: Subscription, event: Event, delivery: NewDelivery
    ) -> Attempt:
        """Return the attempt as recorded.

        Raises NoEngine where nobody could make it, or nobody has in time: then it is made by the
        lane, when it is due.
        """
        end = self._clock.monotonic() + seconds(subscription.config.timeout) + ELSEWHERE_SECONDS
        partition = subscription.partition
        while not self._is_here(partition):
            if self._tenure.sender_of(partition) is not None:
                # From now on it is that engine's, also where this one takes over.
                self._announcing.pinged(delivery)
                return await self._made(subscription, delivery, end)
            if self._clock.monotonic() >= end:
                raise NoEngine(subscription.name)
            # Its owner is gone, and nobody has taken over yet.
            await self._clock.sleep(LONGEST_LOOK)
        return await self._here.send(subscription, event, delivery)

    def _is_here(self, partition: int) -> bool:
        """Tell whether this engine is to send: it owns the partition, or there is nobody else."""
        if partition in self._lanes.epochs and self._relays.can_send:
            return True
        return not (self._relays.can_send or self._tenure.others())

    async def _made(self, subscription: Subscription, delivery: NewDelivery, end: float) -> Attempt:
        tenant, uid, pause = subscription.tenant, delivery.uid, FIRST_LOOK
        while self._clock.monotonic() < end:
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_LOOK)
            found = await self._deliveries.get(tenant, subscription.id, uid, full=True)
            if found.last_attempt is not None:
                return found.last_attempt
        raise NoEngine(subscription.name)
