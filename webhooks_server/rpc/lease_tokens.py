"""Lease tokens: all that is needed to record an attempt, signed, so that any server can do it."""

import base64
import binascii
import hmac
import re
import struct

from webhooks_server.domain.delivery import NewDelivery, Trigger, Uncharged
from webhooks_server.domain.errors import InvalidArgument, invalid
from webhooks_server.domain.ids import DeliverySeq, EventSeq, SubscriptionNumber
from webhooks_server.domain.leases import Lease

_MAC_BYTES = 16
_FORM = struct.Struct(">BQ16sQQIIIB?HQ16sQIIII")
_VERSION = 3
_TEXT = re.compile(r"[A-Za-z0-9_-]{1,400}", re.ASCII)


class LeaseTokens:
    """Makes and reads lease tokens; they hold on every server that has the same key."""

    def __init__(self, key: bytes) -> None:
        """Take the key of the store; the one used here comes from it."""
        self._key = hmac.digest(key, b"lease tokens", "sha256")

    def issue(self, lease: Lease) -> str:
        """Return the token of a lease."""
        delivery = lease.delivery
        plain = _FORM.pack(
            _VERSION,
            delivery.seq,
            delivery.uid,
            delivery.subscription,
            delivery.event_seq,
            delivery.attempt_count,
            delivery.charged_count,
            delivery.retry_requests,
            delivery.trigger,
            delivery.final_before,
            lease.partition,
            lease.epoch,
            lease.token,
            max(0, lease.age),
            *delivery.uncharged,
        )
        plain += lease.engine.encode()
        return base64.urlsafe_b64encode(plain + self._mac(plain)).decode().rstrip("=")

    def read(self, text: str, path: str) -> Lease:
        """Return the lease of a token; raises InvalidArgument on the field at this path."""
        # The decoder passes over whatever is not in its alphabet.
        if _TEXT.fullmatch(text) is None:
            raise _wrong(path)
        try:
            signed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:
            raise _wrong(path) from None
        plain, mac = signed[:-_MAC_BYTES], signed[-_MAC_BYTES:]
        if plain[:1] != bytes([_VERSION]) or not hmac.compare_digest(mac, self._mac(plain)):
            raise _wrong(path)
        return _lease(plain)

    def _mac(self, plain: bytes) -> bytes:
        return hmac.digest(self._key, plain, "sha256")[:_MAC_BYTES]


def _lease(plain: bytes) -> Lease:
    (
        _,
        seq,
        uid,
        subscription,
        event_seq,
        attempt_count,
        charged_count,
        retry_requests,
        trigger,
        final_before,
        partition,
        epoch,
        token,
        age,
        *uncharged,
    ) = _FORM.unpack_from(plain)
    delivery = NewDelivery(
        seq=DeliverySeq(seq),
        uid=uid,
        subscription=SubscriptionNumber(subscription),
        event_seq=EventSeq(event_seq),
        attempt_count=attempt_count,
        charged_count=charged_count,
        retry_requests=retry_requests,
        trigger=Trigger(trigger),
        final_before=final_before,
        uncharged=Uncharged(*uncharged),
    )
    engine = plain[_FORM.size :].decode()
    return Lease(
        delivery=delivery, partition=partition, epoch=epoch, token=token, age=age, engine=engine
    )


def _wrong(path: str) -> InvalidArgument:
    return invalid(path, "must be a lease_token of this server")
