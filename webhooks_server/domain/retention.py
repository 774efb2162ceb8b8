"""What the engine and its store say to each other about events whose time has passed."""

from webhooks_server.domain.ids import EventSeq
from webhooks_server.domain.values import value


@value
class PurgeStep:
    """How many events and deliveries a step of a round has removed.

    `next_after` is where the round goes on, None where it is over.
    """

    events: int
    deliveries: int
    next_after: EventSeq | None
