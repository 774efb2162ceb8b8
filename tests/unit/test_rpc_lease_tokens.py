"""Lease tokens: whole, and signed."""

import base64

import pytest

from webhooks_server.domain.delivery import NewDelivery, Trigger, Uncharged
from webhooks_server.domain.errors import InvalidArgument
from webhooks_server.domain.ids import DeliverySeq, EventSeq, SubscriptionNumber
from webhooks_server.domain.leases import Lease
from webhooks_server.rpc.lease_tokens import LeaseTokens

KEY = b"k" * 32
LEASE = Lease(
    delivery=NewDelivery(
        seq=DeliverySeq(2**40),
        uid=bytes(range(16)),
        subscription=SubscriptionNumber(7),
        event_seq=EventSeq(2**41),
        attempt_count=5,
        charged_count=3,
        retry_requests=2,
        trigger=Trigger.REPLAY,
        final_before=True,
        uncharged=Uncharged(abandoned=1, own=2, internal=3, doubtful=4),
    ),
    partition=255,
    epoch=2**33,
    token=bytes(range(16, 32)),
    age=123_456_789,
    engine="engine-1",
)


def test_a_token_is_the_whole_lease_on_every_server_with_the_key() -> None:
    text = LeaseTokens(KEY).issue(LEASE)
    assert LeaseTokens(KEY).read(text, "a") == LEASE


def test_a_token_that_was_touched_is_refused() -> None:
    tokens = LeaseTokens(KEY)
    text = tokens.issue(LEASE)
    signed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for at in range(len(signed)):
        changed = signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]
        with pytest.raises(InvalidArgument):
            tokens.read(base64.urlsafe_b64encode(changed).decode().rstrip("="), "a")


@pytest.mark.parametrize("text", ["", "a", "====", "ä", "x" * 100_000, "AAAA\n"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        LeaseTokens(KEY).read(text, "reports[3].lease_token")
    assert caught.value.violations[0].field == "reports[3].lease_token"


def test_another_key_or_another_kind_of_token_is_refused() -> None:
    text = LeaseTokens(KEY).issue(LEASE)
    with pytest.raises(InvalidArgument):
        LeaseTokens(b"l" * 32).read(text, "a")
