"""ports.LaneStore, sentence by sentence."""

import asyncio
import secrets
from dataclasses import replace

import pytest

from tests.harness.shelf import ATTEMPT, Shelf, event, publish_of
from webhooks_server.domain.delivery import DeliveryState, NewDelivery, Reason
from webhooks_server.domain.ids import DEFAULT_TENANT, EventSeq
from webhooks_server.domain.lanes import LaneHead, LaneRead, Settlement
from webhooks_server.domain.subscription import PARTITIONS, Subscription
from webhooks_server.domain.times import Micros

PENDING, SUCCEEDED, FAILED = (
    DeliveryState.PENDING,
    DeliveryState.SUCCEEDED,
    DeliveryState.FAILED,
)
ALL = range(PARTITIONS)


async def deliveries(
    shelf: Shelf, count: int = 1, name: str = "sub"
) -> tuple[Subscription, list[NewDelivery]]:
    subscriber = await shelf.subscribe(name, f"{name}.*")
    await shelf.own()
    ids = [f"{name}-{number}" for number in range(count)]
    accepted = await shelf.publish(*ids, event_type=f"{name}.happened")
    return subscriber, [one.deliveries[0] for one in accepted]


def settlement(shelf: Shelf, subscriber: Subscription, **changes: object) -> Settlement:
    made = Settlement(
        subscription=subscriber.number,
        partition=subscriber.partition,
        epoch=shelf.epochs[subscriber.partition],
        state=DeliveryState.CANCELLED,
        reason=Reason.DELETED,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_acquire_takes_every_partition_with_a_higher_epoch(shelf: Shelf) -> None:
    first = await shelf.stores.lanes.acquire("engine-1")
    second = await shelf.stores.lanes.acquire("engine-2")
    await shelf.stores.lanes.release("engine-2")
    third = await shelf.stores.lanes.acquire("engine-1")
    assert set(first) == set(ALL)
    for partition in ALL:
        assert 0 < first[partition] < second[partition] < third[partition]


async def test_find_names_every_lane_with_pending_rows(shelf: Shelf) -> None:
    one, (first, second) = await deliveries(shelf, 2, "one")
    two, (late,) = await deliveries(shelf, 1, "two")
    await deliveries(shelf, 0, "idle")
    done, (finished,) = await deliveries(shelf, 1, "done")
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
    one, _ = await deliveries(shelf, 1, "one")
    two, _ = await deliveries(shelf, 1, "two")
    assert one.partition != two.partition
    (head,) = await shelf.stores.lanes.find([two.partition])
    assert head.subscription == two.number
    assert await shelf.stores.lanes.find([]) == []


async def test_due_returns_the_first_rows_by_due_time_and_seq(shelf: Shelf) -> None:
    subscriber, rows = await deliveries(shelf, 4)
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
    one, _ = await deliveries(shelf, 5, "one")
    two, _ = await deliveries(shelf, 5, "two")
    three, _ = await deliveries(shelf, 1, "three")
    idle, _ = await deliveries(shelf, 0, "idle")
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


async def test_a_record_of_success_ends_the_delivery(shelf: Shelf) -> None:
    subscriber, (row,) = await deliveries(shelf)
    shelf.clock.advance(2)
    recorded = await shelf.record(subscriber, row)
    assert (recorded.state, recorded.attempt_number, recorded.late) == (SUCCEEDED, 1, False)
    shown = await shelf.shown(subscriber, row)
    assert (shown.state, shown.complete_time) == (SUCCEEDED, shelf.clock.now)
    assert shown.last_attempt == replace(ATTEMPT, number=1)
    assert await shelf.due(subscriber) == []


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (FAILED, Reason.ATTEMPTS_SPENT),
        (DeliveryState.EXPIRED, Reason.MAX_AGE),
        (DeliveryState.CANCELLED, Reason.DELETED),
    ],
)
async def test_a_final_record_has_its_reason(
    shelf: Shelf, state: DeliveryState, reason: str
) -> None:
    subscriber, (row,) = await deliveries(shelf)
    await shelf.record(subscriber, row, state=state, state_reason=reason)
    shown = await shelf.shown(subscriber, row)
    assert (shown.state, shown.state_reason) == (state, reason)
    assert shown.complete_time == shelf.clock.now


