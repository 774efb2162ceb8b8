"""What is kept of an answer, as it comes: the head at once, then the body up to a cap."""

from aiohttp import hdrs
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from webhooks_server.domain.signing import Header
from webhooks_server.relay.exchange import Exchange

DRAINED_BYTES = 16 * 1024
"""A body up to this size is read to its end even where less is kept, to keep its connection."""

RawHeaders = tuple[tuple[bytes, bytes], ...]


def keep_head(message: RawResponseMessage, exchange: Exchange, most: int) -> None:
    """Note status and headers: from here on the status decides, whatever becomes of the body."""
    exchange.status_code = message.code
    exchange.headers = _kept_headers(message.raw_headers, most)
    exchange.retry_after = message.headers.get(hdrs.RETRY_AFTER)


async def keep_body(content: StreamReader, exchange: Exchange, most: int) -> None:
    """Read the body as far as it is kept or drained, and note what has come of it so far."""
    read = 0
    while not content.at_eof() and read <= max(most, DRAINED_BYTES):
        part = await content.readany()
        read += len(part)
        exchange.body = (exchange.body + part)[:most]
        exchange.body_truncated = read > most


def _kept_headers(raw: RawHeaders, most: int) -> tuple[Header, ...]:
    if sum([len(name) + len(value) for name, value in raw]) > most:
        raw = _that_fit(raw, most)
    return tuple([(_text(name), _text(value)) for name, value in raw])


def _that_fit(raw: RawHeaders, most: int) -> RawHeaders:
    kept = []
    # A redirect without its target would tell nobody what is wrong.
    for name, value in sorted(raw, key=lambda header: header[0].lower() != b"location"):
        size = len(name) + len(value)
        if size <= most:
            kept.append((name, value))
            most -= size
    return tuple(kept)


def _text(value: bytes) -> str:
    # No store takes half a character or NUL.
    return value.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
