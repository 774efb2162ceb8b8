"""ports.EventStore, sentence by sentence."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.harness.shelf import OTHER_TENANT, START, Shelf, event, publish_of
from webhooks_server.domain.delivery import Trigger
from webhooks_server.domain.errors import EventIdReused, NotFound
from webhooks_server.domain.event import Accepted
from webhooks_server.domain.ids import DEFAULT_TENANT, EventId
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.times import Instant

EVERYTHING = event(
    "full",
    event_type="order.created",
    payload=b"\x00\xff\xfe{not text}",
    is_json=False,
    content_type="application/octet-stream",
    source="shop",
    subject="order/7",
    occur_time=Instant(START - 1),
    attributes={"region": "Köln"},
    data_schema="https://schemas.example/order",
    publisher="key-1",
    traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)


async def stored(shelf: Shelf) -> list[str]:
    found = await shelf.stores.events.list(None, (), PageRequest(), full=False)
    return [one.id for one in found.items]


def targets(accepted: Accepted) -> list[int]:
    return [one.subscription for one in accepted.deliveries]


async def test_an_event_comes_back_as_it_was_stored(shelf: Shelf) -> None:
    (accepted,) = await shelf.stores.events.append(publish_of(EVERYTHING))
    assert accepted.event == EVERYTHING._replace(
        seq=accepted.event.seq,
        create_time=shelf.clock.now,
        payload_size=len(EVERYTHING.payload),
    )
    assert (accepted.duplicate, accepted.deliveries, accepted.fan_out) == (False, (), False)
    assert await shelf.stores.events.get(DEFAULT_TENANT, EVERYTHING.id) == accepted.event
    assert list(await shelf.stores.events.load([accepted.event.seq])) == [accepted.event]


@pytest.mark.parametrize(
    "changes",
    [
        ({}, {}, {}),
        ({"source": ""}, {}, {"source": "", "subject": ""}),
        ({"occur_time": None}, {"occur_time": None}, {"occur_time": None}),
        ({"occur_time": None}, {}, {"occur_time": Instant(START)}),
        ({}, {"occur_time": None, "attributes": {}}, {"is_json": True, "payload": b"1"}),
    ],
)
async def test_events_of_one_group_come_back_each_as_it_was_stored(
    shelf: Shelf, changes: Sequence[Mapping[str, Any]]
) -> None:
    given = [
        EVERYTHING._replace(id=EventId(f"e{number}"), **one) for number, one in enumerate(changes)
    ]
    answers = await shelf.stores.events.append(publish_of(*given))
    for accepted, one in zip(answers, given, strict=True):
        expected = one._replace(
            seq=accepted.event.seq, create_time=shelf.clock.now, payload_size=len(one.payload)
        )
        assert await shelf.stores.events.get(DEFAULT_TENANT, one.id) == expected


async def test_nothing_published_is_nothing_stored(shelf: Shelf) -> None:
    assert list(await shelf.stores.events.append(publish_of())) == []


async def test_results_are_in_the_order_of_the_events(shelf: Shelf) -> None:
    accepted = await shelf.publish("c", "a", "b")
    assert [one.event.id for one in accepted] == ["c", "a", "b"]
    seqs = [one.event.seq for one in accepted]
    assert seqs == sorted(seqs)


async def test_each_match_has_one_delivery_that_is_due_now(shelf: Shelf) -> None:
    exact = await shelf.subscribe("exact", "invoice.paid")
    prefix = await shelf.subscribe("prefix", "invoice.*", "*")
    await shelf.subscribe("elsewhere", "order.*")
    await shelf.subscribe("stranger", tenant=OTHER_TENANT)
    (accepted,) = await shelf.publish("e1")
    assert targets(accepted) == [exact.number, prefix.number]
    assert accepted.event.delivery_count == 2
    for one in accepted.deliveries:
        assert (one.event_seq, one.due_in, one.age) == (accepted.event.seq, 0, 0)
        assert (one.attempt_count, one.trigger) == (0, Trigger.PUBLISH)
        assert len(one.uid) == 16
    assert list(await shelf.due(exact)) == [accepted.deliveries[0]]
    assert len({one.uid for one in accepted.deliveries}) == 2


async def test_what_matches_is_decided_by_the_state_when_the_call_began(shelf: Shelf) -> None:
    subscriptions = shelf.stores.subscriptions
    live = await shelf.subscribe("live")
    paused = await shelf.subscribe("paused", paused=True)
    await shelf.subscribe("inactive", active=False)
    deleted = await shelf.subscribe("deleted")
    await subscriptions.delete(DEFAULT_TENANT, deleted.id)
    (first,) = await shelf.publish("e1")
    assert targets(first) == [live.number, paused.number]
    await subscriptions.update(DEFAULT_TENANT, live.id, lambda one: replace(one, active=False))
    new = await shelf.subscribe("new")
    (second,) = await shelf.publish("e2")
    assert targets(second) == [paused.number, new.number]


async def test_the_same_event_again_is_a_duplicate(shelf: Shelf) -> None:
    await shelf.subscribe("sub")
    (first,) = await shelf.stores.events.append(publish_of(EVERYTHING))
    shelf.clock.advance(9)
    (again,) = await shelf.stores.events.append(publish_of(EVERYTHING))
    assert again == Accepted(event=first.event, duplicate=True)
    assert await stored(shelf) == ["full"]


async def test_the_same_event_twice_in_one_publish_is_stored_once(shelf: Shelf) -> None:
    subscriber = await shelf.subscribe("sub")
    first, again = await shelf.stores.events.append(publish_of(event("e"), event("e")))
    assert targets(first) == [subscriber.number]
    assert again == Accepted(event=first.event, duplicate=True)


@pytest.mark.parametrize(
    "change",
    [
        {"payload": b'{"a":1}'},
        {"event_type": "invoice.sent"},
        {"source": "s"},
        {"subject": "s"},
        {"attributes": {"a": "b"}},
        {"data_schema": "d"},
        {"content_type": "application/cloudevents+json"},
        {"occur_time": START},
    ],
)
async def test_an_id_is_not_for_another_content(shelf: Shelf, change: dict[str, object]) -> None:
    await shelf.publish("e1")
    with pytest.raises(EventIdReused) as raised:
        await shelf.stores.events.append(publish_of(event("e1", **change)))
    assert raised.value.resource_name == "tenants/default/events/e1"


async def test_nor_within_one_publish(shelf: Shelf) -> None:
    with pytest.raises(EventIdReused):
        await shelf.stores.events.append(publish_of(event("e"), event("e", payload=b"2")))
    assert await stored(shelf) == []


async def test_all_events_or_none(shelf: Shelf) -> None:
    await shelf.publish("old")
    wrong = event("old", payload=b"other")
    with pytest.raises(EventIdReused):
        await shelf.stores.events.append(publish_of(event("new"), wrong, event("newer")))
    assert await stored(shelf) == ["old"]


async def test_new_and_known_events_may_mix(shelf: Shelf) -> None:
    subscriber = await shelf.subscribe("sub")
    (old,) = await shelf.publish("old")
    before, known, after = await shelf.publish("before", "old", "after")
    assert known == Accepted(event=old.event, duplicate=True)
    assert [before.duplicate, after.duplicate] == [False, False]
    assert len(await shelf.due(subscriber)) == 3


async def test_an_id_belongs_to_its_tenant(shelf: Shelf) -> None:
    await shelf.publish("e1")
    theirs = event("e1", tenant=OTHER_TENANT, payload=b"other")
    (accepted,) = await shelf.stores.events.append(publish_of(theirs, tenant=OTHER_TENANT))
    assert not accepted.duplicate
    assert (await shelf.stores.events.get(OTHER_TENANT, EventId("e1"))).payload == b"other"


async def test_the_same_event_at_the_same_time_is_stored_once(shelf: Shelf) -> None:
    await shelf.subscribe("sub")
    answers = await asyncio.gather(*(shelf.publish("e1") for _ in range(20)))
    assert sorted(answer[0].duplicate for answer in answers) == [False] + [True] * 19
    assert len({answer[0].event.seq for answer in answers}) == 1


async def test_a_duplicate_is_never_answered_for_an_event_that_is_not_stored(
    shelf: Shelf,
) -> None:
    """EA2: the batch that brought X first is refused for Y, so X of the other one is new."""
    await shelf.publish("y")
    batch = publish_of(event("x"), event("y", payload=b"other"))
    refused, accepted = await asyncio.gather(
        shelf.stores.events.append(batch), shelf.publish("x"), return_exceptions=True
    )
    assert isinstance(refused, EventIdReused)
    assert isinstance(accepted, Sequence)
    assert not accepted[0].duplicate
    assert await stored(shelf) == ["x", "y"]


async def test_many_at_once_are_all_answered_each_with_its_own(shelf: Shelf) -> None:
    subscriber = await shelf.subscribe("sub")
    answers = await asyncio.gather(*(shelf.publish(f"e{number}") for number in range(64)))
    assert [answer[0].event.id for answer in answers] == [f"e{number}" for number in range(64)]
    assert {one.uid for answer in answers for one in answer[0].deliveries} == {
        one.uid for one in await shelf.due(subscriber)
    }


async def test_a_cancelled_publisher_harms_nobody(shelf: Shelf) -> None:
    tasks = [asyncio.ensure_future(shelf.publish(f"e{number}")) for number in range(8)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, Sequence) for answer in answers[1::2])
    assert (await shelf.publish("after"))[0].event.id == "after"


async def test_only_sends_to_that_one_subscription(shelf: Shelf) -> None:
    await shelf.subscribe("other")
    chosen = await shelf.subscribe("chosen", "order.*", active=False)
    publish = publish_of(
        event("ping", event_type="webhooks.ping"),
        only=chosen.number,
        trigger=Trigger.PING,
        first_due_delay=5_000_000,
    )
    (accepted,) = await shelf.stores.events.append(publish)
    (delivery,) = accepted.deliveries
    assert (delivery.subscription, delivery.trigger) == (chosen.number, Trigger.PING)
    assert (delivery.due_in, accepted.event.delivery_count) == (5_000_000, 1)
    shelf.clock.advance(2)
    (row,) = await shelf.due(chosen)
    assert (row.due_in, row.age, row.trigger) == (3_000_000, 2_000_000, Trigger.PING)


async def test_only_must_not_be_deleted(shelf: Shelf) -> None:
    gone = await shelf.subscribe("gone")
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, gone.id)
    with pytest.raises(NotFound, match="tenants/default/subscriptions/gone"):
        await shelf.stores.events.append(publish_of(event("e"), only=gone.number))
    assert await stored(shelf) == []


async def test_what_is_not_there_is_not_found(shelf: Shelf) -> None:
    await shelf.publish("e1")
    with pytest.raises(NotFound, match="tenants/other/events/e1 does not exist"):
        await shelf.stores.events.get(OTHER_TENANT, EventId("e1"))
