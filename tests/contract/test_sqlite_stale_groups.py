"""Publishes and records beside others that change what they depend on (engine.md, EA9)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import count

from tests.harness.shelf import Shelf
from webhooks_server.domain.delivery import DeliveryState
from webhooks_server.domain.ids import DEFAULT_TENANT, SubscriptionId

UPDATERS = 4
ROUNDS = 20
CHANGES_MEANWHILE = 3 * UPDATERS
"""A group waits for the one before it, and each of them for a change or two."""


class Updaters:
    """Clients that change subscriptions, one change after the other, until the block ends."""

    def __init__(self, shelf: Shelf, names: Sequence[str]) -> None:
        self._shelf = shelf
        self._names = names
        self.changed = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            updaters = [tasks.create_task(self._update(name)) for name in self._names]
            yield
            for updater in updaters:
                updater.cancel()

    async def _update(self, name: str) -> None:
        for number in count():
            patterns = ("other.*", f"other{number}.*")
            await self._shelf.stores.subscriptions.update(
                DEFAULT_TENANT, SubscriptionId(name), partial(replace, events=patterns)
            )
            self.changed += 1


async def test_publishes_and_records_go_on_beside_a_stream_of_changes(sqlite: Shelf) -> None:
    subscriber, rows = await sqlite.lane(ROUNDS)
    names = [f"changing-{number}" for number in range(UPDATERS)]
    for name in names:
        await sqlite.subscribe(name, "other.*")
    longest, updaters = 0, Updaters(sqlite, names)
    async with asyncio.timeout(20), updaters.running():
        for number, row in enumerate(rows):
            before = updaters.changed
            published, recorded = await asyncio.gather(
                sqlite.publish(f"e{number}", event_type="other.happened"),
                sqlite.record(subscriber, row),
            )
            assert published[0].event.delivery_count == UPDATERS
            assert recorded.state is DeliveryState.SUCCEEDED
            longest = max(longest, updaters.changed - before)
        assert updaters.changed >= ROUNDS
    assert longest <= CHANGES_MEANWHILE
    await sqlite.audited()
