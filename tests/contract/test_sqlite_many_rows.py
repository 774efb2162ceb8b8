"""What a call costs depends on nothing else that is stored: a million rows, or a hundredth."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import Connection

from tests.harness.many_rows import SUBSCRIPTIONS, add_rows
from tests.harness.shelf import Shelf, StandingClock
from tests.harness.sqlite import writer_of
from webhooks_server.domain.delivery import DeliveryState
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import (
    DEFAULT_TENANT,
    EventId,
    EventSeq,
    SubscriptionId,
    SubscriptionNumber,
)
from webhooks_server.domain.lanes import LaneRead, Settlement
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.times import HOUR, Micros
from webhooks_server.storage import pages
from webhooks_server.storage.sql import SqliteConfig, open_sqlite, readers
from webhooks_server.storage.sql.connection import driver_of

pytestmark = pytest.mark.long

FEW, MANY = 3_500, 350_000
"""Events; with deliveries and attempts together about three times as many rows."""
SUB = SubscriptionId("sub-7")
NUMBER = SubscriptionNumber(7)
UID = b"%016d" % 706
EVENT = EventId(f"evt_{706:012}")
PAGE = PageRequest(size=10, before=3_000)
MOST_GROWTH, MORE = 1.5, 400
"""A list looks at spans of numbers, of which it needs a few more where there are many."""
PER_LOOK = 10
"""Instructions of SQLite's machine between two looks at it."""


class Sizes(NamedTuple):
    """The same storage with few rows and with many."""

    few: Shelf
    many: Shelf


@pytest.fixture(scope="module")
async def sizes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sizes]:
    async with contextlib.AsyncExitStack() as stack:
        yield Sizes(
            *[
                await stack.enter_async_context(filled(tmp_path_factory.mktemp("rows"), count))
                for count in (FEW, MANY)
            ]
        )


@contextlib.asynccontextmanager
async def filled(data_dir: Path, count: int) -> AsyncIterator[Shelf]:
    """A store with so many events."""
    clock, index = StandingClock(), MatchIndex()
    async with open_sqlite(SqliteConfig(data_dir=data_dir), index, clock) as opened:
        shelf = Shelf(opened.stores, clock, index)
        for number in range(1, SUBSCRIPTIONS + 1):
            await shelf.subscribe(f"sub-{number}", f"of-{number}.*")
    add_rows(data_dir, count)
    async with open_sqlite(SqliteConfig(data_dir=data_dir), index, clock) as opened:
        yield Shelf(opened.stores, clock, index)


async def cost(
    shelf: Shelf, call: Callable[[Shelf], Awaitable[object]], patch: pytest.MonkeyPatch
) -> int:
    """Return how many instructions SQLite's machine needs for a call."""
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1

    def count(connection: Connection, _: float) -> None:
        driver_of(connection).set_progress_handler(look, PER_LOOK)

    patch.setattr(readers, "limit_time", count)
    writer = driver_of(writer_of(shelf)._thread._connection)
    writer.set_progress_handler(look, PER_LOOK)
    await call(shelf)
    writer.set_progress_handler(None, PER_LOOK)
    return looks * PER_LOOK


async def publish_and_record(shelf: Shelf) -> None:
    await shelf.own()
    (accepted,) = await shelf.publish("new", event_type="of-7.x")
    subscriber = await shelf.stores.subscriptions.get(DEFAULT_TENANT, SUB)
    await shelf.record(subscriber, accepted.deliveries[0], state=DeliveryState.FAILED, failing=True)


async def publish_twice(shelf: Shelf) -> None:
    (first,), (second,) = await shelf.publish("twice"), await shelf.publish("twice")
    assert (first.duplicate, second.duplicate) == (False, True)


async def settle(shelf: Shelf) -> None:
    await shelf.own()
    settlement = Settlement(
        subscription=NUMBER,
        partition=NUMBER,
        epoch=shelf.epochs[NUMBER],
        state=DeliveryState.CANCELLED,
        reason="deleted",
        limit=1,
    )
    assert await shelf.stores.lanes.settle(settlement) == 1


