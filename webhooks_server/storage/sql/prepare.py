"""What an append will write, made while the transaction before it is committed.

The thread that writes competes with the event loop for the interpreter's lock; so whatever can be
made beforehand is, and the transaction only hands it to the database.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from typing_extensions import override

from webhooks_server.domain.delivery import NewDelivery
from webhooks_server.domain.event import Accepted, Publish
from webhooks_server.domain.ids import DeliverySeq, EventSeq, IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.domain.times import Instant
from webhooks_server.storage.clock import StoreClock
from webhooks_server.storage.sql.accept import Append, Prepared, pack_numbers
from webhooks_server.storage.sql.rows.events import event_row
from webhooks_server.storage.sql.rows.values import Row
from webhooks_server.storage.targets import match_targets


class TakenNumbers(Protocol):
    """Numbers that new rows get, each used once."""

    def take_events(self, count: int) -> Sequence[int]:
        """Return so many seqs for events."""
        ...

    def take_deliveries(self, count: int) -> Sequence[int]:
        """Return so many seqs for deliveries."""
        ...


class Matching:
    """Matches appends at the version of the index; anew where that moved."""

    def __init__(self, index: MatchIndex) -> None:
        self.index = index

    def renumber(self) -> None:
        """Let all that is prepared be prepared anew, once it is going to be written.

        To be called where seqs that are taken from now on are going to be committed earlier: seqs
        go up in the order of commits.
        """

    def is_done(self, append: Append) -> bool:
        """Tell whether an append can be written as it is prepared."""
        return append.prepared is not None and append.prepared.version == self.index.version

    def of(self, append: Append) -> Prepared:
        """Return an append matched, made anew where the index moved."""
        if append.prepared is None or not self.is_done(append):
            append.prepared = self._prepare(append)
        return append.prepared

    def _prepare(self, append: Append) -> Prepared:
        matched = Prepared(version=self.index.version)
        events = [event for event, _ in append.fresh.values()]
        try:
            matched.targets = match_targets(append.publish, events, self.index)
        except Exception as error:  # noqa: BLE001 - it fails alone, whatever it is, see EA3
            matched.refusal = error
        return matched


class Preparation(Matching):
    """Matches appends, and gives their rows numbers, ids and times as soon as it can."""

    def __init__(self, index: MatchIndex, clock: StoreClock, numbers: TakenNumbers) -> None:
        super().__init__(index)
        self._now = clock.now
        self._uids = IdSource(clock.now).uids
        self._numbers = numbers
        self._numbering = 0

    @override
    def renumber(self) -> None:
        self._numbering += 1

    @override
    def is_done(self, append: Append) -> bool:
        prepared = append.prepared
        return (
            prepared is not None
            and prepared.numbering == self._numbering
            and super().is_done(append)
        )

    @override
    def _prepare(self, append: Append) -> Prepared:
        matched = super()._prepare(append)
        matched.numbering = self._numbering
        return numbered(append, matched, self._now(), self._uids, self._numbers)


def numbered(
    append: Append,
    matched: Prepared,
    now: Instant,
    uids: Callable[[int], Sequence[bytes]],
    numbers: TakenNumbers,
) -> Prepared:
    """Return what an append writes and answers, with its rows, from what it matched."""
    try:
        return _numbered(append, matched, now, uids, numbers)
    except Exception as error:  # noqa: BLE001 - as above
        return replace(matched, targets={}, refusal=error)


def _numbered(
    append: Append,
    matched: Prepared,
    now: Instant,
    uids: Callable[[int], Sequence[bytes]],
    numbers: TakenNumbers,
) -> Prepared:
    publish, targets, count = append.publish, matched.targets, matched.delivery_count
    prepared = Prepared(
        version=matched.version,
        numbering=matched.numbering,
        targets=targets,
        refusal=matched.refusal,
    )
    new_rows = zip(numbers.take_deliveries(count), uids(count), strict=True)
    seqs = numbers.take_events(len(targets))
    for seq, (event_id, found) in zip(seqs, targets.items(), strict=True):
        event, content_hash = append.fresh[event_id]
        stored = event.stored(EventSeq(seq), now, found.count)
        prepared.events.append(event_row(stored, content_hash))
        if found.rest:
            frozen = pack_numbers(found.rest)
            prepared.fan_outs.append((seq, publish.tenant, publish.trigger, frozen))
        # The targets first: else zip() would take a row for nothing before it finds none is left.
        made = [
            _new_delivery(publish, stored.seq, target, *new_row)
            for target, new_row in zip(found.first, new_rows, strict=False)
        ]
        prepared.deliveries += [
            _delivery_row(publish, target, delivery, now)
            for target, delivery in zip(found.first, made, strict=True)
        ]
        prepared.accepted[event_id] = Accepted(
            event=stored,
            duplicate=False,
            deliveries=tuple(made),
            fan_out=bool(found.rest),
        )
    return prepared


def _new_delivery(
    publish: Publish, event: EventSeq, target: IndexEntry, seq: int, uid: bytes
) -> NewDelivery:
    return NewDelivery(
        seq=DeliverySeq(seq),
        uid=uid,
        subscription=target.number,
        event_seq=event,
        due_in=publish.first_due_delay,
        trigger=publish.trigger,
    )


def _delivery_row(publish: Publish, target: IndexEntry, delivery: NewDelivery, now: Instant) -> Row:
    """Return a new delivery in the order of DELIVERY_COLUMNS."""
    return (
        delivery.seq,
        delivery.uid,
        publish.tenant,
        target.partition,
        target.number,
        delivery.event_seq,
        publish.trigger,
        now + publish.first_due_delay,
        now,
    )
