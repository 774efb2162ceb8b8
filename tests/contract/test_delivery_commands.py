"""Retry and cancel by hand, sentence by sentence (engine.md, EB6)."""

from dataclasses import replace

import pytest

from tests.harness.shelf import Shelf
from webhooks_server.domain.delivery import (
    DeliveryState,
    Reason,
)
from webhooks_server.domain.errors import (
    DeliveryNotRetryable,
    InvalidArgument,
    SubscriptionIsDisabled,
)
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.subscription import DisableReason

PENDING, SUCCEEDED, FAILED = (
    DeliveryState.PENDING,
    DeliveryState.SUCCEEDED,
    DeliveryState.FAILED,
)


async def test_retry_of_a_waiting_one_makes_it_due_before_all_others(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
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
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row, state=FAILED, state_reason=Reason.ATTEMPTS_SPENT)
    shelf.clock.advance(7)
    retried = await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert (retried.state, retried.state_reason, retried.complete_time) == (PENDING, "", None)
    assert retried.next_attempt_time == shelf.clock.now
    taken = await shelf.taken_again(subscriber)
    assert (taken.attempt_count, taken.final_before) == (1, True)
    await shelf.record(subscriber, taken, state=FAILED, state_reason=Reason.ATTEMPTS_SPENT)
    shown = await shelf.shown(subscriber, row)
    assert (shown.state, shown.attempt_count) == (FAILED, 2)


async def test_a_delivery_that_was_never_tried_is_not_retried(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    with pytest.raises(DeliveryNotRetryable) as raised:
        await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert raised.value.subject == (await shelf.shown(subscriber, row)).name


async def test_nothing_is_retried_for_a_deleted_subscription(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row)
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, subscriber.id)
    with pytest.raises(DeliveryNotRetryable, match="tenants/default/subscriptions/sub is deleted"):
        await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert (await shelf.shown(subscriber, row)).state is SUCCEEDED


async def test_nothing_is_retried_for_a_disabled_subscription(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
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
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row, state=PENDING, due_in=0)
    out = await shelf.taken_again(subscriber)
    await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    recorded = await shelf.record(subscriber, out, state=PENDING, due_in=300_000_000)
    assert (recorded.state, recorded.due_in, recorded.late) == (PENDING, 0, False)
    assert (await shelf.taken_again(subscriber)).due_in <= 0


async def test_a_retry_while_the_last_attempt_is_out_gives_one_more(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row, state=PENDING, due_in=0)
    out = await shelf.taken_again(subscriber)
    await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    recorded = await shelf.record(subscriber, out, state=FAILED, state_reason=Reason.ATTEMPTS_SPENT)
    assert recorded.state is PENDING
    assert (await shelf.taken_again(subscriber)).final_before


async def test_a_retry_while_the_attempt_that_succeeds_is_out_needs_no_other(
    shelf: Shelf,
) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row, state=PENDING, due_in=0)
    out = await shelf.taken_again(subscriber)
    await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert (await shelf.record(subscriber, out)).state is SUCCEEDED
    assert await shelf.due(subscriber) == []


async def test_a_repeated_retry_is_one(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row, state=FAILED)
    store = shelf.stores.deliveries
    key = RequestKey(tenant=DEFAULT_TENANT, request_id="a", fingerprint=b"same")
    first = await store.retry(DEFAULT_TENANT, subscriber.id, row.uid, request=key)
    await shelf.record(subscriber, await shelf.taken_again(subscriber))
    second = await store.retry(DEFAULT_TENANT, subscriber.id, row.uid, request=key)
    assert second == first
    assert (await shelf.shown(subscriber, row)).state is SUCCEEDED
    with pytest.raises(InvalidArgument, match="request_id"):
        await store.retry(
            DEFAULT_TENANT, subscriber.id, row.uid, request=replace(key, fingerprint=b"other")
        )


async def test_cancel_ends_a_pending_one(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
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
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row)
    cancelled = await shelf.stores.deliveries.cancel(DEFAULT_TENANT, subscriber.id, row.uid)
    assert cancelled.state is SUCCEEDED


async def test_the_attempt_that_was_out_at_a_cancel_is_late(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
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
