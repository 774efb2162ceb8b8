"""ports.SubscriptionStore, sentence by sentence."""

from dataclasses import replace

import pytest

from tests.harness.shelf import OTHER_TENANT, START, Shelf, subscription
from webhooks_server.domain.errors import (
    EtagMismatch,
    InvalidArgument,
    NotFound,
    ResourceExists,
    invalid,
)
from webhooks_server.domain.filters import Term
from webhooks_server.domain.ids import (
    DEFAULT_TENANT,
    SubscriptionId,
    SubscriptionNumber,
    Version,
)
from webhooks_server.domain.paging import PageRequest
from webhooks_server.domain.secrets import Secret
from webhooks_server.domain.subscription import (
    PARTITIONS,
    ClientErrorPolicy,
    DisableReason,
    RetryPolicy,
    SignatureScheme,
    State,
    Subscription,
    SubscriptionConfig,
)
from webhooks_server.domain.times import DAY, Instant, Micros

EVERYTHING = subscription(
    "full",
    "invoice.*",
    "order.created",
    config=SubscriptionConfig(
        url="https://receiver.example/full",
        secret=Secret("whsec_now"),
        content_type="application/json",
        signature_schemes=(SignatureScheme.STANDARD_HMAC, SignatureScheme.HUB_LEGACY),
        headers={"X-One": "1"},
        secret_headers={"Authorization": Secret("Bearer b")},
        timeout=Micros(3_000_000),
        max_in_flight=7,
        max_requests_per_minute=8,
        previous_secret=Secret("whsec_before"),
        previous_secret_expire_time=Instant(START + DAY),
    ),
    display_name="Ärger ☃",
    active=False,
    paused=True,
    pause_reason="holiday",
    disable_reason=DisableReason.GONE,
    retry_policy=RetryPolicy(
        max_attempts=3,
        initial_backoff=Micros(10_000),
        max_backoff=Micros(20_000),
        backoff_multiplier=1.5,
        max_age=Micros(1_000_000),
        client_error_policy=ClientErrorPolicy.FAIL_DELIVERY,
    ),
    annotations={"team": "billing"},
    creator="someone",
)


def renamed(current: Subscription) -> Subscription:
    return replace(current, display_name="new name")


async def test_created_comes_back_with_number_partition_and_version(shelf: Shelf) -> None:
    created = await shelf.stores.subscriptions.create(EVERYTHING)
    assert created == replace(
        EVERYTHING,
        number=created.number,
        partition=created.partition,
        version=created.version,
    )
    assert created.number > 0
    assert 0 <= created.partition < PARTITIONS
    assert created.version > 0
    assert await shelf.stores.subscriptions.get(DEFAULT_TENANT, created.id) == created


async def test_an_id_is_taken_for_ever(shelf: Shelf) -> None:
    first = await shelf.subscribe("sub")
    with pytest.raises(ResourceExists, match="tenants/default/subscriptions/sub"):
        await shelf.subscribe("sub", url="https://receiver.example/elsewhere")
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, first.id)
    with pytest.raises(ResourceExists):
        await shelf.subscribe("sub")


async def test_the_same_id_may_live_in_another_tenant(shelf: Shelf) -> None:
    mine = await shelf.subscribe("sub")
    theirs = await shelf.subscribe("sub", tenant=OTHER_TENANT)
    assert mine.number != theirs.number
    assert await shelf.stores.subscriptions.get(OTHER_TENANT, theirs.id) == theirs


async def test_url_and_set_of_patterns_are_unique_among_the_living(shelf: Shelf) -> None:
    url = "https://receiver.example/hook"
    first = await shelf.subscribe("one", "a.b", "c.*", url=url)
    with pytest.raises(ResourceExists) as raised:
        await shelf.subscribe("two", "c.*", "a.b", url=url)
    assert raised.value.resource_name == "tenants/default/subscriptions/one"
    await shelf.subscribe("three", "a.b", url=url)
    await shelf.subscribe("four", "a.b", "c.*", url=url, tenant=OTHER_TENANT)
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, first.id)
    await shelf.subscribe("five", "c.*", "a.b", url=url)


