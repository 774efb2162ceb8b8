"""What an engine and its store say to each other about engines and the partitions they own."""

from collections.abc import Iterable, Mapping, Sequence

from webhooks_server.domain.delivery import NewDelivery, Outcome
from webhooks_server.domain.ids import DeliverySeq, SubscriptionNumber, Version
from webhooks_server.domain.lanes import LaneHead
from webhooks_server.domain.times import Instant
from webhooks_server.domain.values import value

NOBODY = ""
NO_BEAT = -1
"""The beat of an engine that the store does not know, or not any more."""


@value
class EngineEntry:
    """An engine as it introduces itself.

    Its name is never used again after its process. One that is `transient` is gone soon, and counts
    for nobody's share.
    """

    name: str
    is_transient: bool = False


@value
class EngineBeat:
    """An engine as the store knows it.

    `beat` counts up while it lives, `slots` is how much it can send at a time. Its session with the
    store may be gone although it lives, and there although it is dead: `is_connected` alone tells
    nothing (engine.md, EB3).
    """

    name: str
    beat: int
    slots: int
    is_transient: bool
    is_connected: bool
    in_flight: int
    last_seen_time: Instant


@value
class Holding:
    """Who owns a partition, NOBODY for one, and since which epoch."""

    owner: str
    epoch: int


@value
class Beat:
    """What a beat brings back, all of one moment.

    `session` changes where the store was lost and found again: what was known of it before counts
    no more. `version` is the control version, None where changes must be read to know it. `newest`
    is the highest number that was drawn for a delivery, None where nobody else draws any.
    """

    session: int
    version: Version | None
    newest: DeliverySeq | None
    engines: Sequence[EngineBeat]
    holdings: Mapping[int, Holding]


@value
class Claim:
    """A partition to take, as long as its owner is this one at this beat since this epoch."""

    partition: int
    owner: str
    epoch: int
    beat: int


@value
class News:
    """Lanes with pending rows above a number, as far as it was looked.

    `reached` is the highest number that was looked at; `complete` is false where there are more.
    """

    heads: Sequence[LaneHead]
    reached: DeliverySeq
    complete: bool


@value
class Reported:
    """What came of a request that one engine handed out, put on record by another process.

    `token` is that of the attempt (EB5).
    """

    token: bytes
    subscription: SubscriptionNumber
    outcome: Outcome
    status_code: int = 0


@value
class Heard:
    """What another process tells engines.

    Partitions in which there are new deliveries; lanes with rows that are due earlier than before,
    or final; what came of requests; and pings that somebody waits for, new and not yet due.
    """

    partitions: frozenset[int] = frozenset()
    subscriptions: frozenset[SubscriptionNumber] = frozenset()
    reports: tuple[Reported, ...] = ()
    pings: tuple[NewDelivery, ...] = ()


def claims_to(partitions: Iterable[int], beat: Beat) -> list[Claim]:
    """Return claims to partitions as a beat shows them."""
    beats = {one.name: one.beat for one in beat.engines}
    return [
        Claim(
            partition=partition,
            owner=beat.holdings[partition].owner,
            epoch=beat.holdings[partition].epoch,
            beat=beats.get(beat.holdings[partition].owner, NO_BEAT),
        )
        for partition in partitions
    ]
