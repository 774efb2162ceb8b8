"""ExplainMatch of stored events: what became of them, not what would become of them now."""

from tests.harness.receiver import Receiver
from tests.harness.requests import URL, publish, subscribe
from tests.harness.served import PARENT, Served
from tests.harness.updates import update
from webhooks.v1 import event_service_pb2 as pb
from webhooks.v1 import subscription_service_pb2 as subscription_pb

NOT_THEN = "a pattern matches now, but the event was not for it when it was accepted"
ADDRESSED = "the event was addressed to it"

# Of a subscription: whether it matched, why, by which pattern, and whether it has a delivery.
Told = tuple[bool, str, str, bool]


async def explained(served: Served, event: str) -> dict[str, Told]:
    """What is told of each subscription, by its name."""
    answer = await served.events.ExplainMatch(pb.ExplainMatchRequest(parent=PARENT, event=event))
    return {
        one.subscription: (
            one.matched,
            one.reason,
            one.pattern,
            one.delivery.startswith(f"{one.subscription}/deliveries/dlv_"),
        )
        for one in answer.explanations
    }


async def newest_event(served: Served, event_type: str) -> str:
    request = pb.ListEventsRequest(parent=PARENT, filter=f"event_type = {event_type}")
    return (await served.events.ListEvents(request)).events[0].name


async def test_who_came_later_was_not_matched(served: Served) -> None:
    early = await subscribe(served, f"{URL}/early", "a.*")
    event = (await served.publisher.Publish(publish(event_type="a.b"))).event
    late = await subscribe(served, f"{URL}/late", "a.b")
    assert await explained(served, event) == {
        early.name: (True, "a pattern matched", "a.*", True),
        late.name: (False, NOT_THEN, "a.b", False),
    }


async def test_who_was_matched_stays_so(served: Served) -> None:
    changed = await subscribe(served, f"{URL}/changed", "a")
    inactive = await subscribe(served, f"{URL}/inactive", "a")
    event = (await served.publisher.Publish(publish(event_type="a"))).event
    await served.subscriptions.UpdateSubscription(update(changed.name, events=["b"]))
    await served.subscriptions.UpdateSubscription(update(inactive.name, active=False))
    assert await explained(served, event) == {
        changed.name: (True, "a pattern matched", "", True),
        inactive.name: (True, "a pattern matched", "a", True),
    }


async def test_a_ping_is_for_whom_it_is_addressed_to(served: Served, receiver: Receiver) -> None:
    pinged = await subscribe(served, f"{receiver.url}/pinged", "a")
    other = await subscribe(served, f"{receiver.url}/other", "webhooks.*")
    ping = subscription_pb.PingSubscriptionRequest(name=pinged.name)
    await served.subscriptions.PingSubscription(ping)
    assert await explained(served, await newest_event(served, "webhooks.ping")) == {
        pinged.name: (True, ADDRESSED, "", True),
        other.name: (False, NOT_THEN, "webhooks.*", False),
    }


async def test_a_test_event_is_for_whom_it_is_addressed_to(
    served: Served, receiver: Receiver
) -> None:
    tested = await subscribe(served, f"{receiver.url}/tested", "a")
    other = await subscribe(served, f"{receiver.url}/other", "a")
    unconcerned = await subscribe(served, f"{receiver.url}/unconcerned", "b")
    test = subscription_pb.TestSubscriptionRequest(name=tested.name, event_type="a")
    await served.subscriptions.TestSubscription(test)
    assert await explained(served, await newest_event(served, "a")) == {
        tested.name: (True, ADDRESSED, "", True),
        other.name: (False, NOT_THEN, "a", False),
        unconcerned.name: (False, "no pattern matches the event type", "", False),
    }
