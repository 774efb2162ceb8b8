"""ports.EngineSession and ports.Leases, sentence by sentence."""

import asyncio
from dataclasses import replace

from tests.harness.postgres_database import PostgresDatabase
from tests.harness.shelf import ALL_PARTITIONS, Shelf
from tests.harness.waiting import until
from webhooks_server.domain.ids import DeliverySeq
from webhooks_server.domain.partitions import (
    NOBODY,
    Beat,
    Claim,
    EngineEntry,
    Heard,
    claims_to,
)

ONE, TWO = (EngineEntry(name=f"engine-{number}") for number in (1, 2))


def mine(beat: Beat, engine: EngineEntry = ONE) -> dict[int, int]:
    return {
        partition: holding.epoch
        for partition, holding in beat.holdings.items()
        if holding.owner == engine.name
    }


async def test_a_new_engine_owns_nothing(shelf: Shelf) -> None:
    async with shelf.session(ONE) as session:
        await session.beat(10, 7)
        beat = await session.beat(10, 7)
        assert session.is_alive
    assert set(beat.holdings) == set(ALL_PARTITIONS)
    assert {holding.owner for holding in beat.holdings.values()} == {NOBODY}
    (me,) = beat.engines
    assert (me.name, me.slots, me.is_transient, me.is_connected) == ("engine-1", 10, False, True)


async def test_a_beat_counts_up_and_tells_what_is_in_flight(shelf: Shelf) -> None:
    transient = replace(ONE, is_transient=True)
    async with shelf.session(transient) as session:
        beats = [(await session.beat(1, number)).engines[0] for number in range(3)]
        last = (await session.beat(1, 9)).engines[0]
    assert beats[0].beat < beats[1].beat < beats[2].beat
    assert last.is_transient
    assert last.in_flight in (2, 9)


async def test_what_is_taken_has_a_higher_epoch_than_ever(shelf: Shelf) -> None:
    async with shelf.session(ONE) as session:
        first = await session.take(claims_to(ALL_PARTITIONS, await session.beat(1, 0)))
        assert mine(await session.beat(1, 0)) == first
        await session.release(first)
        assert mine(await session.beat(1, 0)) == {}
        again = await session.take(claims_to([5], await session.beat(1, 0)))
        assert mine(await session.beat(1, 0)) == again
    assert set(first) == set(ALL_PARTITIONS)
    assert min(first.values()) > 0
    assert again == {5: first[5] + 1}


async def test_a_release_of_older_epochs_changes_nothing(shelf: Shelf) -> None:
    async with shelf.session(ONE) as session:
        first = await session.take(claims_to([5], await session.beat(1, 0)))
        await session.release(first)
        again = await session.take(claims_to([5], await session.beat(1, 0)))
        await session.release(first)
        assert mine(await session.beat(1, 0)) == again


async def test_leaving_gives_everything_back(shelf: Shelf) -> None:
    subscriber, (row,) = await shelf.lane()
    async with shelf.session(ONE) as session:
        await session.take(claims_to(ALL_PARTITIONS, await session.beat(1, 0)))
        await session.leave()
    async with shelf.session(TWO) as session:
        beat = await session.beat(1, 0)
    assert [one.name for one in beat.engines] == ["engine-2"]
    assert (mine(beat), mine(beat, TWO)) == ({}, {})
    assert (await shelf.record(subscriber, row)).late


async def test_the_end_of_a_session_gives_nothing_back(shelf: Shelf) -> None:
    subscriber, (row,) = await shelf.lane()
    async with shelf.session(ONE) as session:
        await session.beat(1, 0)
    assert not (await shelf.record(subscriber, row)).late


async def test_no_news_is_missed_within_one_store(shelf: Shelf) -> None:
    """An engine that has its store to itself knows of everything by other ways."""
    subscriber, (row,) = await shelf.lane()
    async with shelf.session(ONE) as session:
        news = await session.news([subscriber.partition], DeliverySeq(0))
        told = [head.subscription for head in news.heads]
        assert told == ([] if session.is_exclusive else [row.subscription])
        assert news.complete
    await shelf.stores.leases.announce(Heard(partitions=frozenset({1}), subscriptions=frozenset()))


