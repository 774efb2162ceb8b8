"""What requests have in common: ids that make them repeatable, and what must be there."""

import hashlib

from google.protobuf.message import Message

from webhooks.v1 import delivery_service_pb2 as delivery_pb
from webhooks.v1 import subscription_service_pb2 as subscription_pb
from webhooks_server.domain.errors import invalid
from webhooks_server.domain.ids import TenantId, is_request_id
from webhooks_server.domain.requests import RequestKey

RepeatableRequest = (
    subscription_pb.CreateSubscriptionRequest
    | subscription_pb.UpdateSubscriptionRequest
    | subscription_pb.RotateSubscriptionSecretRequest
    | delivery_pb.RetryDeliveryRequest
)


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


def require(request: Message, field: str) -> None:
    """Raise InvalidArgument where a message field is left out."""
    if not request.HasField(field):
        raise invalid(field, "is required")
