"""The relay's end of one stream to a server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from webhooks.v1 import relay_service_pb2 as pb
from webhooks.v1.relay_service_pb2_grpc import RelayServiceStub
from webhooks_server.domain.errors import WebhooksError
from webhooks_server.rpc.client.failures import CallRefused, ServerUnreachable, failure_of

if TYPE_CHECKING:
    # Generic in the stubs alone.
    Stream = grpc.aio.StreamStreamCall[pb.AttachRelayRequest, pb.AttachRelayResponse]

OPEN_SECONDS = 10.0
LIFE_SECONDS = 240.0
"""How long a stream is used: servers end a connection some five minutes after it began."""
_STREAM_SECONDS = "x-stream-seconds"
MAX_MESSAGE_BYTES = 8 * 1024 * 1024

_FINAL = (
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
)
_Ask = pb.AttachRelayRequest
_OPTIONS = (
    # A server closes connections that have lived for some minutes: each stream has one of its own.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),
    # A proxy of the environment is for the web, not for a server that listens in plain text.
    ("grpc.enable_http_proxy", 0),
)


class RelayLink:
    """One stream, open. Once it is broken all methods do nothing, and messages() has ended."""

    def __init__(self, stream: "Stream", address: str, relay: str) -> None:
        """Take a stream on which nothing was said yet."""
        self._stream = stream
        self._address = address
        self._relay = relay
        self._writing = asyncio.Lock()
        self.broken: WebhooksError | None = None
        self.lease_seconds = 0.0
        self.life_seconds = LIFE_SECONDS
        self.slots = 0
        self.answers_due = 0
        self.is_retired = False
        self.is_finished = False

    async def open(self, slots: int) -> None:
        """Say who this is, and wait to be taken on; raises what is in `failures`."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self.resize(slots)
                first = await self._stream.read()
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from error
        except TimeoutError:
            raise ServerUnreachable(f"no answer from {self._address}") from None
        if not isinstance(first, pb.AttachRelayResponse):
            raise self.broken or ServerUnreachable(f"{self._address} ended the stream")
        self.opened()
        self.life_seconds = _life(await self._stream.initial_metadata())
        self.lease_seconds = first.opened.lease_duration.ToMilliseconds() / 1000

    def opened(self) -> None:
        """Take note that the server answered what was said of slots."""
        self.answers_due -= 1

    async def messages(self) -> AsyncIterator[pb.AttachRelayResponse]:
        """Yield what the server says, until the stream ends."""
        try:
            while isinstance(message := await self._stream.read(), pb.AttachRelayResponse):
                yield message
        except grpc.aio.AioRpcError as error:
            self.broken = self._failure(error)
        self.broken = self.broken or ServerUnreachable(f"{self._address} ended the stream")

    async def resize(self, slots: int) -> None:
        """Say how many requests may be here at once; the server answers that."""
        self.slots = slots
        self.answers_due += 1
        await self._say(_Ask(open=_Ask.Open(relay=self._relay, slots=slots)))

    async def report(self, reports: Sequence[pb.DeliveryReport]) -> None:
        """Say what came of requests."""
        await self._say(_Ask(reports=_Ask.Reports(reports=reports)))

    async def extend(self, tokens: Iterable[str]) -> None:
        """Ask for more time."""
        await self._say(_Ask(extend=_Ask.Leases(lease_tokens=tokens)))

    async def release(self, tokens: Iterable[str]) -> None:
        """Give requests back of which nothing was sent."""
        await self._say(_Ask(release=_Ask.Leases(lease_tokens=tokens)))

    async def finish(self) -> None:
        """Say that nothing more comes: what the server still sends is abandoned by then."""
        self.is_finished = True
        async with self._writing:
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await self._stream.done_writing()

    def _failure(self, error: grpc.aio.AioRpcError) -> WebhooksError:
        failure = failure_of(error, self._address)
        if isinstance(failure, CallRefused) and error.code() not in _FINAL:
            # Whatever lies between may cut a stream for reasons of its own.
            return ServerUnreachable(failure.message)
        return failure

    async def _say(self, message: pb.AttachRelayRequest) -> None:
        # gRPC takes one message of a stream at a time.
        async with self._writing:
            if self.broken is not None:
                return
            try:
                await self._stream.write(message)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                # Why, whoever reads is told.
                return


def _life(metadata: grpc.aio.Metadata) -> float:
    """Return how long a stream may be used: as the server says, where it ends connections soon."""
    said = metadata.get(_STREAM_SECONDS, "")
    try:
        return min(LIFE_SECONDS, float(said)) if said else LIFE_SECONDS
    except ValueError:
        return LIFE_SECONDS


@asynccontextmanager
async def open_link(address: str, relay: str) -> AsyncIterator[RelayLink]:
    """Open a connection to the server at host:port and a stream on it; at the end it is cut."""
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        stream = RelayServiceStub(channel).AttachRelay()
        link = RelayLink(stream, address, relay)
        try:
            yield link
        finally:
            link.broken = link.broken or ServerUnreachable("the stream was ended")
            stream.cancel()
