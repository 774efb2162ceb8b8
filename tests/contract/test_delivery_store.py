"""ports.DeliveryStore, sentence by sentence."""

import secrets
from dataclasses import replace

import pytest

from tests.harness.shelf import ATTEMPT, OTHER_TENANT, START, Shelf, event, publish_of
from webhooks_server.domain.delivery import (
    DeliveryState,
    Outcome,
    Trigger,
)
from webhooks_server.domain.errors import (
    NotFound,
)
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import DEFAULT_TENANT, SubscriptionId, TenantId
from webhooks_server.domain.paging import PageRequest

PENDING, SUCCEEDED, FAILED = (
    DeliveryState.PENDING,
    DeliveryState.SUCCEEDED,
    DeliveryState.FAILED,
)


async def test_a_new_delivery_is_pending_and_due(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    shown = await shelf.shown(subscriber, row)
    assert (shown.seq, shown.uid) == (row.seq, row.uid)
    assert (shown.tenant, shown.subscription, shown.event) == ("default", "sub", "e1")
    assert (shown.event_type, shown.trigger) == ("invoice.paid", Trigger.PUBLISH)
    assert (shown.state, shown.state_reason, shown.attempt_count) == (PENDING, "", 0)
    assert (shown.create_time, shown.next_attempt_time) == (START, START)
    assert (shown.complete_time, shown.last_attempt) == (None, None)


async def test_get_has_the_last_attempt_whole_or_without_headers_and_body(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row, state=PENDING, due_in=1, attempt=ATTEMPT)
    last = replace(ATTEMPT, outcome=Outcome.TIMEOUT, error_message="timeout: \udcff☃")
    await shelf.record(subscriber, await shelf.taken_again(subscriber), attempt=last)
    full = await shelf.shown(subscriber, row)
    basic = await shelf.stores.deliveries.get(DEFAULT_TENANT, subscriber.id, row.uid, full=False)
    assert full.last_attempt is not None
    assert full.last_attempt == replace(
        last, number=2, error_message=full.last_attempt.error_message
    )
    assert full.last_attempt.error_message.startswith("timeout: ")
    assert full.last_attempt.error_message.endswith("☃")
    assert basic == replace(
        full,
        last_attempt=replace(
            full.last_attempt, request_headers={}, response_headers={}, response_body=b""
        ),
    )


async def test_headers_with_line_breaks_harm_nobody(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    odd = replace(ATTEMPT, response_headers={"X-Odd": "one\ntwo", "Y": "☃\udcff"})
    await shelf.record(subscriber, row, attempt=odd)
    shown = await shelf.shown(subscriber, row)
    assert shown.last_attempt is not None
    assert set(shown.last_attempt.response_headers) == {"X-Odd", "Y"}


async def test_a_delivery_is_found_under_its_whole_name_only(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.subscribe("other")
    await shelf.subscribe("sub", tenant=OTHER_TENANT)
    store = shelf.stores.deliveries
    for tenant, name, uid in (
        (DEFAULT_TENANT, SubscriptionId("other"), row.uid),
        (OTHER_TENANT, subscriber.id, row.uid),
        (DEFAULT_TENANT, subscriber.id, secrets.token_bytes(16)),
        (DEFAULT_TENANT, SubscriptionId("never"), row.uid),
    ):
        for call in (
            store.get(tenant, name, uid, full=True),
            store.attempts(tenant, name, uid, PageRequest(), full=True),
            store.retry(tenant, name, uid),
            store.cancel(tenant, name, uid),
        ):
            with pytest.raises(NotFound, match=f"tenants/{tenant}/subscriptions/{name}/deliveries"):
                await call


async def test_deliveries_of_deleted_subscriptions_stay_readable(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, subscriber.id)
    assert (await shelf.shown(subscriber, row)).subscription == "sub"
    page = await shelf.stores.deliveries.list(
        DEFAULT_TENANT, subscriber.id, (), PageRequest(), full=False
    )
    assert [one.uid for one in page.items] == [row.uid]


async def test_list_goes_by_seq_descending(shelf: Shelf) -> None:
    for name in ("one", "two"):
        await shelf.subscribe(name, tenant=DEFAULT_TENANT)
    await shelf.subscribe("theirs", tenant=OTHER_TENANT)
    await shelf.publish("e1", "e2")
    theirs = event("e3", tenant=OTHER_TENANT)
    await shelf.stores.events.append(publish_of(theirs, tenant=OTHER_TENANT))
    store = shelf.stores.deliveries

    async def listed(*scope: str | None) -> list[tuple[str, str]]:
        tenant, name = scope
        page = await store.list(
            None if tenant is None else DEFAULT_TENANT,
            None if name is None else SubscriptionId(name),
            (),
            PageRequest(),
            full=False,
        )
        return [(one.event, one.subscription) for one in page.items]

    mine = [("e2", "two"), ("e2", "one"), ("e1", "two"), ("e1", "one")]
    assert await listed("default", None) == mine
    assert await listed("default", "two") == [("e2", "two"), ("e1", "two")]
    assert await listed(None, None) == [("e3", "theirs"), *mine]


async def test_list_of_a_subscription_that_never_was_is_not_found(shelf: Shelf) -> None:
    await shelf.subscribe("sub", tenant=OTHER_TENANT)
    with pytest.raises(NotFound, match="tenants/default/subscriptions/sub does not exist"):
        await shelf.stores.deliveries.list(
            DEFAULT_TENANT, SubscriptionId("sub"), (), PageRequest(), full=False
        )


async def test_pages_of_deliveries(shelf: Shelf) -> None:
    subscriber = await shelf.subscribe("sub")
    await shelf.publish("a", "b", "c")
    store = shelf.stores.deliveries
    first = await store.list(DEFAULT_TENANT, subscriber.id, (), PageRequest(size=2), full=False)
    rest = await store.list(
        DEFAULT_TENANT,
        subscriber.id,
        (),
        PageRequest(size=2, before=first.next_before),
        full=False,
    )
    assert [one.event for one in (*first.items, *rest.items)] == ["c", "b", "a"]
    assert rest.next_before is None


async def test_full_pages_end_early_above_2_mib(shelf: Shelf) -> None:
    subscriber = await shelf.subscribe("sub")
    await shelf.own()
    large = replace(ATTEMPT, response_body=bytes(900_000))
    for accepted in await shelf.publish("a", "b", "c", "d"):
        await shelf.record(subscriber, accepted.deliveries[0], attempt=large)
    page = await shelf.stores.deliveries.list(None, None, (), PageRequest(), full=True)
    assert [one.event for one in page.items] == ["d", "c", "b"]
    rest = await shelf.stores.deliveries.list(
        None, None, (), PageRequest(before=page.next_before), full=True
    )
    assert [one.event for one in rest.items] == ["a"]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (Term(field="state", operator="=", value=int(SUCCEEDED)), ["one"]),
        (Term(field="state", operator="!=", value=int(SUCCEEDED)), ["three", "two"]),
        (Term(field="trigger", operator="=", value=int(Trigger.TEST)), ["three"]),
        (Term(field="trigger", operator="!=", value=int(Trigger.TEST)), ["two", "one"]),
        (Term(field="event_type", operator="=", value="order.paid"), ["two"]),
        (Term(field="event_type", operator="=", value="order.", is_prefix=True), ["two"]),
        (Term(field="event", operator="=", value="two"), ["two"]),
        (Term(field="event", operator="!=", value="t", is_prefix=True), ["one"]),
        (Term(field="create_time", operator="<", value=START + 1_000_000), ["one"]),
        (Term(field="create_time", operator=">=", value=START + 1_000_000), ["three", "two"]),
        (Term(field="complete_time", operator="=", value=START), ["one"]),
        # What is not complete has no complete_time to compare.
        (Term(field="complete_time", operator="!=", value=START), []),
    ],
)
async def test_list_filters(shelf: Shelf, term: Term, expected: list[str]) -> None:
    subscriber = await shelf.subscribe("sub")
    await shelf.own()
    (first,) = await shelf.publish("one")
    await shelf.record(subscriber, first.deliveries[0])
    shelf.clock.advance(1)
    await shelf.publish("two", event_type="order.paid")
    await shelf.stores.events.append(
        publish_of(event("three"), only=subscriber.number, trigger=Trigger.TEST)
    )
    page = await shelf.stores.deliveries.list(
        DEFAULT_TENANT, subscriber.id, [term], PageRequest(), full=False
    )
    assert [one.event for one in page.items] == expected


async def test_a_list_finds_an_event_of_each_tenant_and_none_that_is_not_there(
    shelf: Shelf,
) -> None:
    for tenant in (DEFAULT_TENANT, OTHER_TENANT):
        await shelf.subscribe(f"sub-{tenant}", tenant=tenant)
        of_tenant = event("e1", tenant=tenant)
        await shelf.stores.events.append(publish_of(of_tenant, tenant=tenant))

    async def found(name: str, tenant: TenantId | None) -> list[str]:
        term = Term(field="event", operator="=", value=name)
        page = await shelf.stores.deliveries.list(tenant, None, [term], PageRequest(), full=False)
        assert page.next_before is None
        return [one.subscription for one in page.items]

    assert await found("e1", None) == ["sub-other", "sub-default"]
    assert await found("e1", OTHER_TENANT) == ["sub-other"]
    assert await found("e2", None) == []


async def test_attempts_go_by_number_descending(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    for _ in range(3):
        await shelf.record(subscriber, row, state=PENDING, due_in=0)
    store = shelf.stores.deliveries
    first = await store.attempts(
        DEFAULT_TENANT, subscriber.id, row.uid, PageRequest(size=2), full=True
    )
    assert list(first.items) == [replace(ATTEMPT, number=3), replace(ATTEMPT, number=2)]
    rest = await store.attempts(
        DEFAULT_TENANT, subscriber.id, row.uid, PageRequest(before=first.next_before), full=False
    )
    (basic,) = rest.items
    assert basic == replace(
        ATTEMPT, number=1, request_headers={}, response_headers={}, response_body=b""
    )
    assert rest.next_before is None
