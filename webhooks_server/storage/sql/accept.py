"""The transaction script of an append: events, their deliveries, and fan-outs for the rest."""

import asyncio
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from sys import getsizeof

from sqlalchemy import Connection, select

from webhooks_server.domain.event import Accepted, Event, Publish
from webhooks_server.domain.ids import EventId, TenantId, Version
from webhooks_server.storage.refusals import event_id_reused
from webhooks_server.storage.sql.dialects import Insertion, dialect_of
from webhooks_server.storage.sql.rows.deliveries import DELIVERY_COLUMNS
from webhooks_server.storage.sql.rows.events import EVENT_COLUMNS, WHOLE_EVENT, event_of
from webhooks_server.storage.sql.rows.values import Row
from webhooks_server.storage.sql.schema import events
from webhooks_server.storage.targets import Targets, distinct_events

_INTO_DELIVERIES = Insertion("deliveries", DELIVERY_COLUMNS)
INTO_EVENTS = Insertion("events", EVENT_COLUMNS, conflict="tenant, id")
INTO_FAN_OUTS = Insertion("fanouts", ("event_seq", "tenant", "trigger", "numbers"))
# The short texts, the row that is made of it, and whatever else does not depend on what it holds.
_EVENT_OVERHEAD = 1024


@dataclass(slots=True, kw_only=True)
class Prepared:
    """What an append writes and answers, if the control version is still this one.

    Its seqs hold as long as `numbering` does. `refusal` is why it could not be prepared; then it
    writes nothing.
    """

    version: Version
    numbering: int = 0
    targets: Mapping[EventId, Targets] = field(default_factory=dict)
    events: list[Row] = field(default_factory=list)
    deliveries: list[Row] = field(default_factory=list)
    fan_outs: list[Row] = field(default_factory=list)
    accepted: dict[EventId, Accepted] = field(default_factory=dict)
    refusal: Exception | None = None

    @property
    def delivery_count(self) -> int:
        """How many deliveries it inserts itself."""
        return sum([len(found.first) for found in self.targets.values()])


@dataclass(slots=True, kw_only=True, eq=False)
class Append:
    """A Publish that waits: what is to be stored of it, what turned out to be, and who asks."""

    publish: Publish
    fresh: dict[EventId, tuple[Event, bytes]]
    future: asyncio.Future[Sequence[Accepted]]
    size: int
    stored: dict[EventId, Event] = field(default_factory=dict)
    prepared: Prepared | None = None
    attempted: list[Prepared] = field(default_factory=list)
    """What was written of it, where it may be unknown whether that was committed."""

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
        self.prepared = None
        for attempted in self.attempted:
            if _holds(stored, attempted):
                self._answer_all(attempted.accepted)
                return
        for event, (known, known_digest) in stored.items():
            _, digest = self.fresh.pop(event)
            if digest != known_digest:
                self.fail(event_id_reused(known))
                return
            self.stored[event] = known
        if not self.fresh:
            self._answer_all({})

    def answer(self, prepared: Prepared) -> None:
        """Answer with what is committed now."""
        if prepared.refusal:
            self.fail(prepared.refusal)
        else:
            self._answer_all(prepared.accepted)

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        if not self.is_answered:
            self.future.set_exception(error)

    def _answer_all(self, accepted: Mapping[EventId, Accepted]) -> None:
        if self.is_answered:
            return
        asked = self.publish.events
        if len(accepted) == len(asked):
            self.future.set_result(tuple(accepted.values()))
            return
        # In the order of the events; an id is new at most once.
        remaining = dict(accepted)
        stored = self.stored | {event: one.event for event, one in accepted.items()}
        self.future.set_result(
            tuple(
                remaining.pop(event.id)
                if event.id in remaining
                else Accepted(event=stored[event.id], duplicate=True)
                for event in asked
            )
        )


def size_of(publish: Publish) -> int:
    """Return about how many bytes its events take while they wait."""
    size = _EVENT_OVERHEAD * len(publish.events)
    for event in publish.events:
        size += len(event.payload) + len(event.source) + len(event.subject)
        size += len(event.data_schema)
        if event.attributes:
            size += sum(map(getsizeof, chain.from_iterable(event.attributes.items())))
    return size


def append_of(publish: Publish, future: asyncio.Future[Sequence[Accepted]]) -> Append:
    """Return an operation that answers a Publish; raises EventIdReused where two events clash."""
    return Append(
        publish=publish,
        fresh=distinct_events(publish),
        future=future,
        size=size_of(publish),
    )


def accept(connection: Connection, appends: Sequence[Prepared]) -> bool:
    """Insert a group of appends; False, and then nothing may be committed, where an id is taken."""
    write_rows = dialect_of(connection).write_rows
    rows = [row for append in appends for row in append.events]
    if write_rows(connection, INTO_EVENTS, rows) < len(rows):
        return False
    rows = [row for append in appends for row in append.deliveries]
    write_rows(connection, _INTO_DELIVERIES, rows)
    rows = [row for append in appends for row in append.fan_outs]
    write_rows(connection, INTO_FAN_OUTS, rows)
    return True


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


def _holds(stored: Mapping[EventId, tuple[Event, bytes]], attempted: Prepared) -> bool:
    """Tell whether what is stored is what was attempted: one event tells for all, by its seq."""
    return any(
        (ours := attempted.accepted.get(event)) is not None and ours.event.seq == known.seq
        for event, (known, _) in stored.items()
    )


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """Return the frozen targets of a fan-out, 4 bytes each."""
    return array("I", numbers).tobytes()


def unpack_numbers(packed: bytes) -> Sequence[int]:
    """Return the targets that pack_numbers() froze."""
    return array("I", packed)
