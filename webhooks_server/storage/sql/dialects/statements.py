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

    @property
    def changes(self) -> str:
        """What is set."""
        return ", ".join(f"{column} = given.{column}" for column in self.columns[1:])

    @property
    def condition(self) -> str:
        """Which row is meant by a given one."""
        key = self.columns[0]
        return f"{self.table}.{key} = given.{key}"


@dataclass(frozen=True, slots=True)
class Change:
    """An UPDATE of any number of rows by the values `given` for each.

    What it changes, and which row is meant, are the words of SQL for it. The given values have the
    types of the columns whose names they bear.
    """

    table: str
    columns: tuple[str, ...]
    changes: str
    condition: str


Statement = Insertion | Replacement | Change


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
