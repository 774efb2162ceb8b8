"""The PostgreSQL servers of the tests, each started when it is first asked for."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.harness.postgres_database import (
    STORAGES,
    PostgresDatabase,
    new_database,
    server_url_of,
)

ServerUrl = Callable[[str], str]
Databases = Callable[[str], PostgresDatabase]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[ServerUrl]:
    """The URL of the PostgreSQL server of a storage, started when it is first asked for."""
    urls: dict[str, str] = {}
    with contextlib.ExitStack() as stack:

        def url_of(storage: str) -> str:
            if storage not in urls:
                urls[storage] = stack.enter_context(server_url_of(storage))
            return urls[storage]

        yield url_of


@pytest.fixture(scope="session")
def standing_database(postgres_url: ServerUrl) -> Iterator[Databases]:
    """The database of a storage that all tests share, each after the other."""
    databases: dict[str, PostgresDatabase] = {}
    with contextlib.ExitStack() as stack:

        def database_of(storage: str) -> PostgresDatabase:
            if storage not in databases:
                made = new_database(postgres_url(storage), standing=True)
                databases[storage] = stack.enter_context(made)
            return databases[storage]

        yield database_of


@pytest.fixture
def database(postgres_url: ServerUrl) -> Iterator[PostgresDatabase]:
    """An empty database of the newest PostgreSQL, with a clock that runs."""
    with new_database(postgres_url(STORAGES[-1])) as made:
        yield made


@pytest.fixture
def owned_database(database: PostgresDatabase) -> PostgresDatabase:
    """As `database`, for tests that change roles or the server: which an ordinary role may not."""
    if not database.is_superuser:
        pytest.skip("the role of TEST_POSTGRES_DSN is no superuser")
    return database
