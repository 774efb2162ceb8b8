"""The rows of the memory twin.

No method awaits between its first read and its last write: that is a transaction.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from webhooks_server.domain.delivery import (
    ALL_CHARGED,
    Attempt,
    DeliveryState,
    NewDelivery,
    Trigger,
)
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import (
    DeliverySeq,
    EventId,
    EventSeq,
    IdSource,
    SubscriptionId,
    SubscriptionNumber,
    TenantId,
    Version,
)
from webhooks_server.domain.requests import REMEMBERED, RequestKey
from webhooks_server.domain.subscription import (
    PARTITIONS,
    Changes,
    IndexEntry,
    RelayPause,
    Subscription,
)
from webhooks_server.domain.target_url import host_of
from webhooks_server.domain.times import Instant
from webhooks_server.storage.clock import StoreClock
from webhooks_server.storage.refusals import request_id_reused
from webhooks_server.storage.transitions import DeliveryRow, FailureRow, due_in

CHANGES_AT_ONCE = 500


@dataclass(slots=True, kw_only=True)
class StoredDelivery:
    """A delivery: what is fixed, and the row that changes."""

    tenant: TenantId
    partition: int
    subscription: SubscriptionNumber
    event_seq: EventSeq
    trigger: Trigger
    create_time: Instant
    row: DeliveryRow

    def as_new(self, now: Instant) -> NewDelivery:
        """Return it as the engine knows it."""
        row = self.row
        return NewDelivery(
            seq=row.seq,
            uid=row.uid,
            subscription=self.subscription,
            event_seq=self.event_seq,
            due_in=due_in(row, now),
            age=now - self.create_time,
            attempt_count=row.attempt_count,
            charged_count=row.charged_count,
            retry_requests=row.retry_requests,
            trigger=self.trigger,
            final_before=row.final_before,
            uncharged=row.uncharged or ALL_CHARGED,
        )


@dataclass(slots=True, kw_only=True)
class FanOut:
    """The frozen targets of an event beyond its first, and how many of them have their row."""

    numbers: Sequence[int]
    trigger: Trigger
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    fingerprint: bytes
    result: object
    time: Instant


class Rows:
    """All tables."""

    def __init__(self, clock: StoreClock) -> None:
        self.now = clock.now
        self.opened = clock.now()
        self.last_event = 0
        self.last_delivery = 0
        self.version = Version(0)
        self.subscriptions: dict[SubscriptionNumber, Subscription] = {}
        self.subscription_numbers: dict[tuple[TenantId, SubscriptionId], SubscriptionNumber] = {}
        # How badly lanes fail, and until when their breakers are open.
        self.failing: dict[SubscriptionNumber, tuple[int, Instant]] = {}
        self.pauses: dict[str, RelayPause] = {}
        self.events: dict[EventSeq, Event] = {}
        self.event_seqs: dict[tuple[TenantId, EventId], EventSeq] = {}
        self.content_hashes: dict[EventSeq, bytes] = {}
        self.fan_outs: dict[EventSeq, FanOut] = {}
        self.deliveries: dict[DeliverySeq, StoredDelivery] = {}
        self.delivery_seqs: dict[bytes, DeliverySeq] = {}
        self.first_deliveries: dict[tuple[EventSeq, SubscriptionNumber], DeliverySeq] = {}
        self.attempts: dict[DeliverySeq, list[Attempt]] = {}
        self.tokens: dict[bytes, Attempt] = {}
        self.failures: dict[SubscriptionNumber, FailureRow] = {}
        self.owners: dict[int, tuple[str, int]] = dict.fromkeys(range(PARTITIONS), ("", 0))
        self.server_key = secrets.token_bytes(32)
        self.uid = IdSource(clock.now).uid
        self._answers: dict[tuple[TenantId, str], _Answer] = {}

    def next_version(self) -> Version:
        """Take the next control version."""
        self.version = Version(self.version + 1)
        return self.version

    def changes(self, since: Version) -> Changes:
        """Return what changed after a version, at most 500 entries."""
        entries = sorted(
            (self._entry(one) for one in self.subscriptions.values() if one.version > since),
            key=lambda entry: entry.version,
        )
        complete = len(entries) <= CHANGES_AT_ONCE
        entries = entries[:CHANGES_AT_ONCE]
        return Changes(
            version=self.version if complete else entries[-1].version,
            entries=tuple(entries),
            pauses=tuple(self.pauses.values()),
            complete=complete,
        )

    def _entry(self, subscription: Subscription) -> IndexEntry:
        level, _ = self.failing.get(subscription.number, (0, None))
        return replace(index_entry(subscription), failing=level)

    def add_event(self, event: Event, digest: bytes, matched: int) -> Event:
        """Insert an event that so many subscriptions get, and return it as it is stored."""
        self.last_event += 1
        stored = event.stored(EventSeq(self.last_event), self.now(), matched)
        self.events[stored.seq] = stored
        self.event_seqs[stored.tenant, stored.id] = stored.seq
        self.content_hashes[stored.seq] = digest
        return stored

    def add_deliveries(
        self, event: Event, targets: Iterable[IndexEntry], trigger: Trigger, delay: int
    ) -> list[NewDelivery]:
        """Insert a pending delivery of an event for each target that has none, and return those."""
        now = self.now()
        added: list[NewDelivery] = []
        for target in targets:
            if (event.seq, target.number) in self.first_deliveries:
                continue
            self.last_delivery += 1
            seq = DeliverySeq(self.last_delivery)
            due = Instant(now + delay)
            stored = StoredDelivery(
                tenant=event.tenant,
                partition=target.partition,
                subscription=target.number,
                event_seq=event.seq,
                trigger=trigger,
                create_time=now,
                row=DeliveryRow(seq=seq, uid=self.uid(), state=DeliveryState.PENDING, due_time=due),
            )
            self.deliveries[seq] = stored
            self.delivery_seqs[stored.row.uid] = seq
            self.first_deliveries[event.seq, target.number] = seq
            added.append(stored.as_new(now))
        return added

    def remove_event(self, seq: EventSeq) -> int:
        """Remove an event with all that belongs to it, and return how many deliveries had."""
        event = self.events.pop(seq)
        del self.event_seqs[event.tenant, event.id]
        del self.content_hashes[seq]
        gone = [one for one in self.deliveries.values() if one.event_seq == seq]
        for one in gone:
            del self.deliveries[one.row.seq]
            del self.delivery_seqs[one.row.uid]
            del self.first_deliveries[seq, one.subscription]
            made = {id(attempt) for attempt in self.attempts.pop(one.row.seq, [])}
            for token in [token for token, known in self.tokens.items() if id(known) in made]:
                del self.tokens[token]
        return len(gone)

    def first_answer(self, request: RequestKey | None) -> object | None:
        """Return the answer that this request got before; raises where another one had its id."""
        if request is None:
            return None
        answer = self._answers.get((request.tenant, request.request_id))
        if answer is None or answer.time <= self.now() - REMEMBERED:
            return None
        if answer.fingerprint != request.fingerprint:
            raise request_id_reused()
        return answer.result

    def remember(self, request: RequestKey | None, result: object) -> None:
        """Keep the first answer to a request."""
        if request is not None:
            answer = _Answer(fingerprint=request.fingerprint, result=result, time=self.now())
            self._answers[request.tenant, request.request_id] = answer

    def forget_outdated(self) -> None:
        """Forget answers that are too old."""
        oldest = self.now() - REMEMBERED
        self._answers = {key: one for key, one in self._answers.items() if one.time > oldest}


def index_entry(subscription: Subscription) -> IndexEntry:
    """Return what the match index keeps of a subscription."""
    return IndexEntry(
        number=subscription.number,
        tenant=subscription.tenant,
        id=subscription.id,
        partition=subscription.partition,
        version=subscription.version,
        state=subscription.state,
        deleted=subscription.deleted,
        patterns=subscription.events,
        max_in_flight=subscription.config.max_in_flight,
        max_age=subscription.retry_policy.max_age,
        max_requests_per_minute=subscription.config.max_requests_per_minute,
        host=host_of(subscription.config.url),
    )
