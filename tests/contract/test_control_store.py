"""ports.ControlStore, sentence by sentence."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from tests.harness.shelf import OTHER_TENANT, Shelf, event, publish_of
from webhooks_server.domain.audit import AuditReport
from webhooks_server.domain.delivery import DeliveryState
from webhooks_server.domain.ids import (
    DEFAULT_TENANT,
    SubscriptionId,
    SubscriptionNumber,
    Version,
    delivery_id,
)
from webhooks_server.domain.lanes import LaneFailing
from webhooks_server.domain.subscription import RelayPause, Subscription
from webhooks_server.domain.times import Micros


async def test_a_pause_holds_one_tenant_or_all(shelf: Shelf) -> None:
    control, subscriptions = shelf.stores.control, shelf.stores.subscriptions
    before = (await subscriptions.changes(Version(0))).version
    shelf.clock.advance(2)
    pause = await control.pause_relay("", "repairs")
    assert pause == RelayPause(tenant="", reason="repairs", pause_time=shelf.clock.now)
    theirs = await control.pause_relay("default", "unpaid")
    changes = await subscriptions.changes(before)
    assert changes.version == before + 2
    assert sorted(changes.pauses, key=lambda one: one.tenant) == [pause, theirs]


async def test_a_second_pause_takes_the_place_of_the_first(shelf: Shelf) -> None:
    first = await shelf.stores.control.pause_relay("", "first")
    shelf.clock.advance(2)
    second = await shelf.stores.control.pause_relay("", "second")
    assert second.pause_time == first.pause_time
    changes = await shelf.stores.subscriptions.changes(Version(0))
    assert changes.pauses == (second,)


async def test_resume_ends_exactly_this_pause(shelf: Shelf) -> None:
    control, subscriptions = shelf.stores.control, shelf.stores.subscriptions
    everyone = await control.pause_relay("", "all")
    await control.pause_relay("default", "one")
    await control.resume_relay("default")
    changes = await subscriptions.changes(Version(0))
    assert changes.pauses == (everyone,)
    await control.resume_relay("default")
    assert (await subscriptions.changes(Version(0))).version == changes.version
    await control.resume_relay("")
    assert (await subscriptions.changes(changes.version)).pauses == ()


async def test_audit_counts_every_row(shelf: Shelf) -> None:
    subscriber = await shelf.subscribe("sub", "invoice.*")
    await shelf.own()
    rows = [one.deliveries[0] for one in await shelf.publish("a", "b", "c", "d")]
    await shelf.publish("unmatched", event_type="order.paid")
    await shelf.record(subscriber, rows[0])
    await shelf.record(subscriber, rows[1], state=DeliveryState.FAILED)
    await shelf.record(subscriber, rows[2], state=DeliveryState.PENDING, due_in=1)
    await shelf.stores.deliveries.cancel(DEFAULT_TENANT, subscriber.id, rows[3].uid)
    expected = AuditReport(
        events=5,
        unmatched_events=1,
        deliveries=4,
        pending=1,
        succeeded=1,
        failed=1,
        cancelled=1,
        expired=0,
        attempts=3,
    )
    assert await shelf.stores.control.audit(None) == expected
    assert await shelf.stores.control.audit(DEFAULT_TENANT) == expected


async def test_audit_counts_one_tenant(shelf: Shelf) -> None:
    await shelf.subscribe("theirs", tenant=OTHER_TENANT)
    await shelf.publish("mine")
    await shelf.stores.events.append(
        publish_of(event("theirs", tenant=OTHER_TENANT), tenant=OTHER_TENANT)
    )
    report = await shelf.stores.control.audit(OTHER_TENANT)
    assert (report.events, report.deliveries, report.unmatched_events) == (1, 1, 0)
    assert report.violations == ()


async def test_audit_counts_what_fan_outs_owe(shelf: Shelf) -> None:
    for number in range(401):
        await shelf.subscribe(f"sub-{number}")
    accepted = await shelf.publish("a", "b", "c")
    assert [one.fan_out for one in accepted] == [False, False, True]
    report = await shelf.stores.control.audit(None)
    # What does not fit whole beside those before it is owed whole.
    assert (report.events, report.deliveries, report.violations) == (3, 2 * 401, ())


async def hold_by_pause(shelf: Shelf, tenant: str) -> None:
    await shelf.stores.control.pause_relay(tenant, "repairs")


async def change(shelf: Shelf, **changes: object) -> None:
    await shelf.stores.subscriptions.update(
        DEFAULT_TENANT,
        SubscriptionId("sub"),
        lambda one: replace(one, **changes),  # type: ignore[arg-type]
    )


async def stuck(shelf: Shelf) -> Sequence[str]:
    return (await shelf.stores.control.audit(None)).violations


async def test_audit_names_the_first_due_delivery_of_a_lane_that_stands_still(shelf: Shelf) -> None:
    """EC12."""
    subscriber, rows = await shelf.lane(3)
    await shelf.record(subscriber, rows[0], state=DeliveryState.PENDING, due_in=9)
    shelf.clock.advance(299)
    assert await stuck(shelf) == ()
    shelf.clock.advance(3)
    name = delivery_id(rows[1].uid)
    assert await stuck(shelf) == (
        f"delivery {name} has been due for 302 s, and nothing holds it back",
    )
    assert (await shelf.stores.control.audit(OTHER_TENANT)).violations == ()
    # Its lane goes on: the others have their turn soon.
    await shelf.record(subscriber, rows[0])
    assert await stuck(shelf) == ()
    shelf.clock.advance(302)
    assert len(await stuck(shelf)) == 1
    await shelf.record(subscriber, rows[1])
    await shelf.record(subscriber, rows[2], state=DeliveryState.PENDING, due_in=3_600_000_000)
    shelf.clock.advance(3599)
    assert await stuck(shelf) == ()


@pytest.mark.parametrize(
    "hold",
    [
        lambda shelf: hold_by_pause(shelf, ""),
        lambda shelf: hold_by_pause(shelf, "default"),
        lambda shelf: change(shelf, paused=True),
        lambda shelf: change(shelf, active=False),
    ],
    ids=["relay", "tenant", "subscription", "inactive"],
)
async def test_audit_does_not_name_what_is_held(
    shelf: Shelf, hold: Callable[[Shelf], Awaitable[None]]
) -> None:
    await shelf.lane()
    shelf.clock.advance(302)
    assert len(await stuck(shelf)) == 1
    await hold(shelf)
    shelf.clock.advance(302)
    assert await stuck(shelf) == ()


async def test_audit_does_not_name_what_a_breaker_explains(shelf: Shelf) -> None:
    subscriber, (row,) = await shelf.lane()
    shelf.clock.advance(302)
    await note_failing(shelf, subscriber, level=2, seconds=60)
    assert await stuck(shelf) == ()
    # It should have been probed by then.
    shelf.clock.advance(361)
    assert len(await stuck(shelf)) == 1
    await note_failing(shelf, subscriber, level=3, seconds=600)
    assert await stuck(shelf) == ()
    await note_failing(shelf, subscriber, level=0, seconds=0)
    assert len(await stuck(shelf)) == 1
    await shelf.record(subscriber, row)


async def note_failing(shelf: Shelf, subscriber: Subscription, level: int, seconds: int) -> None:
    noted = LaneFailing(
        subscription=subscriber.number, level=level, open_for=Micros(seconds * 1_000_000)
    )
    await shelf.stores.subscriptions.note_failing([noted])


async def test_how_a_lane_fails_is_kept_and_is_no_change_of_its_subscription(shelf: Shelf) -> None:
    subscriber, other = await shelf.subscribe("sub"), await shelf.subscribe("other")
    before = await shelf.stores.subscriptions.changes(Version(0))
    await shelf.stores.subscriptions.note_failing([])
    await note_failing(shelf, subscriber, level=3, seconds=60)
    unknown = LaneFailing(subscription=SubscriptionNumber(99), level=1)
    await shelf.stores.subscriptions.note_failing([unknown])
    after = await shelf.stores.subscriptions.changes(Version(0))
    assert after.version == before.version
    assert {entry.id: entry.failing for entry in after.entries} == {"sub": 3, "other": 0}
    assert await shelf.stores.subscriptions.get(DEFAULT_TENANT, subscriber.id) == subscriber
    # A change of the subscription leaves it alone.
    await change(shelf, display_name="new")
    entries = (await shelf.stores.subscriptions.changes(other.version)).entries
    assert [(entry.id, entry.failing) for entry in entries] == [("sub", 3)]


async def test_audit_names_what_still_waits_for_a_deleted_subscription(shelf: Shelf) -> None:
    subscriber, (row,) = await shelf.lane()
    await hold_by_pause(shelf, "")
    shelf.clock.advance(302)
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, subscriber.id)
    assert await stuck(shelf) == ()
    shelf.clock.advance(302)
    (violation,) = await stuck(shelf)
    assert violation.startswith(f"delivery {delivery_id(row.uid)} is pending, but its subscription")
    await shelf.record(subscriber, row)


async def test_audit_counts_a_retry_by_hand_from_when_it_was_asked_for(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row)
    shelf.clock.advance(302)
    await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert await stuck(shelf) == ()
    shelf.clock.advance(302)
    assert len(await stuck(shelf)) == 1
    await shelf.stores.deliveries.cancel(DEFAULT_TENANT, subscriber.id, row.uid)


async def test_the_server_key_stays(shelf: Shelf) -> None:
    key = await shelf.stores.control.server_key()
    assert len(key) == 32
    assert await shelf.stores.control.server_key() == key


async def test_an_open_store_is_ready(shelf: Shelf) -> None:
    assert await shelf.stores.control.ready()


@pytest.mark.parametrize("ticks", [0, -3600, 3600])
async def test_a_jump_of_the_wall_clock_moves_nothing(shelf: Shelf, ticks: int) -> None:
    """EC5: due times follow the store's own clock."""
    subscriber = await shelf.subscribe("sub")
    await shelf.own()
    (accepted,) = await shelf.publish("e1")
    await shelf.record(
        subscriber, accepted.deliveries[0], state=DeliveryState.PENDING, due_in=5_000_000
    )
    shelf.clock.wall_time += ticks * 1_000_000  # type: ignore[assignment]
    shelf.clock.advance(2)
    (row,) = await shelf.due(subscriber)
    assert row.due_in == 3_000_000
