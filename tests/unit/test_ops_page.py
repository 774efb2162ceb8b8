"""The page to whoever means no good: bounded in time, bytes and connections, and silent."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.harness.scraping import exchange, get
from webhooks_server.domain.addresses import split_address
from webhooks_server.ops import page as page_module
from webhooks_server.ops.page import MAX_CONNECTIONS, MAX_HEAD_BYTES, Figures, Page, open_page

LARGE = b"x 1\n" * 4_000_000


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    async with open_page("127.0.0.1:0", Figures(lambda: b"figures 1\n", "text/x")) as opened:
        yield opened


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "EXCHANGE_SECONDS", 0.2)


async def test_a_scrape_gets_the_figures(page: Page) -> None:
    answer = await get(page.address, "/metrics?name=x")
    assert (answer.status, answer.body) == (200, "figures 1\n")
    assert answer.headers["content-type"] == "text/x"
    assert answer.headers["content-length"] == "10"


async def test_a_head_request_gets_no_body(page: Page) -> None:
    answer = await get(page.address, "/metrics", "HEAD")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, "", "10")


async def test_until_somebody_says_so_the_server_is_not_ready(page: Page) -> None:
    async def ready() -> bool:
        return True

    assert (await get(page.address, "/ready")).status == 503
    page.is_ready = ready
    assert (await get(page.address, "/ready")).status == 200
    assert (await get(page.address, "/live")).status == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 405),
        (b"DELETE /live HTTP/1.1\r\n\r\n", 405),
        (b"get /live HTTP/1.1\r\n\r\n", 405),
        (b"GET /../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET http://other/live HTTP/1.1\r\n\r\n", 404),
        (b"GET /live\r\n\r\n", 400),
        (b"GET /live HTTP/2.0\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\xff\xfe\r\n\r\n", 400),
        (b"GET /live HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
    ],
)
async def test_what_is_not_for_this_page_is_refused(
    page: Page, request_: bytes, status: int
) -> None:
    answer = await exchange(page.address, request_)
    assert answer.status == status
    # A phrase of the protocol, and no word of what was sent or of what went wrong.
    assert len(answer.body) < 40
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.usefixtures("impatient")
async def test_whoever_sends_slowly_is_cut_off(page: Page) -> None:
    assert (await exchange(page.address, b"GET /live HTT", within=2)).status == 0
    assert (await exchange(page.address, b"", within=2)).status == 0


@pytest.mark.usefixtures("impatient")
async def test_whoever_does_not_read_is_cut_off() -> None:
    async with open_page("127.0.0.1:0", Figures(lambda: LARGE, "text/x")) as page:
        reader, writer = await asyncio.open_connection(*split_address(page.address), limit=1)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        await asyncio.sleep(0.4)
        # What the kernel has taken comes still, and then an end before the end.
        got = b""
        try:
            while more := await reader.read(1 << 20):
                got += more
        except ConnectionError:
            pass
        writer.close()
        assert len(got) < len(LARGE)
        assert (await get(page.address, "/live")).status == 200


@pytest.mark.usefixtures("impatient")
async def test_more_connections_than_there_is_room_for_are_closed(page: Page) -> None:
    held = [
        await asyncio.open_connection(*split_address(page.address)) for _ in range(MAX_CONNECTIONS)
    ]
    await asyncio.sleep(0.05)
    assert (await get(page.address, "/live")).status == 0
    await asyncio.sleep(0.3)
    assert (await get(page.address, "/live")).status == 200
    for _, writer in held:
        writer.close()


async def test_a_fault_behind_the_page_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> bytes:
        raise RuntimeError("the canary sings")

    async with open_page("127.0.0.1:0", Figures(broken, "text/x")) as page:
        answer = await get(page.address, "/metrics")
        assert (await get(page.address, "/live")).status == 200
    assert (answer.status, answer.body) == (0, "")
    assert "the canary sings" in caplog.text
