"""A group: the operations of one transaction, how it is written, and how it is taken apart."""

from collections.abc import Mapping, Sequence
from enum import Enum

from sqlalchemy import Connection

from webhooks_server.domain.delivery import Recorded
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import EventId
from webhooks_server.domain.values import value
from webhooks_server.storage.clock import StoreClock
from webhooks_server.storage.sql.accept import Append, Prepared, accept, stored_events
from webhooks_server.storage.sql.dialects import Numbers, keep_state
from webhooks_server.storage.sql.record import Known, RecordBatch, known_attempts, record


@value
class Written:
    """A group that is committed: what became of each operation."""

    accepted: Sequence[Prepared]
    recorded: Sequence[Sequence[Recorded]]


class Refusal(Enum):
    """Why a group was rolled back, and must be written again after a look at what is stored."""

    STALE = "the control version is not the one that its appends were matched at"
    CLASH = "an event id or an attempt token is stored already"


@value
class Clashes:
    """What is stored already of a group, for each operation in its order."""

    events: Sequence[Mapping[EventId, tuple[Event, bytes]]]
    attempts: Sequence[Known]


@value
class Group:
    """Operations of one transaction."""

    appends: Sequence[Append] = ()
    batches: Sequence[RecordBatch] = ()

    @property
    def size(self) -> int:
        """How many Publishes and records of attempts it holds."""
        return len(self.appends) + sum([len(batch.records) for batch in self.batches])

    def parts(self) -> Sequence["Group"]:
        """Split it: appends from records, else in the middle; none where one is alone (EA3)."""
        batches = self.batches
        if len(self.appends) + len(batches) <= 1:
            return ()
        # One that was answered before the error must not be written after it.
        appends = [append for append in self.appends if not append.is_answered]
        if len(appends) + len(batches) <= 1:
            # The error may have been that of one that is left out now.
            return (Group(appends=appends, batches=batches),)
        if appends and batches:
            return (Group(appends=appends), Group(batches=batches))
        half = (len(appends) + len(batches)) // 2
        return (
            Group(appends=appends[:half], batches=batches[:half]),
            Group(appends=appends[half:], batches=batches[half:]),
        )

    def answer(self, written: Written) -> None:
        """Tell everybody what became of what they asked for."""
        for append, accepted in zip(self.appends, written.accepted, strict=True):
            append.answer(accepted)
        for batch, recorded in zip(self.batches, written.recorded, strict=True):
            batch.answer(recorded)

    def fail(self, error: Exception) -> None:
        """Answer everybody with an error."""
        for append in self.appends:
            append.fail(error)
        for batch in self.batches:
            batch.fail(error)

    def without(self, clashes: Clashes) -> "Group":
        """Answer the appends that are stored already or cannot be, and return the rest (EA2)."""
        for append, stored in zip(self.appends, clashes.events, strict=True):
            append.learn(stored)
        for batch, known in zip(self.batches, clashes.attempts, strict=True):
            batch.known = known
        return self.without_answered()

    def without_answered(self) -> "Group":
        """Return what somebody still waits for."""
        return Group(
            appends=[append for append in self.appends if not append.is_answered],
            batches=self.batches,
        )


def write_group(
    connection: Connection,
    group: Group,
    appends: Sequence[Prepared],
    clock: StoreClock,
    numbers: Numbers,
) -> Written | Refusal:
    """Write a group, whose appends are prepared so, in one transaction; or roll it back whole."""
    with connection.begin() as transaction:
        now = clock.now()
        version = keep_state(connection, now, numbers)
        if any(append.version != version for append in appends):
            transaction.rollback()
            return Refusal.STALE
        recorded = None
        if accept(connection, appends):
            recorded = record(connection, group.batches, now)
        if recorded is None:
            transaction.rollback()
            return Refusal.CLASH
    return Written(accepted=appends, recorded=recorded)


def find_clashes(connection: Connection, group: Group) -> Clashes:
    """Look up what of a group is stored already: a new statement, since the group's saw nothing."""
    return Clashes(
        events=[
            stored_events(connection, append.publish.tenant, append.fresh)
            for append in group.appends
        ],
        attempts=[known_attempts(connection, batch.records) for batch in group.batches],
    )
