"""How PostgreSQL reads: by index, whatever the tables hold (performance.md, B7)."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.harness.postgres_database import PostgresDatabase
from tests.harness.query_plans import statements
from tests.harness.shelf import ATTEMPT, Shelf, event, publish_of
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
    Version,
)
from webhooks_server.domain.lanes import LaneRead, Settlement
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.times import Micros
from webhooks_server.ports import Stores

GROWING = ("deliveries", "events", "attempts", "subscriptions", "subscription_patterns")
# One lane that holds nearly all that is pending, as a receiver that is down makes it.
FILL = """
INSERT INTO events (seq, tenant, id, event_type, payload, is_json, content_type, attributes,
  content_hash, matched_count, create_time)
SELECT n, 'default', 'old-' || n, 'a.b', 'x', 1, 'text/plain', '{}', 'x', 1, n
FROM generate_series(1000000, 1000000 + 30000) AS n;
INSERT INTO deliveries (seq, uid, tenant, partition, subscription, event_seq, trigger, due_time,
  create_time, attempt_count, state)
SELECT n, decode(lpad(to_hex(n), 32, '0'), 'hex'), 'default', 1, 1, n, 1, n, n, 1,
  CASE WHEN n % 3 = 0 THEN 2 ELSE 1 END
FROM generate_series(1000000, 1000000 + 30000) AS n;
INSERT INTO attempts (delivery_seq, number, token, outcome, start_time, latency, url, status_code,
  request_headers, response_headers, response_body)
SELECT n, 1, decode(lpad(to_hex(n), 32, '0'), 'hex'), 1, n, 1, 'https://a.example', 200, '', '', ''
FROM generate_series(1000000, 1000000 + 30000) AS n;
INSERT INTO subscriptions
SELECT (jsonb_populate_record(s, jsonb_build_object('number', n, 'id', 'sub-' || n, 'version', n,
  'partition', n % 256, 'target_hash', n::text))).*
FROM subscriptions AS s, generate_series(100, 5000) AS n WHERE s.number = 1;
ANALYZE;
"""
NAME = SubscriptionId("sub")
UID = (1_000_001).to_bytes(16)
LANE = LaneRead(subscription=SubscriptionNumber(1), partition=1, limit=10)
RECORD = Record(
    token=b"t" * 16,
    seq=DeliverySeq(1_000_001),
    uid=UID,
    subscription=SubscriptionNumber(1),
    partition=1,
    epoch=1,
    retry_requests=0,
    attempt_count=0,
    attempt=ATTEMPT,
    state=DeliveryState.PENDING,
    charged=True,
)
SETTLEMENT = Settlement(
    subscription=SubscriptionNumber(1),
    partition=1,
    epoch=1,
    state=DeliveryState.EXPIRED,
    reason="max_age",
    min_age=Micros(1),
    limit=100,
)
PAGE = PageRequest(size=10)
CALLS: dict[str, Callable[[Stores], Awaitable[object]]] = {
    "find": lambda stores: stores.lanes.find(range(4)),
    "due": lambda stores: stores.lanes.due([LANE] * 3),
    "record": lambda stores: stores.lanes.record([RECORD]),
    "settle": lambda stores: stores.lanes.settle(SETTLEMENT),
    "append": lambda stores: stores.events.append(publish_of(event("new"))),
    "append again": lambda stores: stores.events.append(publish_of(event("old-1000000"))),
    "event": lambda stores: stores.events.get(DEFAULT_TENANT, EventId("old-1000001")),
    "events": lambda stores: stores.events.load([EventSeq(1_000_001), EventSeq(1_000_002)]),
    "list of events": lambda stores: stores.events.list(None, (), PAGE, full=True),
    "delivery": lambda stores: stores.deliveries.get(DEFAULT_TENANT, NAME, UID, full=True),
    "deliveries of an event": lambda stores: stores.deliveries.of_event(
        EventSeq(1_000_001), [SubscriptionNumber(1)]
    ),
    "list of deliveries": lambda stores: stores.deliveries.list(
        DEFAULT_TENANT, NAME, (), PAGE, full=False
    ),
    "list of failed ones": lambda stores: stores.deliveries.list(
        DEFAULT_TENANT, NAME, (Term(field="state", operator="=", value=3),), PAGE, full=False
    ),
    "retry": lambda stores: stores.deliveries.cancel(DEFAULT_TENANT, NAME, UID),
    "changes": lambda stores: stores.subscriptions.changes(Version(4_990)),
    "load": lambda stores: stores.subscriptions.load([SubscriptionNumber(7)]),
    "subscription": lambda stores: stores.subscriptions.get(DEFAULT_TENANT, NAME),
}


async def test_nothing_that_grows_is_read_as_a_whole(
    postgres: Shelf, database: PostgresDatabase
) -> None:
    subscriber = await postgres.subscribe(NAME)
    assert subscriber.partition == 1
    await postgres.own()
    database.administrator.execute(FILL)
    found: dict[str, list[str]] = {}
    for name, call in CALLS.items():
        with statements() as sent, suppress(EventIdReused):
            await call(postgres.stores)
        assert sent, name
        for statement, parameters in sent:
            plan = database.administrator.rows(f"EXPLAIN {statement}", *parameters)
            scans = [
                line for (line,) in plan if any(f"Seq Scan on {table}" in line for table in GROWING)
            ]
            found.setdefault(name, []).extend(scans)
    assert {name: scans for name, scans in found.items() if scans} == {}


async def test_due_and_find_touch_what_they_return(
    postgres: Shelf, database: PostgresDatabase
) -> None:
    await postgres.subscribe(NAME)
    await postgres.own()
    database.administrator.execute(FILL)
    for call in ("due", "find"):
        with statements() as sent:
            await CALLS[call](postgres.stores)
        statement, parameters = sent[-1]
        explained = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) {statement}"
        plan = "\n".join(line for (line,) in database.administrator.rows(explained, *parameters))
        assert "deliveries_pending" in plan
        assert touched(plan) <= 60, plan


def touched(plan: str) -> int:
    """How many pages a plan looked at: its first node, with all below it."""
    line = next(line for line in plan.splitlines() if "shared hit=" in line)
    return int(line.split("shared hit=")[1].split()[0])
