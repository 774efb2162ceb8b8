"""The server's end of a relay's stream."""

import asyncio
from collections.abc import Sequence

from webhooks.v1 import relay_service_pb2 as pb
from webhooks_server.domain.errors import ShuttingDown, StreamAged, invalid
from webhooks_server.domain.times import Micros
from webhooks_server.engine.attached import AttachedRelay, Held
from webhooks_server.engine.relays import LEASE_SECONDS, Relays
from webhooks_server.rpc.convert_relay import MAX_SLOTS, leased_message, read_relay, read_slots
from webhooks_server.rpc.convert_times import duration
from webhooks_server.rpc.lease_tokens import LeaseTokens
from webhooks_server.rpc.relay_reports import RelayReports
from webhooks_server.rpc.wall import Messages
from webhooks_server.services.violations import Violations

Requests = Messages[pb.AttachRelayRequest]

MAX_DELIVERIES = 64
MAX_BYTES = 1024 * 1024
MAX_REPORTS_WAITING = 16
"""Messages of reports that wait for their records; then the stream is not read on."""


class RelayStream:
    """One relay, from its first message to the end of its stream."""

    def __init__(
        self,
        relays: Relays,
        reports: RelayReports,
        tokens: LeaseTokens,
        messages: Requests,
        seconds: float | None,
    ) -> None:
        """Take who gives the leases, who records, where to write, and how long this may last."""
        self._seconds = seconds
        self._relays = relays
        self._reports = reports
        self._tokens = tokens
        self._messages = messages
        self._writing = asyncio.Lock()
        self._room = asyncio.Semaphore(MAX_REPORTS_WAITING)

    async def run(self) -> None:
        """Serve the relay until it ends the stream, or raise ShuttingDown once it may go.

        One that stays for too long is given nothing more; its connection would cut off the rest.
        """
        relay = self._attach(await self._next())
        aging = self._aging(relay)
        try:
            await self._write(_opened())
            async with asyncio.TaskGroup() as tasks:
                handing = tasks.create_task(self._hand_over(relay))
                reading = tasks.create_task(self._read(relay, tasks))
                dismissed = tasks.create_task(self._relays.dismissed(relay))
                await asyncio.wait({reading, dismissed}, return_when=asyncio.FIRST_COMPLETED)
                for task in (handing, reading, dismissed):
                    task.cancel()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            if aging is not None:
                aging.cancel()
            self._relays.detach(relay)
        if not reading.done() or reading.cancelled():
            raise StreamAged if relay.is_leaving else ShuttingDown

    def _aging(self, relay: AttachedRelay) -> asyncio.TimerHandle | None:
        if self._seconds is None:
            return None
        return asyncio.get_running_loop().call_later(self._seconds, self._relays.retire, relay)

    def _attach(self, first: pb.AttachRelayRequest | None) -> AttachedRelay:
        if first is None or not first.HasField("open"):
            raise invalid("open", "must be the first message of the stream", "STREAM_PROTOCOL")
        violations = Violations()
        violations.prefix = "open."
        name = read_relay(first.open.relay, "relay", violations)
        slots = read_slots(first.open.slots, "slots", violations)
        violations.raise_any()
        return self._relays.attach(name, slots)

    async def _hand_over(self, relay: AttachedRelay) -> None:
        while True:
            held = await relay.next(MAX_DELIVERIES, MAX_BYTES)
            if held:
                deliveries = pb.AttachRelayResponse.Deliveries(deliveries=self._leased(held))
                await self._write(pb.AttachRelayResponse(deliveries=deliveries))

    def _leased(self, held: Sequence[Held]) -> list[pb.LeasedDelivery]:
        return [leased_message(one, self._tokens.issue(one.lease)) for one in held]

    async def _next(self) -> pb.AttachRelayRequest | None:
        read = await self._messages.read()
        return None if read is None else read[0]

    async def _read(self, relay: AttachedRelay, tasks: asyncio.TaskGroup) -> None:
        while (request := await self._next()) is not None:
            self._relays.seen(relay)
            match request.WhichOneof("request"):
                case "open":
                    violations = Violations()
                    slots = read_slots(request.open.slots, "open.slots", violations)
                    violations.raise_any()
                    self._relays.resize(relay, slots)
                    # Behind what is being written: no delivery comes after the answer to 0.
                    await self._write(_opened())
                case "reports":
                    await self._room.acquire()
                    tasks.create_task(self._report(relay, request.reports.reports))
                case "extend":
                    await self._extend(request.extend.lease_tokens)
                case "release":
                    self._relays.release(self._read_tokens(request.release.lease_tokens))
                case _:
                    raise invalid("request", "is required", "STREAM_PROTOCOL")

    async def _report(self, relay: AttachedRelay, reports: Sequence[pb.DeliveryReport]) -> None:
        try:
            reported = await self._reports.record(relay.name, reports)
            await self._write(pb.AttachRelayResponse(reported=reported))
        finally:
            self._room.release()

    async def _extend(self, texts: Sequence[str]) -> None:
        named = dict(zip(self._read_tokens(texts), texts, strict=True))
        lost = [named[token] for token in self._relays.extend(named)]
        extended = pb.ExtendLeasesResponse(lost_lease_tokens=lost)
        await self._write(pb.AttachRelayResponse(extended=extended))

    def _read_tokens(self, texts: Sequence[str]) -> list[bytes]:
        return read_lease_tokens(self._tokens, texts)

    async def _write(self, response: pb.AttachRelayResponse) -> None:
        # gRPC takes one message of a stream at a time.
        async with self._writing:
            await self._messages.write(response)


def _opened() -> pb.AttachRelayResponse:
    span = Micros(round(LEASE_SECONDS * 1_000_000))
    return pb.AttachRelayResponse(
        opened=pb.AttachRelayResponse.Opened(lease_duration=duration(span))
    )


def read_lease_tokens(tokens: LeaseTokens, texts: Sequence[str]) -> list[bytes]:
    """Read which attempts are meant; raises InvalidArgument."""
    if not 1 <= len(texts) <= MAX_SLOTS:
        raise invalid("lease_tokens", f"must have 1 to {MAX_SLOTS} tokens, has {len(texts)}")
    return [tokens.read(text, "lease_tokens").token for text in texts]
