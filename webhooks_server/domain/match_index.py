"""The match index: from event type to subscriptions without touching the store.

Per tenant a dict from pattern to subscription numbers. It knows the control version it stands at;
whoever matches compares that with the store's and applies the changes in between first (engine.md,
EA9).
"""

from bisect import bisect_left
from collections.abc import Sequence

from webhooks_server.domain.ids import SubscriptionNumber, TenantId, Version
from webhooks_server.domain.patterns import candidates
from webhooks_server.domain.subscription import Changes, IndexEntry, RelayPause, State
from webhooks_server.domain.values import value

MATCHING = frozenset({State.ACTIVE, State.PAUSED, State.UNVERIFIED})
"""The states of subscriptions that get deliveries."""


@value
class Explanation:
    """What one subscription makes of an event type, and why."""

    entry: IndexEntry
    matched: bool
    reason: str
    pattern: str = ""


class MatchIndex:
    """All subscriptions of all tenants, as far as matching and sending need them."""

    def __init__(self) -> None:
        """Start empty, at version 0."""
        self.version = Version(0)
        self._entries: dict[SubscriptionNumber, IndexEntry] = {}
        self._patterns: dict[TenantId, dict[str, list[SubscriptionNumber]]] = {}
        self._tenants: dict[TenantId, _Numbers] = {}
        self._pauses: dict[str, RelayPause] = {}
        self._touched: set[SubscriptionNumber] = set()

    def apply(self, changes: Changes) -> None:
        """Take the changes in, which may be repeated, or older than what is known."""
        for entry in changes.entries:
            self._replace(entry)
            self._touched.add(entry.number)
        if changes.version >= self.version:
            self._pauses = {pause.tenant: pause for pause in changes.pauses}
            self.version = changes.version

    def take_touched(self) -> frozenset[SubscriptionNumber]:
        """Return which subscriptions were touched since this was last asked.

        Whoever matches applies changes too, so that the engine, which alone asks this, must not
        go by the changes that it read itself.
        """
        touched = frozenset(self._touched)
        self._touched.clear()
        return touched

    def match(self, tenant: TenantId, event_type: str) -> Sequence[SubscriptionNumber]:
        """Return the numbers of the subscriptions that want this event type now.

        They are in ascending order.
        """
        patterns = self._patterns.get(tenant)
        if not patterns:
            return ()
        lists = [found for pattern in candidates(event_type) if (found := patterns.get(pattern))]
        if len(lists) == 1:
            return sorted(lists[0])
        return sorted({number for found in lists for number in found})

    def get(self, number: SubscriptionNumber) -> IndexEntry | None:
        """Return what is known of a subscription; None where the store never named it."""
        return self._entries.get(number)

    def explain(
        self, tenant: TenantId, event_type: str, *, before: int | None, count: int
    ) -> list[Explanation]:
        """Return what the tenant's subscriptions make of the event type, the newest first.

        At most `count`, of those whose number is below `before`.
        """
        wanted = candidates(event_type)
        numbers = self._tenants.get(tenant, _Numbers()).newest(before, count)
        return [_explain(self._entries[number], wanted) for number in numbers]

    @property
    def pauses(self) -> frozenset[str]:
        """The tenants whose relay is paused; an empty one stands for all."""
        return frozenset(self._pauses)

    def pause_of(self, tenant: str) -> RelayPause | None:
        """Return the relay pause that holds this tenant's deliveries: the global one first."""
        return self._pauses.get("") or self._pauses.get(tenant)

    def sends(self, number: SubscriptionNumber) -> bool:
        """Tell whether deliveries of this subscription may be sent now."""
        entry = self._entries.get(number)
        if entry is None or entry.deleted or entry.state is not State.ACTIVE:
            return False
        return not self._pauses or self.pause_of(entry.tenant) is None

    def _replace(self, entry: IndexEntry) -> None:
        old = self._entries.get(entry.number)
        if old is not None:
            if old.version > entry.version:
                return
            self._unlink(old)
        self._entries[entry.number] = entry
        self._list(entry, old)
        if not entry.deleted and entry.state in MATCHING:
            patterns = self._patterns.setdefault(entry.tenant, {})
            for pattern in entry.patterns:
                patterns.setdefault(pattern, []).append(entry.number)

    def _list(self, entry: IndexEntry, old: IndexEntry | None) -> None:
        was_listed = old is not None and not old.deleted
        if was_listed == (not entry.deleted):
            return
        numbers = self._tenants.setdefault(entry.tenant, _Numbers())
        if was_listed:
            numbers.remove(entry.number)
        else:
            numbers.add(entry.number)

    def _unlink(self, entry: IndexEntry) -> None:
        if entry.deleted or entry.state not in MATCHING:
            return
        patterns = self._patterns[entry.tenant]
        for pattern in entry.patterns:
            numbers = patterns[pattern]
            numbers.remove(entry.number)
            if not numbers:
                del patterns[pattern]


class _Numbers:
    """The subscriptions of a tenant in order.

    They come nearly in order, but for those changed before the index was first filled. So they are
    sorted when somebody asks, and not at each of them.
    """

    def __init__(self) -> None:
        self._numbers: list[SubscriptionNumber] = []
        self._is_sorted = True

    def add(self, number: SubscriptionNumber) -> None:
        self._is_sorted &= not self._numbers or self._numbers[-1] < number
        self._numbers.append(number)

    def remove(self, number: SubscriptionNumber) -> None:
        self._sort()
        del self._numbers[bisect_left(self._numbers, number)]

    def newest(self, before: int | None, count: int) -> Sequence[SubscriptionNumber]:
        self._sort()
        numbers = self._numbers
        end = len(numbers) if before is None else bisect_left(numbers, before)
        return numbers[max(end - count, 0) : end][::-1]

    def _sort(self) -> None:
        if not self._is_sorted:
            self._numbers.sort()
            self._is_sorted = True


def _explain(entry: IndexEntry, wanted: tuple[str, ...]) -> Explanation:
    pattern = next((one for one in entry.patterns if one in wanted), "")
    if not pattern:
        return Explanation(entry=entry, matched=False, reason="no pattern matches the event type")
    if entry.state not in MATCHING:
        return Explanation(
            entry=entry,
            matched=False,
            reason=f"the subscription is {entry.state.name.lower()}",
            pattern=pattern,
        )
    return Explanation(entry=entry, matched=True, reason="a pattern matches", pattern=pattern)
