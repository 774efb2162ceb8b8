"""Rows that benchmarks write themselves are rows that the server takes for its own."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from benchmarks.children import child
from benchmarks.filling import add_backlog, add_subscriptions
from benchmarks.measures.common import NOWHERE, held, quiet
from benchmarks.server import open_server
from benchmarks.sink import open_sink
from benchmarks.stores import KINDS, Kind, Store, open_stores

MORE_THAN_A_PAGE = 600


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A store of each kind with the schema, and subscription 1 in it."""
    kind: Kind = request.param
    async with contextlib.AsyncExitStack() as stack:
        new_store = await stack.enter_async_context(open_stores(kind))
        made = await new_store()
        async with held(made) as server:
            await server.resume()
        yield made


@pytest.mark.long
async def test_backlog_that_was_written_is_delivered(store: Store) -> None:
    async with open_sink() as sink:
        await add_subscriptions(store, (2, 4), event_type="bench.lane{}.*", url=sink.url("a{}"))
        await add_backlog(store, 300, lanes=(2, 4))
        await add_backlog(store, 100, after=300, lanes=(4, 4))
        async with open_server(store) as server:
            await server.check(400)
            await server.publish("bench.lane3.tick")
            await server.check(401)
        assert await quiet(sink) == 401


@pytest.mark.long
async def test_every_subscription_that_was_written_is_known(store: Store) -> None:
    await add_subscriptions(
        store, (2, MORE_THAN_A_PAGE), event_type="bench.all.*", url=NOWHERE + "/{}"
    )
    async with open_server(store) as server:
        await server.pause()
        await server.publish("bench.all.tick")
        books = await server.books()
    assert not books.violations
    assert books.delivery_count == MORE_THAN_A_PAGE - 1


@pytest.mark.long
async def test_due_work_is_found_without_a_server(store: Store) -> None:
    await add_backlog(store, 50)
    async with child("finding") as finder:
        answer = await finder.ask(lane=1, rounds=3, **store.settings)
    assert float(answer["claim_p99"]) > 0
    assert float(answer["median"]) > 0


@pytest.mark.long
async def test_a_killed_server_is_gone(store: Store) -> None:
    async with open_server(store) as server:
        await server.kill()
        assert not await server.answers()
