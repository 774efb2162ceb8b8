"""What engines and callers wait for goes by an index, whatever the tables hold."""

from collections.abc import Awaitable, Callable

import pytest

from tests.harness.shelf import Shelf, event, publish_of
from tests.harness.sqlite import readers_of, writer_of
from webhooks_server.domain.delivery import DeliveryState
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import (
    DEFAULT_TENANT,
    EventId,
    EventSeq,
    SubscriptionId,
    SubscriptionNumber,
    TenantId,
    Version,
)
from webhooks_server.domain.lanes import LaneRead, Settlement
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.times import Micros
from webhooks_server.ports import Stores
from webhooks_server.storage.sql.connection import driver_of

SUB = SubscriptionId("sub")
NUMBER = SubscriptionNumber(1)
UID = bytes(16)
PAGE = PageRequest(size=10, before=1000)
LANE = LaneRead(subscription=NUMBER, partition=1, limit=10)
PLANNED = {"SELECT", "WITH", "UPDATE", "INSERT", "DELETE"}
GROWING = ("deliveries", "events", "attempts", "subscriptions", "subscription_patterns")
SETTLEMENT = Settlement(
    subscription=NUMBER,
    partition=1,
    epoch=1,
    state=DeliveryState.EXPIRED,
    reason="max_age",
    min_age=Micros(1),
)


async def plans(shelf: Shelf, call: Callable[[Stores], Awaitable[object]]) -> list[str]:
    """Return what SQLite does for every statement of a call: a line for each table it touches."""
    connections = [writer_of(shelf)._thread._connection]
    connections += [one for readers in readers_of(shelf) for one in readers._idle]
    drivers = [driver_of(connection) for connection in connections]
    statements: list[str] = []
    for driver in drivers:
        driver.set_trace_callback(statements.append)
    await call(shelf.stores)
    for driver in drivers:
        driver.set_trace_callback(None)
    planned = [one for one in statements if one.split(maxsplit=1)[0] in PLANNED]
    return [row[3] for one in planned for row in drivers[1].execute(f"EXPLAIN QUERY PLAN {one}")]


OF_EVENT = [Term(field="event", operator="=", value="e1")]
CALLS: dict[str, Callable[[Stores], Awaitable[object]]] = {
    "find": lambda stores: stores.lanes.find(range(4)),
    "due": lambda stores: stores.lanes.due([LANE] * 3),
    "settle": lambda stores: stores.lanes.settle(SETTLEMENT),
    "load events": lambda stores: stores.events.load([EventSeq(1), EventSeq(2)]),
    "get event": lambda stores: stores.events.get(DEFAULT_TENANT, EventId("e1")),
    "append": lambda stores: stores.events.append(publish_of(event("new"))),
    "append again": lambda stores: stores.events.append(publish_of(event("e1"), event("new"))),
    "load subscriptions": lambda stores: stores.subscriptions.load([NUMBER]),
    "get subscription": lambda stores: stores.subscriptions.get(DEFAULT_TENANT, SUB),
    "changes": lambda stores: stores.subscriptions.changes(Version(1)),
    "deliveries of a subscription": lambda stores: stores.deliveries.list(
        DEFAULT_TENANT, SUB, (), PAGE, full=True
    ),
    "deliveries of an event": lambda stores: stores.deliveries.list(
        DEFAULT_TENANT, None, OF_EVENT, PAGE, full=False
    ),
    "deliveries of an event of any tenant": lambda stores: stores.deliveries.list(
        None, None, OF_EVENT, PAGE, full=False
    ),
    "of_event": lambda stores: stores.deliveries.of_event(EventSeq(1), [NUMBER]),
    "subscriptions by pattern": lambda stores: stores.subscriptions.list(
        DEFAULT_TENANT, [Term(field="events", operator=":", value="*")], PAGE
    ),
    "fan_outs": lambda stores: stores.lanes.fan_outs(),
    "events of a tenant": lambda stores: stores.events.list(DEFAULT_TENANT, (), PAGE, full=True),
    "first events of a tenant": lambda stores: stores.events.list(
        DEFAULT_TENANT, (), PageRequest(), full=False
    ),
    "deliveries of a tenant": lambda stores: stores.deliveries.list(
        DEFAULT_TENANT, None, (), PageRequest(), full=False
    ),
    "pending of a subscription": lambda stores: stores.deliveries.pending(DEFAULT_TENANT, SUB),
    "all events": lambda stores: stores.events.list(None, (), PAGE, full=True),
    "all deliveries": lambda stores: stores.deliveries.list(None, None, (), PAGE, full=False),
}
NEWEST_FIRST = {
    "first events of a tenant": {"events"},
    "deliveries of a tenant": {"deliveries"},
}
"""Which table may be read from the newest row on until the page is full, by name of the call."""
SORTED = {"deliveries of an event": 1, "deliveries of an event of any tenant": 1}
"""Which calls may sort what they found: what one event has, which are few."""


