"""What a receiver's answers mean for its lane: pure decisions (reliability L1, L2, L4)."""

from dataclasses import replace
from enum import Enum, auto

from webhooks_server.domain.delivery import Outcome
from webhooks_server.domain.values import value

FAILURES_TO_OPEN = 10
FIRST_REST = 30.0
LONGEST_REST = 600.0
RAMP_SECONDS = 1.0

_TROUBLE = frozenset(
    {Outcome.TIMEOUT, Outcome.CONNECTION_ERROR, Outcome.TLS_ERROR, Outcome.DNS_ERROR}
)
_TROUBLE_CODES = frozenset({429, 502, 503, 504})
_TELL_NOTHING = frozenset({Outcome.INTERNAL, Outcome.ABANDONED})


class Sign(Enum):
    """What an attempt tells of its receiver.

    It took the delivery; it is there and refused it; it is away or has too much to do.
    """

    WELL = auto()
    REFUSED = auto()
    TROUBLE = auto()


class Standing(Enum):
    """How much a lane is trusted with slots (engine.md, EC9)."""

    PROVEN = auto()
    UNPROVEN = auto()
    FAILING = auto()


@value
class Health:
    """What a lane's attempts in this engine's tenure say; moments and spans in seconds.

    `failures` counts trouble in a row, `openings` how often the breaker opened since it was last
    closed. It is open before `open_until`, and after that one probe decides. With `ramp` at most so
    many requests are in flight, twice as many for each second since `ramp_since`.
    """

    proven: bool = False
    failing: bool = False
    failures: int = 0
    openings: int = 0
    open_until: float | None = None
    ramp: int = 0
    ramp_since: float = 0.0

    @property
    def standing(self) -> Standing:
        """The class that the lane's requests count for."""
        if self.failing:
            return Standing.FAILING
        return Standing.PROVEN if self.proven else Standing.UNPROVEN

    @property
    def level(self) -> int:
        """What is kept beyond this tenure: 0, or 1 and the number of openings."""
        return 1 + self.openings if self.failing else 0


SOUND = Health(proven=True)
UNKNOWN = Health()


def sign_of(outcome: Outcome, status_code: int) -> Sign | None:
    """Return what an attempt tells of its receiver; None where it tells of us."""
    if outcome is Outcome.SUCCEEDED:
        return Sign.WELL
    if outcome in _TELL_NOTHING:
        return None
    return Sign.TROUBLE if outcome in _TROUBLE or status_code in _TROUBLE_CODES else Sign.REFUSED


def restored(level: int, now: float) -> Health:
    """Return what a lane begins a tenure with, of the level that is on record.

    One that was open is probed at once: how long its receiver was alone meanwhile, nobody knows.
    """
    if level <= 0:
        return UNKNOWN
    if level == 1:
        return Health(failing=True)
    return Health(failing=True, openings=level - 1, open_until=now)


def judge(health: Health, sign: Sign, now: float) -> Health:
    """Return the health after an attempt; the same object where nothing changes."""
    if sign is Sign.WELL:
        return _after_success(health, now)
    if sign is Sign.REFUSED:
        return _after_refusal(health, now)
    return _after_trouble(health, now)


def allowed(health: Health, now: float, most: int) -> int:
    """Return how many requests a lane may have in flight, of at most so many."""
    if health.open_until is not None:
        return 1 if now >= health.open_until else 0
    if not health.proven:
        return 1
    return min(most, _ramp_at(health, now)) if health.ramp else most


def settled(health: Health, now: float, most: int) -> Health:
    """Return the health without a ramp that has reached the lane's bound."""
    return SOUND if health.ramp and not health.failing and _ramp_at(health, now) >= most else health


def is_open(health: Health, now: float) -> bool:
    """Tell whether nothing may be sent."""
    return health.open_until is not None and now < health.open_until


def probed_now(health: Health, now: float) -> Health:
    """Return the health of a lane whose open breaker lets a probe through at once."""
    return replace(health, open_until=now) if is_open(health, now) else health


def rest(openings: int) -> float:
    """Return for how long the breaker opens for the so many-th time in a row."""
    return min(LONGEST_REST, FIRST_REST * 2.0 ** min(openings - 1, 16))


def _after_success(health: Health, now: float) -> Health:
    if health.ramp and not health.failing:
        return health
    comes_back = health.open_until is not None or (health.failing and not health.proven)
    if comes_back:
        return Health(proven=True, ramp=1, ramp_since=now)
    if health.ramp:
        return replace(health, failing=False, failures=0)
    return SOUND


def _after_refusal(health: Health, now: float) -> Health:
    if health.open_until is not None:
        return Health(proven=health.proven, failing=True, ramp=1, ramp_since=now)
    return replace(_halved(health, now), failing=True, failures=0)


def _after_trouble(health: Health, now: float) -> Health:
    failures = health.failures + 1
    if health.open_until is not None:
        # What was in flight when it opened says nothing new.
        if now < health.open_until:
            return health
        return _opened(health, failures, now)
    if failures >= FAILURES_TO_OPEN:
        return _opened(health, failures, now)
    return replace(_halved(health, now), failing=True, failures=failures)


def _opened(health: Health, failures: int, now: float) -> Health:
    openings = health.openings + 1
    return Health(
        proven=health.proven,
        failing=True,
        failures=failures,
        openings=openings,
        open_until=now + rest(openings),
    )


def _halved(health: Health, now: float) -> Health:
    if not health.ramp:
        return health
    return replace(health, ramp=max(1, _ramp_at(health, now) // 2), ramp_since=now)


def _ramp_at(health: Health, now: float) -> int:
    # The exponent is bounded so that the number stays small; no lane may have 2^16 in flight.
    seconds = int((now - health.ramp_since) / RAMP_SECONDS)
    return health.ramp << min(max(0, seconds), 16)
