"""What fits one transaction (engine.md, EA2 and EC3)."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.harness.shelf import StandingClock, event, publish_of
from webhooks_server.domain.errors import ServerOverloaded
from webhooks_server.domain.event import Event
from webhooks_server.domain.ids import DEFAULT_TENANT, SubscriptionId, SubscriptionNumber, Version
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.subscription import Changes, IndexEntry, State
from webhooks_server.storage.clock import StoreClock
from webhooks_server.storage.sql.accept import Append
from webhooks_server.storage.sql.backlog import MAX_WAITING, Backlog
from webhooks_server.storage.sql.dialects import Numbers
from webhooks_server.storage.sql.prepare import Preparation
from webhooks_server.storage.targets import distinct_events


def index_of(*counts: tuple[str, int]) -> MatchIndex:
    """An index with so many subscriptions to each of these event types."""
    names = [name for name, count in counts for _ in range(count)]
    entries = tuple(
        IndexEntry(
            number=SubscriptionNumber(number),
            tenant=DEFAULT_TENANT,
            id=SubscriptionId(f"sub-{number}"),
            partition=number % 256,
            version=Version(number),
            state=State.ACTIVE,
            deleted=False,
            patterns=(name,),
        )
        for number, name in enumerate(names, 1)
    )
    index = MatchIndex()
    index.apply(Changes(version=Version(len(entries)), entries=entries, pauses=(), complete=True))
    return index


def backlog_of(index: MatchIndex) -> Backlog:
    return Backlog(Preparation(index, StoreClock(StandingClock()), Numbers(0, 0)))


def append_of(*events: Event) -> Append:
    publish = publish_of(*events)
    future = asyncio.get_running_loop().create_future()
    return Append(
        publish=publish,
        fresh=distinct_events(publish),
        future=future,
        size=sum(len(one.payload) for one in events),
    )


def batch_of(name: str, count: int, **fields: object) -> Append:
    return append_of(*(event(f"{name}-{number}", **fields) for number in range(count)))


def groups_of(backlog: Backlog, appends: Sequence[Append]) -> list[list[str]]:
    """The groups that these make, each by the first event ids of its appends."""
    for append in appends:
        backlog.add_append(append)
    groups: list[list[str]] = []
    while backlog:
        group = backlog.take_group()
        groups.append([append.publish.events[0].id for append in group.appends])
    return groups


async def test_all_that_waits_goes_together_in_the_order_of_arrival() -> None:
    appends = [append_of(event(f"e{number}")) for number in range(64)]
    assert groups_of(backlog_of(index_of()), appends) == [[f"e{number}" for number in range(64)]]


async def test_at_most_512_events() -> None:
    appends = [batch_of("a", 500), batch_of("b", 12), batch_of("c", 1)]
    assert groups_of(backlog_of(index_of()), appends) == [["a-0", "b-0"], ["c-0"]]


async def test_at_most_4_mib_of_payloads() -> None:
    mib = 1024 * 1024
    appends = [
        batch_of("a", 1, payload=bytes(3 * mib)),
        batch_of("b", 1, payload=bytes(mib)),
        batch_of("c", 1, payload=b"1"),
    ]
    assert groups_of(backlog_of(index_of()), appends) == [["a-0", "b-0"], ["c-0"]]


async def test_at_most_2000_deliveries() -> None:
    index = index_of(("many", 1000), ("one", 1))
    appends = [
        batch_of("a", 1, event_type="many"),
        batch_of("b", 2, event_type="many"),
        batch_of("c", 1, event_type="one"),
        batch_of("d", 1, event_type="none"),
    ]
    assert groups_of(backlog_of(index), appends) == [["a-0", "b-0"], ["c-0", "d-0"]]


async def test_what_is_too_large_for_a_group_has_one_of_its_own() -> None:
    appends = [
        batch_of("a", 1, payload=bytes(5 * 1024 * 1024)),
        batch_of("b", 1),
    ]
    assert groups_of(backlog_of(index_of()), appends) == [["a-0"], ["b-0"]]


async def test_an_event_id_is_at_most_once_in_a_group() -> None:
    appends = [
        append_of(event("x")),
        append_of(event("y"), event("x")),
        append_of(event("z")),
        append_of(event("y")),
    ]
    assert groups_of(backlog_of(index_of()), appends) == [["x", "z", "y"], ["y"]]


async def test_seqs_go_up_in_the_order_of_commits() -> None:
    """Also where one had to wait for the next group, and others came in behind it."""
    backlog = backlog_of(index_of())
    for name in ("x", "x", "z"):
        backlog.add_append(append_of(event(name)))
    seqs = seqs_of(backlog)
    backlog.add_append(append_of(event("behind")))
    seqs += seqs_of(backlog)
    assert len(seqs) == 4
    assert seqs == sorted(seqs)


def seqs_of(backlog: Backlog) -> list[int]:
    """Take a group and return the seqs of its events in their order."""
    group = backlog.take_group()
    prepared = [append.prepared for append in group.appends]
    return [one.event.seq for each in prepared if each for one in each.accepted.values()]


async def test_who_is_gone_is_left_out() -> None:
    appends = [append_of(event("a")), append_of(event("b"))]
    appends[0].future.cancel()
    assert groups_of(backlog_of(index_of()), appends) == [["b"]]


async def test_what_is_put_back_comes_first_and_is_matched_anew() -> None:
    index = index_of()
    backlog = backlog_of(index)
    backlog.add_append(append_of(event("a", event_type="many")))
    group = backlog.take_group()
    backlog.put_back(group)
    index.apply(await changes_of(index_of(("many", 2))))
    backlog.add_append(append_of(event("b")))
    group = backlog.take_group()
    assert [append.publish.events[0].id for append in group.appends] == ["a", "b"]
    prepared = group.appends[0].prepared
    assert prepared is not None
    assert (len(prepared.deliveries), prepared.version) == (2, index.version)


async def changes_of(index: MatchIndex) -> Changes:
    entries = [index.get(SubscriptionNumber(number)) for number in (1, 2)]
    known = tuple(entry for entry in entries if entry is not None)
    return Changes(version=index.version, entries=known, pauses=(), complete=True)


async def test_too_many_that_wait_are_refused() -> None:
    backlog = backlog_of(index_of())
    for number in range(MAX_WAITING):
        backlog.add_append(append_of(event(f"e{number}")))
    with pytest.raises(ServerOverloaded):
        backlog.add_append(append_of(event("one-too-many")))
    backlog.take_group()
    backlog.add_append(append_of(event("fits-again")))


async def test_too_many_bytes_that_wait_are_refused() -> None:
    backlog = backlog_of(index_of())
    for number in range(21):
        backlog.add_append(batch_of(f"e{number}", 1, payload=bytes(3 * 1024 * 1024)))
    with pytest.raises(ServerOverloaded):
        backlog.add_append(batch_of("too-much", 1, payload=bytes(3 * 1024 * 1024)))
    backlog.take_group()
    backlog.add_append(batch_of("fits-again", 1, payload=bytes(3 * 1024 * 1024)))


async def test_calls_that_are_at_the_door_come_along_and_no_others() -> None:
    backlog = backlog_of(index_of())

    async def call(name: str, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        backlog.add_append(batch_of(name, 1))

    backlog.add_append(batch_of("first", 1))
    async with asyncio.TaskGroup() as calls:
        calls.create_task(call("second", 0))
        calls.create_task(call("third", 2))
        calls.create_task(call("late", 20))
        group = await backlog.gather_group()
        assert [append.publish.events[0].id for append in group.appends] == [
            "first-0",
            "second-0",
            "third-0",
        ]
    assert len(backlog) == 1
