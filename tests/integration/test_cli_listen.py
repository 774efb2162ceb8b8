"""`listen`: requests shown, signatures verified, answers as told."""

import asyncio
import base64
import hmac
import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook

from tests.harness.command_line import finish, line_with, listening, run, send_signal, start
from webhooks_server.cli.verification import verify

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PASSPHRASE = "a passphrase without any whsec".replace(" ", "-")


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("POST", parts.path or "/", body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


async def send(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    return await asyncio.to_thread(post, url, body, headers)


def hub(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()


def standard(body: bytes, at: float | None = None) -> dict[str, str]:
    moment = datetime.fromtimestamp(time.time() if at is None else at, tz=UTC)
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("evt_1", moment, body.decode()),
    }


async def test_a_signed_request_is_shown_and_verified() -> None:
    body = '{"amount": "12 €"}'.encode()
    headers = standard(body) | {"X-Hub-Signature-256": hub(body), "X-Webhook-Event": "invoice.paid"}
    async with listening("--port", "0", "--count", "1", "--secret", SECRET) as (url, process):
        assert await send(f"{url}/hook?x=1", body, headers) == 200
        finished = await finish(process)

    assert finished.status == 0
    assert "POST /hook" in finished.out
    assert "x-webhook-event: invoice.paid" in finished.out
    assert body.decode() in finished.out
    assert "signatures: webhook-signature ok, x-hub-signature-256 ok" in finished.out
    assert finished.out.endswith("received 1, verified 1, refused 0\n")


async def test_a_wrong_signature_is_told_and_makes_the_status_1() -> None:
    body = b"{}"
    headers = standard(body) | {"X-Hub-Signature-256": hub(b"other")}
    async with listening("--port", "0", "--count", "2", "--secret", SECRET) as (url, process):
        await send(url, body, headers)
        await send(url, body, {})
        finished = await finish(process)

    assert finished.status == 1
    assert "x-hub-signature-256 does not match" in finished.out
    assert "webhook-signature is missing" in finished.out
    assert "received 2, verified 0, refused 2" in finished.out


async def test_json_for_programs_has_any_body() -> None:
    async with listening("--port", "0", "--count", "2", "--json") as (url, process):
        await send(url, b'{"a":1}', {"X-A": "1"})
        await send(url, b"\xff\x00", {})
        finished = await finish(process)

    text, binary = map(json.loads, finished.out.splitlines())
    assert (text["body"], text["headers"]["x-a"], text["verified"]) == ('{"a":1}', "1", None)
    assert base64.b64decode(binary["body_base64"]) == b"\xff\x00"
    assert finished.status == 0


async def test_it_answers_the_status_that_it_is_told_after_the_wait() -> None:
    options = ("--port", "0", "--count", "1", "--status", "503", "--wait", "0.3", "--quiet")
    async with listening(*options) as (url, process):
        began = time.monotonic()
        assert await send(url, b"{}", {}) == 503
        assert time.monotonic() - began >= 0.3
        finished = await finish(process)

    assert finished.out == "received 1, verified 0, refused 0\n"


async def test_what_is_received_cannot_command_the_terminal() -> None:
    async with listening("--port", "0", "--count", "1") as (url, process):
        await send(url, b"\x1b[31mred\x07", {})
        finished = await finish(process)

    assert r"\x1b[31mred\x07" in finished.out
    assert "\x1b" not in finished.out


async def test_ctrl_c_ends_it_quietly() -> None:
    async with listening("--port", "0") as (_, process):
        send_signal(process, signal.SIGINT)
        finished = await finish(process)

    assert (finished.status, finished.err) == (130, "")
    assert finished.out == "received 0, verified 0, refused 0\n"


async def test_it_ends_quietly_when_nobody_reads_any_more() -> None:
    reading, writing = os.pipe()
    process = await start("listen", "--port", "0", stdout=writing)
    os.close(writing)
    line = await line_with(process.stderr, "listening on")
    os.close(reading)
    await send(line.split()[2], b"{}", {})
    finished = await finish(process)

    assert (finished.status, finished.err) == (141, "")


async def test_a_port_that_is_taken_is_one_clear_line() -> None:
    async with listening("--port", "0") as (url, _):
        port = url.rpartition(":")[2]
        finished = await run("listen", "--port", port)

    assert finished.status == 1
    assert finished.err == (
        f"webhooks-server: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    )


BODY = b'{"x":1}'


# Headers are made when they are verified: by the time of the last test these would be old.
VERDICTS: list[tuple[str, Callable[[], dict[str, str]], list[str]]] = [
    (SECRET, lambda: standard(BODY), [""]),
    (SECRET, lambda: {**standard(BODY), "x-hub-signature-256": hub(BODY)}, ["", ""]),
    (SECRET, lambda: standard(BODY, at=1_000_000_000), ["message timestamp too old"]),
    (SECRET, lambda: {**standard(BODY), "webhook-id": "evt_2"}, ["no matching signature found"]),
    (SECRET, lambda: {"webhook-signature": "v1,x"}, ["missing required headers"]),
    (
        SECRET,
        lambda: {**standard(BODY), "webhook-signature": "nonsense"},
        ["not a signature of Standard Webhooks"],
    ),
    (PASSPHRASE, lambda: {"x-hub-signature-256": hub(BODY, PASSPHRASE)}, [""]),
    (PASSPHRASE, lambda: {"x-hub-signature-256": hub(BODY, SECRET)}, ["does not match"]),
    (PASSPHRASE, lambda: {"x-hub-signature-256": "sha256=ä"}, ["does not match"]),
    (PASSPHRASE, lambda: standard(BODY), ["is missing"]),
    (SECRET, dict, ["is missing"]),
]


@pytest.mark.parametrize(("secret", "headers", "problems"), VERDICTS)
def test_each_signature_gets_its_verdict(
    secret: str, headers: Callable[[], dict[str, str]], problems: list[str]
) -> None:
    assert [verdict.problem for verdict in verify(secret, headers(), BODY)] == problems


def test_a_binary_body_is_verified_by_the_hub_signature() -> None:
    headers = {**standard(b"x"), "x-hub-signature-256": hub(b"\xff")}
    standard_verdict, hub_verdict = verify(SECRET, headers, b"\xff")

    assert "UTF-8" in standard_verdict.problem
    assert hub_verdict.problem == ""
