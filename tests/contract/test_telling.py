"""An event that tells of a change of a subscription, in the commit of that change."""

import asyncio
from dataclasses import replace

from tests.harness.shelf import OTHER_TENANT, Shelf, event
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import DEFAULT_TENANT, SubscriptionNumber
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.patterns import DISABLED
from webhooks_server.domain.subscription import DisableReason, Subscription

TOLD = event("told", event_type=DISABLED)


def disabled(current: Subscription) -> Subscription:
    if not current.active:
        return current
    return replace(current, active=False, disable_reason=DisableReason.GONE)


async def disable(
    shelf: Shelf, one: Subscription, telling: Event = TOLD, *, dry_run: bool = False
) -> None:
    await shelf.stores.subscriptions.update(
        one.tenant, one.id, disabled, telling=telling, dry_run=dry_run
    )


async def events(shelf: Shelf) -> list[Event]:
    page = await shelf.stores.events.list(None, (), PageRequest(), full=True)
    return list(page.items)


async def owed(shelf: Shelf) -> list[SubscriptionNumber]:
    """What fan-outs make, all of them."""
    found: list[SubscriptionNumber] = []
    for seq in await shelf.stores.lanes.fan_outs():
        step = await shelf.stores.lanes.fan_out(seq)
        assert step.done
        found += [one.subscription for one in step.deliveries]
    return found


async def test_it_goes_to_all_who_want_it_then_and_never_to_the_changed_one(shelf: Shelf) -> None:
    gone = await shelf.subscribe("gone", "webhooks.*", "a.b")
    one = await shelf.subscribe("one", "webhooks.*", DISABLED)
    two = await shelf.subscribe("two", "webhooks.subscription.*")
    paused = await shelf.subscribe("paused", DISABLED, paused=True)
    await shelf.subscribe("all", "*")
    await shelf.subscribe("inactive", "webhooks.*", active=False)
    await shelf.subscribe("other", "webhooks.*", tenant=OTHER_TENANT)
    dead = await shelf.subscribe("dead", "webhooks.*")
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, dead.id)
    await disable(shelf, gone)
    (stored,) = await events(shelf)
    assert (stored.id, stored.event_type, stored.payload) == (TOLD.id, DISABLED, TOLD.payload)
    assert stored.delivery_count == 3
    assert await owed(shelf) == [one.number, two.number, paused.number]
    assert await shelf.stores.lanes.fan_outs() == []
    await shelf.audited()


async def test_nothing_is_told_where_nothing_changed(shelf: Shelf) -> None:
    await shelf.subscribe("one", "webhooks.*")
    gone = await shelf.subscribe("gone", "a.b")
    await disable(shelf, gone, dry_run=True)
    assert await events(shelf) == []
    first, second = (event(name, event_type=DISABLED) for name in ("first", "second"))
    await asyncio.gather(disable(shelf, gone, first), disable(shelf, gone, second))
    (stored,) = await events(shelf)
    assert len(await owed(shelf)) == stored.delivery_count == 1
    await shelf.audited()


async def test_it_is_on_record_where_nobody_wants_it(shelf: Shelf) -> None:
    gone = await shelf.subscribe("gone", "*")
    await disable(shelf, gone)
    (stored,) = await events(shelf)
    assert (stored.id, stored.delivery_count) == (TOLD.id, 0)
    assert await shelf.stores.lanes.fan_outs() == []
    await shelf.audited()


async def test_its_number_is_its_own_beside_publishes(shelf: Shelf) -> None:
    gone = [await shelf.subscribe(f"gone-{number}", "a.b") for number in range(5)]
    telling = [event(f"told-{number}", event_type=DISABLED) for number in range(5)]
    await asyncio.gather(
        *(disable(shelf, one, of) for one, of in zip(gone, telling, strict=True)),
        *(shelf.publish(f"e{number}", event_type="x.y") for number in range(5)),
    )
    assert len({one.seq for one in await events(shelf)}) == 10
    await shelf.audited()
