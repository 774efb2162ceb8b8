"""Servers and relays that share one PostgreSQL database, as processes to be killed."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.auditing import Kill
from tests.faults.books import Postgres
from tests.faults.processes import Controller, Running, controlling
from tests.faults.receiving import Receiver
from tests.faults.run import Run, learn_engine
from tests.harness.postgres_database import PostgresDatabase
from tests.harness.waiting import until
from webhooks_server.domain.subscription import PARTITIONS

_OWNED_WITHIN = 30.0


@dataclass
class Cluster:
    """What runs, by its part: who takes events, who sends them, and who sends for another one."""

    run: Run
    controller: Controller
    postgres: Postgres
    servers: list[Running] = field(default_factory=list)
    relays: list[Running] = field(default_factory=list)
    remote: dict[str, Running] = field(default_factory=dict)
    """The server that a relay elsewhere is attached to, by the relay's name."""

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self.servers]

    async def add_server(self, name: str) -> None:
        """Add a process that takes events, and sends only for relays that attach."""
        server = await self.controller.serve(name, "--no-relay")
        await learn_engine(server)
        self.servers.append(server)

    async def add_relay(self, name: str) -> None:
        """Add a process that sends what the database has."""
        self.relays.append(await self.controller.relay(name))

    async def add_remote_relay(self, name: str, server: Running) -> None:
        """Add a relay that has no database, but a way to this server."""
        self.remote[name] = server
        self.relays.append(await self.controller.relay_elsewhere(name, server.address))

    async def owned(self, engines: int) -> None:
        """Wait until all partitions are owned, and by so many engines."""

        def are_owned() -> bool:
            owned = self.postgres.owned()
            return len(owned) == engines and sum(owned.values()) == PARTITIONS

        await until(are_owned, _OWNED_WITHIN, lambda: str(self.postgres.owned()))

    async def kill(self, victim: Running) -> Kill:
        """Kill a relay; what it leaves behind is noted."""
        self.relays.remove(victim)
        return await self.run.kill(victim, self.remote.get(victim.name))

    async def replace(self, victim: Running) -> None:
        """Start a relay of the same kind in the place of a dead one."""
        server = self.remote.get(victim.name)
        if server is None:
            await self.add_relay(victim.name)
        else:
            await self.add_remote_relay(victim.name, server)

    async def stop(self) -> None:
        """Stop all: who sends for others first, then who sends, then who takes."""
        for running in (*self.relays, *self.servers):
            await running.stop()


@contextlib.asynccontextmanager
async def open_cluster(
    name: str, directory: Path, receiver: Receiver, database: PostgresDatabase
) -> AsyncIterator[Cluster]:
    """Make room for a cluster; what runs at the end of the block is killed."""
    variables = {
        "WEBHOOKS_DATABASE_URL": database.url,
        "WEBHOOKS_DATA_DIR": str(directory / "data"),
    }
    async with controlling(directory, variables) as controller:
        postgres = Postgres(database)
        run = Run(name, directory, receiver, controller, postgres)
        yield Cluster(run, controller, postgres)
