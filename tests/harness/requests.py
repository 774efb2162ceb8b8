"""Requests that most tests begin with."""

from tests.harness.served import PARENT, Served
from webhooks.v1 import event_pb2, event_service_pb2, publisher_service_pb2, subscription_pb2
from webhooks.v1 import subscription_service_pb2 as pb

URL = "https://receiver.example/hook"


def create(
    url: str = URL, *, subscription_id: str = "", events: tuple[str, ...] = ("*",), **fields: object
) -> pb.CreateSubscriptionRequest:
    """A subscription that is not pinged; `fields` go into the Subscription, `config` beside url."""
    config = subscription_pb2.SubscriptionConfig(url=url)
    given = fields.pop("config", None)
    if isinstance(given, subscription_pb2.SubscriptionConfig):
        config.MergeFrom(given)
    wanted = subscription_pb2.Subscription(events=events, config=config, **fields)  # type: ignore[arg-type]
    return pb.CreateSubscriptionRequest(
        parent=PARENT, subscription_id=subscription_id, subscription=wanted, skip_ping=True
    )


async def subscribe(
    served: Served, url: str = URL, *events: str, **fields: object
) -> subscription_pb2.Subscription:
    """Create a subscription and return it."""
    request = create(url, events=events or ("*",), **fields)  # type: ignore[arg-type]
    return (await served.subscriptions.CreateSubscription(request)).subscription


def publish(**fields: object) -> publisher_service_pb2.PublishRequest:
    """One event of type invoice.paid unless said otherwise."""
    event = event_pb2.EventInput(**{"event_type": "invoice.paid", **fields})  # type: ignore[arg-type]
    return publisher_service_pb2.PublishRequest(parent=PARENT, event=event)


async def unsubscribe(served: Served, name: str) -> None:
    """Delete a subscription."""
    await served.subscriptions.DeleteSubscription(pb.DeleteSubscriptionRequest(name=name))


async def stored_event(served: Served, name: str) -> event_pb2.Event:
    """Read an event back, whole."""
    answer = await served.events.GetEvent(event_service_pb2.GetEventRequest(name=name))
    return answer.event


async def read(served: Served, name: str) -> subscription_pb2.Subscription:
    """Read a subscription."""
    request = pb.GetSubscriptionRequest(name=name)
    return (await served.subscriptions.GetSubscription(request)).subscription
