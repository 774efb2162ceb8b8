"""What requests have in common: how they are read, repeated, and found incomplete."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from google.protobuf.message import Message

from webhooks.v1 import delivery_service_pb2 as delivery_pb
from webhooks.v1 import subscription_service_pb2 as subscription_pb
from webhooks_server.domain.errors import invalid
from webhooks_server.domain.ids import TenantId, is_request_id
from webhooks_server.domain.requests import RequestKey
from webhooks_server.services.event_checks import INLINE_BYTES

RepeatableRequest = (
    subscription_pb.CreateSubscriptionRequest
    | subscription_pb.UpdateSubscriptionRequest
    | subscription_pb.RotateSubscriptionSecretRequest
    | delivery_pb.RetryDeliveryRequest
)
Input = TypeVar("Input", bound=Message)
Draft = TypeVar("Draft")
Rest = ParamSpec("Rest")


def read_request_key(request: RepeatableRequest, tenant: TenantId) -> RequestKey | None:
    """Return the key of a request that may be repeated, None where it has no id (AIP-155)."""
    request_id = request.request_id
    if not request_id:
        return None
    if not is_request_id(request_id):
        raise invalid("request_id", "must be a UUID in its form of 36 characters")
    digest = hashlib.sha256(request.DESCRIPTOR.full_name.encode())
    digest.update(request.SerializeToString(deterministic=True))
    return RequestKey(tenant=tenant, request_id=request_id.lower(), fingerprint=digest.digest())


async def read_aside(
    read: Callable[Concatenate[Input, Rest], Draft],
    message: Input,
    *rest: Rest.args,
    **named: Rest.kwargs,
) -> Draft:
    """Read a message, on another thread where it is so large that it would hold up other calls."""
    if message.ByteSize() <= INLINE_BYTES:
        return read(message, *rest, **named)
    return await asyncio.to_thread(read, message, *rest, **named)


def require(request: Message, field: str) -> None:
    """Raise InvalidArgument where a message field is left out."""
    if not request.HasField(field):
        raise invalid(field, "is required")
