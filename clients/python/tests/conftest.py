"""Servers to call, and both clients to call them with."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.clients import Client, Connect, connect_async, connect_sync
from tests.fault_server import FaultServer, run_fault_server
from tests.server_process import run_server


@pytest.fixture(params=[connect_async, connect_sync], ids=["async", "sync"])
def connect(request: pytest.FixtureRequest) -> Connect:
    opened: Connect = request.param
    return opened


@pytest.fixture
def fault_server() -> Iterator[FaultServer]:
    with run_fault_server() as server:
        yield server


@pytest.fixture
async def faulty(fault_server: FaultServer, connect: Connect) -> AsyncIterator[Client]:
    async with connect(fault_server.address) as client:
        yield client


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture
async def client(server: str, connect: Connect) -> AsyncIterator[Client]:
    async with connect(server) as opened:
        yield opened


@pytest.fixture
def unused_address() -> str:
    with run_fault_server() as gone:
        return gone.address


@pytest.fixture
async def connect_unused(unused_address: str, connect: Connect) -> AsyncIterator[Client]:
    async with connect(unused_address) as opened:
        yield opened
