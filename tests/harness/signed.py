"""Subscribing at a server that runs as a process, and checking what it signed."""

import hashlib
import hmac

import grpc.aio
from standardwebhooks import Webhook

from tests.harness.receiver import Request
from tests.harness.requests import create
from webhooks.v1.subscription_pb2 import SubscriptionConfig
from webhooks.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from webhooks_server.domain.bounds import MAX_MAX_IN_FLIGHT


async def subscribe_at(address: str, url: str) -> str:
    """Create a subscription to everything that is sent as wide as may be; return its secret."""
    async with grpc.aio.insecure_channel(address) as channel:
        request = create(url, config=SubscriptionConfig(max_in_flight=MAX_MAX_IN_FLIGHT))
        return (await SubscriptionServiceStub(channel).CreateSubscription(request)).secret


def see_signed(request: Request, secret: str) -> None:
    """See that both signatures of a request are good, neither by this project's own code.

    standardwebhooks signs text; the body has to be UTF-8, which decodes and encodes to the same.
    """
    Webhook(secret).verify(request.body, request.headers, json_parse=False)
    mac = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(request.headers["x-hub-signature-256"], f"sha256={mac}")
