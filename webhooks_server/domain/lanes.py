"""What the engine and its store say to each other about lanes.

One subscription's pending deliveries.
"""

from collections.abc import Sequence

from webhooks_server.domain.delivery import DeliveryState, NewDelivery
from webhooks_server.domain.ids import DeliverySeq, SubscriptionNumber
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.domain.values import value


@value
class LaneHead:
    """A lane with pending rows.

    `due_in` microseconds are left until the first is due, negative where overdue.
    """

    subscription: SubscriptionNumber
    partition: int
    due_in: int


FROM_THE_FIRST = Instant(0)
"""Before the due time of every row."""


@value
class LaneRead:
    """Ask for the first `limit` pending rows of a lane.

    Those that are due before `since` may be left out: the `low_water` of an earlier answer.
    """

    subscription: SubscriptionNumber
    partition: int
    limit: int
    since: Instant = FROM_THE_FIRST


@value
class LaneRows:
    """The answer to a LaneRead: rows by (due time, seq).

    Fewer than asked for means there are no others.

    No row is due before `low_water`, nor will one be that is committed later: but one for which a
    manual retry is asked, and one whose commit takes longer than ten seconds.
    """

    subscription: SubscriptionNumber
    rows: Sequence[NewDelivery]
    low_water: Instant


@value
class Settlement:
    """Pending rows of a lane to be made final without an attempt.

    All, or those that exist for `min_age` or longer and were not final before.

    Those in `excluding` stay as they are: their requests are in flight, and their records decide.
    """

    subscription: SubscriptionNumber
    partition: int
    epoch: int
    state: DeliveryState
    reason: str
    min_age: Micros | None = None
    excluding: tuple[DeliverySeq, ...] = ()
    limit: int = 1000


@value
class LaneFailing:
    """How badly a lane fails: 0 where it does not, else 1 and how often in a row it was shut.

    It is shut for the next `open_for`.
    """

    subscription: SubscriptionNumber
    level: int
    open_for: Micros = Micros(0)


@value
class FanOutStep:
    """What one chunk of a fan-out inserted; `done` where nothing is left."""

    deliveries: Sequence[NewDelivery]
    done: bool


@value
class PassResult:
    """What a relay pass did (NotifySubscribers); incomplete where its time was over before that."""

    attempts: int = 0
    succeeded: int = 0
    retrying: int = 0
    failed: int = 0
    is_complete: bool = True


@value
class EngineStatus:
    """A live engine.

    Its name, how many deliveries it has taken and not yet recorded, and when it was last seen.
    """

    engine: str
    in_flight: int
    last_seen_time: Instant
