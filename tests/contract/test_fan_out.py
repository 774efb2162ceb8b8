"""More matches than one transaction should hold (engine.md, EC3 and EA6)."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.postgres_database import PARAMETERS, STORAGES
from tests.harness.postgres_fixtures import Databases
from tests.harness.shelf import Shelf, StandingClock
from tests.harness.world import Faults
from webhooks_server.domain.delivery import DeliveryState, FirstDelivery, Reason, Trigger
from webhooks_server.domain.event import Accepted
from webhooks_server.domain.ids import DEFAULT_TENANT, SubscriptionId
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.subscription import Subscription
from webhooks_server.services.events import Events
from webhooks_server.storage.memory import open_memory
from webhooks_server.storage.postgres import open_postgres
from webhooks_server.storage.sql import SqliteConfig, open_sqlite

CROWD = 1004
Crowd = tuple[Shelf, list[Subscription]]


def targets(accepted: Accepted) -> list[int]:
    return [one.subscription for one in accepted.deliveries]


async def many(shelf: Shelf, count: int) -> list[Subscription]:
    return [await shelf.subscribe(f"sub-{number}") for number in range(count)]


@pytest.fixture(scope="module")
async def crowded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Subscription]]:
    """A database with so many subscriptions, to be copied: each of them is a commit."""
    data = tmp_path_factory.mktemp("crowded")
    clock, index = StandingClock(), MatchIndex()
    async with open_sqlite(SqliteConfig(data_dir=data), index, clock) as opened:
        return data, await many(Shelf(opened.stores, clock, index), CROWD)


@pytest.fixture(params=["memory", "sqlite", *PARAMETERS])
async def crowd(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    crowded: tuple[Path, list[Subscription]],
    standing_database: Databases,
) -> AsyncIterator[Crowd]:
    """The stores of each storage in turn, with more subscriptions than one step takes."""
    clock, index = StandingClock(), MatchIndex()
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "memory":
            stores = await stack.enter_async_context(open_memory(index, clock))
            shelf = Shelf(stores, clock, index)
            subscribers = await many(shelf, CROWD)
        elif request.param in STORAGES:
            data, subscribers = crowded
            database = standing_database(request.param)
            clock = database.standing_clock()
            database.copy_subscriptions(data / "webhooks.db")
            stores = await stack.enter_async_context(
                open_postgres(database.config(), index, clock, Faults())
            )
            shelf = Shelf(stores, clock, index)
        else:
            data, subscribers = crowded
            shutil.copytree(data, tmp_path / "data")
            config = SqliteConfig(data_dir=tmp_path / "data")
            opened = await stack.enter_async_context(open_sqlite(config, index, clock))
            shelf = Shelf(opened.stores, clock, index)
        yield shelf, subscribers
        await shelf.audited()


async def test_beyond_1000_matches_a_fan_out_owes_them_all(crowd: Crowd) -> None:
    shelf, subscribers = crowd
    (accepted,) = await shelf.publish("e1")
    assert targets(accepted) == []
    assert (accepted.fan_out, accepted.event.delivery_count) == (True, CROWD)
    await shelf.audited()
    lanes = shelf.stores.lanes
    assert list(await lanes.fan_outs()) == [accepted.event.seq]
    first, last = [await lanes.fan_out(accepted.event.seq) for _ in range(2)]
    assert [one.subscription for one in (*first.deliveries, *last.deliveries)] == [
        one.number for one in subscribers
    ]
    assert (len(first.deliveries), first.done, last.done) == (1000, False, True)
    assert (await lanes.fan_outs(), (await lanes.fan_out(accepted.event.seq)).deliveries) == (
        [],
        (),
    )
    assert list(await shelf.due(subscribers[1002])) == [last.deliveries[2]]


@pytest.mark.long
async def test_the_bound_holds_for_all_events_of_a_publish_together(shelf: Shelf) -> None:
    await many(shelf, 400)
    accepted = await shelf.publish("e1", "e2", "e3", "e4")
    assert [len(one.deliveries) for one in accepted] == [400, 400, 0, 0]
    assert [one.fan_out for one in accepted] == [False, False, True, True]
    assert [one.event.delivery_count for one in accepted] == [400] * 4
    lanes = shelf.stores.lanes
    owing = [one.event.seq for one in accepted[2:]]
    assert list(await lanes.fan_outs()) == owing
    for event in owing:
        step = await lanes.fan_out(event)
        assert (len(step.deliveries), step.done) == (400, True)


async def test_a_fan_out_goes_to_those_that_matched_then(crowd: Crowd) -> None:
    """EA6: its targets are frozen; who is deleted meanwhile gets a row that is cancelled."""
    shelf, subscribers = crowd
    (accepted,) = await shelf.publish("e1")
    store = shelf.stores.subscriptions
    deleted, changed, last, inactive = subscribers[1000:]
    await store.delete(DEFAULT_TENANT, deleted.id)
    await store.update(DEFAULT_TENANT, changed.id, lambda one: replace(one, events=("x",)))
    await store.update(DEFAULT_TENANT, inactive.id, lambda one: replace(one, active=False))
    await shelf.subscribe("born-later")
    await shelf.stores.lanes.fan_out(accepted.event.seq)
    step = await shelf.stores.lanes.fan_out(accepted.event.seq)
    assert [one.subscription for one in step.deliveries] == [
        changed.number,
        last.number,
        inactive.number,
    ]
    page = await shelf.stores.deliveries.list(
        DEFAULT_TENANT, deleted.id, (), PageRequest(), full=False
    )
    (row,) = page.items
    assert (row.state, row.state_reason) == (DeliveryState.CANCELLED, Reason.DELETED)
    assert row.complete_time == shelf.clock.now
    later = await shelf.stores.deliveries.list(
        DEFAULT_TENANT, SubscriptionId("born-later"), (), PageRequest(), full=False
    )
    assert later.items == []


async def test_what_is_owed_is_told_apart_from_what_is_there(shelf: Shelf) -> None:
    first, owed, last = await many(shelf, 3)
    # Of 334 times 3 deliveries there is no room for those of the last event.
    *before, accepted = await shelf.publish(*(f"e{number}" for number in range(334)))
    assert [one.fan_out for one in (before[-1], accepted)] == [False, True]
    later = await shelf.subscribe("born-later")
    stores, event = shelf.stores, accepted.event
    asked = [first.number, owed.number, last.number, later.number]
    waiting = FirstDelivery(trigger=Trigger.PUBLISH, uid=None)
    found = await stores.deliveries.of_event(event.seq, asked)
    assert found == {first.number: waiting, owed.number: waiting, last.number: waiting}
    events = Events(
        largest_payload=1,
        events=stores.events,
        subscriptions=stores.subscriptions,
        deliveries=stores.deliveries,
        index=shelf.index,
    )
    told = (await events.explain_stored(DEFAULT_TENANT, event.id, PageRequest())).items
    assert [(one.explanation.matched, bool(one.delivery_name)) for one in told] == [
        (False, False),
        (True, False),
        (True, False),
        (True, False),
    ]
    assert told[1].explanation.reason == "a pattern matched; its delivery is still to be written"
    step = await stores.lanes.fan_out(event.seq)
    found = await stores.deliveries.of_event(event.seq, [owed.number, later.number])
    assert found == {owed.number: replace(waiting, uid=step.deliveries[1].uid)}
