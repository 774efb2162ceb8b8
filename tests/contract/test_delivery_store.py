"""ports.DeliveryStore, sentence by sentence."""

import secrets
from dataclasses import replace

import pytest

from tests.harness.shelf import ATTEMPT, OTHER_TENANT, START, Shelf, event, publish_of
from webhooks_server.domain.delivery import (
    DeliveryCounts,
    DeliveryState,
    NewDelivery,
    Outcome,
    Reason,
    Trigger,
)
from webhooks_server.domain.errors import (
    DeliveryNotRetryable,
    InvalidArgument,
    NotFound,
    SubscriptionIsDisabled,
)
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import DEFAULT_TENANT, SubscriptionId
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.subscription import DisableReason, Subscription

PENDING, SUCCEEDED, FAILED = (
    DeliveryState.PENDING,
    DeliveryState.SUCCEEDED,
    DeliveryState.FAILED,
)


async def one_delivery(shelf: Shelf) -> tuple[Subscription, NewDelivery]:
    subscriber = await shelf.subscribe("sub")
    await shelf.own()
    (accepted,) = await shelf.publish("e1")
    return subscriber, accepted.deliveries[0]


async def again(shelf: Shelf, subscriber: Subscription) -> NewDelivery:
    """The row as the engine takes it next."""
    (row,) = await shelf.due(subscriber)
    return row


