"""What the package shows to its users, run as shown."""

import contextlib
import http.client
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from webhooks.v1.delivery_service_pb2 import ListDeliveriesRequest
from webhooks.v1.subscription_pb2 import Subscription, SubscriptionConfig
from webhooks.v1.subscription_service_pb2 import (
    CreateSubscriptionRequest,
    CreateSubscriptionResponse,
    RotateSubscriptionSecretRequest,
)
from webhooks_client import WebhooksClient

PACKAGE = Path(__file__).parent.parent
RECEIVER = PACKAGE / "examples" / "receiver.py"
PUBLISHER = PACKAGE / "examples" / "publisher.py"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BOUND = 15.0


class Example:
    """The receiver of the examples, running."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log
        self.url = self.line("listening on ").removeprefix("listening on ")

    def line(self, part: str) -> str:
        """Wait for a line that holds part."""
        deadline = time.monotonic() + BOUND
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.lines():
                if part in line:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no line with {part!r} in {self.lines()}")

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()


@contextlib.contextmanager
def run_receiver(log: Path, *secrets: str) -> Iterator[Example]:
    options = [word for secret in secrets for word in ("--secret", secret)]
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, RECEIVER, "--port", "0", *options],
            stdout=output,
            stderr=output,
            text=True,
        ) as process,
    ):
        try:
            yield Example(process, log)
        finally:
            process.terminate()
            process.wait(BOUND)


@pytest.fixture
def calls(server: str) -> Iterator[WebhooksClient]:
    with WebhooksClient(server) as client:
        yield client


def subscribe(calls: WebhooksClient, url: str, pattern: str) -> CreateSubscriptionResponse:
    config = SubscriptionConfig(url=url, secret=SECRET)
    subscription = Subscription(events=[pattern], config=config)
    return calls.call(
        calls.subscriptions.CreateSubscription,
        CreateSubscriptionRequest(
            parent="tenants/default", subscription=subscription, skip_ping=True
        ),
    )


def publish(server: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PUBLISHER, "--server", server, *words],
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )


def test_publisher_and_receiver_meet(server: str, calls: WebhooksClient, tmp_path: Path) -> None:
    with run_receiver(tmp_path / "log", SECRET) as receiver:
        subscribe(calls, receiver.url, "example.meets")
        done = publish(
            server, "example.meets", ' {"text": "hällo", "n": 1e400}', "--event-id", "x-1"
        )
        assert "goes to 1 subscriptions" in done.stdout
        assert receiver.line("x-1") == 'example.meets x-1  {"text": "hällo", "n": 1e400}'
        again = publish(
            server, "example.meets", ' {"text": "hällo", "n": 1e400}', "--event-id", "x-1"
        )
        assert "was stored before" in again.stdout


def test_a_rotated_secret_is_accepted_by_who_knows_either(
    server: str, calls: WebhooksClient, tmp_path: Path
) -> None:
    with run_receiver(tmp_path / "log", SECRET) as old:
        created = subscribe(calls, old.url, "example.rotates")
        request = RotateSubscriptionSecretRequest(name=created.subscription.name)
        secret = calls.call(calls.subscriptions.RotateSubscriptionSecret, request).secret
        calls.publish("example.rotates", 1, event_id="r-1")
        old.line("r-1")
    with run_receiver(tmp_path / "log2", SECRET, secret) as both:
        subscribe(calls, both.url, "example.rotated")
        calls.publish("example.rotated", 1, event_id="r-2")
        both.line("r-2")


def test_a_receiver_with_another_secret_refuses(
    server: str, calls: WebhooksClient, tmp_path: Path
) -> None:
    other = "whsec_" + "A" * 32
    with run_receiver(tmp_path / "log", other) as receiver:
        created = subscribe(calls, receiver.url, "example.refused")
        calls.publish("example.refused", 1)
        assert receiver.line("refused") == "refused: no signature in webhook-signature is right"
        request = ListDeliveriesRequest(parent=created.subscription.name)
        (delivery,) = calls.call(calls.deliveries.ListDeliveries, request).deliveries
        assert delivery.event_type == "example.refused"


def test_the_receiver_refuses_what_is_not_a_webhook(tmp_path: Path) -> None:
    with run_receiver(tmp_path / "log", SECRET) as receiver:
        address = receiver.url.removeprefix("http://").rstrip("/")
        for length, status in [("0", 400), ("99999999", 413), ("x", 413)]:
            connection = http.client.HTTPConnection(address, timeout=BOUND)
            connection.putrequest("POST", "/")
            connection.putheader("Content-Length", length)
            connection.endheaders()
            assert connection.getresponse().status == status
            connection.close()


def test_the_publisher_says_what_is_wrong_in_one_line(server: str) -> None:
    done = publish(server, "not a type")
    assert done.returncode == 1
    assert done.stderr.startswith("not published: INVALID_FIELD: event.event_type")
    assert len(done.stderr.splitlines()) == 1


def blocks() -> list[str]:
    readme = (PACKAGE / "README.md").read_text()
    return re.findall(r"```python\n(.*?)```", readme, re.DOTALL)


@pytest.mark.parametrize("number", range(5))
def test_the_readme_runs_as_pasted(
    server: str, unused_address: str, tmp_path: Path, number: int
) -> None:
    script = blocks()[number].replace("WebhooksClient()", 'WebhooksClient("127.0.0.1:50051")')
    script = script.replace("127.0.0.1:50051", server).replace("127.0.0.1:8080", unused_address)
    pasted = tmp_path / "pasted.py"
    pasted.write_text(script)
    done = subprocess.run(
        [sys.executable, "-W", "error", pasted],
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_receiving_function_of_the_readme() -> None:
    space: dict[str, object] = {}
    exec(blocks()[-1], space)  # noqa: S102 - it is ours
    receive = space["receive"]
    assert callable(receive)
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("evt_1", now, "{}"),
    }
    assert receive(b"{}", headers, SECRET) == 204
    assert receive(b"{ }", headers, SECRET) == 400
