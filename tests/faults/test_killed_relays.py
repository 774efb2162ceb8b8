"""One of three relays on PostgreSQL is killed, again and again (G3)."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.auditing import sent_again_after
from tests.faults.cluster import Cluster, open_cluster
from tests.faults.publishing import Load
from tests.faults.receiving import Receiver
from tests.faults.run import IS_FULL
from tests.harness.postgres_database import PostgresDatabase
from tests.harness.waiting import until
from webhooks_server.domain.shares import SETTLED

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200 if IS_FULL else 300)]

KILLS = 50 if IS_FULL else 10
SUBSCRIPTIONS = 60
RATE = 200.0
# Long enough that each relay has some requests in flight at any time.
SINK = 0.1
LEASE = 60.0
USUAL, LONGEST = 2.0, LEASE + 5.0


@dataclass
class Spans:
    """Seconds after a kill until the partitions had another owner, and each delivery was sent."""

    taken_over: list[float] = field(default_factory=list)
    sent_again: list[float] = field(default_factory=list)


async def test_what_a_killed_relay_leaves_behind_is_sent_by_the_others(
    tmp_path: Path, receiver: Receiver, database: PostgresDatabase
) -> None:
    await receiver.answer(latency=SINK)
    async with open_cluster(
        "G3 kill -9 of one of three relays", tmp_path, receiver, database
    ) as cluster:
        run = cluster.run
        await cluster.add_server("server")
        for number in range(3):
            await cluster.add_relay(f"relay{number}")
        await cluster.owned(3)
        await run.subscribe(cluster.addresses[0], SUBSCRIPTIONS)
        load = Load(seed=run.seed, subscriptions=SUBSCRIPTIONS, batch=4, rate=RATE)
        spans = Spans()
        async with run.publishing(load, cluster.addresses) as publisher:
            for _ in range(KILLS):
                # A relay that began just now does not believe that others are gone.
                await asyncio.sleep(SETTLED + run.random.uniform(0.5, 1.5))
                await kill_one(cluster, spans)
        await run.settle(cluster.addresses[0])
        violations = await run.violations(cluster.addresses[0])
        await cluster.stop()
        again = figures_of("sent_again", spans.sent_again)
        found = run.audit(
            violations,
            orphans=len(spans.sent_again),
            failed_calls=publisher.failed_calls,
            **figures_of("taken_over", spans.taken_over),
            **again,
        )
    found.check()
    assert found.kills == KILLS
    assert len(spans.sent_again) >= KILLS
    assert cluster.controller.faults() == []
    assert again["sent_again_longest"] <= LONGEST
    assert again["sent_again_p99"] <= USUAL


async def kill_one(cluster: Cluster, spans: Spans) -> None:
    """Kill a relay that has work, and replace it once what it had was sent again."""
    owned = cluster.postgres.owned()
    relays = [relay for relay in cluster.relays if owned.get(relay.engine)]
    victim = cluster.run.random.choice(relays)
    kill = await cluster.kill(victim)
    receipts = cluster.run.receiver.receipts
    await until(lambda: victim.engine not in cluster.postgres.owned(), LONGEST)
    spans.taken_over.append(time.monotonic() - kill.moment)

    def all_sent_again() -> bool:
        return sent_again_after(kill, receipts.all()).keys() == kill.pending.keys()

    await until(all_sent_again, LONGEST, lambda: f"{victim.name} left {kill.pending}")
    spans.sent_again += sent_again_after(kill, receipts.all()).values()
    # Not before: to start takes a core for a second or two, and there are two for all that is here.
    await cluster.replace(victim)


def figures_of(name: str, seconds: list[float]) -> dict[str, float]:
    """Return the middle, the 99th percentile and the longest of some spans, by name."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    shares = {"p50": 0.5, "p99": 0.99, "longest": 1.0}
    return {f"{name}_{key}": round(ordered[int(share * last)], 3) for key, share in shares.items()}
