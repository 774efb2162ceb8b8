"""The database's own time and numbers: the same for all processes that share it."""

from collections.abc import Iterator, Sequence
from itertools import islice

from sqlalchemy import Connection

from webhooks_server.domain.ids import EventSeq, Version
from webhooks_server.domain.times import Instant
from webhooks_server.domain.values import value

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_DRAW = "ARRAY(SELECT nextval('{}') FROM generate_series(1, ${}::int))"
_DRAW_DELIVERIES = f"SELECT {_DRAW.format('delivery_numbers', 1)}"
_DRAW_EVENT = "SELECT nextval('event_numbers')"
_STATE = (
    f"SELECT version, {_NOW}, {_DRAW.format('event_numbers', 1)},"  # noqa: S608 - own words
    f" {_DRAW.format('delivery_numbers', 2)} FROM control"
)


class DrawnNumbers:
    """Numbers that were drawn for one transaction."""

    def __init__(self, events: Sequence[int], deliveries: Sequence[int]) -> None:
        self._events = iter(events)
        self._deliveries = iter(deliveries)

    def take_events(self, count: int) -> Sequence[int]:
        """Return so many seqs for events."""
        return _take(self._events, count)

    def take_deliveries(self, count: int) -> Sequence[int]:
        """Return so many seqs for deliveries."""
        return _take(self._deliveries, count)


@value
class State:
    """The control version and the time, with numbers drawn for what is going to be written."""

    version: Version
    now: Instant
    numbers: DrawnNumbers


def read_state(connection: Connection, events: int, deliveries: int) -> State:
    """Read the control version and the time, and draw so many numbers."""
    version, now, *drawn = connection.exec_driver_sql(_STATE, (events, deliveries)).one()
    return State(version=Version(version), now=Instant(now), numbers=DrawnNumbers(*drawn))


def draw_deliveries(connection: Connection, count: int) -> Sequence[int]:
    """Draw so many seqs for deliveries, within the transaction that uses them.

    Drawn earlier, they could be committed long after higher ones, and whoever looks for what is
    new would miss them (engine.md, EC1).
    """
    drawn: Sequence[int] = connection.exec_driver_sql(_DRAW_DELIVERIES, (count,)).scalar_one()
    return drawn


def draw_event(connection: Connection) -> EventSeq:
    """Draw a seq for an event, within the transaction that uses it."""
    return EventSeq(connection.exec_driver_sql(_DRAW_EVENT).scalar_one())


def database_now(connection: Connection) -> Instant:
    """Return the database's time."""
    return Instant(connection.exec_driver_sql(f"SELECT {_NOW}").scalar_one())


def probe(connection: Connection) -> None:
    """Write something of no meaning to the log, so that the commit is one that has to be kept."""
    connection.exec_driver_sql("SELECT pg_logical_emit_message(true, 'webhooks', '')")


def _take(numbers: Iterator[int], count: int) -> Sequence[int]:
    return tuple(islice(numbers, count))
