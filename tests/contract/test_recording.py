"""LaneStore.record, sentence by sentence (engine.md, EA1)."""

import asyncio
import secrets
from dataclasses import replace

import pytest

from tests.harness.shelf import ATTEMPT, Shelf
from webhooks_server.domain.delivery import ALL_CHARGED, DeliveryState, Reason, Uncharged
from webhooks_server.domain.partitions import EngineEntry

PENDING, SUCCEEDED, FAILED = (
    DeliveryState.PENDING,
    DeliveryState.SUCCEEDED,
    DeliveryState.FAILED,
)


async def test_a_record_of_success_ends_the_delivery(shelf: Shelf) -> None:
    subscriber, (row,) = await shelf.lane()
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
    subscriber, (row,) = await shelf.lane()
    await shelf.record(subscriber, row, state=state, state_reason=reason)
    shown = await shelf.shown(subscriber, row)
    assert (shown.state, shown.state_reason) == (state, reason)
    assert shown.complete_time == shelf.clock.now


async def test_a_pending_record_sets_the_due_time_from_the_stores_now(shelf: Shelf) -> None:
    subscriber, (row,) = await shelf.lane()
    shelf.clock.advance(10)
    recorded = await shelf.record(subscriber, row, state=PENDING, due_in=4_000_000)
    assert (recorded.state, recorded.due_in) == (PENDING, 4_000_000)
    (taken,) = await shelf.due(subscriber)
    assert (taken.due_in, taken.attempt_count, taken.charged_count) == (4_000_000, 1, 1)
    shown = await shelf.shown(subscriber, row)
    assert shown.next_attempt_time == shelf.clock.now + 4_000_000