class TestShared:
    """What only a store that several processes share can show."""

    async def test_a_partition_goes_to_one_of_two(self, postgres: Shelf) -> None:
        async with postgres.session(ONE) as one, postgres.session(TWO) as two:
            await one.beat(1, 3)
            beat = await two.beat(1, 0)
            claims = claims_to(ALL_PARTITIONS, beat)
            taken = await asyncio.gather(one.take(claims), two.take(claims))
            assert set(taken[0]).isdisjoint(taken[1])
            assert set(taken[0]) | set(taken[1]) == set(ALL_PARTITIONS)
            beat = await two.beat(1, 0)
            assert (mine(beat), mine(beat, TWO)) == tuple(taken)
            engines = {entry.name: entry for entry in beat.engines}
            assert [engines[name].is_connected for name in sorted(engines)] == [True, True]
            assert engines["engine-1"].in_flight == 3

    async def test_who_beats_meanwhile_loses_nothing(self, postgres: Shelf) -> None:
        async with postgres.session(ONE) as one, postgres.session(TWO) as two:
            await one.take(claims_to([1, 2], await one.beat(1, 0)))
            seen = await two.beat(1, 0)
            await one.beat(1, 0)
            assert await two.take(claims_to([1, 2], seen)) == {}
            assert list(await two.take(claims_to([1], await two.beat(1, 0)))) == [1]

    async def test_a_claim_of_an_older_epoch_is_not_met(self, postgres: Shelf) -> None:
        async with postgres.session(ONE) as one:
            seen = await one.beat(1, 0)
            await one.release(await one.take(claims_to([1], seen)))
            assert await one.take(claims_to([1], seen)) == {}
            stranger = Claim(partition=2, owner="engine-9", epoch=0, beat=-1)
            assert await one.take([stranger]) == {}

    async def test_a_partition_whose_owner_records_is_passed_over(self, postgres: Shelf) -> None:
        """EB4: nobody waits for anybody."""
        record = postgres.stores.events._groups._recording._link  # type: ignore[attr-defined]
        async with postgres.session(ONE) as one, postgres.session(TWO) as two:
            await one.take(claims_to([1, 2], await one.beat(1, 0)))
            seen = claims_to([1, 2], await two.beat(1, 0))
            connection = await record._opened()
            async with connection.begin():
                await connection.exec_driver_sql("SELECT FROM partitions WHERE id = 1 FOR SHARE")
                assert set(await two.take(seen)) == {2}
            assert set(await two.take(seen)) == {1}

    async def test_news_are_of_these_partitions_and_above_a_number(self, postgres: Shelf) -> None:
        one, (first, second) = await postgres.lane(2, "one")
        two, (third,) = await postgres.lane(1, "two")
        done, (fourth,) = await postgres.lane(1, "done")
        await postgres.record(done, fourth)
        async with postgres.session(ONE) as session:
            everywhere = await session.news(ALL_PARTITIONS, DeliverySeq(0))
            assert {head.subscription for head in everywhere.heads} == {one.number, two.number}
            assert everywhere.reached == fourth.seq
            assert all(head.due_in <= 0 for head in everywhere.heads)
            (head,) = (await session.news([one.partition], first.seq)).heads
            assert (head.subscription, head.partition) == (one.number, one.partition)
            assert (await session.news([one.partition], second.seq)).heads == []
            assert (await session.news([two.partition], third.seq)).heads == []
            assert (await session.beat(1, 0)).newest == fourth.seq

    async def test_what_is_announced_is_heard_by_all(self, postgres: Shelf) -> None:
        heard: list[Heard] = []
        async with postgres.session(ONE) as one:
            one.listen(heard.append, lambda: None)
            await one.beat(1, 0)
            lanes = frozenset(range(10**9, 10**9 + 700))
            said = Heard(partitions=frozenset({3, 255}), subscriptions=lanes)  # type: ignore[arg-type]
            await postgres.stores.leases.announce(said)
            await until(lambda: {lane for one in heard for lane in one.subscriptions} == lanes)
            assert {partition for one in heard for partition in one.partitions} == {3, 255}

    async def test_a_lost_session_is_noticed_at_once_and_made_anew(
        self, postgres: Shelf, database: PostgresDatabase
    ) -> None:
        lost: list[bool] = []
        async with postgres.session(ONE) as session:
            session.listen(lambda _: None, lambda: lost.append(session.is_alive))
            before = await session.beat(1, 0)
            taken = await session.take(claims_to([1], before))
            assert database.kill("session") == 1
            await until(lambda: bool(lost))
            assert lost == [False]
            after = await session.beat(1, 0)
            assert after.session != before.session
            assert mine(after) == taken
            assert after.engines[0].is_connected
