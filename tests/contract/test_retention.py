"""EventStore.purge, sentence by sentence."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.harness.postgres_database import PostgresDatabase
from tests.harness.shelf import Shelf
from webhooks_server.domain.delivery import DeliveryState, NewDelivery
from webhooks_server.domain.errors import EventPurged, NotFound
from webhooks_server.domain.ids import DEFAULT_TENANT, EventId, EventSeq
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.subscription import Subscription
from webhooks_server.domain.times import DAY, Micros
from webhooks_server.storage import targets
from webhooks_server.storage.sql import retention

PENDING, FAILED = DeliveryState.PENDING, DeliveryState.FAILED
START = EventSeq(0)
A_DAY = 24 * 3600.0
PAGE = PageRequest()


async def purge(shelf: Shelf) -> tuple[int, int]:
    """Purge what is a day old or older, in one round; returns how many events and deliveries."""
    events = deliveries = 0
    after: EventSeq | None = START
    while after is not None:
        step = await shelf.stores.events.purge(DAY, after)
        events, deliveries, after = (
            events + step.events,
            deliveries + step.deliveries,
            step.next_after,
        )
    return events, deliveries


async def stored(shelf: Shelf) -> list[str]:
    found = await shelf.stores.events.list(None, (), PAGE, full=False)
    return [one.id for one in found.items]


async def listed(shelf: Shelf) -> list[str]:
    found = await shelf.stores.deliveries.list(None, None, (), PAGE, full=False)
    return [one.event for one in found.items]


async def test_an_old_event_goes_with_its_deliveries_and_attempts(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row, state=PENDING)
    await shelf.record(subscriber, row)
    await shelf.publish("waiting")
    shelf.clock.advance(A_DAY)
    await shelf.publish("young")

    assert await purge(shelf) == (1, 1)

    assert await stored(shelf) == ["young", "waiting"]
    with pytest.raises(NotFound):
        await shelf.stores.events.get(DEFAULT_TENANT, EventId("e1"))
    with pytest.raises(NotFound):
        await shelf.shown(subscriber, row)
    with pytest.raises(NotFound):
        await shelf.stores.deliveries.attempts(
            DEFAULT_TENANT, subscriber.id, row.uid, PAGE, full=True
        )
    report = await shelf.stores.control.audit(None)
    assert (report.events, report.deliveries, report.attempts) == (2, 2, 0)
    await hold(shelf)


async def test_events_that_matched_nothing_go_as_well(shelf: Shelf) -> None:
    await shelf.publish("a", "b")
    shelf.clock.advance(A_DAY)
    assert await purge(shelf) == (2, 0)
    assert await stored(shelf) == []


async def test_nothing_goes_before_its_time(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    shelf.clock.advance(1)
    await shelf.record(subscriber, row)
    shelf.clock.advance(A_DAY - 1)
    # The event is old enough, but what became of it was known only later.
    assert await purge(shelf) == (0, 0)
    shelf.clock.advance(1)
    assert await purge(shelf) == (1, 1)


async def test_what_is_pending_stays_however_old_it_is(shelf: Shelf) -> None:
    subscriber = await shelf.subscribe("sub")
    await shelf.subscribe("other", "b.*")
    await shelf.own()
    tried, untouched, _ = await shelf.publish("tried", "untouched", "done")
    await shelf.publish("half-done", event_type="b.x")
    await shelf.record(subscriber, tried.deliveries[0], state=PENDING)
    for one in await shelf.due(subscriber):
        if one.event_seq not in {tried.event.seq, untouched.event.seq}:
            await shelf.record(subscriber, one, state=FAILED)
    shelf.clock.advance(1000 * A_DAY)

    assert await purge(shelf) == (1, 1)

    assert await stored(shelf) == ["half-done", "untouched", "tried"]
    assert len(await shelf.due(subscriber)) == 2
    await hold(shelf)
    assert await listed(shelf) == ["half-done", "half-done", "untouched", "tried"]


async def test_what_was_retried_by_hand_stays(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row, state=FAILED)
    shelf.clock.advance(A_DAY)
    await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    assert await purge(shelf) == (0, 0)
    await shelf.record(subscriber, await shelf.taken_again(subscriber))
    # It counts from then on anew.
    assert await purge(shelf) == (0, 0)
    shelf.clock.advance(A_DAY)
    assert await purge(shelf) == (1, 1)


async def test_what_a_fan_out_owes_a_delivery_stays(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "FIRST_CHUNK", 1)
    subscribers = [await shelf.subscribe(name) for name in ("a", "b", "c")]
    await shelf.own()
    (accepted,) = await shelf.publish("e1")
    assert accepted.fan_out
    shelf.clock.advance(A_DAY)
    assert await purge(shelf) == (0, 0)
    rest = await shelf.stores.lanes.fan_out(accepted.event.seq)
    await finish(shelf, subscribers, rest.deliveries)
    shelf.clock.advance(A_DAY)
    assert await purge(shelf) == (1, 3)


async def test_the_id_is_free_again_and_no_number_is_used_twice(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row)
    shelf.clock.advance(A_DAY)
    await purge(shelf)
    (again,) = await shelf.publish("e1")
    assert not again.duplicate
    assert again.event.seq > row.event_seq
    assert again.deliveries[0].seq > row.seq


async def test_a_result_that_comes_after_all_is_nobodys(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    late = shelf.record_of(subscriber, row)
    await shelf.stores.deliveries.cancel(DEFAULT_TENANT, subscriber.id, row.uid)
    shelf.clock.advance(A_DAY)
    await purge(shelf)
    (recorded,) = await shelf.stores.lanes.record([late])
    assert (recorded.late, recorded.attempt_number) == (True, 0)


async def test_the_answer_to_a_retry_is_remembered_beyond_its_event(shelf: Shelf) -> None:
    subscriber, row = await shelf.one_delivery()
    await shelf.record(subscriber, row, state=FAILED)
    key = RequestKey(tenant=DEFAULT_TENANT, request_id="r", fingerprint=b"f")
    store = shelf.stores.deliveries
    first = await store.retry(DEFAULT_TENANT, subscriber.id, row.uid, request=key)
    await store.cancel(DEFAULT_TENANT, subscriber.id, row.uid)
    shelf.clock.advance(A_DAY - 1)
    assert (await shelf.stores.events.purge(DAY, START)).events == 0
    await shelf.stores.events.purge(Micros(0), START)
    assert await stored(shelf) == []
    assert await store.retry(DEFAULT_TENANT, subscriber.id, row.uid, request=key) == first


async def test_a_round_goes_on_where_the_step_before_ended(shelf: Shelf) -> None:
    await shelf.publish(*(f"e{number}" for number in range(450)))
    shelf.clock.advance(A_DAY)
    await shelf.publish("young")
    removed: list[int] = []
    after = START
    while len(removed) < 10:
        step = await shelf.stores.events.purge(DAY, after)
        removed.append(step.events)
        if step.next_after is None:
            break
        after = step.next_after
    assert removed == [200, 200, 50]
    assert await stored(shelf) == ["young"]


async def test_a_page_token_outlives_what_it_points_at(shelf: Shelf) -> None:
    await shelf.publish("a", "b", "c")
    first = await shelf.stores.events.list(None, (), PageRequest(size=1), full=False)
    shelf.clock.advance(A_DAY)
    await purge(shelf)
    rest = await shelf.stores.events.list(
        None, (), PageRequest(size=1, before=first.next_before), full=False
    )
    assert (list(rest.items), rest.next_before) == ([], None)


async def test_a_large_event_is_gone_at_once_and_its_rows_bit_by_bit(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "DELIVERIES_AT_ONCE", 2)
    subscribers = [await shelf.subscribe(f"sub-{number}", "a.*") for number in range(5)]
    await shelf.own()
    (accepted,) = await shelf.publish("large", event_type="a.b")
    await shelf.publish("small")
    await finish(shelf, subscribers, accepted.deliveries)
    shelf.clock.advance(A_DAY)

    removed: list[int] = []
    refused: set[type[BaseException]] = set()
    # As after a crash: each step begins a round.
    while await rows_left(shelf):
        step = await shelf.stores.events.purge(DAY, START)
        removed.append(step.deliveries)
        assert await stored(shelf) in ([], ["small"])
        assert await listed(shelf) == []
        with pytest.raises(NotFound):
            await shelf.stores.events.get(DEFAULT_TENANT, EventId("large"))
        for subscriber, row in zip(subscribers, accepted.deliveries, strict=True):
            with pytest.raises(NotFound):
                await shelf.shown(subscriber, row)
            with pytest.raises((EventPurged, NotFound)) as refusal:
                await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
            refused.add(refusal.type)
        await shelf.audited()
        assert len(removed) < 10
    assert sum(removed) == 5
    # The memory twin needs one step for all of them.
    assert (removed, refused) in (([5], {NotFound}), ([2, 2, 1], {EventPurged, NotFound}))
    assert await purge(shelf) in ((0, 0), (1, 0))


@pytest.mark.parametrize(
    ("bound", "most"), [("ATTEMPTS_AT_ONCE", 3), ("BYTES_AT_ONCE", 10), ("LOOKED_AT", 1)]
)
async def test_every_bound_of_a_step_only_makes_more_of_them(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(retention, bound, most)
    subscriber = await shelf.subscribe("sub")
    await shelf.own()
    for accepted in await shelf.publish("a", "b", "c"):
        for state in (PENDING, PENDING, FAILED):
            await shelf.record(subscriber, accepted.deliveries[0], state=state)
    shelf.clock.advance(A_DAY)
    await shelf.publish("young")
    assert await purge(shelf) == (3, 3)
    assert await stored(shelf) == ["young"]


async def test_a_retry_that_is_under_way_is_waited_for_by_nobody_and_wins(
    postgres: Shelf, database: PostgresDatabase
) -> None:
    """EA13: the event is left to the next round, whose look at it is a later one."""
    subscriber, row = await postgres.one_delivery()
    await postgres.record(subscriber, row, state=FAILED)
    administrator = database.administrator
    administrator.execute("BEGIN")
    administrator.execute("SELECT seq FROM events FOR KEY SHARE")
    assert (await postgres.stores.events.purge(Micros(0), START)).events == 0
    administrator.execute("ROLLBACK")
    assert (await postgres.stores.events.purge(Micros(0), START)).events == 1


async def test_a_retry_waits_for_a_mark_and_is_refused(
    postgres: Shelf, database: PostgresDatabase
) -> None:
    """EA13: what it has waited for is seen by the statement after."""
    subscriber, row = await postgres.one_delivery()
    await postgres.record(subscriber, row, state=FAILED)
    administrator = database.administrator
    administrator.execute("BEGIN")
    administrator.execute("SELECT seq FROM events FOR UPDATE")
    administrator.execute("INSERT INTO event_purges VALUES ($1)", row.event_seq)
    retry = asyncio.ensure_future(
        postgres.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, row.uid)
    )
    await asyncio.sleep(0.1)
    assert not retry.done()
    administrator.execute("COMMIT")
    with pytest.raises(EventPurged):
        await retry


async def hold(shelf: Shelf) -> None:
    """Let the audit at the end of a test not wonder why nobody sends what is due."""
    await shelf.stores.control.pause_relay("", "no engine runs")


async def rows_left(shelf: Shelf) -> int:
    """How many deliveries there are, those of events that are being removed among them."""
    counts = await shelf.stores.deliveries.counts(None)
    return counts.pending + counts.failed + counts.succeeded


async def finish(
    shelf: Shelf, subscribers: Sequence[Subscription], rows: Sequence[NewDelivery]
) -> None:
    """Record a success of each row."""
    by_number = {one.number: one for one in subscribers}
    for row in rows:
        await shelf.record(by_number[row.subscription], row)