async def test_a_pending_record_sets_the_due_time_from_the_stores_now(shelf: Shelf) -> None:
    subscriber, (row,) = await deliveries(shelf)
    shelf.clock.advance(10)
    recorded = await shelf.record(subscriber, row, state=PENDING, due_in=4_000_000)
    assert (recorded.state, recorded.due_in) == (PENDING, 4_000_000)
    (taken,) = await shelf.due(subscriber)
    assert (taken.due_in, taken.attempt_count, taken.charged_count) == (4_000_000, 1, 1)
    shown = await shelf.shown(subscriber, row)
    assert shown.next_attempt_time == shelf.clock.now + 4_000_000


async def test_answers_are_in_the_order_of_the_records(shelf: Shelf) -> None:
    subscriber, rows = await deliveries(shelf, 3)
    records = [shelf.record_of(subscriber, row) for row in reversed(rows)]
    recorded = await shelf.stores.lanes.record(records)
    assert [one.token for one in recorded] == [one.token for one in records]
    assert await shelf.stores.lanes.record([]) == []


async def test_the_row_gives_the_numbers_also_within_a_batch(shelf: Shelf) -> None:
    subscriber, (row,) = await deliveries(shelf)
    records = [
        shelf.record_of(subscriber, row, state=PENDING, due_in=5),
        shelf.record_of(subscriber, row, state=FAILED, state_reason=Reason.ATTEMPTS_SPENT),
        shelf.record_of(subscriber, row),
    ]
    recorded = await shelf.stores.lanes.record(records)
    assert [(one.attempt_number, one.state, one.late) for one in recorded] == [
        (1, PENDING, False),
        (2, FAILED, False),
        (3, FAILED, True),
    ]
    assert (await shelf.shown(subscriber, row)).attempt_count == 3


async def test_a_record_whose_token_is_known_changes_nothing(shelf: Shelf) -> None:
    subscriber, rows = await deliveries(shelf, 2)
    first = shelf.record_of(subscriber, rows[0], state=PENDING, due_in=8_000_000)
    await shelf.stores.lanes.record([first])
    shelf.clock.advance(3)
    fresh = shelf.record_of(subscriber, rows[1])
    again, new = await shelf.stores.lanes.record([first, fresh])
    assert (again.state, again.attempt_number, again.late) == (PENDING, 1, False)
    assert again.due_in == 5_000_000
    assert (new.state, new.late) == (SUCCEEDED, False)
    assert (await shelf.shown(subscriber, rows[0])).attempt_count == 1


async def test_a_repeated_record_is_answered_with_the_delivery_as_it_stands(shelf: Shelf) -> None:
    subscriber, (row,) = await deliveries(shelf)
    first = shelf.record_of(subscriber, row, state=PENDING, due_in=0)
    await shelf.stores.lanes.record([first])
    await shelf.record(subscriber, row)
    (again,) = await shelf.stores.lanes.record([first])
    assert (again.state, again.attempt_number, again.late) == (SUCCEEDED, 1, False)


async def test_the_same_token_twice_in_one_batch_counts_once(shelf: Shelf) -> None:
    subscriber, (row,) = await deliveries(shelf)
    record = shelf.record_of(subscriber, row)
    recorded = await shelf.stores.lanes.record([record, record])
    assert [one.attempt_number for one in recorded] == [1, 1]
    assert (await shelf.shown(subscriber, row)).attempt_count == 1


