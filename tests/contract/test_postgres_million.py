"""How PostgreSQL reads a million rows, whatever it knows of them (reliability.md, G27)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from hashlib import md5

import pytest

from tests.harness.postgres_database import STORAGES, PostgresDatabase, new_database
from tests.harness.postgres_fixtures import ServerUrl
from tests.harness.postgres_rows import COUNT, FIRST, add_rows, analyze, forget
from tests.harness.query_plans import Plan, plan_of, statements
from tests.harness.shelf import ATTEMPT, Shelf, StandingClock, event, publish_of
from tests.harness.world import Faults
from webhooks_server.domain.delivery import DeliveryState, Record
from webhooks_server.domain.errors import EventIdReused
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import (
    DEFAULT_TENANT,
    DeliverySeq,
    EventId,
    EventSeq,
    SubscriptionId,
    SubscriptionNumber,
    TenantId,
    Version,
)
from webhooks_server.domain.lanes import LaneFailing, LaneRead, Settlement
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.partitions import EngineEntry
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.ops import SystemClock
from webhooks_server.services.catching_up import catch_up
from webhooks_server.storage import pages
from webhooks_server.storage.postgres import open_postgres

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]

LARGE = ("deliveries", "events", "attempts")
GROWING = (*LARGE, "subscriptions", "subscription_patterns")

Call = Callable[[Shelf], Awaitable[object]]

SUB = SubscriptionId("sub-8")
OF_SUB = 5_000
"""How many deliveries a subscription has, but the first."""
DOWN = LaneRead(subscription=SubscriptionNumber(1), partition=1, limit=100)
SLOW = LaneRead(subscription=SubscriptionNumber(8), partition=8, limit=100)
OLD = EventSeq(FIRST + 300_007)
PAGE = PageRequest(size=50)
DEEP = PageRequest(size=50, before=FIRST + COUNT // 2)
LAST = FIRST + COUNT


def at(seq: int) -> Instant:
    return Instant(1_790_000_000_000_000 + seq * 1000)


def uid(seq: int) -> bytes:
    return md5(str(seq).encode(), usedforsecurity=False).digest()


def term(field: str, operator: str, value: str | int, *, is_prefix: bool = False) -> Term:
    return Term(field=field, operator=operator, value=value, is_prefix=is_prefix)


def record_of(shelf: Shelf, seq: int) -> Record:
    return Record(
        token=seq.to_bytes(16),
        seq=DeliverySeq(seq),
        uid=uid(seq),
        subscription=SubscriptionNumber(1),
        partition=1,
        epoch=shelf.epochs[1],
        retry_requests=0,
        attempt_count=0,
        attempt=ATTEMPT,
        state=DeliveryState.SUCCEEDED,
        charged=True,
    )


async def settle(shelf: Shelf) -> int:
    return await shelf.stores.lanes.settle(
        Settlement(
            subscription=SubscriptionNumber(1),
            partition=1,
            epoch=shelf.epochs[1],
            state=DeliveryState.EXPIRED,
            reason="max_age",
            min_age=Micros(1),
            limit=100,
        )
    )


async def news(shelf: Shelf, above: int) -> object:
    async with shelf.session(EngineEntry(name="engine-1")) as session:
        return await session.news(range(256), DeliverySeq(above))


def of_sub(*terms: Term, page: PageRequest = PAGE) -> Call:
    return lambda shelf: shelf.stores.deliveries.list(DEFAULT_TENANT, SUB, terms, page, full=False)


def of_all(*terms: Term, tenant: TenantId | None = DEFAULT_TENANT) -> Call:
    return lambda shelf: shelf.stores.deliveries.list(tenant, None, terms, PAGE, full=True)


def of_events(*terms: Term, tenant: TenantId | None = DEFAULT_TENANT) -> Call:
    return lambda shelf: shelf.stores.events.list(tenant, terms, PAGE, full=True)


def of_subscriptions(*terms: Term) -> Call:
    return lambda shelf: shelf.stores.subscriptions.list(DEFAULT_TENANT, terms, PAGE)


# What each call may look at, in rows of all growing tables together: three times what it asks for.
ENGINE: dict[str, tuple[int, Call]] = {
    "follow": (3 * 22_000, lambda shelf: catch_up(shelf.index, shelf.stores.subscriptions)),
    "find": (3 * 256, lambda shelf: shelf.stores.lanes.find(range(4))),
    "find all": (3 * 1000, lambda shelf: shelf.stores.lanes.find(range(256))),
    "due": (3 * 200, lambda shelf: shelf.stores.lanes.due([DOWN, SLOW])),
    "news": (3 * 1000, lambda shelf: news(shelf, LAST - 1000)),
    "no news": (3, lambda shelf: news(shelf, 10 * LAST)),
    "record": (
        3 * 200 + 200,
        lambda shelf: shelf.stores.lanes.record(
            [record_of(shelf, seq) for seq in range(LAST - 200, LAST)]
        ),
    ),
    "settle": (3 * 100, settle),
    "load events": (
        3 * 200,
        lambda shelf: shelf.stores.events.load([EventSeq(FIRST + n * 37) for n in range(200)]),
    ),
    "load subscriptions": (
        3 * 100,
        lambda shelf: shelf.stores.subscriptions.load(
            [SubscriptionNumber(2000 + n) for n in range(100)]
        ),
    ),
    "changes": (3 * 500, lambda shelf: shelf.stores.subscriptions.changes(Version(0))),
    "no changes": (3, lambda shelf: shelf.stores.subscriptions.changes(Version(30_000))),
    "note failing": (
        3,
        lambda shelf: shelf.stores.subscriptions.note_failing(
            [LaneFailing(subscription=SubscriptionNumber(2000), level=1)]
        ),
    ),
    "retention begins": (
        3 * 400,
        lambda shelf: shelf.stores.events.purge(Micros(0), EventSeq(0)),
    ),
    "retention goes on": (
        3 * 400,
        lambda shelf: shelf.stores.events.purge(Micros(0), EventSeq(FIRST + COUNT // 2)),
    ),
    "sweep": (3, lambda shelf: shelf.stores.control.sweep()),
}
CALLERS: dict[str, tuple[int, Call]] = {
    "append": (3, lambda shelf: shelf.stores.events.append(publish_of(event("new")))),
    "append many": (
        3 * 200,
        lambda shelf: shelf.stores.events.append(
            publish_of(*(event(f"old-{FIRST + n * 51}") for n in range(200)))
        ),
    ),
    "event": (3, lambda shelf: shelf.stores.events.get(DEFAULT_TENANT, EventId(f"old-{OLD}"))),
    "delivery": (
        12,
        lambda shelf: shelf.stores.deliveries.get(DEFAULT_TENANT, SUB, uid(OLD), full=True),
    ),
    "retry": (36, lambda shelf: shelf.stores.deliveries.retry(DEFAULT_TENANT, SUB, uid(OLD))),
    "attempts": (
        12,
        lambda shelf: shelf.stores.deliveries.attempts(
            DEFAULT_TENANT, SUB, uid(OLD), PAGE, full=True
        ),
    ),
    "first deliveries of an event": (
        3,
        lambda shelf: shelf.stores.deliveries.of_event(OLD, [SubscriptionNumber(8)]),
    ),
    "pending": (150, lambda shelf: shelf.stores.deliveries.pending(DEFAULT_TENANT, SUB)),
    "subscription": (3, lambda shelf: shelf.stores.subscriptions.get(DEFAULT_TENANT, SUB)),
}
# Each page has 50; a delivery is shown with its subscription, its event and its last attempt.
LISTS: dict[str, tuple[int, Call]] = {
    "deliveries of a subscription": (4 * 3 * 50, of_sub()),
    "a later page": (4 * 3 * 50, of_sub(page=DEEP)),
    "the pending of a subscription": (4 * OF_SUB, of_sub(term("state", "=", 1))),
    "the failed of a subscription": (4 * OF_SUB, of_sub(term("state", "=", 3))),
    "not the succeeded": (4 * OF_SUB, of_sub(term("state", "!=", 2))),
    "by trigger": (4 * OF_SUB, of_sub(term("trigger", "=", 2))),
    "by event type": (4 * OF_SUB, of_sub(term("event_type", "=", "b.c"))),
    "by prefix": (4 * OF_SUB, of_sub(term("event_type", "=", "b.", is_prefix=True))),
    "by event": (15, of_sub(term("event", "=", f"old-{OLD}"))),
    "later than": (4 * OF_SUB, of_sub(term("create_time", ">", at(LAST - 100)))),
    "earlier than": (4 * OF_SUB, of_sub(term("create_time", "<", at(FIRST + 1000)))),
    "completed later than": (4 * OF_SUB, of_sub(term("complete_time", ">", at(LAST)))),
    "state and time": (
        4 * OF_SUB,
        of_sub(term("state", "=", 3), term("create_time", "<", at(FIRST + 1000))),
    ),
    "deliveries of a tenant": (4 * 3 * 50, of_all()),
    "deliveries of all tenants": (4 * 3 * 50, of_all(tenant=None)),
    "pending of a tenant": (4 * 3 * 50, of_all(term("state", "=", 1))),
    "of an event": (15, of_all(term("event", "=", f"old-{OLD}"))),
    "of an event of any tenant": (15, of_all(term("event", "=", f"old-{OLD}"), tenant=None)),
    "events of a tenant": (3 * 50, of_events()),
    "events of all tenants": (3 * 50, of_events(tenant=None)),
    "events of a type": (3 * 50 * 50, of_events(term("event_type", "=", "a.1"))),
    "subscriptions of a tenant": (3 * 50, of_subscriptions()),
    "subscriptions by state": (3 * 50, of_subscriptions(term("state", "=", 1))),
}
# Rows that are rare and have no index: looked for from the newest on, until the time is over. No
# statement looks at more than the span that it is for.
SCANS: dict[str, Call] = {
    "failed ones": of_all(term("state", "=", 3)),
    "of no type": of_all(term("event_type", "=", "b.c")),
    "of another trigger": of_all(term("trigger", "=", 2), tenant=None),
    "completed never": of_all(term("complete_time", ">", at(LAST + 1))),
    "created early": of_all(term("create_time", "<", at(FIRST + 10))),
    "events of no type": of_events(term("event_type", "=", "b.c")),
    "events of a subject": of_events(term("subject", "=", "x"), tenant=None),
    "events from a source": of_events(term("source", "=", "x")),
    "events created early": of_events(term("create_time", "<", at(FIRST + 10))),
    "relay status": lambda shelf: shelf.stores.deliveries.counts(None),
    "relay status of a tenant": lambda shelf: shelf.stores.deliveries.counts(DEFAULT_TENANT),
}


@pytest.fixture(scope="module")
def million(postgres_url: ServerUrl) -> Iterator[PostgresDatabase]:
    with new_database(postgres_url(STORAGES[-1])) as made:
        asyncio.run(first_rows(made))
        analyze(made.administrator)
        add_rows(made.administrator)
        yield made


@pytest.fixture(scope="module", params=["analyzed long ago", "never analyzed", "analyzed"])
def known(request: pytest.FixtureRequest, million: PostgresDatabase) -> str:
    """What the planner knows; it begins with what a table held before it was filled."""
    if request.param == "analyzed":
        analyze(million.administrator)
    if request.param == "never analyzed":
        if not million.is_superuser:
            pytest.skip("the role of TEST_POSTGRES_DSN is no superuser")
        forget(million.administrator)
    return str(request.param)


@pytest.fixture(scope="module")
async def shelf(million: PostgresDatabase, known: str) -> AsyncIterator[Shelf]:
    async with opened(million) as made:
        await made.own()
        yield made


async def first_rows(database: PostgresDatabase) -> None:
    async with opened(database) as shelf:
        await shelf.one_delivery()


@asynccontextmanager
async def opened(database: PostgresDatabase) -> AsyncIterator[Shelf]:
    index = MatchIndex()
    async with open_postgres(database.config(), index, SystemClock(), Faults()) as stores:
        yield Shelf(stores, StandingClock(), index)


@pytest.fixture(params=["custom", "generic"])
def is_generic(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "generic")


async def plans_of(
    database: PostgresDatabase, shelf: Shelf, call: Call, *, generic: bool
) -> list[Plan]:
    """Run a call, and once more each statement of it, but what inserts: that looks for nothing."""
    with statements() as sent, suppress(EventIdReused):
        await call(shelf)
    assert sent
    return [
        plan_of(database.administrator, one, generic=generic)
        for one in sent
        if not one[0].startswith("INSERT")
    ]


def shown(plans: list[Plan]) -> str:
    return "\n\n".join(map(str, plans))


@pytest.mark.parametrize("name", [*ENGINE, *CALLERS, *LISTS])
async def test_a_call_looks_at_few_rows(
    million: PostgresDatabase, shelf: Shelf, known: str, is_generic: bool, name: str
) -> None:
    most, call = (ENGINE | CALLERS | LISTS)[name]
    # What a publish has to follow of control data is a read of its own.
    await catch_up(shelf.index, shelf.stores.subscriptions)
    plans = await plans_of(million, shelf, call, generic=is_generic)
    # Of subscriptions nobody has a million, and who knows nothing of them reads those of a tenant.
    tables = GROWING if known == "analyzed" else LARGE
    if known == "analyzed long ago" and name not in ENGINE:
        # What is once had for a few rows of one subscription is then looked for among all of it.
        most = max(most, 4 * OF_SUB)
    assert sum(plan.rows_of(*tables) for plan in plans) <= most, shown(plans)
    assert not {table for plan in plans for table in plan.whole} & {*GROWING}, shown(plans)


@pytest.mark.parametrize("name", SCANS)
async def test_a_rare_row_is_looked_for_span_by_span(
    million: PostgresDatabase, shelf: Shelf, is_generic: bool, name: str
) -> None:
    plans = await plans_of(million, shelf, SCANS[name], generic=is_generic)
    assert not {table for plan in plans for table in plan.whole} & {*GROWING}, shown(plans)
    # The keys of a span, and for each of them an event, a subscription and an attempt.
    assert max(plan.rows_of(*LARGE) for plan in plans) <= 4 * COUNT
    assert max(plan.milliseconds for plan in plans) < 1000


@pytest.mark.parametrize("tenant", [None, DEFAULT_TENANT])
async def test_a_relay_status_looks_at_what_is_pending_and_the_newest(
    million: PostgresDatabase, shelf: Shelf, is_generic: bool, tenant: TenantId | None
) -> None:
    async def count(shelf: Shelf) -> object:
        return await shelf.stores.deliveries.counts(tenant)

    pending = (await shelf.stores.deliveries.counts(None)).pending
    plans = await plans_of(million, shelf, count, generic=is_generic)
    # Once for the end of a span, and once for what is in it.
    most = pages.MOST_COUNTED + 2 * pending
    assert sum(plan.rows_of(*LARGE) for plan in plans) <= most, shown(plans)
    assert max(plan.milliseconds for plan in plans) < 200


async def test_lanes_are_read_by_the_index_of_what_is_pending(
    million: PostgresDatabase, shelf: Shelf, is_generic: bool
) -> None:
    for name in ("find", "due", "settle"):
        plans = await plans_of(million, shelf, ENGINE[name][1], generic=is_generic)
        assert "deliveries_pending" in {index for plan in plans for index in plan.indexes}, name
