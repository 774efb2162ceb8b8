"""`publish --stream`: JSON Lines over one stream, with every refused line named."""

import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.harness.command_line import (
    Finished,
    Serving,
    finish,
    free_port,
    line_with,
    run,
    send_signal,
    serving,
    start,
)
from tests.harness.waiting import until_async
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.ops import SystemClock
from webhooks_server.rpc.client import EventDraft, connect


@pytest_asyncio.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    async with serving(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


async def publish(server: Serving, text: str, *options: str) -> Finished:
    return await run(
        "publish", "--stream", "--server", server.address, *options, given=text.encode()
    )


def lines(numbers: range) -> bytes:
    return b"".join(
        b'{"event_type":"streamed","event_id":"s-%d","data":%d}\n' % (number, number)
        for number in numbers
    )


async def event_count(address: str) -> int:
    async with connect(address, SystemClock()) as client:
        report = await client.audit()
    assert report.violations == ()
    return report.events


async def has_events(address: str, count: int) -> None:
    async def has() -> bool:
        return await event_count(address) >= count

    await until_async(has, within=20)


async def test_every_refused_line_is_named_and_none_ends_the_stream(
    server: Serving, tmp_path: Path
) -> None:
    taken = '{"event_type":"mixed","event_id":"taken","data":1}'
    given = [
        taken,
        "not JSON",
        '{"event_type":"a..b","source":"' + "s" * 1025 + '"}',
        taken,
        '{"event_type":"mixed","event_id":"taken","data":2}',
        '{"event_type":"mixed","data_json":"{"}',
        '{"event_type":"mixed"}',
    ]
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join(given))

    published = await publish(server, "", "--file", str(path))

    assert published.status == 1
    assert published.out == "accepted 2, duplicate 1, refused 4\n"
    named = dict(re.findall(r"^line (\d+) refused: (.*)$", published.err, re.MULTILINE))
    assert sorted(named) == ["2", "3", "5", "6"]
    assert "is not JSON" in named["2"]
    assert named["3"].startswith("event_type must be segments")
    assert "; source must have at most 1024" in named["3"]
    assert "exists already" in named["5"]
    assert named["6"].startswith("data_json must be one JSON text")


async def test_lines_from_a_pipe_go_out_while_it_stays_open(server: Serving) -> None:
    before = await event_count(server.address)
    process = await start("publish", "--stream", "--server", server.address, "--json")
    assert process.stdin is not None
    for number in range(3):
        process.stdin.write(b'{"event_type":"piped","data":%d}\n' % number)
        await process.stdin.drain()
        await has_events(server.address, before + number + 1)
    assert (await finish(process)).json == {"accepted": 3, "duplicate": 0, "refused": 0}


@pytest.mark.long
async def test_a_server_that_is_killed_meanwhile_has_every_event_once(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    where = ("serve", "--listen", address, "--data-dir", str(tmp_path), "--log-format", "json")
    killed = await start(*where)
    await line_with(killed.stderr, "server.serving")
    process = await start("publish", "--stream", "--server", address)
    assert process.stdin is not None
    process.stdin.write(lines(range(1500)))
    await process.stdin.drain()
    await has_events(address, 500)
    send_signal(killed, signal.SIGKILL)
    await killed.wait()
    process.stdin.write(lines(range(1500, 2000)))
    async with serving(tmp_path, listen=address):
        published = await finish(process, within=30)
        assert published.status == 0, published.err
        counts = re.findall(r"\d+", published.out)
        # Those whose acknowledgement was lost were sent again, and are duplicates.
        assert [int(counts[0]) + int(counts[1]), int(counts[2])] == [2000, 0]
        assert await event_count(address) == 2000


async def test_no_server_ends_it_with_one_line_and_the_counts() -> None:
    given = lines(range(3))
    published = await run("publish", "--stream", "--server", "127.0.0.1:1", given=given)

    assert published.status == 1
    assert published.out == "accepted 0, duplicate 0, refused 0\n"
    first, second = published.err.splitlines()
    assert first == "stopped: lines from 1 on may not be published"
    assert "no server answers at 127.0.0.1:1" in second


async def test_a_tenant_that_does_not_exist_is_not_blamed_on_the_lines(server: Serving) -> None:
    published = await publish(server, lines(range(600)).decode(), "--tenant", "no")

    assert published.status == 1
    assert "tenants/no does not exist" in published.err
    assert "refused:" not in published.err


async def test_a_stream_goes_on_after_the_server_ended_it(server: Serving) -> None:
    results: list[object] = []
    async with connect(server.address, SystemClock()) as client:
        stream = client.stream(DEFAULT_TENANT)
        for number in range(3):
            drafts = [
                EventDraft(event_type="on", event_id=f"on-{number}-{one}") for one in range(9)
            ]
            await stream.publish(drafts, results.append)
            # As the server does at its age.
            stream.close()
    assert len(results) == 27
