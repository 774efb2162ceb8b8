"""A run: a receiver, a publisher, processes to be hurt, and the count of it all at the end."""

import asyncio
import contextlib
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.duration_pb2 import Duration

from tests.faults.auditing import Evidence, Figures, Kill, figures
from tests.faults.books import Database
from tests.faults.ledger import Publications
from tests.faults.processes import Controller, Running
from tests.faults.publishing import Load, Publisher, event_type, subscription_id
from tests.faults.receiving import Receiver
from tests.harness.waiting import until
from webhooks.v1 import admin_service_pb2, subscription_pb2, subscription_service_pb2
from webhooks_client import AsyncWebhooksClient

IS_FULL = os.environ.get("FAULTS_FULL", "0") not in {"", "0"}
"""Whether runs have their full size."""
_STANDSTILL = 40.0
"""Seconds without any progress after which what is pending counts as stuck."""
_STATEMENT = 0.05
"""Seconds in which a database ends what it was asked to do before the one who asked was frozen."""
_PARENT = "tenants/default"


def seed() -> int:
    """Return what decides a run: FAULTS_SEED, or a new one."""
    return int(os.environ.get("FAULTS_SEED") or 0) or random.SystemRandom().randrange(1, 10**6)


@dataclass
class Run:
    """One run, and what it is decided by."""

    name: str
    directory: Path
    receiver: Receiver
    controller: Controller
    database: Database
    seed: int = field(default_factory=seed)
    kills: list[Kill] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._publisher_ledger = self.directory / "publisher.ledger"
        self._say(f"{self.name}: FAULTS_SEED={self.seed}")

    async def subscribe(self, server: str, count: int, *, in_flight: int = 10) -> None:
        """Make the subscriptions of a load."""
        async with AsyncWebhooksClient(server) as client:
            for number in range(count):
                name = subscription_id(number)
                config = subscription_pb2.SubscriptionConfig(
                    url=self.receiver.url(name),
                    max_in_flight=in_flight,
                    timeout=Duration(seconds=15),
                )
                wanted = subscription_pb2.Subscription(events=[event_type(name)], config=config)
                request = subscription_service_pb2.CreateSubscriptionRequest(
                    parent=_PARENT, subscription_id=name, subscription=wanted, skip_ping=True
                )
                await client.call(client.subscriptions.CreateSubscription, request)

    @contextlib.asynccontextmanager
    async def publishing(self, load: Load, servers: Sequence[str]) -> AsyncIterator[Publisher]:
        """Publish during the block; at its end what has begun is published to the end."""
        publisher = Publisher(load, servers, self._publisher_ledger)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(publisher.run())
            try:
                yield publisher
            except BaseException:
                task.cancel()
                raise
            publisher.stop()

    async def kill(self, victim: Running, owner: Running | None = None) -> Kill:
        """Kill a process that has a database beside it, and note what it leaves behind.

        It is frozen for the look, so that nothing moves between the look and its death. `owner` is
        the server whose partitions it works on, where that is another process.
        """
        victim.pause()
        moment = time.monotonic()
        engine = (owner or victim).engine
        await asyncio.sleep(_STATEMENT)
        pending = await asyncio.to_thread(self.database.pending, engine)
        await victim.kill()
        kill = Kill(victim=victim.name, moment=moment, pending=pending)
        self.kills.append(kill)
        return kill

    async def arrived(self, count: int, within: float = 120.0) -> None:
        """Wait until so many requests have arrived."""
        receipts = self.receiver.receipts
        await until(lambda: len(receipts.all()) >= count, within)

    async def settle(self, server: str, *, standstill: float = _STANDSTILL) -> None:
        """Wait until nothing is pending, or nothing moved for so many seconds."""
        async with AsyncWebhooksClient(server) as client:
            since, before = time.monotonic(), -1
            while time.monotonic() < since + standstill:
                request = admin_service_pb2.GetRelayStatusRequest()
                status = await client.call(client.admin.GetRelayStatus, request)
                if not status.stats.pending_count:
                    return
                arrived = len(self.receiver.receipts.all())
                if arrived != before:
                    since, before = time.monotonic(), arrived
                await asyncio.sleep(0.25)

    async def violations(self, server: str) -> list[str]:
        """Ask the server for its own audit."""
        async with AsyncWebhooksClient(server, timeout=60) as client:
            answer = await client.call(client.admin.Audit, admin_service_pb2.AuditRequest())
            return list(answer.violations)

    def audit(self, violations: Sequence[str], **facts: object) -> Figures:
        """Compare all ledgers and books, and say what came of it in one line."""
        publications = Publications.read(self._publisher_ledger)
        found = figures(
            Evidence(
                publications=publications,
                receipts=self.receiver.receipts.all(),
                books=self.database.books(),
                violations=violations,
                kills=self.kills,
            )
        )
        seconds = round(time.monotonic() - self.begun, 1)
        self._say(found.line(run=self.name, seed=self.seed, seconds=seconds, **facts))
        return found

    def _say(self, line: str) -> None:
        """Show a line, and keep it where FAULTS_RESULTS says."""
        sys.stdout.write(f"\n{line}\n")
        results = os.environ.get("FAULTS_RESULTS")
        if results and line.startswith("{"):
            with Path(results).open("a") as file:
                file.write(f"{line}\n")


async def learn_engine(running: Running) -> None:
    """Ask a server for the name by which it owns partitions."""
    async with AsyncWebhooksClient(running.address) as client:
        answer = await client.call(
            client.admin.GetServerInfo, admin_service_pb2.GetServerInfoRequest()
        )
        running.engine = answer.server_id
