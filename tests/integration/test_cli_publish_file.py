"""`publish --file`: JSON Lines as batches, byte for byte, with every refused line named."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import pty
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from standardwebhooks import Webhook

from tests.harness.command_line import (
    WITHIN,
    Finished,
    Serving,
    finish,
    run,
    send_signal,
    serving,
    start,
)
from tests.harness.receiver import Receiver, open_receiver
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.domain.secrets import Secret
from webhooks_server.ops import SystemClock
from webhooks_server.rpc.client import SubscriptionDraft, connect

SECRET = "whsec_" + base64.b64encode(hashlib.sha256(b"seed").digest()).decode()
PAYLOADS = [
    "{}",
    "null",
    '"text"',
    '{ "b" : 1, "a": [1.50, 1e400, -0],\t"b":2 }',
    '{"big":9007199254740993,"huge":' + "9" * 5000 + "}",
    '"\\ud83e\\udd89 🦉 \\ud800 \\/ ü"',
    "[" * 128 + "]" * 128,
    json.dumps({"text": "ä" * 100_000}, ensure_ascii=False),
]


@pytest_asyncio.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    async with serving(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as opened:
        yield opened


async def publish(server: Serving, text: str | bytes, *options: str) -> Finished:
    given = text.encode() if isinstance(text, str) else text
    return await run("publish", "--file", "-", "--server", server.address, *options, given=given)


async def subscribe(server: Serving, url: str, pattern: str) -> None:
    draft = SubscriptionDraft(url=url, events=(pattern,), secret=Secret(SECRET))
    async with connect(server.address, SystemClock()) as client:
        await client.create_subscription(DEFAULT_TENANT, draft, skip_ping=True)


async def test_payloads_arrive_byte_for_byte_and_verified(
    server: Serving, receiver: Receiver, tmp_path: Path
) -> None:
    await subscribe(server, receiver.url, "bytes.*")
    payloads = {f"bytes-{number}": text.encode() for number, text in enumerate(PAYLOADS)}
    payloads["bytes-raw"] = bytes(range(256))
    raw = base64.b64encode(payloads["bytes-raw"]).decode()
    lines = [
        f'{{"event_type": "bytes.json", "event_id":"bytes-{number}" , "data" : {text}\t}}'
        for number, text in enumerate(PAYLOADS)
    ]
    lines.append(
        '{"event_type":"bytes.raw","event_id":"bytes-raw","data_content_type":"image/png",'
        f'"data_bytes":"{raw}"}}'
    )
    path = tmp_path / "events.jsonl"
    path.write_bytes("\r\n".join(lines).encode())

    published = await run("publish", "--file", str(path), "--server", server.address)

    assert (published.status, published.err) == (0, "")
    assert published.out == f"accepted {len(lines)}, duplicate 0, refused 0\n"
    requests = await receiver.got(len(lines))
    assert {request.headers["webhook-id"]: request.body for request in requests} == payloads
    for request in requests:
        expected = "sha256=" + hmac.digest(SECRET.encode(), request.body, "sha256").hex()
        assert request.headers["x-hub-signature-256"] == expected
        if request.headers["webhook-id"] != "bytes-raw":
            Webhook(SECRET).verify(request.body, request.headers, json_parse=False)


async def test_every_refused_line_is_named_and_none_holds_up_its_neighbours(
    server: Serving, receiver: Receiver
) -> None:
    await subscribe(server, receiver.url, "mixed.*")
    await publish(server, '{"event_type":"mixed.before","event_id":"mixed-taken","data":1}')
    lines = [
        '{"event_type":"mixed.a","event_id":"mixed-1","data":{"n":1}}',
        "not JSON",
        '{"event_type":"mixed.a","data":{}',
        '{"event_type":"mixed.a","data":NaN}',
        '{"data":{}}',
        '{"event_type":"mixed.a","colour":"red"}',
        '{"event_type":"mixed..a"}',
        '{"event_type":"webhooks.ping"}',
        '{"event_type":"mixed.a","event_id":"with.stop"}',
        '{"event_type":"mixed.a","event_id":"mixed-taken","data":2}',
        '{"event_type":"mixed.a","data":' + "[" * 129 + "]" * 129 + "}",
        '{"event_type":"mixed.a","data":"' + "x" * 262_143 + '"}',
        '{"event_type":"mixed.a","data_json":"{"}',
        '{"event_type":"mixed.a","data_bytes":"AA=="}',
        '{"event_type":"mixed.a","source":"' + "s" * 1025 + '"}',
        '{"event_type":"mixed.a","attributes":{"Key":"v"}}',
        '{"event_type":"mixed.a","event_id":"mixed-1","data":{"n":2}}',
        "",
        '{"event_type":"mixed.a","event_id":"mixed-1","data":{"n":1}}',
        '{"event_type":"mixed.a","event_id":"mixed-2"}',
    ]
    reasons = {
        2: "is not JSON",
        3: "is not JSON",
        4: "NaN is not a JSON value",
        5: "has no event_type",
        6: "'colour' is not a field of an event",
        7: "event_type must be segments",
        8: "event_type",
        9: "event_id must",
        10: "exists already with another content",
        11: "must be nested at most 128 levels deep",
        12: "262144",
        13: "data_json must be one JSON text",
        14: "data_content_type",
        15: "source must have at most 1024",
        16: "attributes keys must be",
        17: "exists already with another content",
    }

    published = await publish(server, "\n".join(lines))

    assert published.status == 1
    assert published.out == f"accepted 2, duplicate 1, refused {len(reasons)}\n"
    named = re.findall(r"^line (\d+) refused: (.*)$", published.err, re.MULTILINE)
    assert sorted(int(number) for number, _ in named) == sorted(reasons)
    for number, reason in named:
        assert reasons[int(number)] in reason
    await receiver.got(3)
    assert sorted(receiver.ids) == ["mixed-1", "mixed-2", "mixed-taken"]


async def test_more_refused_lines_than_one_error_can_name_are_all_named(server: Serving) -> None:
    bad = '{"event_type":"no type"}'
    lines = [bad if number % 2 else '{"event_type":"many"}' for number in range(1, 101)]

    published = await publish(server, "\n".join(lines))

    assert published.out == "accepted 50, duplicate 0, refused 50\n"
    assert published.err.count(" refused: ") == 50
    assert "line 99 refused: event_type must be segments" in published.err


async def test_publishing_a_file_again_changes_nothing(server: Serving, receiver: Receiver) -> None:
    await subscribe(server, receiver.url, "again")
    lines = "\n".join(
        f'{{"event_type":"again","event_id":"again-{number}","data":{{"n":{number}}}}}'
        for number in range(1200)
    )

    first, second = await publish(server, lines), await publish(server, lines, "--json")

    assert first.out == "accepted 1200, duplicate 0, refused 0\n"
    assert second.json == {"accepted": 0, "duplicate": 1200, "refused": 0}
    assert second.status == 0
    await receiver.got(1200, within=20)
    assert len(set(receiver.ids)) == len(receiver.ids) == 1200


async def test_large_payloads_are_spread_over_batches(server: Serving) -> None:
    text = "x" * 200_000
    lines = "\n".join(f'{{"event_type":"large","data":"{number}{text}"}}' for number in range(40))

    assert (await publish(server, lines)).out == "accepted 40, duplicate 0, refused 0\n"


async def test_lines_from_a_pipe_go_out_while_it_stays_open(
    server: Serving, receiver: Receiver
) -> None:
    await subscribe(server, receiver.url, "piped")
    process = await start("publish", "--file", "-", "--server", server.address)
    assert process.stdin is not None
    for number in range(3):
        process.stdin.write(f'{{"event_type":"piped","data":{number}}}\n'.encode())
        await process.stdin.drain()
        await receiver.got(number + 1, within=WITHIN)
    published = await finish(process)

    assert published.out == "accepted 3, duplicate 0, refused 0\n"


async def test_an_interrupted_pipe_says_what_was_published(
    server: Serving, receiver: Receiver
) -> None:
    await subscribe(server, receiver.url, "interrupted")
    process = await start("publish", "--file", "-", "--server", server.address)
    assert process.stdin is not None
    process.stdin.write(b'{"event_type":"interrupted"}\n{"event_type":')
    await process.stdin.drain()
    await receiver.got(1, within=WITHIN)
    await asyncio.sleep(0.3)  # for the answer, which may come after the delivery
    send_signal(process, signal.SIGINT)
    published = await finish(process)

    assert published.status == 130
    assert published.out == "accepted 1, duplicate 0, refused 0\n"
    assert published.err == ""


async def test_a_terminal_gets_a_progress_bar(server: Serving, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event_type":"shown"}\nnot JSON [bold]\n')
    terminal, stderr = pty.openpty()
    options = ("--file", str(path), "--server", server.address)
    process = await start("publish", *options, stderr=stderr)
    os.close(stderr)
    shown, published = await asyncio.gather(asyncio.to_thread(read_all, terminal), finish(process))

    assert "publishing" in shown
    assert "100%" in shown
    assert "line 2 refused: is not JSON" in shown
    assert published.out == "accepted 1, duplicate 0, refused 1\n"


def read_all(terminal: int) -> str:
    """Read until the other end is closed, which a terminal tells by an error."""
    shown = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 65536):
            shown += chunk
    os.close(terminal)
    return shown.decode()


@pytest.mark.long
async def test_a_server_that_restarts_meanwhile_gets_every_event_once(
    tmp_path: Path, receiver: Receiver
) -> None:
    async with serving(tmp_path / "data") as server:
        await subscribe(server, receiver.url, "restarted")
        process = await start("publish", "--file", "-", "--server", server.address)
        assert process.stdin is not None
        await write_lines(process.stdin, range(10))
        await receiver.got(10, within=WITHIN)
    # Nobody serves now: what comes is tried until somebody does.
    await write_lines(process.stdin, range(10, 20))
    await asyncio.sleep(0.5)
    async with serving(tmp_path / "data", listen=server.address):
        await receiver.got(20, within=15)
        published = await finish(process)

    assert published.out == "accepted 20, duplicate 0, refused 0\n"
    assert published.status == 0
    assert len(receiver.requests) == 20


async def write_lines(stream: asyncio.StreamWriter, numbers: range) -> None:
    for number in numbers:
        stream.write(f'{{"event_type":"restarted","data":{number}}}\n'.encode())
    await stream.drain()


async def test_a_server_that_is_gone_ends_it_with_one_line_and_the_counts(
    tmp_path: Path,
) -> None:
    lines = b'{"event_type":"gone"}\n'
    published = await run("publish", "--file", "-", "--server", "127.0.0.1:1", given=lines)

    assert published.status == 1
    assert published.out == "accepted 0, duplicate 0, refused 0\n"
    first, second = published.err.splitlines()
    assert first == "stopped: lines from 1 on may not be published"
    assert "no server answers at 127.0.0.1:1" in second


async def test_a_tenant_that_does_not_exist_is_not_blamed_on_the_lines(server: Serving) -> None:
    published = await publish(server, '{"event_type":"a"}\n{"event_type":"b"}', "--tenant", "no")

    assert published.status == 1
    assert "tenants/no does not exist" in published.err
    assert "refused:" not in published.err
