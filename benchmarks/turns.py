"""How much is measured, and measuring by turns: ours and the limit under the same conditions."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.figures import Result, figure

Rate = Callable[[], Awaitable[float]]


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


FULL = Scale(
    quick=False, turns=5, deliveries=20_000, publishes=15_000, batches=400, latencies=500, starts=7
)
QUICK = Scale(
    quick=True, turns=3, deliveries=5_000, publishes=4_000, batches=150, latencies=150, starts=3
)


async def in_turns(identity: str, scale: Scale, limit: Rate, ours: Rate) -> list[Result]:
    """Measure limit and ours by turns; the result is the turn with the median ratio."""
    pairs = []
    for turn in range(scale.turns):
        most, measured = await limit(), await ours()
        pairs.append((measured / most, measured, most))
        print(
            f"{identity}  turn {turn + 1} of {scale.turns}: limit {most:,.0f}/s,"
            f" ours {measured:,.0f}/s, {measured / most:.2f}"
        )
    ratio, measured, most = sorted(pairs)[len(pairs) // 2]
    return [
        Result(
            figure=figure(identity), measured=ratio, ours=measured, limit=most, quick=scale.quick
        )
    ]
