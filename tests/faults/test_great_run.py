"""Three servers and three relays, one of them elsewhere, with relays killed and added (issue 3)."""

import asyncio
from pathlib import Path

import pytest

from tests.faults.cluster import Cluster, open_cluster
from tests.faults.publishing import Load
from tests.faults.receiving import Receiver
from tests.faults.run import IS_FULL
from tests.harness.postgres_database import PostgresDatabase

pytestmark = [pytest.mark.long, pytest.mark.timeout(600 if IS_FULL else 180)]

EVENTS = 100_000 if IS_FULL else 5_000
SUBSCRIPTIONS = 200
KILLS = 20 if IS_FULL else 3
SINK = 0.005


async def test_nothing_is_lost_by_three_servers_and_three_relays(
    tmp_path: Path, receiver: Receiver, database: PostgresDatabase
) -> None:
    await receiver.answer(latency=SINK)
    async with open_cluster("great run", tmp_path, receiver, database) as cluster:
        await start(cluster)
        run, addresses = cluster.run, cluster.addresses
        await run.subscribe(addresses[0], SUBSCRIPTIONS)
        load = Load(seed=run.seed, subscriptions=SUBSCRIPTIONS, events=EVENTS, batch=50)
        async with run.publishing(load, addresses) as publisher:
            await hurt(cluster)
            await publisher.finished.wait()
        await run.settle(addresses[0])
        violations = await run.violations(addresses[0])
        await cluster.stop()
        found = run.audit(
            violations,
            events=EVENTS,
            subscriptions=SUBSCRIPTIONS,
            failed_calls=publisher.failed_calls,
        )
    found.check()
    assert (found.acknowledged, found.kills) == (EVENTS, KILLS)
    assert cluster.controller.faults() == []


async def start(cluster: Cluster) -> None:
    """Start three servers, of which no one sends itself, and three relays."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(cluster.add_server(f"server{number}"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.add_relay("relay0"))
        tasks.create_task(cluster.add_relay("relay1"))
        tasks.create_task(cluster.add_remote_relay("elsewhere", cluster.servers[0]))
    await cluster.owned(3)


async def hurt(cluster: Cluster) -> None:
    """Kill a relay each time a part of what is to be delivered has arrived, and add one midway."""
    run = cluster.run
    for number in range(KILLS):
        wanted = EVENTS * (number + 1) // (KILLS + 2)
        await run.arrived(wanted)
        victim = run.random.choice(cluster.relays)
        await cluster.kill(victim)
        await asyncio.sleep(run.random.uniform(0.0, 3.0))
        await cluster.replace(victim)
        if number == KILLS // 2:
            await cluster.add_relay("relay2")
