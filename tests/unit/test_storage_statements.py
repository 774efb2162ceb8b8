"""Statements for many rows on SQLite: few texts, whatever the sizes of groups."""

import sqlite3
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine

from webhooks_server.storage.sql.connection import driver_of
from webhooks_server.storage.sql.dialects.sqlite import round_size, write_rows
from webhooks_server.storage.sql.dialects.statements import Insertion

INTO_NUMBERS = Insertion("numbers", ("number", "square"), conflict="number")


@pytest.fixture
def connection() -> Iterator[Connection]:
    with create_engine("sqlite://").connect() as opened:
        driver_of(opened).execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY, square)")
        yield opened


@pytest.mark.parametrize(
    ("count", "together"), [(1, 1), (7, 7), (8, 8), (9, 8), (31, 28), (64, 64)]
)
def test_a_size_is_rounded_down_to_its_three_highest_bits(count: int, together: int) -> None:
    assert round_size(count) == together


def test_groups_of_any_size_need_few_texts_and_few_steps(connection: Connection) -> None:
    steps: list[str] = []
    driver_of(connection).set_trace_callback(steps.append)
    sizes = range(1, 513)
    for size in sizes:
        before = len(steps)
        write_rows(connection, INTO_NUMBERS, [(size * 1000 + at, at) for at in range(size)])
        assert len(steps) - before <= 3
    assert len({round_size(size) for size in sizes}) <= 32


def test_every_row_is_written_once_and_those_that_are_there_are_left_out(
    connection: Connection,
) -> None:
    rows = [(number, number**2) for number in range(30_001)]
    assert write_rows(connection, INTO_NUMBERS, rows[:5]) == 5
    assert write_rows(connection, INTO_NUMBERS, rows) == len(rows) - 5
    driver: sqlite3.Connection = driver_of(connection)
    assert driver.execute("SELECT number, square FROM numbers ORDER BY number").fetchall() == rows
