"""What goes to relays elsewhere and comes from them: requests out, results in."""

from collections.abc import Iterable

from webhooks.v1 import delivery_pb2
from webhooks.v1 import relay_service_pb2 as pb
from webhooks_server.domain.bounds import text_problem
from webhooks_server.domain.delivery import Outcome
from webhooks_server.domain.ids import is_lower_id
from webhooks_server.domain.outbound import OutboundRequest, SendResult
from webhooks_server.domain.signing import Header
from webhooks_server.domain.times import DAY
from webhooks_server.engine.attached import Held
from webhooks_server.rpc.convert_times import duration, read_duration, read_timestamp, timestamp
from webhooks_server.services.violations import Violations

MAX_SLOTS = 4096
MAX_MESSAGE = 512
MAX_ADDRESS = 64
MAX_STATUS = 999
KEPT_HEADER_BYTES = 8192


def leased_message(held: Held, token: str) -> pb.LeasedDelivery:
    """Return a request as a relay gets it."""
    return pb.LeasedDelivery(
        lease_token=token,
        delivery=held.lease.delivery_name,
        attempt_number=held.lease.attempt_number,
        lease_expire_time=timestamp(held.expire_time),
        request=_request_message(held.request),
    )


def read_result(report: pb.DeliveryReport, relay: str, kept_bytes: int) -> SendResult:
    """Read what came of a request; raises InvalidArgument.

    Of the answer so much is kept as this server is set to keep: nothing, or headers too.
    """
    violations = Violations()
    start_time = read_timestamp(report.start_time, "start_time", violations)
    latency = read_duration(report.latency, "latency", violations)
    if not 0 <= latency <= DAY:
        violations.add("latency", "must be 0 to 24 h")
    retry_after = None
    if report.HasField("retry_after"):
        retry_after = read_duration(report.retry_after, "retry_after", violations)
        if not 0 <= retry_after <= 365 * DAY:
            violations.add("retry_after", "must be 0 to 365 days")
    if not 0 <= report.response_status_code <= MAX_STATUS:
        violations.add("response_status_code", f"must be 0 to {MAX_STATUS}")
    violations.add("error_message", text_problem(report.error_message, MAX_MESSAGE))
    violations.add("remote_ip_address", text_problem(report.remote_ip_address, MAX_ADDRESS))
    outcome = _outcome(report.outcome, violations)
    violations.raise_any()
    body = report.response_body[:kept_bytes]
    return SendResult(
        outcome=outcome,
        start_time=start_time,
        latency=latency,
        status_code=report.response_status_code,
        error_message=report.error_message,
        headers=tuple(_kept(report.response_headers)) if kept_bytes else (),
        body=body,
        body_truncated=report.response_body_truncated or len(body) < len(report.response_body),
        remote_ip_address=report.remote_ip_address,
        retry_after=retry_after,
        is_ours=report.relay_failed,
        may_be_ours=report.relay_may_have_failed,
        relay=relay,
    )


def read_relay(name: str, path: str, violations: Violations) -> str:
    """Read a relay's name."""
    if not is_lower_id(name):
        violations.add(path, "must be 1 to 63 of a-z, 0-9, -, _, beginning with a letter or digit")
    return name


def read_slots(slots: int, path: str, violations: Violations, least: int = 0) -> int:
    """Read how many requests a relay can hold."""
    if not least <= slots <= MAX_SLOTS:
        violations.add(path, f"must be {least} to {MAX_SLOTS}")
    return slots


def _outcome(number: int, violations: Violations) -> Outcome:
    if number == delivery_pb2.DeliveryAttempt.OUTCOME_UNSPECIFIED:
        violations.add("outcome", "is required")
    elif number not in _OUTCOMES:
        violations.add("outcome", "must be one that the contract knows")
    return _OUTCOMES.get(number, Outcome.INTERNAL)


_OUTCOMES = {int(outcome): outcome for outcome in Outcome}


def _request_message(request: OutboundRequest) -> pb.OutboundRequest:
    return pb.OutboundRequest(
        url=request.url,
        method="POST",
        headers=[pb.Header(key=name, value=value) for name, value in request.headers],
        body=request.body,
        timeout=duration(request.timeout),
    )


def _kept(headers: Iterable[pb.Header]) -> Iterable[Header]:
    left = KEPT_HEADER_BYTES
    for one in headers:
        left -= len(one.key.encode()) + len(one.value.encode())
        if left < 0:
            return
        if "\0" not in one.key and "\0" not in one.value:
            yield one.key, one.value
