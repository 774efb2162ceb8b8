"""Every unary method of the contract, with a request that is valid where it asks a store."""

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from tests.harness.requests import create, publish
from tests.harness.served import PARENT
from webhooks.v1 import (
    admin_service_pb2,
    delivery_service_pb2,
    event_service_pb2,
    publisher_service_pb2,
    relay_service_pb2,
    subscription_pb2,
    subscription_service_pb2,
)

FILES = (
    admin_service_pb2.DESCRIPTOR,
    delivery_service_pb2.DESCRIPTOR,
    event_service_pb2.DESCRIPTOR,
    publisher_service_pb2.DESCRIPTOR,
    relay_service_pb2.DESCRIPTOR,
    subscription_service_pb2.DESCRIPTOR,
)
SUBSCRIPTION = f"{PARENT}/subscriptions/s"
EVENT = f"{PARENT}/events/e"
DELIVERY = f"{SUBSCRIPTION}/deliveries/dlv_{'0' * 32}"

VALID: tuple[Message, ...] = (
    create(),
    subscription_service_pb2.GetSubscriptionRequest(name=SUBSCRIPTION),
    subscription_service_pb2.ListSubscriptionsRequest(parent=PARENT),
    subscription_service_pb2.UpdateSubscriptionRequest(
        subscription=subscription_pb2.Subscription(name=SUBSCRIPTION)
    ),
    subscription_service_pb2.DeleteSubscriptionRequest(name=SUBSCRIPTION),
    subscription_service_pb2.PauseSubscriptionRequest(name=SUBSCRIPTION),
    subscription_service_pb2.ResumeSubscriptionRequest(name=SUBSCRIPTION),
    subscription_service_pb2.PingSubscriptionRequest(name=SUBSCRIPTION),
    subscription_service_pb2.TestSubscriptionRequest(name=SUBSCRIPTION, event_type="a"),
    subscription_service_pb2.RotateSubscriptionSecretRequest(name=SUBSCRIPTION),
    publish(),
    publisher_service_pb2.BatchPublishRequest(parent=PARENT, events=[publish().event]),
    event_service_pb2.GetEventRequest(name=EVENT),
    event_service_pb2.ListEventsRequest(parent=PARENT),
    event_service_pb2.ExplainMatchRequest(parent=PARENT, event=EVENT),
    delivery_service_pb2.GetDeliveryRequest(name=DELIVERY),
    delivery_service_pb2.ListDeliveriesRequest(parent=SUBSCRIPTION),
    delivery_service_pb2.ListDeliveryAttemptsRequest(parent=DELIVERY),
    delivery_service_pb2.RetryDeliveryRequest(name=DELIVERY),
    delivery_service_pb2.CancelDeliveryRequest(name=DELIVERY),
    admin_service_pb2.GetServerInfoRequest(),
    admin_service_pb2.GetRelayStatusRequest(),
    admin_service_pb2.PauseRelayRequest(),
    admin_service_pb2.ResumeRelayRequest(),
    admin_service_pb2.AuditRequest(),
    admin_service_pb2.NotifySubscribersRequest(),
    admin_service_pb2.BackupDatabaseRequest(),
)


def methods() -> list[MethodDescriptor]:
    """Every unary method of the contract, from its descriptors."""
    services = [service for file in FILES for service in file.services_by_name.values()]
    return [
        method
        for service in services
        for method in service.methods
        if not method.client_streaming and not method.server_streaming
    ]


def path_of(method: MethodDescriptor) -> str:
    """The path that gRPC calls a method by."""
    return f"/{method.containing_service.full_name}/{method.name}"


def valid_request(method: MethodDescriptor) -> Message:
    """A valid request of a method; a method without one is an error."""
    (found,) = (one for one in VALID if one.DESCRIPTOR is method.input_type)
    return found