async def test_an_update_must_not_collide_either(shelf: Shelf) -> None:
    taken = await shelf.subscribe("one", "a.b")
    second = await shelf.subscribe("two", "a.b")
    with pytest.raises(ResourceExists):
        await shelf.stores.subscriptions.update(
            DEFAULT_TENANT, second.id, lambda current: replace(current, config=taken.config)
        )
    assert await shelf.stores.subscriptions.get(DEFAULT_TENANT, second.id) == second


@pytest.mark.parametrize("deleted", [False, True])
async def test_what_is_not_there_is_not_found(shelf: Shelf, deleted: bool) -> None:
    store, name = shelf.stores.subscriptions, SubscriptionId("gone")
    if deleted:
        await shelf.subscribe("gone")
        await store.delete(DEFAULT_TENANT, name)
    for call in (
        store.get(DEFAULT_TENANT, name),
        store.update(DEFAULT_TENANT, name, renamed),
        store.delete(DEFAULT_TENANT, name),
    ):
        with pytest.raises(NotFound, match="tenants/default/subscriptions/gone does not exist"):
            await call


async def test_a_subscription_of_another_tenant_is_not_found(shelf: Shelf) -> None:
    await shelf.subscribe("sub", tenant=OTHER_TENANT)
    with pytest.raises(NotFound):
        await shelf.stores.subscriptions.get(DEFAULT_TENANT, SubscriptionId("sub"))


async def test_list_goes_by_number_descending_without_the_deleted(shelf: Shelf) -> None:
    for name in ("a", "b", "c"):
        await shelf.subscribe(name)
    await shelf.subscribe("d", tenant=OTHER_TENANT)
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, SubscriptionId("b"))
    mine = await shelf.stores.subscriptions.list(DEFAULT_TENANT, (), PageRequest())
    everyone = await shelf.stores.subscriptions.list(None, (), PageRequest())
    assert [one.id for one in mine.items] == ["c", "a"]
    assert [one.id for one in everyone.items] == ["d", "c", "a"]
    assert mine.next_before is None


async def test_pages_neither_repeat_nor_skip_while_rows_are_added(shelf: Shelf) -> None:
    for name in ("a", "b", "c", "d", "e"):
        await shelf.subscribe(name)
    seen: list[str] = []
    page = PageRequest(size=2)
    for round_ in range(5):
        found = await shelf.stores.subscriptions.list(DEFAULT_TENANT, (), page)
        seen += [one.id for one in found.items]
        await shelf.subscribe(f"new-{round_}")
        if found.next_before is None:
            break
        page = PageRequest(size=2, before=found.next_before)
    assert seen == ["e", "d", "c", "b", "a"]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (Term(field="state", operator="=", value=int(State.PAUSED)), ["two"]),
        (Term(field="state", operator="!=", value=int(State.PAUSED)), ["three", "one"]),
        (Term(field="events", operator=":", value="invoice.*"), ["two", "one"]),
        (Term(field="events", operator=":", value="invoice.paid"), []),
        (Term(field="creator", operator="=", value="Ann"), ["one"]),
        (Term(field="creator", operator="!=", value="Ann"), ["three", "two"]),
        (Term(field="creator", operator="=", value="An", is_prefix=True), ["two", "one"]),
        (Term(field="creator", operator="!=", value="An", is_prefix=True), ["three"]),
        (Term(field="config.url", operator="=", value="https://b.example/"), ["two"]),
        (
            Term(field="config.url", operator="=", value="https://B", is_prefix=True),
            [],
        ),
    ],
)
async def test_list_filters(shelf: Shelf, term: Term, expected: list[str]) -> None:
    await shelf.subscribe("one", "invoice.*", creator="Ann", url="https://a.example/")
    await shelf.subscribe(
        "two", "invoice.*", "b", creator="Anton", paused=True, url="https://b.example/"
    )
    await shelf.subscribe("three", "order.*", creator="ann", url="https://c.example/")
    found = await shelf.stores.subscriptions.list(DEFAULT_TENANT, [term], PageRequest())
    assert [one.id for one in found.items] == expected


async def test_list_meets_all_terms(shelf: Shelf) -> None:
    await shelf.subscribe("one", "a.b", creator="Ann")
    await shelf.subscribe("two", "a.b", creator="Bob")
    terms = [
        Term(field="events", operator=":", value="a.b"),
        Term(field="creator", operator="=", value="Bob"),
    ]
    found = await shelf.stores.subscriptions.list(DEFAULT_TENANT, terms, PageRequest())
    assert [one.id for one in found.items] == ["two"]


