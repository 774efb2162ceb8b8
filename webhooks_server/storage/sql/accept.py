"""The transaction script of an append: events, their deliveries, and fan-outs for the rest."""

import asyncio
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, select

from webhooks_server.domain.delivery import NewDelivery
from webhooks_server.domain.errors import WebhooksError
from webhooks_server.domain.event import Accepted, Event, Publish
from webhooks_server.domain.ids import DeliverySeq, EventId, EventSeq, SubscriptionNumber, TenantId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.domain.times import Instant
from webhooks_server.storage.refusals import event_id_reused
from webhooks_server.storage.sql.dialects import Insertion, Numbers, write_rows
from webhooks_server.storage.sql.rows.deliveries import DELIVERY_COLUMNS
from webhooks_server.storage.sql.rows.events import (
    EVENT_COLUMNS,
    WHOLE_EVENT,
    event_of,
    event_row,
)
from webhooks_server.storage.sql.rows.values import Row
from webhooks_server.storage.sql.schema import events
from webhooks_server.storage.targets import Targets, match_targets

_INTO_DELIVERIES = Insertion("deliveries", DELIVERY_COLUMNS)
_INTO_EVENTS = Insertion("events", EVENT_COLUMNS, conflict="tenant, id")
_INTO_FAN_OUTS = Insertion("fanouts", ("event_seq", "tenant", "trigger", "numbers"))


@dataclass(slots=True, kw_only=True, eq=False)
class Append:
    """A Publish that waits: what is to be stored of it, what turned out to be, and who asks.

    `refusal` is why it could not be matched; it holds if the version that it was matched at does.
    """

    publish: Publish
    fresh: dict[EventId, tuple[Event, bytes]]
    future: asyncio.Future[Sequence[Accepted]]
    stored: dict[EventId, Event] = field(default_factory=dict)
    targets: Mapping[EventId, Targets] = field(default_factory=dict)
    refusal: WebhooksError | None = None

    @property
    def size(self) -> int:
        """How many bytes its payloads have."""
        return sum(len(event.payload) for event in self.publish.events)

    @property
    def first_count(self) -> int:
        """How many deliveries it inserts itself."""
        return sum(len(targets.first) for targets in self.targets.values())

    @property
    def events(self) -> Collection[tuple[Event, bytes]]:
        """What a group stores of it."""
        return () if self.refusal else self.fresh.values()

    def match(self, index: MatchIndex) -> None:
        """Match what is to be stored, at the version of the index."""
        self.refusal, self.targets = None, {}
        try:
            events = [event for event, _ in self.fresh.values()]
            self.targets = match_targets(self.publish, events, index)
        except WebhooksError as error:
            self.refusal = error

    @property
    def keys(self) -> Sequence[tuple[TenantId, EventId]]:
        """What it must share with no other one of its group."""
        tenant = self.publish.tenant
        return [(tenant, event) for event in self.fresh]

    @property
    def is_answered(self) -> bool:
        """Whether nobody waits for it: it is answered, or who asked is gone."""
        return self.future.done()

    def learn(self, stored: Mapping[EventId, tuple[Event, bytes]]) -> None:
        """Take note of those of its events that exist; answer it where that is all or an error."""
        for event, (known, known_digest) in stored.items():
            _, digest = self.fresh.pop(event)
            if digest != known_digest:
                self.fail(event_id_reused(known))
                return
            self.stored[event] = known
        if not self.fresh:
            self.answer({})

    def answer(self, accepted: Mapping[EventId, Accepted]) -> None:
        """Answer in the order of the events; each id is new at most once."""
        if self.refusal:
            self.fail(self.refusal)
        if self.is_answered:
            return
        if len(accepted) == len(self.publish.events):
            self.future.set_result(tuple(accepted.values()))
            return
        remaining = dict(accepted)
        stored = self.stored | {event: one.event for event, one in accepted.items()}
        self.future.set_result(
            tuple(
                remaining.pop(event.id)
                if event.id in remaining
                else Accepted(event=stored[event.id], duplicate=True)
                for event in self.publish.events
            )
        )

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        if not self.is_answered:
            self.future.set_exception(error)


def accept(
    connection: Connection,
    appends: Sequence[Append],
    numbers: Numbers,
    now: Instant,
    uid: Callable[[], bytes],
) -> list[dict[EventId, Accepted]] | None:
    """Insert a group of appends; None, and then nothing may be committed, where an id is taken."""
    rows = _GroupRows(numbers, now, uid)
    accepted = [rows.add(append) for append in appends]
    if write_rows(connection, _INTO_EVENTS, rows.events) < len(rows.events):
        return None
    write_rows(connection, _INTO_DELIVERIES, rows.deliveries)
    write_rows(connection, _INTO_FAN_OUTS, rows.fan_outs)
    return accepted


def stored_events(
    connection: Connection, tenant: TenantId, ids: Iterable[EventId]
) -> dict[EventId, tuple[Event, bytes]]:
    """Return those of these events that exist, with their content hashes."""
    found = connection.execute(
        select(*WHOLE_EVENT, events.c.content_hash).where(
            events.c.tenant == tenant, events.c.id.in_(list(ids))
        )
    )
    return {row["id"]: (event_of(row), row["content_hash"]) for row in found.mappings()}


def pack_numbers(numbers: Sequence[SubscriptionNumber]) -> bytes:
    """Return the frozen targets of a fan-out, 4 bytes each."""
    return array("I", numbers).tobytes()


def unpack_numbers(packed: bytes) -> Sequence[int]:
    """Return the targets that pack_numbers() froze."""
    return array("I", packed)


class _GroupRows:
    """The rows that a group inserts."""

    def __init__(self, numbers: Numbers, now: Instant, uid: Callable[[], bytes]) -> None:
        self.events: list[Row] = []
        self.deliveries: list[Row] = []
        self.fan_outs: list[Row] = []
        self._event: int = numbers.first_event
        self._delivery: int = numbers.first_delivery
        self._now = now
        self._uid = uid

    def add(self, append: Append) -> dict[EventId, Accepted]:
        """Add the rows of one append and return what its events become."""
        publish = append.publish
        accepted: dict[EventId, Accepted] = {}
        for event, content_hash in append.events:
            targets = append.targets[event.id]
            stored = replace(
                event,
                seq=EventSeq(self._event),
                create_time=self._now,
                payload_size=len(event.payload),
                delivery_count=targets.count,
            )
            self._event += 1
            self.events.append(event_row(stored, content_hash))
            if targets.rest:
                frozen = pack_numbers(targets.rest)
                self.fan_outs.append((stored.seq, stored.tenant, publish.trigger, frozen))
            accepted[event.id] = Accepted(
                event=stored,
                duplicate=False,
                deliveries=tuple(
                    self._add_delivery(publish, stored.seq, target) for target in targets.first
                ),
                fan_out=bool(targets.rest),
            )
        return accepted

    def _add_delivery(self, publish: Publish, event: EventSeq, target: IndexEntry) -> NewDelivery:
        delay, now = publish.first_due_delay, self._now
        delivery = NewDelivery(
            seq=DeliverySeq(self._delivery),
            uid=self._uid(),
            subscription=target.number,
            event_seq=event,
            due_in=delay,
            trigger=publish.trigger,
        )
        self._delivery += 1
        self.deliveries.append(
            (
                delivery.seq,
                delivery.uid,
                publish.tenant,
                target.partition,
                target.number,
                event,
                publish.trigger,
                now + delay,
                now,
            )
        )
        return delivery
