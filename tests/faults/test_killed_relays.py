"""One of three relays on PostgreSQL is killed, again and again (G3)."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.auditing import ON_ITS_WAY, Kill, sent_again_after
from tests.faults.cluster import Cluster, open_cluster
from tests.faults.publishing import Load
from tests.faults.receiving import Receiver
from tests.faults.run import IS_FULL, Run
from tests.harness.postgres_database import PostgresDatabase
from tests.harness.waiting import until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200 if IS_FULL else 300)]

KILLS = 50 if IS_FULL else 10
SUBSCRIPTIONS = 60
RATE = 200.0
# Long enough that each relay has some requests in flight at any time.
SINK = 0.1
LEASE = 60.0
USUAL, LONGEST = 2.0, LEASE + 5.0


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
        delays = []
        async with run.publishing(load, cluster.addresses) as publisher:
            for _ in range(KILLS):
                await asyncio.sleep(run.random.uniform(2.0, 3.0))
                delays += await kill_one(cluster)
        await run.settle(cluster.addresses[0])
        violations = await run.violations(cluster.addresses[0])
        await cluster.stop()
        delays.sort()
        p99 = delays[int(0.99 * (len(delays) - 1))]
        found = run.audit(
            violations,
            orphans=len(delays),
            sent_again_p50=round(delays[len(delays) // 2], 3),
            sent_again_p99=round(p99, 3),
            sent_again_longest=round(delays[-1], 3),
            failed_calls=publisher.failed_calls,
        )
    found.check()
    assert found.kills == KILLS
    assert len(delays) >= KILLS
    assert delays[-1] <= LONGEST
    assert p99 <= USUAL
    assert cluster.controller.faults() == []


async def kill_one(cluster: Cluster) -> list[float]:
    """Kill a relay that has work, and replace it; returns when what it had was sent again."""
    owned = cluster.postgres.owned()
    relays = [relay for relay in cluster.relays if owned.get(relay.engine)]
    victim = cluster.run.random.choice(relays)
    kill = await cluster.kill(victim)
    await asyncio.gather(all_sent_again(cluster.run, kill), cluster.replace(victim))
    return list(sent_again_after(kill, cluster.run.receiver.receipts.all()).values())


async def all_sent_again(run: Run, kill: Kill) -> None:
    """Wait until nothing is left of what the victim had."""
    await asyncio.sleep(ON_ITS_WAY)

    def is_done() -> bool:
        found = sent_again_after(kill, run.receiver.receipts.all())
        return found.keys() == kill.pending.keys()

    await until(is_done, LONGEST, lambda: f"{kill.victim} left {kill.pending}")
