"""What tests need to know of the inside of the SQLite storage."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event as ThreadEvent

from tests.harness.shelf import Shelf
from webhooks_server.storage.sql.events import SqlEvents
from webhooks_server.storage.sql.readers import Readers
from webhooks_server.storage.sql.writer import GroupWriter


def writer_of(shelf: Shelf) -> GroupWriter:
    assert isinstance(shelf.stores.events, SqlEvents)
    assert isinstance(shelf.stores.events._groups, GroupWriter)
    return shelf.stores.events._groups


def readers_of(shelf: Shelf) -> list[Readers]:
    """Those of callers, and those of the engine."""
    events = shelf.stores.events
    assert isinstance(events, SqlEvents)
    assert isinstance(events._readers, Readers)
    assert isinstance(events._engine_readers, Readers)
    return [events._readers, events._engine_readers]


@asynccontextmanager
async def held(shelf: Shelf) -> AsyncIterator[None]:
    """Let the thread that writes stand still, so that what is asked for in the block waits."""
    released = ThreadEvent()
    standing = asyncio.ensure_future(writer_of(shelf)._thread.run(lambda _: released.wait(10)))
    await settled()
    yield
    await settled()
    released.set()
    assert await standing


async def settled() -> None:
    """Let everybody come to where they wait."""
    for _ in range(10):
        await asyncio.sleep(0)