async def test_answers_are_in_the_order_of_the_records(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(3)
    records = [shelf.record_of(subscriber, row) for row in reversed(rows)]
    recorded = await shelf.stores.lanes.record(records)
    assert [one.token for one in recorded] == [one.token for one in records]
    assert await shelf.stores.lanes.record([]) == []


async def test_the_row_gives_the_numbers_also_within_a_batch(shelf: Shelf) -> None:
    subscriber, (row,) = await shelf.lane()
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
    subscriber, rows = await shelf.lane(2)
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
    subscriber, (row,) = await shelf.lane()
    first = shelf.record_of(subscriber, row, state=PENDING, due_in=0)
    await shelf.stores.lanes.record([first])
    await shelf.record(subscriber, row)
    (again,) = await shelf.stores.lanes.record([first])
    assert (again.state, again.attempt_number, again.late) == (SUCCEEDED, 1, False)


async def test_the_same_token_twice_in_one_batch_counts_once(shelf: Shelf) -> None:
    subscriber, (row,) = await shelf.lane()
    record = shelf.record_of(subscriber, row)
    recorded = await shelf.stores.lanes.record([record, record])
    assert [one.attempt_number for one in recorded] == [1, 1]
    assert (await shelf.shown(subscriber, row)).attempt_count == 1


async def test_what_is_not_charged_is_kept_by_kind(shelf: Shelf) -> None:
    subscriber, (row,) = await shelf.lane()
    assert row.uncharged == ALL_CHARGED
    one = Uncharged(abandoned=2, own=16, internal=1, doubtful=3)
    await shelf.record(subscriber, row, state=PENDING, charged=False, uncharged=one)
    taken = await shelf.taken_again(subscriber)
    assert (taken.uncharged, taken.charged_count) == (one, 0)
    await shelf.record(subscriber, row, state=PENDING)
    assert (await shelf.taken_again(subscriber)).uncharged == one
    await shelf.record(subscriber, row, state=PENDING, uncharged=ALL_CHARGED)
    assert (await shelf.taken_again(subscriber)).uncharged == ALL_CHARGED


async def test_a_late_attempt_counts_for_nothing(shelf: Shelf) -> None:
    subscriber, (row,) = await shelf.lane()
    stale = shelf.record_of(
        subscriber, row, state=PENDING, charged=False, uncharged=Uncharged(abandoned=1)
    )
    await shelf.own("engine-2")
    (late,) = await shelf.stores.lanes.record([stale])
    taken = await shelf.taken_again(subscriber)
    assert (late.late, taken.attempt_count, taken.uncharged) == (True, 1, ALL_CHARGED)


async def test_a_record_of_a_stale_epoch_is_late(shelf: Shelf) -> None:
    """EA1: both owners' attempts are on record, numbered by the row, and only one decides."""
    subscriber, (row,) = await shelf.lane()
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
    subscriber, (row,) = await shelf.lane()
    await shelf.disown()
    assert (await shelf.record(subscriber, row)).late
    assert (await shelf.shown(subscriber, row)).state is PENDING


async def test_a_record_whose_uid_lies_elsewhere_is_late_there(shelf: Shelf) -> None:
    """EA10: numbers that were used again must not end a delivery that was never sent."""
    subscriber, (mine, other) = await shelf.lane(2)
    recorded = await shelf.record(subscriber, mine, seq=other.seq)
    assert (recorded.late, recorded.state) == (True, PENDING)
    assert (await shelf.shown(subscriber, other)).attempt_count == 0
    assert (await shelf.shown(subscriber, mine)).attempt_count == 1


async def test_a_record_whose_uid_nobody_has_is_stored_nowhere(shelf: Shelf) -> None:
    subscriber, (row,) = await shelf.lane()
    recorded = await shelf.record(subscriber, row, uid=secrets.token_bytes(16))
    assert (recorded.late, recorded.attempt_number) == (True, 0)
    assert (await shelf.shown(subscriber, row)).attempt_count == 0


async def test_records_and_appends_at_the_same_time(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(32)
    recorded, accepted = await asyncio.gather(
        asyncio.gather(*(shelf.record(subscriber, row) for row in rows)),
        asyncio.gather(*(shelf.publish(f"e{number}") for number in range(32))),
    )
    assert {one.state for one in recorded} == {SUCCEEDED}
    assert len({answer[0].event.seq for answer in accepted}) == 32


@pytest.mark.parametrize("unfit", ["a\0b", "a\ud800b"])
async def test_what_a_receiver_says_never_keeps_an_attempt_off_the_record(
    shelf: Shelf, unfit: str
) -> None:
    """EA3: it comes from outside, and no database can be asked to hold it as it is."""
    subscriber, (row,) = await shelf.lane()
    attempt = replace(ATTEMPT, error_message=unfit, response_headers={"Server": unfit})
    recorded = await shelf.record(subscriber, row, attempt=attempt)
    assert recorded.state is SUCCEEDED
    shown = await shelf.shown(subscriber, row)
    assert shown.last_attempt is not None
    assert shown.last_attempt.error_message.startswith("a")


async def test_a_record_is_fenced_by_the_engine_that_it_names(shelf: Shelf) -> None:
    """EB5: whoever hears what came of an attempt may record it."""
    subscriber, rows = await shelf.lane(2)
    epochs = shelf.epochs
    # Stores opened for another engine; the partitions are still those of the first.
    async with shelf.session(EngineEntry(name="engine-2")):
        foreign = await shelf.record(subscriber, rows[0], engine="engine-1")
        own = await shelf.record(subscriber, rows[1])
    assert (foreign.state, foreign.late) == (SUCCEEDED, False)
    assert (own.state, own.late) == (PENDING, True)
    await shelf.own("engine-2")
    stale = await shelf.record(
        subscriber, rows[1], engine="engine-1", epoch=epochs[subscriber.partition]
    )
    assert (stale.state, stale.late) == (PENDING, True)


async def test_an_attempt_in_between_gives_the_next_number(shelf: Shelf) -> None:
    """What the engine knew of one delivery is behind; of its neighbours in the group it is not."""
    subscriber, rows = await shelf.lane(3)
    await shelf.record(subscriber, rows[1], state=PENDING, due_in=1)
    records = [shelf.record_of(subscriber, row) for row in rows]
    recorded, accepted = await asyncio.gather(
        shelf.stores.lanes.record(records), shelf.publish("beside")
    )
    assert [one.attempt_number for one in recorded] == [1, 2, 1]
    assert {(one.state, one.late) for one in recorded} == {(SUCCEEDED, False)}
    assert not accepted[0].duplicate
    counts = [(await shelf.shown(subscriber, row)).attempt_count for row in rows]
    assert counts == [1, 2, 1]


async def test_a_cancelled_neighbour_stays_so(shelf: Shelf) -> None:
    subscriber, rows = await shelf.lane(3)
    await shelf.stores.deliveries.cancel(subscriber.tenant, subscriber.id, rows[1].uid)
    records = [shelf.record_of(subscriber, row, state=PENDING, due_in=7) for row in rows]
    recorded = await shelf.stores.lanes.record(records)
    assert [(one.state, one.late) for one in recorded] == [
        (PENDING, False),
        (DeliveryState.CANCELLED, True),
        (PENDING, False),
    ]
    assert [row.seq for row in await shelf.due(subscriber)] == [rows[0].seq, rows[2].seq]


async def test_a_number_that_was_only_claimed_is_not_taken(shelf: Shelf) -> None:
    """The row numbers its attempts, whatever a record says that there were (EA1)."""
    subscriber, (row,) = await shelf.lane()
    recorded = await shelf.record(subscriber, row, attempt_count=7)
    assert (recorded.attempt_number, recorded.late) == (1, False)
    assert (await shelf.shown(subscriber, row)).attempt_count == 1
