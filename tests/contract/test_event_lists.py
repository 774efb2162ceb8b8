"""Reading events: lists, pages, filters, payloads."""

import pytest

from tests.harness.shelf import OTHER_TENANT, START, Shelf, event, publish_of
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import DEFAULT_TENANT, EventSeq
from webhooks_server.domain.paging import PageRequest


async def test_list_goes_by_seq_descending_with_or_without_payloads(shelf: Shelf) -> None:
    await shelf.publish("a", "b")
    theirs = event("c", tenant=OTHER_TENANT)
    await shelf.stores.events.append(publish_of(theirs, tenant=OTHER_TENANT))
    full = await shelf.stores.events.list(DEFAULT_TENANT, (), PageRequest(), full=True)
    basic = await shelf.stores.events.list(DEFAULT_TENANT, (), PageRequest(), full=False)
    assert [one.id for one in full.items] == ["b", "a"]
    assert [one.payload for one in full.items] == [b'{"a": 1}'] * 2
    assert list(basic.items) == [one._replace(payload=b"") for one in full.items]
    everyone = await shelf.stores.events.list(None, (), PageRequest(), full=False)
    assert [one.id for one in everyone.items] == ["c", "b", "a"]


async def test_pages_of_events(shelf: Shelf) -> None:
    await shelf.publish("a", "b", "c")
    store = shelf.stores.events
    first = await store.list(DEFAULT_TENANT, (), PageRequest(size=2), full=True)
    assert first.next_before is not None
    rest = await store.list(
        DEFAULT_TENANT, (), PageRequest(size=2, before=first.next_before), full=True
    )
    assert [one.id for one in (*first.items, *rest.items)] == ["c", "b", "a"]
    assert rest.next_before is None


async def test_a_page_of_full_events_ends_early_above_2_mib(shelf: Shelf) -> None:
    large = [event(f"e{number}", payload=bytes(900_000), is_json=False) for number in range(4)]
    for one in large:
        await shelf.stores.events.append(publish_of(one))
    store = shelf.stores.events
    first = await store.list(DEFAULT_TENANT, (), PageRequest(), full=True)
    assert [one.id for one in first.items] == ["e3", "e2", "e1"]
    rest = await store.list(DEFAULT_TENANT, (), PageRequest(before=first.next_before), full=True)
    assert [one.id for one in rest.items] == ["e0"]
    basic = await store.list(DEFAULT_TENANT, (), PageRequest(), full=False)
    assert [one.payload_size for one in basic.items] == [900_000] * 4


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (Term(field="event_type", operator="=", value="order.created"), ["two"]),
        (Term(field="event_type", operator="!=", value="order.created"), ["three", "one"]),
        (Term(field="event_type", operator="=", value="order.", is_prefix=True), ["three", "two"]),
        (Term(field="subject", operator="=", value="7"), ["two"]),
        (Term(field="source", operator="=", value="shop"), ["one"]),
        (Term(field="create_time", operator="<", value=START + 1_000_000), ["one"]),
        (Term(field="create_time", operator="<=", value=START + 1_000_000), ["two", "one"]),
        (Term(field="create_time", operator=">", value=START + 1_000_000), ["three"]),
        (Term(field="create_time", operator=">=", value=START + 1_000_000), ["three", "two"]),
        (Term(field="create_time", operator="=", value=START), ["one"]),
        (Term(field="create_time", operator="!=", value=START), ["three", "two"]),
    ],
)
async def test_list_filters(shelf: Shelf, term: Term, expected: list[str]) -> None:
    for one in (
        event("one", source="shop"),
        event("two", event_type="order.created", subject="7"),
        event("three", event_type="order.paid"),
    ):
        await shelf.stores.events.append(publish_of(one))
        shelf.clock.advance(1)
    found = await shelf.stores.events.list(DEFAULT_TENANT, [term], PageRequest(), full=False)
    assert [one.id for one in found.items] == expected


@pytest.mark.parametrize("size", [0, 1, 8192, 8193, 262_144])
async def test_load_brings_every_byte_of_every_size(shelf: Shelf, size: int) -> None:
    payload = bytes(number % 256 for number in range(size))
    small, large = await shelf.stores.events.append(
        publish_of(event("a"), event("b", payload=payload, is_json=False))
    )
    found = await shelf.stores.events.load([large.event.seq, EventSeq(99), small.event.seq])
    assert sorted(found, key=lambda one: one.seq) == [small.event, large.event]
