"""Requests of a real server, as a receiver gets and verifies them."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from webhooks.v1.subscription_pb2 import Subscription, SubscriptionConfig
from webhooks.v1.subscription_service_pb2 import CreateSubscriptionRequest
from webhooks_client import VerificationFailed, WebhooksClient, verify, verify_hub_signature

BOUND = 15.0


@dataclass
class Arrived:
    """A request as it came in."""

    headers: list[tuple[str, str]]
    body: bytes


class Inbox(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.arrived: queue.SimpleQueue[Arrived] = queue.SimpleQueue()
        self.statuses: list[int] = []


class Exchange(BaseHTTPRequestHandler):
    server: Inbox

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.arrived.put(Arrived(self.headers.items(), body))
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 204)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@contextmanager
def run_inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    thread = threading.Thread(target=inbox.serve_forever, args=(0.05,))
    thread.start()
    yield inbox
    inbox.shutdown()
    thread.join()
    inbox.server_close()


@pytest.fixture
def calls(server: str) -> Iterator[WebhooksClient]:
    with WebhooksClient(server) as client:
        yield client


def subscribe(calls: WebhooksClient, inbox: Inbox, pattern: str) -> tuple[str, str]:
    subscription = Subscription(
        events=[pattern],
        config=SubscriptionConfig(url=f"http://127.0.0.1:{inbox.server_port}/{pattern}"),
    )
    # A short wait before the second attempt.
    subscription.retry_policy.initial_backoff.FromMilliseconds(50)
    request = CreateSubscriptionRequest(
        parent="tenants/default", subscription=subscription, skip_ping=True
    )
    created = calls.call(calls.subscriptions.CreateSubscription, request)
    return created.subscription.name.rpartition("/")[2], created.secret


@pytest.mark.parametrize(
    ("data", "content_type", "body"),
    [
        pytest.param({"text": "hällo", "n": 2**70}, "", None, id="json"),
        pytest.param(b"\xff\xfe\x00", "application/octet-stream", b"\xff\xfe\x00", id="bytes"),
    ],
)
def test_every_attempt_verifies_and_says_what_it_is(
    calls: WebhooksClient, data: object, content_type: str, body: bytes | None
) -> None:
    event_type = f"received.{'bytes' if content_type else 'json'}"
    with run_inbox() as inbox:
        subscription, secret = subscribe(calls, inbox, event_type)
        inbox.statuses = [500]
        published = calls.publish(event_type, data, data_content_type=content_type)
        first, second = (inbox.arrived.get(timeout=BOUND) for _ in range(2))
    assert first.body == second.body == (body or '{"text":"hällo","n":%d}'.encode() % 2**70)
    attempts = [verify(one.body, one.headers, secret) for one in (first, second)]
    for number, received in enumerate(attempts, start=1):
        assert received.event_id == published.event_id
        assert received.event_type == event_type
        assert received.subscription == subscription
        assert received.attempt == number
        assert abs(datetime.now(UTC) - received.timestamp) < timedelta(minutes=1)
    assert attempts[0].delivery == attempts[1].delivery
    assert str(attempts[0].delivery).startswith("dlv_")


def test_both_signatures_are_right_and_bound_to_the_body(calls: WebhooksClient) -> None:
    with run_inbox() as inbox:
        _, secret = subscribe(calls, inbox, "received.signed")
        calls.publish("received.signed", {"n": 1})
        arrived = inbox.arrived.get(timeout=BOUND)
    hub = {name.lower(): value for name, value in arrived.headers}["x-hub-signature-256"]
    verify_hub_signature(arrived.body, hub, secret)
    with pytest.raises(VerificationFailed):
        verify_hub_signature(arrived.body + b" ", hub, secret)
    with pytest.raises(VerificationFailed):
        verify(arrived.body + b" ", arrived.headers, secret)