async def use_a_delivery(shelf: Shelf) -> None:
    store = shelf.stores.deliveries
    await store.get(DEFAULT_TENANT, SUB, UID, full=True)
    await store.attempts(DEFAULT_TENANT, SUB, UID, PAGE, full=True)
    await store.retry(DEFAULT_TENANT, SUB, UID)
    await store.cancel(DEFAULT_TENANT, SUB, UID)


async def purge(shelf: Shelf) -> None:
    step = await shelf.stores.events.purge(HOUR, EventSeq(1000))
    assert (step.events, step.deliveries) == (200, 200)


async def purge_nothing(shelf: Shelf) -> None:
    step = await shelf.stores.events.purge(Micros(1000 * HOUR), EventSeq(0))
    assert (step.events, step.next_after) == (0, None)


LANES = [LaneRead(subscription=NUMBER, partition=NUMBER, limit=1)]
OF_EVENT = [Term(field="event", operator="=", value=EVENT)]
CALLS: dict[str, Callable[[Shelf], Awaitable[object]]] = {
    "find": lambda shelf: shelf.stores.lanes.find(range(256)),
    "due": lambda shelf: shelf.stores.lanes.due(LANES),
    "settle": settle,
    "fan_outs": lambda shelf: shelf.stores.lanes.fan_outs(),
    "publish and record": publish_and_record,
    "publish twice": publish_twice,
    "load events": lambda shelf: shelf.stores.events.load([EventSeq(3), EventSeq(3000)]),
    "get event": lambda shelf: shelf.stores.events.get(DEFAULT_TENANT, EVENT),
    "newest events": lambda shelf: shelf.stores.events.list(
        DEFAULT_TENANT, (), PageRequest(size=10), full=False
    ),
    "older events": lambda shelf: shelf.stores.events.list(None, (), PAGE, full=True),
    "newest deliveries": lambda shelf: shelf.stores.deliveries.list(
        DEFAULT_TENANT, None, (), PageRequest(size=10), full=False
    ),
    "deliveries of a subscription": lambda shelf: shelf.stores.deliveries.list(
        DEFAULT_TENANT, SUB, (), PAGE, full=False
    ),
    "deliveries of an event": lambda shelf: shelf.stores.deliveries.list(
        DEFAULT_TENANT, None, OF_EVENT, PageRequest(), full=False
    ),
    "deliveries of an event of any tenant": lambda shelf: shelf.stores.deliveries.list(
        None, None, OF_EVENT, PageRequest(), full=False
    ),
    "of_event": lambda shelf: shelf.stores.deliveries.of_event(EventSeq(706), [NUMBER]),
    "a delivery and its commands": use_a_delivery,
    "purge": purge,
    "purge nothing": purge_nothing,
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_costs_the_same(
    sizes: Sizes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = await cost(sizes.few, CALLS[name], monkeypatch)
    many = await cost(sizes.many, CALLS[name], monkeypatch)
    assert few > 0
    assert many <= MOST_GROWTH * few + MORE, (few, many)


async def test_counts_cost_what_is_pending(sizes: Sizes, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = 500
    monkeypatch.setattr(pages, "MOST_COUNTED", newest)

    async def count(shelf: Shelf) -> None:
        await shelf.stores.deliveries.counts(None)

    few, many = [newest + (await shelf.stores.deliveries.counts(None)).pending for shelf in sizes]
    each = await cost(sizes.few, count, monkeypatch) / few
    assert await cost(sizes.many, count, monkeypatch) <= MOST_GROWTH * many * each


async def test_what_counts_everything_does_not(
    sizes: Sizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the measure can be believed."""

    async def count(shelf: Shelf) -> None:
        monkeypatch.setattr(pages, "MOST_COUNTED", MANY)
        await shelf.stores.deliveries.counts(None)

    few = await cost(sizes.few, count, monkeypatch)
    assert await cost(sizes.many, count, monkeypatch) > 50 * few
