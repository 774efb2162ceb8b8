"""B7 and G9: one receiver among a thousand is dead, and a million deliveries wait for it."""

from dataclasses import dataclass
from statistics import median

from benchmarks.children import BenchmarkError, Child, Message, child
from benchmarks.figures import Result
from benchmarks.filling import add_backlog, add_subscriptions
from benchmarks.measures.common import identity_of
from benchmarks.server import Server, open_server
from benchmarks.sink import open_silence
from benchmarks.stores import Kind, NewStore, Store, open_stores
from benchmarks.turns import Scale, ratio_of, value_of

RATE = 300.0
"""Events a second for the healthy ones, together."""
DEAD = 1
"""The number of the subscription that is dead; the healthy ones come after it."""


async def dead_lane(scale: Scale, kind: Kind) -> list[Result]:
    """Compare with and without the dead one, by turns, on two servers of the same make."""
    identity = identity_of(kind, "B7", "G9")
    async with (
        child("paced") as pacer,
        open_silence() as silence,
        open_stores(kind) as new_store,
    ):
        urls = _Urls(dead=silence, healthy=f"http://127.0.0.1:{(await pacer.ask())['port']}/hook")
        loaded = await _store(new_store, urls, scale)
        finding = await _finding(identity, loaded, scale)
        alone = await _store(new_store, urls, scale)
        async with open_server(alone) as without, open_server(loaded) as beside:
            waiting = await _latencies(identity, pacer, without, beside, scale)
            await _check(beside, scale)
    return [*finding, *waiting]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Urls:
    dead: str
    healthy: str


async def _store(new_store: NewStore, urls: _Urls, scale: Scale) -> Store:
    store = await new_store()
    async with open_server(store) as server:
        await server.subscribe(0, urls.dead)
    await add_subscriptions(
        store,
        (DEAD + 1, DEAD + scale.lanes),
        event_type="bench.lane{}.*",
        url=urls.healthy + "/{}",
    )
    return store


async def _finding(identity: str, store: Store, scale: Scale) -> list[Result]:
    """Look for due work with few deliveries of one lane, and then with all, in the same store."""
    async with child("finding") as finder:
        await add_backlog(store, scale.lanes, lanes=(DEAD + 1, DEAD + scale.lanes))
        await add_backlog(store, scale.few, after=scale.lanes, lanes=(DEAD, DEAD))
        few = await _looked(finder, store, scale)
        rest = scale.backlog - scale.few
        await add_backlog(store, rest, after=scale.lanes + scale.few, lanes=(DEAD, DEAD))
        many = await _looked(finder, store, scale)
    return [
        ratio_of((identity, "finding"), float(many["median"]), float(few["median"]), scale),
        value_of((identity, "claim"), float(many["claim_p99"]), scale),
    ]


async def _looked(finder: Child, store: Store, scale: Scale) -> Message:
    return await finder.ask(lane=DEAD, rounds=scale.rounds, **store.settings)


async def _latencies(
    identity: str, pacer: Child, without: Server, beside: Server, scale: Scale
) -> list[Result]:
    alone, loaded = [], []
    for turn in range(scale.turns):
        alone.append(await _p99(pacer, without, scale))
        loaded.append(await _p99(pacer, beside, scale))
        print(
            f"{identity}  turn {turn + 1} of {scale.turns}:"
            f" p99 {alone[-1]:.2f} ms without, {loaded[-1]:.2f} ms beside the dead one"
        )
    limit, ours = median(alone), median(loaded)
    return [
        ratio_of((identity, "p99"), ours, limit, scale),
        value_of((identity, "added"), ours - limit, scale),
    ]


async def _p99(pacer: Child, server: Server, scale: Scale) -> float:
    answer = await pacer.ask(
        address=server.address,
        rate=RATE,
        seconds=scale.lane_seconds,
        first_lane=DEAD + 1,
        last_lane=DEAD + scale.lanes,
    )
    if answer["wrong"]:
        raise BenchmarkError(f"of events at a steady rate: {answer['wrong']}")
    return float(answer["p99"])


async def _check(server: Server, scale: Scale) -> None:
    """Raise BenchmarkError unless all that waits for the dead one still does."""
    books = await server.books()
    if books.violations or books.pending_count != scale.backlog:
        raise BenchmarkError(f"{scale.backlog} should be pending; the audit says {books}")
