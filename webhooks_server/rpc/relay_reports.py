"""Reports of relays: each recorded by itself, each with its own answer."""

import asyncio
from collections.abc import Sequence

from webhooks.v1 import delivery_pb2
from webhooks.v1 import relay_service_pb2 as pb
from webhooks_server.domain.errors import WebhooksError, invalid
from webhooks_server.engine.relays import Relays
from webhooks_server.rpc.convert_relay import read_result
from webhooks_server.rpc.errors import item_status
from webhooks_server.rpc.lease_tokens import LeaseTokens

MAX_REPORTS = 100
Result = pb.ReportDeliveriesResponse.Result


class RelayReports:
    """Takes reports, whoever leased what they are about."""

    def __init__(self, relays: Relays, tokens: LeaseTokens, kept_bytes: int) -> None:
        """Take who knows the leases, and how much of a receiver's answer is kept."""
        self._relays = relays
        self._tokens = tokens
        self._kept_bytes = kept_bytes

    async def record(
        self, relay: str, reports: Sequence[pb.DeliveryReport]
    ) -> pb.ReportDeliveriesResponse:
        """Record all; answered is what is on record, and what never will be."""
        if not 1 <= len(reports) <= MAX_REPORTS:
            raise invalid("reports", f"must have 1 to {MAX_REPORTS} reports, has {len(reports)}")
        results = await asyncio.gather(*(self._record(relay, report) for report in reports))
        return pb.ReportDeliveriesResponse(results=results)

    async def _record(self, relay: str, report: pb.DeliveryReport) -> Result:
        try:
            lease = self._tokens.read(report.lease_token, "lease_token")
            result = read_result(report, relay, self._kept_bytes)
            recorded = await self._relays.report(lease, result)
        except WebhooksError as error:
            return Result(lease_token=report.lease_token, error=item_status(error))
        state = delivery_pb2.Delivery.State.ValueType(recorded.state)
        return Result(lease_token=report.lease_token, state=state)
