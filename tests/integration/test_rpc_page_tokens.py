"""Page tokens: they hold what they were made for, and nothing else."""

import base64

import grpc
import pytest

from tests.harness.requests import URL, publish, subscribe
from tests.harness.served import PARENT, Served, refused
from webhooks.v1 import delivery_service_pb2, event_pb2, subscription_service_pb2
from webhooks.v1 import event_service_pb2 as pb


async def first_page(served: Served, **fields: object) -> pb.ListEventsResponse:
    request = pb.ListEventsRequest(parent=PARENT, page_size=1, **fields)  # type: ignore[arg-type]
    return await served.events.ListEvents(request)


@pytest.fixture(scope="module")
async def token(shared: Served) -> str:
    for _ in range(5):
        await shared.publisher.Publish(publish())
    return (await first_page(shared)).next_page_token


async def test_all_pages_show_each_item_once_while_others_are_added(served: Served) -> None:
    for number in range(25):
        await served.publisher.Publish(publish(event_id=f"e{number:02}"))
    request = pb.ListEventsRequest(parent=PARENT, page_size=7)
    found: list[str] = []
    while True:
        answer = await served.events.ListEvents(request)
        found += [event.name.rpartition("/")[2] for event in answer.events]
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
        # What comes meanwhile is newer than all that is still to come.
        await served.publisher.Publish(publish())
    assert found == [f"e{number:02}" for number in reversed(range(25))]


async def test_every_list_has_pages(served: Served) -> None:
    for number in range(3):
        await subscribe(served, f"{URL}/{number}")
    await served.publisher.Publish(publish())
    subscriptions = subscription_service_pb2.ListSubscriptionsRequest(parent=PARENT, page_size=2)
    page = await served.subscriptions.ListSubscriptions(subscriptions)
    assert len(page.subscriptions) == 2
    subscriptions.page_token = page.next_page_token
    rest = await served.subscriptions.ListSubscriptions(subscriptions)
    assert len(rest.subscriptions) == 1
    assert rest.next_page_token == ""
    deliveries = delivery_service_pb2.ListDeliveriesRequest(
        parent=f"{PARENT}/subscriptions/-", page_size=2
    )
    listed = await served.deliveries.ListDeliveries(deliveries)
    assert len(listed.deliveries) == 2
    deliveries.page_token = listed.next_page_token
    last = await served.deliveries.ListDeliveries(deliveries)
    assert len(last.deliveries) == 1
    assert last.next_page_token == ""


async def test_the_page_size_may_change_on_the_way(shared: Served, token: str) -> None:
    request = pb.ListEventsRequest(parent=PARENT, page_size=3, page_token=token)
    assert len((await shared.events.ListEvents(request)).events) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"filter": "event_type = invoice.paid"},
        {"view": event_pb2.EVENT_VIEW_FULL},
        {"parent": "tenants/-"},
    ],
    ids=["filter", "view", "parent"],
)
async def test_other_arguments_make_a_token_invalid(
    shared: Served, token: str, other: dict[str, object]
) -> None:
    fields = {"parent": PARENT, "page_token": token, **other}
    request = pb.ListEventsRequest(**fields)  # type: ignore[arg-type]
    refusal = await refused(shared.events.ListEvents(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_PAGE_TOKEN"
    assert list(refusal.fields) == ["page_token"]


async def test_a_token_holds_for_its_own_call_alone(shared: Served, token: str) -> None:
    for call in (
        shared.subscriptions.ListSubscriptions(
            subscription_service_pb2.ListSubscriptionsRequest(parent=PARENT, page_token=token)
        ),
        shared.events.ExplainMatch(
            pb.ExplainMatchRequest(
                parent=PARENT, event_input=event_pb2.EventInput(event_type="a"), page_token=token
            )
        ),
    ):
        assert (await refused(call)).reason == "INVALID_PAGE_TOKEN"


async def test_every_changed_bit_is_noticed(shared: Served, token: str) -> None:
    plain = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for position in range(len(plain) * 8):
        changed = bytearray(plain)
        changed[position // 8] ^= 1 << position % 8
        bad = base64.urlsafe_b64encode(changed).decode().rstrip("=")
        request = pb.ListEventsRequest(parent=PARENT, page_token=bad)
        assert (await refused(shared.events.ListEvents(request))).reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize("bad", ["x", "é", "AAAA", "=", "\0", "A" * 5000, " ", "AAAA" * 8])
async def test_what_is_no_token_is_refused(shared: Served, bad: str) -> None:
    request = pb.ListEventsRequest(parent=PARENT, page_token=bad)
    refusal = await refused(shared.events.ListEvents(request))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize("form", ["{}=", "{}===", "{} ", "!!{}", ".{}", "{}\n"])
async def test_a_token_has_one_form(shared: Served, token: str, form: str) -> None:
    request = pb.ListEventsRequest(parent=PARENT, page_token=form.format(token))
    refusal = await refused(shared.events.ListEvents(request))
    assert refusal.reason == "INVALID_PAGE_TOKEN"
