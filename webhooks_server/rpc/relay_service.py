"""RelayService: for relays in other networks."""

import asyncio
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration

from webhooks.v1 import relay_service_pb2 as pb
from webhooks_server.domain.times import SECOND
from webhooks_server.engine.attached import AttachedRelay, Held
from webhooks_server.engine.relays import LEASE_SECONDS, LONGEST_LEASE_SECONDS, Relays
from webhooks_server.rpc.call import Call
from webhooks_server.rpc.convert_relay import leased_message, read_relay
from webhooks_server.rpc.convert_times import read_duration
from webhooks_server.rpc.lease_tokens import LeaseTokens
from webhooks_server.rpc.relay_reports import RelayReports
from webhooks_server.rpc.relay_stream import MAX_BYTES, RelayStream, Requests, read_lease_tokens
from webhooks_server.services.violations import Violations

MAX_DELIVERIES = 100
PART_OF_AGE = 0.8
STREAM_SECONDS = "x-stream-seconds"
"""The metadata that tells a relay how long its stream may be used."""
LONGEST_WAIT_SECONDS = 20.0
SETTLING_SECONDS = 0.1
"""How long the first delivery may take where nobody wants to wait, and others after the first."""


class RelayServicer:
    """Hands out signed requests, and takes what came of them."""

    def __init__(
        self, relays: Relays, tokens: LeaseTokens, kept_bytes: int, connection_age: float
    ) -> None:
        """Take who gives the leases, how much of a receiver's answer is kept, and a bound.

        That is how many seconds a connection lives, 0 for as long as it likes.
        """
        self._connection_age = connection_age
        self._relays = relays
        self._tokens = tokens
        self._reports = RelayReports(relays, tokens, kept_bytes)

    async def AttachRelay(self, messages: Requests, call: Call) -> None:
        """Have the caller send for as long as the stream lives."""
        age = self._connection_age
        if age:
            # So that the next stream is open before this one has to end.
            seconds = f"{PART_OF_AGE * age:g}"
            await call.context.send_initial_metadata(((STREAM_SECONDS, seconds),))
        stream = RelayStream(self._relays, self._reports, self._tokens, messages, age or None)
        await stream.run()

    async def LeaseDeliveries(
        self, request: pb.LeaseDeliveriesRequest, call: Call
    ) -> pb.LeaseDeliveriesResponse:
        """Lease deliveries without a stream."""
        violations = Violations()
        name = read_relay(request.relay, "relay", violations)
        most = request.max_deliveries or 1
        if not 1 <= most <= MAX_DELIVERIES:
            violations.add("max_deliveries", f"must be 1 to {MAX_DELIVERIES}")
        span = LEASE_SECONDS
        if request.HasField("lease_duration"):
            span = _seconds(
                request.lease_duration, "lease_duration", LONGEST_LEASE_SECONDS, violations
            )
        wait = _seconds(request.wait_duration, "wait_duration", LONGEST_WAIT_SECONDS, violations)
        violations.raise_any()
        relay = self._relays.attach(name, most)
        try:
            held = await _first(relay, most, max(wait, SETTLING_SECONDS))
        finally:
            self._relays.leave_leases(relay)
        self._relays.extend([one.lease.token for one in held], span)
        leased = [leased_message(one, self._tokens.issue(one.lease)) for one in held]
        return pb.LeaseDeliveriesResponse(deliveries=leased)

    async def ReportDeliveries(
        self, request: pb.ReportDeliveriesRequest, call: Call
    ) -> pb.ReportDeliveriesResponse:
        """Record what came of requests."""
        relay = _named(request.relay)
        return await self._reports.record(relay, request.reports)

    async def ExtendLeases(
        self, request: pb.ExtendLeasesRequest, call: Call
    ) -> pb.ExtendLeasesResponse:
        """Keep leases from running out."""
        _named(request.relay)
        violations = Violations()
        span = _seconds(request.lease_duration, "lease_duration", LONGEST_LEASE_SECONDS, violations)
        violations.raise_any()
        texts = request.lease_tokens
        named = dict(zip(read_lease_tokens(self._tokens, texts), texts, strict=True))
        lost = [named[token] for token in self._relays.extend(named, span)]
        return pb.ExtendLeasesResponse(lost_lease_tokens=lost)

    async def ReleaseLeases(
        self, request: pb.ReleaseLeasesRequest, call: Call
    ) -> pb.ReleaseLeasesResponse:
        """Take leases back of which nothing was sent."""
        _named(request.relay)
        self._relays.release(read_lease_tokens(self._tokens, request.lease_tokens))
        return pb.ReleaseLeasesResponse()


async def _first(relay: AttachedRelay, most: int, wait: float) -> Sequence[Held]:
    """Wait for the first delivery, and a moment more for others that come with it."""
    taken: list[Held] = []
    try:
        async with asyncio.timeout(wait) as end:
            while len(taken) < most:
                taken += await relay.next(most - len(taken), MAX_BYTES)
                end.reschedule(asyncio.get_running_loop().time() + SETTLING_SECONDS)
    except TimeoutError:
        pass
    return taken


def _named(relay: str) -> str:
    violations = Violations()
    read_relay(relay, "relay", violations)
    violations.raise_any()
    return relay


def _seconds(span: Duration, path: str, most: float, violations: Violations) -> float:
    given = read_duration(span, path, violations)
    if not 0 <= given <= most * SECOND:
        violations.add(path, f"must be 0 to {most:.0f} s")
    return given / SECOND
