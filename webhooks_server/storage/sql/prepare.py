"""What an append will write, made while the transaction before it is committed.

The thread that writes competes with the event loop for the interpreter's lock; so whatever can be
made beforehand is, and the transaction only hands it to the database.
"""

from collections.abc import Sequence

from webhooks_server.domain.delivery import NewDelivery
from webhooks_server.domain.event import Accepted, Event, Publish
from webhooks_server.domain.ids import DeliverySeq, EventSeq, IdSource
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import IndexEntry
from webhooks_server.storage.clock import StoreClock
from webhooks_server.storage.sql.accept import Append, Prepared, pack_numbers
from webhooks_server.storage.sql.dialects import Numbers
from webhooks_server.storage.sql.rows.events import event_row
from webhooks_server.storage.targets import match_targets


class Preparation:
    """Matches appends, and gives their rows numbers, ids and times."""

    def __init__(self, index: MatchIndex, clock: StoreClock, numbers: Numbers) -> None:
        self._index = index
        self._now = clock.now
        self._uid = IdSource(clock.now).uid
        self._numbers = numbers
        self._numbering = 0

    def renumber(self) -> None:
        """Let all that is prepared be prepared anew, once it is going to be written.

        To be called where seqs that are taken from now on are going to be committed earlier: seqs
        go up in the order of commits.
        """
        self._numbering += 1

    def is_done(self, append: Append) -> bool:
        """Tell whether an append can be written as it is prepared."""
        prepared = append.prepared
        return (
            prepared is not None
            and prepared.version == self._index.version
            and prepared.numbering == self._numbering
        )

    def of(self, append: Append) -> Prepared:
        """Return what an append writes, made anew where the index or the numbering moved."""
        if append.prepared is None or not self.is_done(append):
            append.prepared = self._prepare(append)
        return append.prepared

    def _prepare(self, append: Append) -> Prepared:
        version, numbering = self._index.version, self._numbering
        prepared = Prepared(version=version, numbering=numbering)
        try:
            self._fill(append, prepared)
        except Exception as error:  # noqa: BLE001 - it fails alone, whatever it is, see EA3
            return Prepared(version=version, numbering=numbering, refusal=error)
        return prepared

    def _fill(self, append: Append, prepared: Prepared) -> None:
        publish, now = append.publish, self._now()
        events = [event for event, _ in append.fresh.values()]
        targets = match_targets(publish, events, self._index)
        first = self._numbers.take_events(len(events))
        for seq, (event, content_hash) in enumerate(append.fresh.values(), first):
            found = targets[event.id]
            stored = event._replace(
                seq=EventSeq(seq),
                create_time=now,
                payload_size=len(event.payload),
                delivery_count=found.count,
            )
            prepared.events.append(event_row(stored, content_hash))
            if found.rest:
                frozen = pack_numbers(found.rest)
                prepared.fan_outs.append((seq, publish.tenant, publish.trigger, frozen))
            prepared.accepted[event.id] = Accepted(
                event=stored,
                duplicate=False,
                deliveries=self._deliveries(publish, stored, found.first, prepared),
                fan_out=bool(found.rest),
            )

    def _deliveries(
        self, publish: Publish, event: Event, targets: Sequence[IndexEntry], prepared: Prepared
    ) -> tuple[NewDelivery, ...]:
        delay, trigger, now = publish.first_due_delay, publish.trigger, event.create_time
        made: list[NewDelivery] = []
        first = self._numbers.take_deliveries(len(targets))
        for seq, target in enumerate(targets, first):
            uid, number = self._uid(), target.number
            made.append(
                NewDelivery(
                    seq=DeliverySeq(seq),
                    uid=uid,
                    subscription=number,
                    event_seq=event.seq,
                    due_in=delay,
                    trigger=trigger,
                )
            )
            prepared.deliveries.append(
                (
                    seq,
                    uid,
                    publish.tenant,
                    target.partition,
                    number,
                    event.seq,
                    trigger,
                    now + delay,
                    now,
                )
            )
        return tuple(made)
