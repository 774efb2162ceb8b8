"""Disabling subscriptions for what their receivers answer, and telling those who want to know."""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from webhooks_server.domain.errors import NotFound
from webhooks_server.domain.event import Event
from webhooks_server.domain.failures import Failures, is_hopeless
from webhooks_server.domain.ids import IdSource, SubscriptionNumber
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.patterns import DISABLED
from webhooks_server.domain.subscription import (
    JSON_CONTENT_TYPE,
    DisableReason,
    IndexEntry,
    Subscription,
)
from webhooks_server.domain.times import SECOND, Micros
from webhooks_server.engine.signals import Signal
from webhooks_server.ports import Clock, SubscriptionStore, Telemetry


class Disabling:
    """Disables each subscription once, however many attempts in flight ask for it."""

    def __init__(
        self,
        *,
        disable_after: float | None,
        subscriptions: SubscriptionStore,
        index: MatchIndex,
        ids: IdSource,
        clock: Clock,
        telemetry: Telemetry,
        disabled: Callable[[], None],
    ) -> None:
        """Take the collaborators, and whom to tell that a subscription was disabled.

        `disable_after` is how long failures are borne, in seconds; None is for ever.
        """
        self._disable_after = disable_after
        self._subscriptions = subscriptions
        self._index = index
        self._ids = ids
        self._telemetry = telemetry
        self._tell_disabled = disabled
        self._waiting: deque[tuple[SubscriptionNumber, DisableReason]] = deque()
        self._asked = Signal(clock)

    @property
    def waiting(self) -> int:
        """How many subscriptions are about to be disabled."""
        return len(self._waiting)

    def disable(self, number: SubscriptionNumber, reason: DisableReason) -> None:
        """Disable a subscription soon, for what its receiver answered."""
        self._waiting.append((number, reason))
        self._asked.set()

    def bear(self, number: SubscriptionNumber, failures: Failures | None) -> None:
        """Disable a subscription that has only failed for longer than is borne."""
        most = self._disable_after
        if failures and most is not None and is_hopeless(failures, Micros(round(most * SECOND))):
            self.disable(number, DisableReason.CONSECUTIVE_FAILURES)

    async def run(self) -> None:
        """Disable what is asked for, for ever; what raises is tried again by the next run."""
        while True:
            while self._waiting:
                number, reason = self._waiting[0]
                await self._disable_one(number, reason)
                self._waiting.popleft()
            await self._asked.wait()

    async def _disable_one(self, number: SubscriptionNumber, reason: DisableReason) -> None:
        entry = self._index.get(number)
        if entry is None or entry.deleted:
            return

        is_first = False

        def change(current: Subscription) -> Subscription:
            nonlocal is_first
            is_first = current.active
            if not current.active:
                return current
            return replace(current, active=False, disable_reason=reason)

        try:
            await self._subscriptions.update(
                entry.tenant, entry.id, change, telling=self._event(entry, reason)
            )
        except NotFound:
            return
        # Each of the attempts in flight may have asked for it.
        if not is_first:
            return
        self._telemetry.fact(
            "subscription.disabled",
            tenant=entry.tenant,
            subscription=entry.id,
            reason=reason.name.lower(),
        )
        self._tell_disabled()

    def _event(self, entry: IndexEntry, reason: DisableReason) -> Event:
        body = {
            "subscription": f"tenants/{entry.tenant}/subscriptions/{entry.id}",
            "disable_reason": f"DISABLE_REASON_{reason.name}",
        }
        payload = json.dumps(body, separators=(",", ":")).encode()
        return Event(
            tenant=entry.tenant,
            id=self._ids.event(),
            event_type=DISABLED,
            payload=payload,
            is_json=True,
            content_type=JSON_CONTENT_TYPE,
            payload_size=len(payload),
        )
