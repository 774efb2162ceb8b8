"""What every store counts of deliveries, and says of those that wait."""

from dataclasses import replace

import pytest

from tests.harness.shelf import OTHER_TENANT, START, Shelf
from webhooks_server.domain.delivery import (
    DeliveryCounts,
    DeliveryState,
    FirstDelivery,
    Trigger,
)
from webhooks_server.domain.ids import DEFAULT_TENANT, SubscriptionId
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.subscription import DisableReason
from webhooks_server.storage import pages

PENDING, SUCCEEDED, FAILED = (
    DeliveryState.PENDING,
    DeliveryState.SUCCEEDED,
    DeliveryState.FAILED,
)


async def test_of_event_names_the_deliveries_to_these(shelf: Shelf) -> None:
    one, two = await shelf.subscribe("one"), await shelf.subscribe("two")
    (accepted,) = await shelf.publish("e1")
    later = await shelf.subscribe("later")
    found = await shelf.stores.deliveries.of_event(accepted.event.seq, [one.number, later.number])
    first, second = (
        FirstDelivery(trigger=Trigger.PUBLISH, uid=row.uid) for row in accepted.deliveries
    )
    assert found == {one.number: first}
    found = await shelf.stores.deliveries.of_event(accepted.event.seq, [two.number])
    assert found == {two.number: second}


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
    assert await counts(OTHER_TENANT) == DeliveryCounts()


async def test_counts_what_is_final_among_the_newest_alone(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriber = await shelf.subscribe("sub")
    await shelf.own()
    rows = [one.deliveries[0] for one in await shelf.publish("a", "b", "c", "d")]
    await shelf.record(subscriber, rows[0], state=PENDING, due_in=5)
    for row in rows[1:]:
        await shelf.record(subscriber, row)
    monkeypatch.setattr(pages, "MOST_COUNTED", 2)
    expected = DeliveryCounts(
        pending=1, retrying=1, succeeded=2, attempts=2, oldest_pending_time=START
    )
    assert await shelf.stores.deliveries.counts(None) == expected
    assert await shelf.stores.deliveries.counts(DEFAULT_TENANT) == expected


async def test_pending_counts_what_waits_for_one_subscription(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(4, "one")
    await shelf.lane(2, "two")
    await shelf.record(subscriber, rows[0])
    await shelf.record(subscriber, rows[1], state=PENDING, due_in=5)
    pending = shelf.stores.deliveries.pending
    assert await pending(DEFAULT_TENANT, subscriber.id) == 3
    assert await pending(OTHER_TENANT, subscriber.id) == 0
    assert await pending(DEFAULT_TENANT, SubscriptionId("never")) == 0


async def test_a_pending_delivery_says_why_its_subscription_holds_it(shelf: Shelf) -> None:
    subscriber, (waiting, done) = await shelf.lane(2)
    await shelf.record(subscriber, done)
    subscriptions = shelf.stores.subscriptions

    async def reasons() -> list[str]:
        page = await shelf.stores.deliveries.list(None, None, (), PageRequest(), full=False)
        assert page.items[1] == await shelf.shown(subscriber, waiting)
        return [one.state_reason for one in page.items]

    assert await reasons() == ["", ""]
    for changes, reason in (
        ({"paused": True}, "paused"),
        ({"active": False}, "inactive"),
        ({"disable_reason": DisableReason.GONE}, "disabled"),
    ):
        await subscriptions.update(
            DEFAULT_TENANT,
            subscriber.id,
            lambda one, changes=changes: replace(one, **changes),  # type: ignore[misc]
        )
        assert await reasons() == ["", reason]
    await subscriptions.delete(DEFAULT_TENANT, subscriber.id)
    assert await reasons() == ["", "deleted"]
