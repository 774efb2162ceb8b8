"""What an engine makes of the beats of all: who lives, who is gone, and what its share is."""

from collections.abc import Collection, Mapping, Sequence

from webhooks_server.domain.partitions import NO_BEAT, NOBODY, Beat, EngineBeat, EngineEntry
from webhooks_server.domain.shares import CALM, MAY_TAKE_OVER, Silence, fair_share, is_gone
from webhooks_server.domain.subscription import PARTITIONS


class Peers:
    """Watches beats by this process's own monotonic clock, in seconds."""

    def __init__(self, me: EngineEntry, lease: float) -> None:
        """Take the engine that watches, and how long a beat may stand still."""
        self._me = me
        self._lease = lease
        self._beat: Beat | None = None
        self._session_since = 0.0
        self._moved: dict[str, tuple[int, float]] = {}
        self._members: frozenset[tuple[str, int]] = frozenset()
        self._members_since = 0.0
        self._member_since: dict[str, float] = {}
        self._connected: frozenset[str] = frozenset()

    def observe(self, beat: Beat, now: float) -> bool:
        """Take note of a beat; tells whether it is the first one of a session."""
        is_new = self._beat is None or self._beat.session != beat.session
        if is_new:
            self._session_since = now
        self._beat = beat
        beats = dict.fromkeys({one.owner for one in beat.holdings.values()} - {NOBODY}, NO_BEAT)
        beats |= {one.name: one.beat for one in beat.engines}
        self._connected = frozenset(one.name for one in beat.engines if one.is_connected)
        self._moved = {
            name: known
            if (known := self._moved.get(name)) is not None and known[0] == count
            else (count, now)
            for name, count in beats.items()
        }
        members = frozenset((one.name, one.slots) for one in self.living(now) if _counts(one))
        if members != self._members:
            self._members, self._members_since = members, now
        self._member_since = {name: self._member_since.get(name, now) for name, _ in members}
        return is_new

    def is_gone(self, name: str, now: float) -> bool:
        """Tell whether the partitions of this owner may be taken."""
        if name == self._me.name:
            return False
        _, moved_at = self._moved.get(name, (NO_BEAT, now))
        silence = Silence(seconds=now - moved_at, is_connected=name in self._connected)
        return is_gone(silence, now - self._session_since, self._lease)

    def living(self, now: float) -> Sequence[EngineBeat]:
        """Return the engines that are not gone, this one among them."""
        engines = () if self._beat is None else self._beat.engines
        return [one for one in engines if not self.is_gone(one.name, now)]

    def senders(self, now: float) -> int:
        """Return how many engines send that are not gone; at least this one."""
        return max(1, sum(one.slots > 0 for one in self.living(now)))

    def free(self, now: float) -> Sequence[int]:
        """Return the partitions that may be taken."""
        return [*self._owned_by({NOBODY}), *self.orphans(now)]

    def orphans(self, now: float) -> Sequence[int]:
        """Return the partitions whose owner is gone."""
        return self._owned_by({name for name in self._moved if self.is_gone(name, now)})

    @property
    def share(self) -> int:
        """How many partitions this engine should own; a transient one takes what nobody has."""
        if self._me.is_transient:
            return PARTITIONS
        return self._share_among(dict(self._members))

    def share_of_orphans(self, now: float) -> int:
        """How many partitions this engine may own by taking over what dead ones have left.

        Who joined a short while ago believes nobody to be gone yet, and takes nothing over: were
        its share kept for it, it would lie there until then.
        """
        return self._share_among(
            {
                name: slots
                for name, slots in self._members
                if name == self._me.name or now - self._member_since[name] >= MAY_TAKE_OVER
            }
        )

    def is_calm(self, now: float) -> bool:
        """Tell whether nobody has come or gone for long enough to give anything back."""
        return now - self._members_since >= CALM

    def _share_among(self, slots: Mapping[str, int]) -> int:
        return fair_share(PARTITIONS, slots.get(self._me.name, 0), sum(slots.values()))

    def _owned_by(self, names: Collection[str]) -> Sequence[int]:
        holdings = {} if self._beat is None else self._beat.holdings
        return [number for number, one in holdings.items() if one.owner in names]


def _counts(engine: EngineBeat) -> bool:
    return not engine.is_transient and engine.slots > 0
