"""What every run begins with."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.receiving import Receiver, open_receiver
from tests.harness.postgres_database import GIVEN_SERVER, NEWEST, PostgresDatabase, new_database
from tests.harness.postgres_server import running_server


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    async with open_receiver(tmp_path / "receiver.ledger") as opened:
        yield opened


@pytest.fixture
def database() -> Iterator[PostgresDatabase]:
    """An empty database on a server of its own, with room for the connections of ten engines."""
    if GIVEN_SERVER:
        with new_database(GIVEN_SERVER) as made:
            yield made
        return
    with (
        running_server(NEWEST, max_connections="120") as server,
        new_database(server.url()) as made,
    ):
        yield made
