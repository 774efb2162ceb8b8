"""A whole server for each test, and one for each file whose tests do not disturb each other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness.failing import Failing
from tests.harness.postgres_fixtures import database, owned_database, postgres_url
from tests.harness.receiver import Receiver, open_receiver
from tests.harness.served import Served, open_served

__all__ = ["database", "owned_database", "postgres_url"]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as opened:
        yield opened


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A server of the test's own; a test that leaves a fault or a violation behind has failed."""
    async with open_served(tmp_path) as opened:
        yield opened
        report = await opened.stores.control.audit(None)
        assert report.violations == ()
        assert opened.telemetry.faults == []


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """A server for the whole file."""
    async with open_served(tmp_path_factory.mktemp("shared")) as opened:
        yield opened
        assert opened.telemetry.faults == []


@pytest.fixture(scope="module")
def failing() -> Failing:
    return Failing()


@pytest.fixture(scope="module")
async def broken(
    tmp_path_factory: pytest.TempPathFactory, failing: Failing
) -> AsyncIterator[Served]:
    """A server whose stores fail."""
    async with open_served(tmp_path_factory.mktemp("broken"), front=failing.front) as opened:
        yield opened
