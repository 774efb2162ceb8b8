"""What a held snapshot costs, under which PostgreSQL clears nothing away (engine.md, EC2)."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.harness.postgres_database import Administrator, PostgresDatabase
from tests.harness.query_plans import Plan, plan_of, statements
from tests.harness.shelf import Shelf
from webhooks_server.domain.lanes import FROM_THE_FIRST, LaneRead
from webhooks_server.domain.subscription import Subscription
from webhooks_server.domain.times import Instant

pytestmark = pytest.mark.long

SETTLED = 100_000
_ADD = f"""
INSERT INTO deliveries (seq, uid, tenant, partition, subscription, event_seq, trigger, due_time,
  create_time)
SELECT 1000000 + n, decode(md5(n::text), 'hex'), tenant, partition, subscription, 1000000 + n, 1,
  due_time - 3600000000 + n * 10000, create_time
FROM deliveries, generate_series(1, {SETTLED}) AS n
"""  # noqa: S608 - a number of our own


@pytest.fixture
def snapshot(database: PostgresDatabase) -> Iterator[Administrator]:
    """Somebody who can hold a snapshot."""
    with closing(Administrator(database.url)) as other:
        yield other


async def refill(
    shelf: Shelf, database: PostgresDatabase, lane: Subscription, since: Instant
) -> tuple[Plan, Instant]:
    read = LaneRead(subscription=lane.number, partition=lane.partition, limit=100, since=since)
    with statements() as collected:
        (answer,) = await shelf.stores.lanes.due([read])
    assert len(answer.rows) == 1
    (statement,) = [one for one in collected if "deliveries" in one[0]]
    plans = [
        plan_of(database.administrator, statement, generic=generic) for generic in (False, True)
    ]
    return max(plans, key=lambda plan: plan.milliseconds), answer.low_water


async def test_a_refill_passes_over_what_was_settled_under_a_held_snapshot(
    postgres: Shelf, database: PostgresDatabase, snapshot: Administrator
) -> None:
    lane, _ = await postgres.lane()
    database.administrator.execute(_ADD)
    snapshot.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    snapshot.value("SELECT count(*) FROM control")
    database.administrator.execute("UPDATE deliveries SET state = 2 WHERE seq > 1000000")
    whole, low_water = await refill(postgres, database, lane, FROM_THE_FIRST)
    # Else the test shows nothing.
    assert whole.pages > 1000
    bounded, _ = await refill(postgres, database, lane, low_water)
    assert bounded.pages < 100, bounded
    assert bounded.milliseconds <= 2, bounded
    snapshot.execute("COMMIT")
