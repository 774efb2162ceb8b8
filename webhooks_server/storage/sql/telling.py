"""An event that tells of a change of control data, in the transaction of that change."""

from collections.abc import Callable

from sqlalchemy import Connection, select

from webhooks_server.domain.delivery import Trigger
from webhooks_server.domain.event import Event, content_hash
from webhooks_server.domain.ids import EventSeq, SubscriptionNumber
from webhooks_server.domain.match_index import MATCHING
from webhooks_server.domain.patterns import candidates
from webhooks_server.domain.times import Instant
from webhooks_server.storage.sql.accept import INTO_EVENTS, INTO_FAN_OUTS, pack_numbers
from webhooks_server.storage.sql.dialects import dialect_of
from webhooks_server.storage.sql.rows.events import event_row
from webhooks_server.storage.sql.schema import subscription_patterns, subscriptions

NewEvent = Callable[[], Callable[[Connection], EventSeq]]
"""Takes a seq for an event; what it returns tells it, and keeps it, in the transaction."""


def tell(connection: Connection, event: Event, seq: EventSeq, now: Instant) -> None:
    """Store an event, and owe a delivery to each subscription that wants it as it stands now.

    Who holds control data still matches by rows, whatever the index has heard of. A fan-out makes
    the deliveries: it is there for events with many, and lets the change be a short transaction.
    """
    targets = _match(connection, event)
    write_rows = dialect_of(connection).write_rows
    stored = event.stored(seq, now, len(targets))
    write_rows(connection, INTO_EVENTS, [event_row(stored, content_hash(event))])
    if targets:
        row = (seq, event.tenant, Trigger.PUBLISH, pack_numbers(targets))
        write_rows(connection, INTO_FAN_OUTS, [row])


def _match(connection: Connection, event: Event) -> list[SubscriptionNumber]:
    query = (
        select(subscriptions.c.number)
        .join(
            subscription_patterns,
            subscription_patterns.c.subscription == subscriptions.c.number,
        )
        .where(
            subscription_patterns.c.tenant == event.tenant,
            subscription_patterns.c.pattern.in_(candidates(event.event_type)),
            subscriptions.c.deleted == 0,
            subscriptions.c.state.in_(sorted(MATCHING)),
        )
        .distinct()
        .order_by(subscriptions.c.number)
    )
    return [SubscriptionNumber(number) for number in connection.execute(query).scalars()]