async def test_a_record_of_a_stale_epoch_is_late(shelf: Shelf) -> None:
    """EA1: both owners' attempts are on record, numbered by the row, and only one decides."""
    subscriber, (row,) = await deliveries(shelf)
    stale = shelf.record_of(subscriber, row)
    await shelf.own("engine-2")
    current = await shelf.record(subscriber, row, state=PENDING, due_in=1)
    (late,) = await shelf.stores.lanes.record([stale])
    assert (current.attempt_number, current.late) == (1, False)
    assert (late.attempt_number, late.state, late.late) == (2, PENDING, True)
    shown = await shelf.shown(subscriber, row)
    assert (shown.state, shown.attempt_count) == (PENDING, 2)
    (taken,) = await shelf.due(subscriber)
    assert (taken.attempt_count, taken.charged_count) == (2, 1)


async def test_a_record_after_the_release_is_late(shelf: Shelf) -> None:
    subscriber, (row,) = await deliveries(shelf)
    await shelf.stores.lanes.release("engine-1")
    assert (await shelf.record(subscriber, row)).late
    assert (await shelf.shown(subscriber, row)).state is PENDING


async def test_the_release_of_another_engine_changes_nothing(shelf: Shelf) -> None:
    subscriber, (row,) = await deliveries(shelf)
    await shelf.stores.lanes.release("engine-0")
    assert not (await shelf.record(subscriber, row)).late


async def test_a_record_whose_uid_lies_elsewhere_is_late_there(shelf: Shelf) -> None:
    """EA10: numbers that were used again must not end a delivery that was never sent."""
    subscriber, (mine, other) = await deliveries(shelf, 2)
    recorded = await shelf.record(subscriber, mine, seq=other.seq)
    assert (recorded.late, recorded.state) == (True, PENDING)
    assert (await shelf.shown(subscriber, other)).attempt_count == 0
    assert (await shelf.shown(subscriber, mine)).attempt_count == 1


async def test_a_record_whose_uid_nobody_has_is_stored_nowhere(shelf: Shelf) -> None:
    subscriber, (row,) = await deliveries(shelf)
    recorded = await shelf.record(subscriber, row, uid=secrets.token_bytes(16))
    assert (recorded.late, recorded.attempt_number) == (True, 0)
    assert (await shelf.shown(subscriber, row)).attempt_count == 0


async def test_records_and_appends_at_the_same_time(shelf: Shelf) -> None:
    subscriber, rows = await deliveries(shelf, 32)
    recorded, accepted = await asyncio.gather(
        asyncio.gather(*(shelf.record(subscriber, row) for row in rows)),
        asyncio.gather(*(shelf.publish(f"e{number}") for number in range(32))),
    )
    assert {one.state for one in recorded} == {SUCCEEDED}
    assert len({answer[0].event.seq for answer in accepted}) == 32


async def test_settle_ends_the_pending_rows_of_one_lane(shelf: Shelf) -> None:
    subscriber, rows = await deliveries(shelf, 3)
    other, (untouched,) = await deliveries(shelf, 1, "other")
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
    subscriber, rows = await deliveries(shelf, 2)
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


async def test_settle_leaves_those_in_flight_and_stops_at_its_limit(shelf: Shelf) -> None:
    subscriber, rows = await deliveries(shelf, 5)
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
    subscriber, _ = await deliveries(shelf, 2)
    stale = settlement(shelf, subscriber)
    await shelf.own("engine-2")
    assert await shelf.stores.lanes.settle(stale) == 0
    await shelf.stores.lanes.release("engine-2")
    assert await shelf.stores.lanes.settle(settlement(shelf, subscriber)) == 0
    assert len(await shelf.due(subscriber)) == 2


async def test_a_tombstone_keeps_its_lane_until_it_is_settled(shelf: Shelf) -> None:
    """EA8: Delete writes the subscription's row only; the lane of what is pending stays."""
    subscriber, rows = await deliveries(shelf, 2)
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
    subscriber, rows = await deliveries(shelf, 3)
    (accepted,) = await shelf.publish("more", event_type="sub.more")
    seqs = [*(row.seq for row in rows), accepted.deliveries[0].seq]
    assert seqs == sorted(set(seqs))
    assert seqs[0] > 0
    assert seqs[-1] == (await shelf.due(subscriber))[-1].seq
