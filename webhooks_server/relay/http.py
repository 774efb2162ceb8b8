"""The relay over HTTP: one request, one deadline, one cap on what is read, and never a redirect."""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp.http import HttpProcessingError

from webhooks_server.domain.egress import PUBLIC, EgressPolicy
from webhooks_server.domain.outbound import OutboundRequest, SendResult
from webhooks_server.domain.retry_after import parse_retry_after
from webhooks_server.domain.times import Instant, Micros, seconds
from webhooks_server.engine.deadlines import Deadlines
from webhooks_server.ports import Clock, Relay
from webhooks_server.relay.addresses import Addresses
from webhooks_server.relay.answer import keep_body, keep_head
from webhooks_server.relay.connection import WatchedConnector, protocol_of
from webhooks_server.relay.exchange import CURRENT, Exchange, Stage
from webhooks_server.relay.guard import BlockedAddressError, Guard
from webhooks_server.relay.outcomes import judge_error, judge_status
from webhooks_server.relay.resolver import GuardedResolver
from webhooks_server.relay.target import UnsendableError, aim, request_head

_KNOWN_TARGETS = 1024
_FAILURES = (
    TimeoutError,
    OSError,
    aiohttp.ClientError,
    HttpProcessingError,
    UnsendableError,
    BlockedAddressError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig:
    """How many requests at once, how much of an answer is kept, how long a connection may take.

    The time is in seconds. `nameservers` (`address` or `address:port`) are asked, and authorities
    in `ca_file` (PEM) are trusted, in the place of the system's. The bounds of each address are
    none where they are 0. Requests go where the `egress` policy lets them, which is public
    addresses unless it says otherwise, and never to the server's `own` listeners.
    """

    egress: EgressPolicy = PUBLIC
    own: tuple[tuple[str, int], ...] = ()
    concurrency: int = 256
    kept_body_bytes: int = 16 * 1024
    kept_header_bytes: int = 8 * 1024
    connect_timeout: float = 5.0
    address_in_flight: int = 0
    address_requests_per_second: int = 0
    nameservers: tuple[str, ...] = ()
    ca_file: Path | None = None


@asynccontextmanager
async def open_relay(config: RelayConfig, clock: Clock) -> AsyncIterator[Relay]:
    """Open the relay; at the end its connections are closed."""
    guard = Guard(config.egress, config.own)
    resolver = GuardedResolver(config.nameservers, guard, clock.monotonic)
    try:
        addresses = Addresses(
            config.address_in_flight, config.address_requests_per_second, clock.monotonic
        )
        connector = WatchedConnector(resolver, _tls(config), guard, addresses.check)
        async with connector:
            yield HttpRelay(config, connector, addresses, clock)
    finally:
        await resolver.close()


def _tls(config: RelayConfig) -> ssl.SSLContext | None:
    if config.ca_file is None:
        return None
    context = ssl.create_default_context(cafile=config.ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


class HttpRelay:
    """Implements ports.Relay."""

    def __init__(
        self,
        config: RelayConfig,
        connector: WatchedConnector,
        addresses: Addresses,
        clock: Clock,
    ) -> None:
        self._config = config
        self._addresses = addresses
        self._connector = connector
        self._clock = clock
        self._free = asyncio.Semaphore(config.concurrency)
        self._aim = functools.lru_cache(maxsize=_KNOWN_TARGETS)(aim)
        self._deadlines = Deadlines()
        # aiohttp has no part in the deadline over all: it would round it up to whole seconds.
        self._connect_timeout = aiohttp.ClientTimeout(
            sock_connect=config.connect_timeout, ceil_threshold=config.connect_timeout
        )

    def share(self, engines: int) -> None:
        """Keep to the share of one of so many in what all requests to one address may do."""
        self._addresses.share(engines)

    async def send(self, request: OutboundRequest) -> SendResult:
        """Send a request and tell what came of it; waiting for its turn is not on its time."""
        exchange = Exchange()
        async with self._free:
            token = CURRENT.set(exchange)
            start_time, started = self._clock.wall(), self._clock.monotonic()
            error: Exception | None = None
            try:
                with self._deadlines.within(seconds(request.timeout)):
                    await self._exchange(request, exchange)
            except _FAILURES as failure:
                error = failure
            finally:
                CURRENT.reset(token)
            latency = Micros(round((self._clock.monotonic() - started) * 1_000_000))
        return _result(exchange, error, start_time, latency)

    async def _exchange(self, request: OutboundRequest, exchange: Exchange) -> None:
        target = self._aim(request.url)
        head = request_head(target, request.headers, len(request.body))
        connection = await self._connector.connect(target.route, [], self._connect_timeout)
        exchange.stage = Stage.SENT
        protocol = protocol_of(connection)
        reusable = False
        address = protocol.remote_ip_address
        try:
            if self._addresses.bounded:
                self._enter(address, exchange)
            protocol.ask(head, request.body)
            exchange.remote_ip_address = address
            message, content = await protocol.answer()
            keep_head(message, exchange, self._config.kept_header_bytes)
            await keep_body(content, exchange, self._config.kept_body_bytes)
            reusable = content.at_eof() and protocol.is_all_written()
        finally:
            if exchange.is_counted:
                self._addresses.leave(address)
            if reusable:
                protocol.rest()
                connection.release()
            else:
                # At once: a polite close would first wait for a receiver that does not read.
                protocol.abort()
                connection.close()

    def _enter(self, address: str, exchange: Exchange) -> None:
        self._addresses.enter(address)
        exchange.is_counted = True


def _result(
    exchange: Exchange, error: Exception | None, start_time: Instant, latency: Micros
) -> SendResult:
    status, asked = exchange.status_code, exchange.retry_after
    if status is not None:
        verdict = judge_status(status)
    elif error is not None:
        verdict = judge_error(error, exchange.stage)
    else:
        raise AssertionError("a request ends with an answer or with an error")
    return SendResult(
        outcome=verdict.outcome,
        start_time=start_time,
        latency=latency,
        status_code=status or 0,
        error_message=verdict.error_message,
        is_ours=verdict.is_ours,
        may_be_ours=verdict.may_be_ours,
        headers=exchange.headers,
        body=exchange.body,
        body_truncated=exchange.body_truncated,
        remote_ip_address=exchange.remote_ip_address,
        retry_after=None if asked is None else parse_retry_after(asked, start_time),
    )
