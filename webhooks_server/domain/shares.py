"""Which engine should own how much, who may take from whom, and what is given back (EB3, EC7).

Spans in seconds, all of them measured by one engine's own monotonic clock: no clock is shared.
"""

from collections.abc import Iterable, Mapping

from webhooks_server.domain.values import value

SILENCE = 1.0
"""How long the beat of an engine that is not connected must have stood still."""
SETTLED = 5.0
"""How old a session must be before it believes that others are gone: after a restart of the
database nobody is connected at first."""
FIRST_TAKE = 1.0
"""How long a new engine waits for others that start with it."""
MAY_TAKE_OVER = SETTLED - FIRST_TAKE
"""How long an engine must be known before its share is left to it in a take-over. That is less than
SETTLED: of engines that started together none takes everything for being a moment older."""
CALM = 10.0
"""How long nobody may have come or gone before anything is given back."""
RELEASE_INTERVAL = 1.0
WITHOUT_SLOTS = 3.0
"""After how long without anybody who could send an engine gives everything back; a relay that comes
again, or asks for one lease after the other, finds it as it was."""
FRESH = 0.9
"""How long a beat lets requests start, at least; twice its round trip where that is longer."""


@value
class Silence:
    """How long an engine's beat has stood still, and whether its session is there."""

    seconds: float
    is_connected: bool


def is_gone(silence: Silence, session_age: float, lease: float) -> bool:
    """Tell whether an engine's partitions may be taken, in a session of this age."""
    if silence.seconds >= lease:
        return True
    return not silence.is_connected and silence.seconds >= SILENCE and session_age >= SETTLED


def fresh_for(round_trip: float, longest: float) -> float:
    """Return for how long after it was sent a beat lets requests start."""
    return min(longest, max(FRESH, 2 * round_trip))


def fair_share(partitions: int, mine: int, all_slots: int) -> int:
    """Return how many partitions an engine with `mine` of all slots should own."""
    if not mine:
        return 0
    return -(-partitions * mine // all_slots)


def picked(free: Iterable[int], wanted: int, start: int, partitions: int) -> list[int]:
    """Return which free partitions to take, beginning at `start`.

    Engines that begin at different places do not run after the same ones.
    """
    return sorted(free, key=lambda one: (one - start) % partitions)[: max(0, wanted)]


def given_back(lanes: Mapping[int, int], target: int) -> list[int]:
    """Return which partitions to give back now: few at a time, those with the fewest lanes first.

    `lanes` has the number of lanes of each owned one.
    """
    surplus = len(lanes) - target
    if surplus <= 0:
        return []
    return sorted(lanes, key=lambda one: (lanes[one], one))[: max(1, surplus // 4)]
