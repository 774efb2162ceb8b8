"""The targets of an append are those of one control version, whoever moves the index (EA9)."""

import pytest
from sqlalchemy import Connection

from tests.harness.shelf import Shelf
from webhooks_server.storage.postgres import numbers
from webhooks_server.storage.postgres.numbers import State
from webhooks_server.storage.sql.changes import read_changes


async def test_an_index_that_moves_after_the_matching_takes_nothing_from_an_append(
    postgres: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = numbers.read_state

    def read_state(connection: Connection, events: int, deliveries: int) -> State:
        state = real(connection, events, deliveries)
        # As the beat of the engine does while this transaction waits for the database.
        postgres.index.apply(read_changes(connection, postgres.index.version))
        return state

    monkeypatch.setattr("webhooks_server.storage.postgres.writing.read_state", read_state)
    subscriber = await postgres.subscribe("sub")
    await postgres.publish("e1")
    assert len(await postgres.due(subscriber)) == 1
