"""What stores remember of receivers that only fail (LaneStore.record, SubscriptionStore.update)."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.harness.shelf import Shelf, StandingClock
from webhooks_server.domain.delivery import DeliveryState, NewDelivery
from webhooks_server.domain.failures import Failures
from webhooks_server.domain.ids import DEFAULT_TENANT
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import DisableReason, Subscription
from webhooks_server.domain.times import Instant, Micros
from webhooks_server.storage.sql import SqliteConfig, open_sqlite

PENDING, FAILED, SUCCEEDED = (
    DeliveryState.PENDING,
    DeliveryState.FAILED,
    DeliveryState.SUCCEEDED,
)
SECOND = 1_000_000


def failures(seconds: int, exhausted: int) -> Failures:
    return Failures(lasting=Micros(seconds * SECOND), exhausted_count=exhausted)


async def fail(
    shelf: Shelf, subscriber: Subscription, row: NewDelivery, state: DeliveryState = FAILED
) -> Failures | None:
    recorded = await shelf.record(subscriber, row, state=state, failing=True)
    return recorded.failures


async def test_failures_go_on_and_count_the_deliveries_that_are_given_up(shelf: Shelf) -> None:
    subscriber, (one, two, three) = await shelf.lane(3)
    assert await fail(shelf, subscriber, one, PENDING) == failures(0, 0)
    shelf.clock.advance(5)
    assert await fail(shelf, subscriber, one, PENDING) == failures(5, 0)
    assert await fail(shelf, subscriber, one) == failures(5, 1)
    shelf.clock.advance(1)
    assert await fail(shelf, subscriber, two, DeliveryState.EXPIRED) == failures(6, 2)
    batch = [
        shelf.record_of(subscriber, three, state=state, failing=True) for state in (PENDING, FAILED)
    ]
    recorded = await shelf.stores.lanes.record(batch)
    assert [answer.failures for answer in recorded] == [failures(6, 2), failures(6, 3)]


async def test_a_success_ends_them(shelf: Shelf) -> None:
    subscriber, (one, two, three) = await shelf.lane(3)
    await fail(shelf, subscriber, one)
    recorded = await shelf.record(subscriber, two, failing=False)
    assert recorded.failures is None
    shelf.clock.advance(5)
    assert await fail(shelf, subscriber, three) == failures(0, 1)


async def test_a_success_within_the_same_commit_ends_them_too(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(3)
    said = (True, False, True)
    batch = [
        shelf.record_of(subscriber, row, state=FAILED if failing else SUCCEEDED, failing=failing)
        for row, failing in zip(rows, said, strict=True)
    ]
    recorded = await shelf.stores.lanes.record(batch)
    assert [one.failures for one in recorded] == [failures(0, 1), None, failures(0, 1)]


async def test_each_subscription_has_its_own(shelf: Shelf) -> None:
    one, (first,) = await shelf.lane(1, "one")
    two, (second,) = await shelf.lane(1, "two")
    await fail(shelf, one, first, PENDING)
    shelf.clock.advance(1)
    assert await fail(shelf, two, second) == failures(0, 1)
    assert await fail(shelf, one, first) == failures(1, 1)


async def test_what_says_nothing_changes_nothing(shelf: Shelf) -> None:
    subscriber, (one, two, three, four) = await shelf.lane(4)
    await fail(shelf, subscriber, one)
    shelf.clock.advance(1)
    said_nothing = await shelf.record(subscriber, two, state=FAILED)
    assert said_nothing.failures is None
    late = await shelf.record(subscriber, three, epoch=0, failing=False)
    assert late.late
    assert late.failures is None
    assert (await shelf.record(subscriber, one, failing=True, state=FAILED)).failures is None
    assert await fail(shelf, subscriber, four) == failures(1, 2)


async def test_a_record_that_is_repeated_counts_once(shelf: Shelf) -> None:
    subscriber, (one, two) = await shelf.lane(2)
    record = shelf.record_of(subscriber, one, state=FAILED, failing=True)
    for _ in range(3):
        await shelf.stores.lanes.record([record])
    assert await fail(shelf, subscriber, two) == failures(0, 2)


@pytest.mark.parametrize("is_enabled", [True, False])
async def test_one_that_becomes_active_begins_without(shelf: Shelf, is_enabled: bool) -> None:
    subscriber, (one, two) = await shelf.lane(2)
    await fail(shelf, subscriber, one)
    shelf.clock.advance(1)
    update = shelf.stores.subscriptions.update
    reason = DisableReason.CONSECUTIVE_FAILURES

    def disabled(current: Subscription) -> Subscription:
        return replace(current, active=False, disable_reason=reason)

    def enabled(current: Subscription) -> Subscription:
        return replace(current, active=True, disable_reason=None)

    def renamed(current: Subscription) -> Subscription:
        return replace(current, display_name="another")

    for change in (disabled, enabled) if is_enabled else (renamed, disabled):
        await update(DEFAULT_TENANT, subscriber.id, change)
        await update(DEFAULT_TENANT, subscriber.id, enabled, dry_run=True)
    expected = failures(0, 1) if is_enabled else failures(1, 2)
    assert await fail(shelf, subscriber, two) == expected


async def test_one_that_is_deleted_leaves_none(shelf: Shelf) -> None:
    subscriber, (one, two) = await shelf.lane(2)
    await fail(shelf, subscriber, one)
    shelf.clock.advance(1)
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, subscriber.id)
    assert await fail(shelf, subscriber, two) == failures(0, 1)


async def test_they_outlive_the_process(tmp_path: Path) -> None:
    clock = StandingClock()
    config = SqliteConfig(data_dir=tmp_path)
    async with open_sqlite(config, MatchIndex(), clock) as opened:
        shelf = Shelf(opened.stores, clock, MatchIndex())
        subscriber, (one, two) = await shelf.lane(2)
        await fail(shelf, subscriber, one)
    clock.wall_time = Instant(clock.wall_time + 60 * SECOND)
    async with open_sqlite(config, MatchIndex(), clock) as opened:
        shelf = Shelf(opened.stores, clock, MatchIndex())
        await shelf.own()
        assert await fail(shelf, subscriber, two) == failures(60, 2)
