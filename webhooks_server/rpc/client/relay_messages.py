"""What a relay gets and says, as values of the domain."""

from dataclasses import dataclass

from webhooks.v1 import delivery_pb2
from webhooks.v1 import relay_service_pb2 as pb
from webhooks_server.domain.outbound import OutboundRequest, SendResult
from webhooks_server.domain.times import Micros
from webhooks_server.rpc.convert_times import duration, optional_duration, timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedRequest:
    """A request to send, and the token to report it by."""

    token: str
    delivery: str
    request: OutboundRequest


def leased_request(message: pb.LeasedDelivery) -> LeasedRequest:
    """Return a request as it came."""
    request = message.request
    return LeasedRequest(
        token=message.lease_token,
        delivery=message.delivery,
        request=OutboundRequest(
            url=request.url,
            headers=tuple((header.key, header.value) for header in request.headers),
            body=request.body,
            timeout=Micros(request.timeout.ToMicroseconds()),
        ),
    )


def report_message(token: str, result: SendResult) -> pb.DeliveryReport:
    """Return what came of a request as it is reported."""
    return pb.DeliveryReport(
        lease_token=token,
        outcome=delivery_pb2.DeliveryAttempt.Outcome.ValueType(result.outcome),
        response_status_code=result.status_code,
        error_message=result.error_message,
        start_time=timestamp(result.start_time),
        latency=duration(result.latency),
        response_headers=[pb.Header(key=name, value=value) for name, value in result.headers],
        response_body=result.body,
        response_body_truncated=result.body_truncated,
        remote_ip_address=result.remote_ip_address,
        retry_after=optional_duration(result.retry_after),
        relay_failed=result.is_ours,
        relay_may_have_failed=result.may_be_ours,
    )
