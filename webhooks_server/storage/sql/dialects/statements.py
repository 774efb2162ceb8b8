"""What the statements for many rows at once are about, whatever the database."""

from collections.abc import Sequence
from dataclasses import dataclass

from webhooks_server.domain.ids import SubscriptionNumber
from webhooks_server.domain.values import value


@dataclass(frozen=True, slots=True)
class Insertion:
    """An INSERT of any number of rows.

    `conflict` names the columns over which a row that is there already is left out.
    """

    table: str
    columns: tuple[str, ...]
    conflict: str = ""


@dataclass(frozen=True, slots=True)
class Replacement:
    """An UPDATE of any number of rows by their key, the first column."""

    table: str
    columns: tuple[str, ...]


ENTRY_COLUMNS = (
    "number, tenant, id, partition, version, state, deleted, events, max_in_flight, retry_policy,"
    " max_requests_per_minute, failing, url"
)
"""What the match index keeps of a subscription is made of these, in this order."""


@value
class Target:
    """What a fan-out needs to know of a subscription."""

    number: SubscriptionNumber
    partition: int
    deleted: bool


def target_of(row: Sequence[int]) -> Target:
    """Return the target of a row: number, partition, deleted."""
    number, partition, deleted = row
    return Target(number=SubscriptionNumber(number), partition=partition, deleted=bool(deleted))
