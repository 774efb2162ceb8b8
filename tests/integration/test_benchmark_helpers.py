"""The limits that benchmarks compare with, and the receivers that count for them."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from benchmarks.children import BenchmarkError, child
from benchmarks.load import BODY, KEY, WARM_UP, signed_headers
from benchmarks.sink import open_sink


async def test_sink_counts_every_post_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    async with child("load") as load, open_sink() as sink:
        assert sink.kind == "bare protocol"
        urls = f"{sink.url('a')} {sink.url('b')}"
        answer = await load.ask(load="posts", urls=urls, count=100, in_flight=8)
        assert float(answer["seconds"]) > 0
        assert await sink.count() == 100 + WARM_UP


def test_raw_posts_are_signed_as_ours_are() -> None:
    Webhook(KEY).verify(BODY, signed_headers(1))


async def test_empty_server_answers_as_many_calls_as_are_made() -> None:
    async with child("load") as load, child("empty_server") as empty:
        address = (await empty.ask())["address"]
        answer = await load.ask(load="publish", address=address, count=50, in_flight=4)
        assert float(answer["seconds"]) > 0


async def test_raw_rows_are_written_anew_each_time(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as source:
        source.executescript(
            "CREATE TABLE events (seq INTEGER PRIMARY KEY, body BLOB);"
            "CREATE TABLE deliveries (seq INTEGER PRIMARY KEY, event INTEGER);"
            "CREATE INDEX by_event ON deliveries (event);"
        )
        source.executemany("INSERT INTO events VALUES (?, ?)", [(n, b"x") for n in range(250)])
        source.executemany("INSERT INTO deliveries VALUES (?, ?)", [(n, n) for n in range(250)])
        source.commit()
    async with child("raw_rows") as rows:
        assert await rows.ask(database=str(tmp_path / "a.db")) == {"events": "250"}
        for _ in range(2):
            assert float((await rows.ask())["seconds"]) > 0


async def test_helper_that_dies_is_an_error() -> None:
    async with child("load") as load:
        with pytest.raises(BenchmarkError, match="a helper died"):
            await load.ask(load="unknown", count=1, in_flight=1)


async def test_a_helper_answers_two_who_ask_at_once() -> None:
    async with child("sink") as sink:
        answers = await asyncio.gather(*(sink.ask() for _ in range(5)))
    assert len({answer["port"] for answer in answers}) == 1