async def test_update_takes_a_version_and_the_time(shelf: Shelf) -> None:
    created = await shelf.subscribe("sub")
    shelf.clock.advance(5)
    updated = await shelf.stores.subscriptions.update(DEFAULT_TENANT, created.id, renamed)
    assert updated == replace(
        renamed(created), version=updated.version, update_time=shelf.clock.now
    )
    assert updated.version > created.version
    assert updated.etag != created.etag
    assert await shelf.stores.subscriptions.get(DEFAULT_TENANT, created.id) == updated


async def test_update_cannot_change_what_the_store_gave(shelf: Shelf) -> None:
    created = await shelf.subscribe("sub")

    def usurp(current: Subscription) -> Subscription:
        return replace(current, number=SubscriptionNumber(99), partition=200, version=Version(77))

    updated = await shelf.stores.subscriptions.update(DEFAULT_TENANT, created.id, usurp)
    assert (updated.number, updated.partition) == (created.number, created.partition)
    assert updated.version == created.version + 1


async def test_what_a_change_raises_comes_out_and_nothing_is_written(shelf: Shelf) -> None:
    created = await shelf.subscribe("sub")

    def refuse(_: Subscription) -> Subscription:
        raise invalid("subscription.etag", "is not the one")

    with pytest.raises(InvalidArgument, match="is not the one"):
        await shelf.stores.subscriptions.update(DEFAULT_TENANT, created.id, refuse)
    assert await shelf.stores.subscriptions.get(DEFAULT_TENANT, created.id) == created


async def test_updated_patterns_are_filtered_and_matched_by(shelf: Shelf) -> None:
    created = await shelf.subscribe("sub", "a.b")
    await shelf.stores.subscriptions.update(
        DEFAULT_TENANT, created.id, lambda one: replace(one, events=("c.d",))
    )
    terms = [Term(field="events", operator=":", value="a.b")]
    found = await shelf.stores.subscriptions.list(DEFAULT_TENANT, terms, PageRequest())
    assert found.items == []
    (accepted,) = await shelf.publish("e1", event_type="c.d")
    assert [one.subscription for one in accepted.deliveries] == [created.number]


async def test_delete_answers_what_was_and_leaves_a_tombstone(shelf: Shelf) -> None:
    created = await shelf.subscribe("sub")
    deleted = await shelf.stores.subscriptions.delete(DEFAULT_TENANT, created.id, created.etag)
    assert deleted == created
    (tombstone,) = await shelf.stores.subscriptions.load([created.number])
    assert tombstone.deleted
    assert tombstone.version > created.version


async def test_a_tombstone_has_no_secret(shelf: Shelf) -> None:
    created = await shelf.subscribe("sub")
    secretive = replace(
        created.config,
        previous_secret=Secret("whsec_before"),
        previous_secret_expire_time=START,
        secret_headers={"X-Key": Secret("s3cret")},
    )
    await shelf.stores.subscriptions.update(
        DEFAULT_TENANT, created.id, lambda one: replace(one, config=secretive)
    )
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, created.id)
    (tombstone,) = await shelf.stores.subscriptions.load([created.number])
    assert tombstone.config == replace(created.config, secret=Secret(""))


async def test_delete_holds_the_etag_against_the_current_one(shelf: Shelf) -> None:
    created = await shelf.subscribe("sub")
    updated = await shelf.stores.subscriptions.update(DEFAULT_TENANT, created.id, renamed)
    with pytest.raises(EtagMismatch) as raised:
        await shelf.stores.subscriptions.delete(DEFAULT_TENANT, created.id, created.etag)
    assert raised.value.metadata == {"current_etag": updated.etag}
    assert await shelf.stores.subscriptions.get(DEFAULT_TENANT, created.id) == updated


async def test_load_returns_those_that_exist_in_any_order(shelf: Shelf) -> None:
    one, two = await shelf.subscribe("one"), await shelf.subscribe("two")
    found = await shelf.stores.subscriptions.load(
        [two.number, SubscriptionNumber(99), one.number, two.number]
    )
    assert sorted(found, key=lambda each: each.number) == [one, two]
