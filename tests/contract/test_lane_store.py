"""ports.LaneStore, sentence by sentence."""

from dataclasses import replace

from tests.harness.shelf import Shelf, event, publish_of
from webhooks_server.domain.delivery import DeliveryState, Reason
from webhooks_server.domain.ids import DEFAULT_TENANT, EventSeq
from webhooks_server.domain.lanes import (
    FROM_THE_FIRST,
    LaneFailing,
    LaneHead,
    LaneRead,
    LaneRows,
    Settlement,
)
from webhooks_server.domain.subscription import PARTITIONS, Subscription
from webhooks_server.domain.times import Instant, Micros

PENDING, SUCCEEDED, FAILED = (
    DeliveryState.PENDING,
    DeliveryState.SUCCEEDED,
    DeliveryState.FAILED,
)
ALL = range(PARTITIONS)


def settlement(shelf: Shelf, subscriber: Subscription, **changes: object) -> Settlement:
    made = Settlement(
        subscription=subscriber.number,
        partition=subscriber.partition,
        epoch=shelf.epochs[subscriber.partition],
        state=DeliveryState.CANCELLED,
        reason=Reason.DELETED,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_find_names_every_lane_with_pending_rows(shelf: Shelf) -> None:
    one, (first, second) = await shelf.lane(2, "one")
    two, (late,) = await shelf.lane(1, "two")
    await shelf.lane(0, "idle")
    done, (finished,) = await shelf.lane(1, "done")
    await shelf.record(done, finished)
    await shelf.record(one, first, state=PENDING, due_in=3_000_000)
    await shelf.record(one, second, state=PENDING, due_in=2_000_000)
    shelf.clock.advance(5)
    await shelf.record(two, late, state=PENDING, due_in=9_000_000)
    heads = await shelf.stores.lanes.find(ALL)
    assert sorted(heads, key=lambda head: head.subscription) == [
        LaneHead(subscription=one.number, partition=one.partition, due_in=-3_000_000),
        LaneHead(subscription=two.number, partition=two.partition, due_in=9_000_000),
    ]


async def test_find_looks_into_these_partitions_only(shelf: Shelf) -> None:
    one, _ = await shelf.lane(1, "one")
    two, _ = await shelf.lane(1, "two")
    assert one.partition != two.partition
    (head,) = await shelf.stores.lanes.find([two.partition])
    assert head.subscription == two.number
    assert await shelf.stores.lanes.find([]) == []


async def test_due_returns_the_first_rows_by_due_time_and_seq(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(4)
    await shelf.record(subscriber, rows[0], state=PENDING, due_in=9_000_000, charged=False)
    await shelf.record(subscriber, rows[2], state=PENDING, due_in=5_000_000)
    shelf.clock.advance(6)
    found = await shelf.due(subscriber)
    assert [(row.seq, row.due_in) for row in found] == [
        (rows[1].seq, -6_000_000),
        (rows[3].seq, -6_000_000),
        (rows[2].seq, -1_000_000),
        (rows[0].seq, 3_000_000),
    ]
    assert [row.age for row in found] == [6_000_000] * 4
    assert [(row.attempt_count, row.charged_count) for row in found] == [
        (0, 0),
        (0, 0),
        (1, 1),
        (1, 0),
    ]
    assert [row.uid for row in found] == [rows[number].uid for number in (1, 3, 2, 0)]


async def test_due_answers_each_read_with_its_own_limit(shelf: Shelf) -> None:
    one, _ = await shelf.lane(5, "one")
    two, _ = await shelf.lane(5, "two")
    three, _ = await shelf.lane(1, "three")
    idle, _ = await shelf.lane(0, "idle")
    asked = [(two, 2), (idle, 7), (one, 3), (three, 9), (one, 1)]
    reads = [
        LaneRead(subscription=lane.number, partition=lane.partition, limit=limit)
        for lane, limit in asked
    ]
    answers = await shelf.stores.lanes.due(reads)
    assert [(one.subscription, len(one.rows)) for one in answers] == [
        (two.number, 2),
        (idle.number, 0),
        (one.number, 3),
        (three.number, 1),
        (one.number, 1),
    ]
    assert await shelf.stores.lanes.due([]) == []


async def lane_rows(shelf: Shelf, lane: Subscription, since: Instant = FROM_THE_FIRST) -> LaneRows:
    read = LaneRead(subscription=lane.number, partition=lane.partition, limit=3, since=since)
    (answer,) = await shelf.stores.lanes.due([read])
    return answer


async def test_a_read_tells_from_where_on_the_next_has_to_look(shelf: Shelf) -> None:
    """EC2: below it there are no rows, nor do any come but by a manual retry."""
    subscriber, rows = await shelf.lane(4)
    shelf.clock.advance(60)
    overdue = await lane_rows(shelf, subscriber)
    assert overdue.low_water == shelf.clock.now - 70_000_000
    for row in rows[:3]:
        await shelf.record(subscriber, row)
    again = await lane_rows(shelf, subscriber, overdue.low_water)
    assert [row.seq for row in again.rows] == [rows[3].seq]
    await shelf.record(subscriber, rows[3], state=PENDING, due_in=90_000_000)
    later = await lane_rows(shelf, subscriber, again.low_water)
    assert [row.seq for row in later.rows] == [rows[3].seq]
    # Not by what is due later: another one may be published, and have been begun before.
    assert later.low_water == shelf.clock.now - 10_000_000
    (new,) = await shelf.publish("new", event_type="sub.new")
    found = await lane_rows(shelf, subscriber, later.low_water)
    assert [row.seq for row in found.rows] == [new.deliveries[0].seq, rows[3].seq]


async def test_a_manual_retry_is_found_by_who_looks_from_the_first_row_on(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(2)
    await shelf.record(subscriber, rows[1], state=FAILED)
    shelf.clock.advance(60)
    await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, rows[1].uid)
    found = await lane_rows(shelf, subscriber)
    assert [row.seq for row in found.rows] == [rows[1].seq, rows[0].seq]
    assert found.low_water == FROM_THE_FIRST
    again = await lane_rows(shelf, subscriber, found.low_water)
    assert len(again.rows) == 2


async def test_an_empty_lane_tells_so_too(shelf: Shelf) -> None:
    subscriber, _ = await shelf.lane(0)
    shelf.clock.advance(60)
    empty = await lane_rows(shelf, subscriber)
    assert (empty.rows, empty.low_water) == ([], shelf.clock.now - 10_000_000)


async def test_settle_ends_the_pending_rows_of_one_lane(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(3)
    other, (untouched,) = await shelf.lane(1, "other")
    await shelf.record(subscriber, rows[0])
    shelf.clock.advance(4)
    assert await shelf.stores.lanes.settle(settlement(shelf, subscriber)) == 2
    shown = await shelf.shown(subscriber, rows[1])
    assert (shown.state, shown.state_reason, shown.complete_time) == (
        DeliveryState.CANCELLED,
        Reason.DELETED,
        shelf.clock.now,
    )
    assert (await shelf.shown(subscriber, rows[0])).state is SUCCEEDED
    assert (await shelf.shown(other, untouched)).state is PENDING
    assert await shelf.stores.lanes.settle(settlement(shelf, subscriber)) == 0


async def test_settle_takes_those_that_are_old_enough(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(2)
    shelf.clock.advance(10)
    await shelf.stores.events.append(publish_of(event("young"), only=subscriber.number))
    expired = settlement(
        shelf,
        subscriber,
        state=DeliveryState.EXPIRED,
        reason=Reason.MAX_AGE,
        min_age=Micros(10_000_000),
    )
    assert await shelf.stores.lanes.settle(replace(expired, min_age=Micros(10_000_001))) == 0
    assert await shelf.stores.lanes.settle(expired) == 2
    assert len(await shelf.due(subscriber)) == 1
    assert (await shelf.shown(subscriber, rows[0])).state is DeliveryState.EXPIRED


async def test_settle_leaves_a_manual_retry_at_any_age(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(2)
    await shelf.record(subscriber, rows[0])
    await shelf.stores.deliveries.retry(DEFAULT_TENANT, subscriber.id, rows[0].uid)
    shelf.clock.advance(10)
    expired = settlement(
        shelf,
        subscriber,
        state=DeliveryState.EXPIRED,
        reason=Reason.MAX_AGE,
        min_age=Micros(10_000_000),
    )
    assert await shelf.stores.lanes.settle(expired) == 1
    assert (await shelf.shown(subscriber, rows[0])).state is PENDING
    assert await shelf.stores.lanes.settle(settlement(shelf, subscriber)) == 1


async def test_settle_leaves_those_in_flight_and_stops_at_its_limit(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(5)
    some = settlement(shelf, subscriber, excluding=(rows[0].seq, rows[3].seq), limit=2)
    assert await shelf.stores.lanes.settle(some) == 2
    assert [row.seq for row in await shelf.due(subscriber)] == [
        rows[0].seq,
        rows[3].seq,
        rows[4].seq,
    ]
    assert await shelf.stores.lanes.settle(some) == 1
    assert not (await shelf.record(subscriber, rows[0])).late


async def test_settle_is_fenced(shelf: Shelf) -> None:
    subscriber, _ = await shelf.lane(2)
    stale = settlement(shelf, subscriber)
    await shelf.own("engine-2")
    assert await shelf.stores.lanes.settle(stale) == 0
    await shelf.disown("engine-2")
    assert await shelf.stores.lanes.settle(settlement(shelf, subscriber)) == 0
    assert len(await shelf.due(subscriber)) == 2


async def test_a_tombstone_keeps_its_lane_until_it_is_settled(shelf: Shelf) -> None:
    """EA8: Delete writes the subscription's row only; the lane of what is pending stays."""
    subscriber, rows = await shelf.lane(2)
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, subscriber.id)
    (head,) = await shelf.stores.lanes.find(ALL)
    assert head.subscription == subscriber.number
    assert [row.seq for row in await shelf.due(subscriber)] == [row.seq for row in rows]
    assert await shelf.stores.lanes.settle(settlement(shelf, subscriber)) == 2
    assert await shelf.stores.lanes.find(ALL) == []


async def test_an_unknown_fan_out_is_done(shelf: Shelf) -> None:
    step = await shelf.stores.lanes.fan_out(EventSeq(99))
    assert (step.deliveries, step.done) == ((), True)
    assert await shelf.stores.lanes.fan_outs() == []


async def test_sequence_numbers_are_never_used_twice(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(3)
    (accepted,) = await shelf.publish("more", event_type="sub.more")
    seqs = [*(row.seq for row in rows), accepted.deliveries[0].seq]
    assert seqs == sorted(set(seqs))
    assert seqs[0] > 0
    assert seqs[-1] == (await shelf.due(subscriber))[-1].seq


async def test_how_badly_lanes_fail_is_read_as_it_is_on_record(shelf: Shelf) -> None:
    made = [await shelf.subscribe(f"s{number}") for number in range(3)]
    levels = [LaneFailing(subscription=made[at].number, level=at) for at in range(3)]
    await shelf.stores.subscriptions.note_failing(levels)
    numbers = [one.number for one in made[:2]]
    assert await shelf.stores.lanes.failing(numbers) == {made[1].number: 1}
    assert await shelf.stores.lanes.failing([]) == {}
    await shelf.stores.subscriptions.note_failing(
        [LaneFailing(subscription=made[1].number, level=0)]
    )
    assert await shelf.stores.lanes.failing(numbers) == {}
