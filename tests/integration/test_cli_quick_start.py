"""What the README has a newcomer paste: subscribe, listen, publish, and look at what came of it."""

import asyncio
import base64
import json
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.harness.command_line import (
    Serving,
    finish,
    free_port,
    line_with,
    listening,
    run,
    send_signal,
    serving,
    start,
)


@pytest_asyncio.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    async with serving(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


async def test_an_event_travels_from_publish_to_listen_with_good_signatures(
    server: Serving,
) -> None:
    there = ("--server", server.address)
    port = str(free_port())
    subscribed = await run("subscribe", f"http://127.0.0.1:{port}", "invoice.*", *there)
    assert (subscribed.status, subscribed.err) == (0, "")
    pairs = dict(line.split(maxsplit=1) for line in subscribed.out.splitlines())
    assert pairs["name"].startswith("tenants/default/subscriptions/sub_")
    assert pairs["secret"].startswith("whsec_")

    options = ("--port", port, "--secret", pairs["secret"], "--count", "1", "--json")
    async with listening(*options) as (_, receiver):
        published = await run("publish", "invoice.paid", '{"amount":  12}', "--json", *there)
        heard = await finish(receiver)

    assert published.json["matched_subscriptions"] == 1
    request = json.loads(heard.out)
    assert request["body"] == '{"amount":  12}'
    assert request["verdicts"] == {"webhook-signature": "ok", "x-hub-signature-256": "ok"}
    assert f"tenants/default/events/{request['headers']['webhook-id']}" == published.json["event"]
    assert heard.status == 0


async def test_publish_says_what_became_of_the_event(server: Serving) -> None:
    command = ("publish", "nobody.cares", "{}", "--event-id", "once", "--server", server.address)
    first, second = await run(*command), await run(*command)

    assert first.out.splitlines() == [
        "event                  tenants/default/events/once",
        "duplicate              no",
        "matched_subscriptions  0",
    ]
    assert "duplicate              yes" in second.out


async def test_all_options_of_subscribe_reach_the_receiver(server: Serving) -> None:
    secret = "a-passphrase-of-my-own"
    async with listening("--port", "0", "--secret", secret, "--count", "1", "--json") as heard:
        url, receiver = heard
        subscribed = await run(
            *("subscribe", f"{url}/mine?x=1", "mine.one", "mine.two", "--id", "mine"),
            *("--secret", secret, "--header", "X-One: 1", "--header", "X-Two: a: b"),
            *("--secret-header", "Authorization: Bearer canary", "--display-name", "Mine"),
            *("--skip-ping", "--server", server.address),
        )
        await run("publish", "mine.two", "--server", server.address)
        request = json.loads((await finish(receiver)).out)

    assert subscribed.out.splitlines() == [
        "name    tenants/default/subscriptions/mine",
        "secret  (as given)",
    ]
    assert (request["path"], request["body"]) == ("/mine?x=1", "{}")
    assert request["headers"]["x-one"] == "1"
    assert request["headers"]["x-two"] == "a: b"
    assert request["headers"]["authorization"] == "Bearer canary"
    assert request["verdicts"] == {"x-hub-signature-256": "ok"}


async def test_a_new_subscription_is_pinged_at_once(server: Serving) -> None:
    async with listening("--port", "0", "--count", "1", "--json") as (url, receiver):
        await run("subscribe", url, "pinged", "--server", server.address)
        request = json.loads((await finish(receiver)).out)

    assert request["headers"]["x-webhook-event"] == "webhooks.ping"


async def test_payloads_from_a_file_and_from_standard_input_go_out_byte_for_byte(
    server: Serving, tmp_path: Path
) -> None:
    text = '{ "ä": 9007199254740993.10,\r\n "ä": "\\ud800" }\n'.encode()
    image = bytes(range(256))
    (tmp_path / "image.png").write_bytes(image)
    async with listening("--port", "0", "--count", "2", "--json") as (url, receiver):
        there = ("--server", server.address)
        await run("subscribe", url, "bytes.*", "--skip-ping", *there)
        await run("publish", "bytes.json", "--data-file", "-", *there, given=text)
        options = ("--data-file", str(tmp_path / "image.png"), "--content-type", "image/png")
        await run("publish", "bytes.image", *options, *there)
        heard = await finish(receiver)

    requests = {
        request["headers"]["content-type"]: request
        for request in map(json.loads, heard.out.splitlines())
    }
    assert requests["application/json"]["body"].encode() == text
    assert base64.b64decode(requests["image/png"]["body_base64"]) == image


async def test_audit_counts_without_a_violation(server: Serving) -> None:
    await run("publish", "counted", "--server", server.address)
    shown = await run("audit", "--server", server.address)
    counted = await run("audit", "--json", "--tenant", "default", "--server", server.address)

    assert (shown.status, counted.status) == (0, 0)
    assert shown.out.splitlines()[-1].split() == ["violations", "0"]
    assert counted.json["violations"] == []
    assert isinstance(counted.json["events"], int)
    assert counted.json["events"] >= 1


async def test_the_server_prints_the_commands_to_paste_next(tmp_path: Path) -> None:
    process = await start("serve", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"))
    subscribe, listen, publish = [
        shlex.split(await line_with(process.stderr, f"-m webhooks_server {command} "))
        for command in ("subscribe", "listen", "publish")
    ]
    # Port 8080 may be taken here.
    port = str(free_port())
    subscribe[4] = f"http://127.0.0.1:{port}"

    await run(*subscribe[3:])
    async with listening(*listen[4:], "--port", port, "--count", "1", "--json") as (_, receiver):
        await run(*publish[3:])
        heard = await finish(receiver)
    send_signal(process, signal.SIGTERM)
    finished = await finish(process)

    assert [command[:3] for command in (subscribe, listen, publish)] == [
        [sys.executable, "-m", "webhooks_server"]
    ] * 3
    request = json.loads(heard.out)
    assert request["body"] == '{"amount": 12}'
    assert request["verdicts"] == {"webhook-signature": "ok", "x-hub-signature-256": "ok"}
    assert heard.status == 0
    assert finished.status == 0
    assert "server.stopped" in finished.err


async def test_a_wrong_request_is_one_line_that_names_the_field(server: Serving) -> None:
    results = await asyncio.gather(
        run("subscribe", "ftp://127.0.0.1", "a", "--server", server.address),
        run("subscribe", "http://127.0.0.1", "a..b", "--server", server.address),
        run("publish", "a", "{", "--server", server.address),
        run("publish", "a", "{}", "--tenant", "other", "--server", server.address),
    )

    assert [result.status for result in results] == [1, 1, 1, 1]
    assert [result.err.count("\n") for result in results] == [1, 1, 1, 1]
    words = ("config.url", "events", "data_json", "tenants/other does not exist")
    for result, word in zip(results, words, strict=True):
        assert word in result.err
        assert result.out == ""