async def test_a_new_delivery_is_pending_and_due(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    shown = await shelf.shown(subscriber, row)
    assert (shown.seq, shown.uid) == (row.seq, row.uid)
    assert (shown.tenant, shown.subscription, shown.event) == ("default", "sub", "e1")
    assert (shown.event_type, shown.trigger) == ("invoice.paid", Trigger.PUBLISH)
    assert (shown.state, shown.state_reason, shown.attempt_count) == (PENDING, "", 0)
    assert (shown.create_time, shown.next_attempt_time) == (START, START)
    assert (shown.complete_time, shown.last_attempt) == (None, None)


async def test_get_has_the_last_attempt_whole_or_without_headers_and_body(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    await shelf.record(subscriber, row, state=PENDING, due_in=1, attempt=ATTEMPT)
    last = replace(ATTEMPT, outcome=Outcome.TIMEOUT, error_message="timeout: \udcff☃")
    await shelf.record(subscriber, await again(shelf, subscriber), attempt=last)
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


async def test_a_delivery_is_found_under_its_whole_name_only(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
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
    subscriber, row = await one_delivery(shelf)
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


async def test_attempts_go_by_number_descending(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
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


async def test_of_event_names_the_deliveries_to_these(shelf: Shelf) -> None:
    one, two = await shelf.subscribe("one"), await shelf.subscribe("two")
    (accepted,) = await shelf.publish("e1")
    later = await shelf.subscribe("later")
    found = await shelf.stores.deliveries.of_event(accepted.event.seq, [one.number, later.number])
    assert found == {one.number: accepted.deliveries[0].uid}
    found = await shelf.stores.deliveries.of_event(accepted.event.seq, [two.number])
    assert found == {two.number: accepted.deliveries[1].uid}


async def test_retry_of_a_waiting_one_makes_it_due_before_all_others(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    await shelf.publish("e2")
    await shelf.record(subscriber, row, state=PENDING, due_in=60_000_000)
    assert [one.seq for one in await shelf.due(subscriber)] == [row.seq + 1, row.seq]
    shelf.clock.advance(7)
    retried = await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert (retried.state, retried.next_attempt_time) == (PENDING, shelf.clock.now)
    first, second = await shelf.due(subscriber)
    assert (first.seq, second.seq) == (row.seq, row.seq + 1)
    assert first.due_in <= 0
    assert (first.retry_requests, first.final_before) == (1, False)


async def test_retry_of_a_final_one_makes_it_pending_for_one_attempt(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    await shelf.record(subscriber, row, state=FAILED, state_reason=Reason.ATTEMPTS_SPENT)
    shelf.clock.advance(7)
    retried = await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert (retried.state, retried.state_reason, retried.complete_time) == (PENDING, "", None)
    assert retried.next_attempt_time == shelf.clock.now
    taken = await again(shelf, subscriber)
    assert (taken.attempt_count, taken.final_before) == (1, True)
    await shelf.record(subscriber, taken, state=FAILED, state_reason=Reason.ATTEMPTS_SPENT)
    shown = await shelf.shown(subscriber, row)
    assert (shown.state, shown.attempt_count) == (FAILED, 2)


async def test_a_delivery_that_was_never_tried_is_not_retried(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    with pytest.raises(DeliveryNotRetryable) as raised:
        await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert raised.value.subject == (await shelf.shown(subscriber, row)).name


async def test_nothing_is_retried_for_a_deleted_subscription(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    await shelf.record(subscriber, row)
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, subscriber.id)
    with pytest.raises(DeliveryNotRetryable, match="tenants/default/subscriptions/sub is deleted"):
        await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert (await shelf.shown(subscriber, row)).state is SUCCEEDED


async def test_nothing_is_retried_for_a_disabled_subscription(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    await shelf.record(subscriber, row)
    await shelf.stores.subscriptions.update(
        DEFAULT_TENANT, subscriber.id, lambda one: replace(one, disable_reason=DisableReason.GONE)
    )
    with pytest.raises(SubscriptionIsDisabled) as raised:
        await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert raised.value.subject == subscriber.name


async def test_a_retry_while_the_attempt_is_out_makes_the_next_one_due_at_once(
    shelf: Shelf,
) -> None:
    """EB6: the record of the attempt that was out must not push the delivery away again."""
    subscriber, row = await one_delivery(shelf)
    await shelf.record(subscriber, row, state=PENDING, due_in=0)
    out = await again(shelf, subscriber)
    await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    recorded = await shelf.record(subscriber, out, state=PENDING, due_in=300_000_000)
    assert (recorded.state, recorded.due_in, recorded.late) == (PENDING, 0, False)
    assert (await again(shelf, subscriber)).due_in <= 0


async def test_a_retry_while_the_last_attempt_is_out_gives_one_more(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    await shelf.record(subscriber, row, state=PENDING, due_in=0)
    out = await again(shelf, subscriber)
    await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    recorded = await shelf.record(subscriber, out, state=FAILED, state_reason=Reason.ATTEMPTS_SPENT)
    assert recorded.state is PENDING
    assert (await again(shelf, subscriber)).final_before


async def test_a_retry_while_the_attempt_that_succeeds_is_out_needs_no_other(
    shelf: Shelf,
) -> None:
    subscriber, row = await one_delivery(shelf)
    await shelf.record(subscriber, row, state=PENDING, due_in=0)
    out = await again(shelf, subscriber)
    await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert (await shelf.record(subscriber, out)).state is SUCCEEDED
    assert await shelf.due(subscriber) == []


async def test_a_repeated_retry_is_one(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    await shelf.record(subscriber, row, state=FAILED)
    store = shelf.stores.deliveries
    key = RequestKey(tenant=DEFAULT_TENANT, request_id="a", fingerprint=b"same")
    first = await store.retry(DEFAULT_TENANT, subscriber.id, row.uid, request=key)
    await shelf.record(subscriber, await again(shelf, subscriber))
    second = await store.retry(DEFAULT_TENANT, subscriber.id, row.uid, request=key)
    assert second == first
    assert (await shelf.shown(subscriber, row)).state is SUCCEEDED
    with pytest.raises(InvalidArgument, match="request_id"):
        await store.retry(
            DEFAULT_TENANT, subscriber.id, row.uid, request=replace(key, fingerprint=b"other")
        )


async def test_cancel_ends_a_pending_one(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    shelf.clock.advance(3)
    cancelled = await shelf.stores.deliveries.cancel(DEFAULT_TENANT, subscriber.id, row.uid)
    assert (cancelled.state, cancelled.state_reason) == (
        DeliveryState.CANCELLED,
        Reason.CANCELLED,
    )
    assert (cancelled.complete_time, cancelled.next_attempt_time) == (shelf.clock.now, None)
    assert await shelf.shown(subscriber, row) == cancelled
    assert await shelf.due(subscriber) == []


async def test_cancel_leaves_a_final_one_as_it_is(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    await shelf.record(subscriber, row)
    cancelled = await shelf.stores.deliveries.cancel(DEFAULT_TENANT, subscriber.id, row.uid)
    assert cancelled.state is SUCCEEDED


async def test_the_attempt_that_was_out_at_a_cancel_is_late(shelf: Shelf) -> None:
    subscriber, row = await one_delivery(shelf)
    await shelf.stores.deliveries.cancel(DEFAULT_TENANT, subscriber.id, row.uid)
    recorded = await shelf.record(subscriber, row)
    assert (recorded.state, recorded.attempt_number, recorded.late) == (
        DeliveryState.CANCELLED,
        1,
        True,
    )
    shown = await shelf.shown(subscriber, row)
    assert (shown.state, shown.attempt_count) == (DeliveryState.CANCELLED, 1)
    assert shown.last_attempt is not None
    assert shown.last_attempt.late


async def test_counts_by_state(shelf: Shelf) -> None:
    assert await shelf.stores.deliveries.counts(None) == DeliveryCounts()
    subscriber = await shelf.subscribe("sub")
    await shelf.own()
    rows = [one.deliveries[0] for one in await shelf.publish("a", "b", "c", "d", "e", "f")]
    await shelf.record(subscriber, rows[0])
    await shelf.record(subscriber, rows[1], state=FAILED)
    await shelf.record(subscriber, rows[2], state=DeliveryState.EXPIRED)
    await shelf.record(subscriber, rows[3], state=PENDING, due_in=5)
    await shelf.stores.deliveries.cancel(DEFAULT_TENANT, subscriber.id, rows[4].uid)
    expected = DeliveryCounts(
        pending=2,
        retrying=1,
        succeeded=1,
        failed=1,
        cancelled=1,
        expired=1,
        attempts=4,
        oldest_pending_time=START,
    )
    counts = shelf.stores.deliveries.counts
    assert await counts(None) == expected
    assert await counts(DEFAULT_TENANT) == expected
    assert await counts(DEFAULT_TENANT, subscriber.id) == expected
    assert await counts(OTHER_TENANT) == DeliveryCounts()
    assert await counts(DEFAULT_TENANT, SubscriptionId("never")) == DeliveryCounts()