@pytest.mark.parametrize("name", CALLS)
async def test_no_call_reads_a_whole_table(sqlite: Shelf, name: str) -> None:
    await sqlite.subscribe("sub")
    await sqlite.own()
    await sqlite.publish("e1")
    lines = await plans(sqlite, CALLS[name])
    assert lines
    scanned = [line for line in lines if line.startswith("SCAN") and line.split()[1] in GROWING]
    assert {line.split()[1] for line in scanned} <= NEWEST_FIRST.get(name, set())
    sorted_rows = [line for line in lines if "TEMP B-TREE" in line]
    assert len(sorted_rows) <= SORTED.get(name, 0)


async def test_a_delivery_and_its_commands_are_found_by_uid(sqlite: Shelf) -> None:
    subscriber = await sqlite.subscribe("sub")
    await sqlite.own()
    (accepted,) = await sqlite.publish("e1")
    (row,) = accepted.deliveries

    async def use(stores: Stores) -> None:
        await sqlite.record(subscriber, row, state=DeliveryState.PENDING, due_in=1)
        await sqlite.shown(subscriber, row)
        await stores.deliveries.attempts(DEFAULT_TENANT, SUB, row.uid, PAGE, full=True)
        await stores.deliveries.retry(DEFAULT_TENANT, SUB, row.uid)
        await stores.deliveries.cancel(DEFAULT_TENANT, SUB, row.uid)

    lines = await plans(sqlite, use)
    assert len(lines) > 10
    assert [line for line in lines if line.startswith("SCAN") and line.split()[1] in GROWING] == []


async def test_attempts_and_failures_are_recorded_by_index(sqlite: Shelf) -> None:
    subscriber, rows = await sqlite.lane(2)

    async def record(_: Stores) -> None:
        for row, failing in zip(rows, (True, False), strict=True):
            for state in (DeliveryState.PENDING, DeliveryState.FAILED):
                await sqlite.record(subscriber, row, state=state, failing=failing)

    lines = await plans(sqlite, record)
    assert any("failures USING INTEGER PRIMARY KEY" in line for line in lines)
    scanned = [line.split()[1] for line in lines if line.startswith("SCAN")]
    assert set(scanned) & {*GROWING, "failures"} == set()


async def test_retention_goes_from_event_to_event(sqlite: Shelf) -> None:
    subscriber, rows = await sqlite.lane(3)
    for row in rows:
        await sqlite.record(subscriber, row)
    lines = await plans(sqlite, lambda stores: stores.events.purge(Micros(0), EventSeq(0)))
    # The marks are few: those of one step, and what a crash left over.
    assert {line.split()[1] for line in lines if line.startswith("SCAN")} & {
        *GROWING,
        "fanouts",
    } == set()
    assert [line for line in lines if "TEMP B-TREE" in line] == []
    assert [line for line in lines if line.startswith("SEARCH deliveries")]
    assert [line for line in lines if line.startswith("SEARCH attempts")]
    assert await sqlite.stores.events.load([rows[0].event_seq]) == []


async def test_a_lane_is_read_in_the_order_of_its_index(sqlite: Shelf) -> None:
    lines = await plans(sqlite, lambda stores: stores.lanes.due([LANE]))
    assert any(
        "USING INDEX deliveries_pending (partition=? AND subscription=?)" in one for one in lines
    )


@pytest.mark.parametrize("tenant", [DEFAULT_TENANT, None])
async def test_the_deliveries_of_an_event_are_found_by_its_index(
    sqlite: Shelf, tenant: TenantId | None
) -> None:
    await sqlite.subscribe("sub")
    await sqlite.publish("e1")
    lines = await plans(
        sqlite, lambda stores: stores.deliveries.list(tenant, None, OF_EVENT, PAGE, full=False)
    )
    assert [line for line in lines if "deliveries" in line] == [
        "SEARCH deliveries USING INDEX sqlite_autoindex_deliveries_1 (event_seq=?)"
    ]


async def test_a_delivery_that_is_as_it_was_taken_is_recorded_without_being_read(
    sqlite: Shelf,
) -> None:
    subscriber, rows = await sqlite.lane(2)

    async def record(stores: Stores) -> None:
        await stores.lanes.record([sqlite.record_of(subscriber, row) for row in rows])

    lines = [line for line in await plans(sqlite, record) if "deliveries" in line]
    assert lines == ["SEARCH deliveries USING INTEGER PRIMARY KEY (rowid=?)"]
