"""B9: what a Publish costs where very many subscriptions want something else."""

from benchmarks.children import BenchmarkError, child
from benchmarks.figures import Result
from benchmarks.filling import add_subscriptions
from benchmarks.goals import figure
from benchmarks.measures.common import IN_FLIGHT, NOWHERE, held, seconds
from benchmarks.server import Server, open_server
from benchmarks.stores import Kind, NewStore, Store, open_stores
from benchmarks.turns import Scale, in_turns

SMALL_CROWD = 100


async def crowd(scale: Scale, kind: Kind) -> list[Result]:
    """Publish by turns to two servers whose relay is held; one subscription wants the events."""
    async with child("load") as load, open_stores(kind) as new_store:
        few = await _store(new_store, SMALL_CROWD)
        many = await _store(new_store, scale.crowd)
        async with open_server(few) as small, open_server(many) as large:

            async def milliseconds(server: Server) -> float:
                count = scale.publishes
                took = await seconds(
                    load,
                    load="publish",
                    address=server.address,
                    count=count,
                    in_flight=IN_FLIGHT,
                )
                return 1000 * took / count

            results = await in_turns(
                figure("B9"), scale, lambda: milliseconds(small), lambda: milliseconds(large)
            )
            for server in (small, large):
                await _check(server, scale.turns * scale.publishes)
    return results


async def _store(new_store: NewStore, subscriptions: int) -> Store:
    store = await new_store()
    async with held(store):
        pass
    await add_subscriptions(
        store, (2, subscriptions), event_type="bench.other{}.*", url=NOWHERE + "/{}"
    )
    return store


async def _check(server: Server, events: int) -> None:
    """Raise BenchmarkError unless each event has a delivery to the one who wants it."""
    books = await server.books()
    if books.violations or not events == books.event_count == books.pending_count:
        raise BenchmarkError(f"{events} events were published; the audit says {books}")
