"""How much is measured, and measuring by turns: ours and the limit under the same conditions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.figures import Result
from benchmarks.goals import Figure, figure

Measured = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured."""

    quick: bool
    turns: int
    deliveries: int
    publishes: int
    batches: int
    latencies: int
    starts: int
    backlog: int
    """Pending deliveries of B7 and B8, and a hundredth of them stands for few."""
    lanes: int
    """Healthy subscriptions of B7."""
    lane_seconds: float
    """Of each turn of B7."""
    rounds: int
    """How often B7 looks for due work."""
    drain_seconds: float
    """How long B8 drains and is looked at."""
    crowd: int
    """Subscriptions of B9 and B10."""
    fan_outs: int
    others_seconds: float
    """How long other events come beside each of the fan-outs."""
    kills: int
    snapshot_seconds: float
    """How long G26 holds a snapshot: six parts."""

    @property
    def few(self) -> int:
        """The short backlog that a long one is compared with."""
        return self.backlog // 100


FULL = Scale(
    quick=False,
    turns=5,
    deliveries=20_000,
    publishes=15_000,
    batches=400,
    latencies=500,
    starts=7,
    backlog=1_000_000,
    lanes=1_000,
    lane_seconds=30,
    rounds=1_000,
    drain_seconds=60,
    crowd=100_000,
    fan_outs=10,
    others_seconds=5,
    kills=10,
    snapshot_seconds=60,
)
QUICK = Scale(
    quick=True,
    turns=3,
    deliveries=4_000,
    publishes=3_000,
    batches=100,
    latencies=150,
    starts=3,
    backlog=100_000,
    lanes=100,
    lane_seconds=2,
    rounds=200,
    drain_seconds=3,
    crowd=10_000,
    fan_outs=3,
    others_seconds=2,
    kills=3,
    snapshot_seconds=6,
)


async def in_turns(what: Figure, scale: Scale, limit: Measured, ours: Measured) -> list[Result]:
    """Measure limit and ours by turns; the result is the turn with the median ratio."""
    pairs = []
    for turn in range(scale.turns):
        most, measured = await limit(), await ours()
        pairs.append((measured / most, measured, most))
        print(
            f"{what.name}  turn {turn + 1} of {scale.turns}: limit {most:,.5g},"
            f" ours {measured:,.5g} {what.unit}, {measured / most:.2f}"
        )
    ratio, measured, most = sorted(pairs)[len(pairs) // 2]
    return [Result(figure=what, measured=ratio, ours=measured, limit=most, quick=scale.quick)]


def value_of(
    name: tuple[str, str],
    measured: float,
    scale: Scale,
    series: tuple[tuple[float, float], ...] = (),
) -> Result:
    """Return the result of a figure that has no limit beside it."""
    what = figure(*name)
    print(f"{what.name}  {measured:,.4g} {what.unit}")
    return Result(figure=what, measured=measured, ours=measured, quick=scale.quick, series=series)


def ratio_of(
    name: tuple[str, str],
    ours: float,
    limit: float,
    scale: Scale,
    series: tuple[tuple[float, float], ...] = (),
) -> Result:
    """Return the result of a ratio that was not measured by turns."""
    what = figure(*name)
    print(f"{what.name}  {ours:,.4g} ÷ {limit:,.4g} {what.unit}, {ours / limit:.2f}")
    return Result(
        figure=what,
        measured=ours / limit,
        ours=ours,
        limit=limit,
        quick=scale.quick,
        series=series,
    )
