"""How and where subscriptions, events and deliveries are stored.

Every store has two or more implementations, and `tests/contract` holds them to what is said here.
All methods raise StoreUnavailable where the database does not answer. Nothing is done in part: a
method that raises has changed nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from webhooks_server.domain.delivery import Attempt, Delivery, DeliveryCounts, FirstDelivery
from webhooks_server.domain.event import Accepted, Event, Publish
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import (
    EventId,
    EventSeq,
    SubscriptionId,
    SubscriptionNumber,
    TenantId,
    Version,
)
from webhooks_server.domain.lanes import LaneFailing
from webhooks_server.domain.paging import Page, PageRequest
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.retention import PurgeStep
from webhooks_server.domain.subscription import Changes, Subscription
from webhooks_server.domain.times import Micros


class SubscriptionStore(Protocol):
    """How and where subscriptions are stored.

    Every change takes the next control version, stamps the subscription with it, and is visible to
    changes() as soon as its method has returned. A request key makes a change repeatable: within 24
    h the same key gets the first answer again (the subscription as it was then, its secret
    included), and the same id with another fingerprint raises InvalidArgument with
    REQUEST_ID_REUSED on `request_id`. With dry_run everything is checked, the result returned, and
    nothing stored.
    """

    async def create(
        self,
        subscription: Subscription,
        *,
        request: RequestKey | None = None,
        dry_run: bool = False,
    ) -> Subscription:
        """Store a new subscription; returns it with number, partition and version.

        Raises ResourceExists where the id was ever taken, or another live subscription of the
        tenant has the same URL and the same set of patterns.
        """
        ...

    async def get(self, tenant: TenantId, subscription: SubscriptionId) -> Subscription:
        """Return a subscription; raises NotFound where it never existed or was deleted."""
        ...

    async def list(
        self, tenant: TenantId | None, terms: Sequence[Term], page: PageRequest
    ) -> Page[Subscription]:
        """Return those that are not deleted and meet all terms, by number descending.

        None reads all tenants.

        Fields of terms: state (CHOICE, numbers of State), events (TEXTS), creator (TEXT),
        config.url (TEXT).
        """
        ...

    async def update(
        self,
        tenant: TenantId,
        subscription: SubscriptionId,
        change: Callable[[Subscription], Subscription],
        *,
        request: RequestKey | None = None,
        telling: Event | None = None,
        dry_run: bool = False,
    ) -> Subscription:
        """Replace a subscription by change(current) in one transaction.

        Returns it with its new version.

        `change` is pure, may run more than once, and what it raises comes out; where it returns its
        argument unchanged, nothing is written. The store sets update_time. One that becomes active
        begins without failures (LaneStore.record). An event that tells of the change is accepted in
        the same commit, with a fan-out to all who want it then; LaneStore.fan_outs() names it.
        Raises NotFound, and ResourceExists as create does.
        """
        ...

    async def delete(
        self, tenant: TenantId, subscription: SubscriptionId, etag: str = ""
    ) -> Subscription:
        """Leave a tombstone without secrets: the id stays taken, history stays readable.

        Returns the subscription as it was.

        Writes the subscription's row only (EA8). Raises NotFound, and EtagMismatch where etag is
        given and differs.
        """
        ...

    async def load(self, numbers: Sequence[SubscriptionNumber]) -> Sequence[Subscription]:
        """Return the subscriptions with these numbers in any order, deleted ones included."""
        ...

    async def changes(self, since: Version) -> Changes:
        """Return what changed after a version, up to a bound (Changes.complete).

        All relay pauses in force are in every answer.

        The version in the answer was read before the entries (EA9), so that nothing is ever marked
        as seen unread.
        """
        ...

    async def note_failing(self, lanes: Sequence[LaneFailing]) -> None:
        """Keep how badly lanes fail, for the next engine that owns them (IndexEntry.failing).

        It is no change of the subscriptions: they keep their versions. Unknown ones are left out.
        """
        ...


class EventStore(Protocol):
    """How and where events are stored."""

    async def append(self, publish: Publish) -> Sequence[Accepted]:
        """Accept events durably.

        Each event and its deliveries, or the first of them and a fan-out, in one commit.

        Matches against the subscriptions as of a control version read after the call began. All
        events or none. An event whose id and content hash exist already is a duplicate: its stored
        form is answered, nothing added. The result is in the order of the events. Raises
        EventIdReused where the id exists with another content, also within one Publish.
        """
        ...

    async def get(self, tenant: TenantId, event: EventId) -> Event:
        """Return an event with its payload; raises NotFound."""
        ...

    async def list(
        self, tenant: TenantId | None, terms: Sequence[Term], page: PageRequest, *, full: bool
    ) -> Page[Event]:
        """Return events that meet all terms, by seq descending.

        Without full their payloads are left empty.

        Fields of terms: event_type, subject, source (TEXT), create_time (TIME). A page of full
        events ends early once its payloads exceed 2 MiB, so that it fits a gRPC message.
        """
        ...

    async def load(self, events: Sequence[EventSeq]) -> Sequence[Event]:
        """Return the events with these numbers in any order, with payloads.

        Those that are gone are left out.
        """
        ...

    async def purge(self, age: Micros, after: EventSeq) -> PurgeStep:
        """Remove old events with their deliveries and attempts: one step of a round over all.

        A round begins after 0 and goes on after `next_after`, which does not always move. An event
        is old where it was accepted, and each of its deliveries final, at least `age` ago. One with
        a pending delivery, or that a fan-out owes one, is never touched.

        A step is short, at most 200 events and 1,000 deliveries. An event that has more deliveries
        is gone for every reader with the first of them, and they are with it; its id is free for
        another event with the last.
        """
        ...


class DeliveryStore(Protocol):
    """Deliveries and attempts as callers see them. Names of deleted subscriptions stay readable.

    Of a pending delivery `state_reason` says why its subscription holds it, if it does.
    """

    async def get(
        self, tenant: TenantId, subscription: SubscriptionId, uid: bytes, *, full: bool
    ) -> Delivery:
        """Return a delivery with its last attempt.

        Without full the attempt lacks headers and body. Raises NotFound.
        """
        ...

    async def list(
        self,
        tenant: TenantId | None,
        subscription: SubscriptionId | None,
        terms: Sequence[Term],
        page: PageRequest,
        *,
        full: bool,
    ) -> Page[Delivery]:
        """Return deliveries that meet all terms, by seq descending.

        None reads all tenants or subscriptions.

        Fields of terms: state, trigger (CHOICE), event_type (TEXT), event (TEXT: an event id),
        create_time and complete_time (TIME). Raises NotFound where the subscription never existed.
        Full pages end early as EventStore.list's do.
        """
        ...

    async def attempts(
        self,
        tenant: TenantId,
        subscription: SubscriptionId,
        uid: bytes,
        page: PageRequest,
        *,
        full: bool,
    ) -> Page[Attempt]:
        """Return a delivery's attempts by number descending; raises NotFound."""
        ...

    async def of_event(
        self, event: EventSeq, subscriptions: Sequence[SubscriptionNumber]
    ) -> Mapping[SubscriptionNumber, FirstDelivery]:
        """Return the event's first deliveries, not replays, to these; what is owed among them."""
        ...

    async def retry(
        self,
        tenant: TenantId,
        subscription: SubscriptionId,
        uid: bytes,
        *,
        request: RequestKey | None = None,
    ) -> Delivery:
        """Make a delivery due now, before all others of its lane (EB6).

        A final one becomes pending for one attempt.

        Raises NotFound, DeliveryNotRetryable where it is pending without an attempt or its
        subscription is deleted, SubscriptionIsDisabled, EventPurged where its event is being
        removed. Request keys work as in SubscriptionStore.
        """
        ...

    async def cancel(self, tenant: TenantId, subscription: SubscriptionId, uid: bytes) -> Delivery:
        """Make a pending delivery CANCELLED; a final one is returned as it is.

        Raises NotFound, EventPurged.
        """
        ...

    async def counts(self, tenant: TenantId | None) -> DeliveryCounts:
        """Count deliveries by state, of all tenants or of one.

        All that are pending, but not at one moment: it takes as long as there are such, and nobody
        else waits for it. What is final, and attempts, among the newest 50,000 of all tenants.
        """
        ...

    async def pending(self, tenant: TenantId, subscription: SubscriptionId) -> int:
        """Return how many deliveries of a subscription are pending; 0 where it never existed."""
        ...
