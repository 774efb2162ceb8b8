"""Request ids, dry runs and changes: the other half of ports.SubscriptionStore."""

from dataclasses import replace

import pytest

from tests.harness.shelf import OTHER_TENANT, Shelf, subscription
from webhooks_server.domain.errors import (
    InvalidArgument,
    NotFound,
    ResourceExists,
)
from webhooks_server.domain.ids import (
    DEFAULT_TENANT,
    SubscriptionId,
    Version,
)
from webhooks_server.domain.requests import RequestKey
from webhooks_server.domain.subscription import (
    State,
    Subscription,
)


def renamed(current: Subscription) -> Subscription:
    return replace(current, display_name="new name")


def request_key(name: str = "a", fingerprint: bytes = b"same") -> RequestKey:
    return RequestKey(tenant=DEFAULT_TENANT, request_id=name, fingerprint=fingerprint)


async def test_an_update_that_changes_nothing_writes_nothing(shelf: Shelf) -> None:
    created = await shelf.subscribe("sub")
    shelf.clock.advance(5)
    same = await shelf.stores.subscriptions.update(DEFAULT_TENANT, created.id, lambda one: one)
    assert same == created
    assert (await shelf.stores.subscriptions.changes(Version(0))).version == created.version


async def test_a_repeated_request_gets_the_first_answer(shelf: Shelf) -> None:
    store, request = shelf.stores.subscriptions, request_key()
    first = await store.create(subscription("sub"), request=request)
    await store.update(DEFAULT_TENANT, first.id, renamed)
    again = await store.create(subscription("sub"), request=request)
    assert again == first
    assert again.config.secret.reveal() == "whsec_secret"


async def test_a_repeated_update_changes_once(shelf: Shelf) -> None:
    created = await shelf.subscribe("sub")
    store, request = shelf.stores.subscriptions, request_key()
    first = await store.update(DEFAULT_TENANT, created.id, renamed, request=request)
    again = await store.update(DEFAULT_TENANT, created.id, renamed, request=request)
    assert again == first
    assert await store.get(DEFAULT_TENANT, created.id) == first


async def test_a_request_id_is_not_for_another_request(shelf: Shelf) -> None:
    store = shelf.stores.subscriptions
    await store.create(subscription("one"), request=request_key())
    with pytest.raises(InvalidArgument) as raised:
        await store.create(subscription("two"), request=request_key(fingerprint=b"other"))
    assert raised.value.reason == "REQUEST_ID_REUSED"
    assert [one.field for one in raised.value.violations] == ["request_id"]
    with pytest.raises(NotFound):
        await store.get(DEFAULT_TENANT, SubscriptionId("two"))


async def test_a_request_id_belongs_to_its_tenant(shelf: Shelf) -> None:
    store = shelf.stores.subscriptions
    await store.create(subscription("one"), request=request_key())
    theirs = replace(request_key(fingerprint=b"other"), tenant=OTHER_TENANT)
    created = await store.create(subscription("one", tenant=OTHER_TENANT), request=theirs)
    assert created.tenant == OTHER_TENANT


async def test_a_request_id_is_forgotten_after_a_day(shelf: Shelf) -> None:
    store = shelf.stores.subscriptions
    await store.create(subscription("one"), request=request_key())
    shelf.clock.advance(86_399)
    with pytest.raises(InvalidArgument):
        await store.create(subscription("two"), request=request_key(fingerprint=b"other"))
    shelf.clock.advance(1)
    created = await store.create(subscription("two"), request=request_key(fingerprint=b"other"))
    assert created.id == "two"


async def test_a_refused_request_is_not_remembered(shelf: Shelf) -> None:
    first = await shelf.subscribe("sub")
    store = shelf.stores.subscriptions
    with pytest.raises(ResourceExists):
        await store.create(subscription("new", url=first.config.url), request=request_key())
    await store.delete(DEFAULT_TENANT, first.id)
    created = await store.create(subscription("new", url=first.config.url), request=request_key())
    assert created.id == "new"


async def test_a_dry_run_checks_answers_and_stores_nothing(shelf: Shelf) -> None:
    store = shelf.stores.subscriptions
    wanted = await store.create(subscription("new"), request=request_key(), dry_run=True)
    assert (wanted.id, wanted.version > 0) == ("new", True)
    with pytest.raises(NotFound):
        await store.get(DEFAULT_TENANT, wanted.id)
    created = await shelf.subscribe("sub")
    updated = await store.update(DEFAULT_TENANT, created.id, renamed, dry_run=True)
    assert updated.display_name == "new name"
    assert await store.get(DEFAULT_TENANT, created.id) == created
    with pytest.raises(ResourceExists):
        await store.create(subscription("sub"), dry_run=True)
    # Nor is the request remembered.
    await store.create(subscription("other"), request=request_key(fingerprint=b"other"))


async def test_changes_are_ordered_by_version_and_name_the_deleted(shelf: Shelf) -> None:
    one = await shelf.subscribe("one", "a.b", paused=True)
    two = await shelf.subscribe("two")
    await shelf.stores.subscriptions.delete(DEFAULT_TENANT, one.id)
    changes = await shelf.stores.subscriptions.changes(Version(0))
    assert [(entry.id, entry.deleted) for entry in changes.entries] == [
        ("two", False),
        ("one", True),
    ]
    entry = changes.entries[1]
    assert (entry.number, entry.tenant, entry.partition) == (one.number, one.tenant, one.partition)
    assert (entry.state, entry.patterns) == (State.PAUSED, ("a.b",))
    assert [entry.version for entry in changes.entries] == [two.version, changes.version]
    assert changes.complete
    later = await shelf.stores.subscriptions.changes(changes.version)
    assert (later.entries, later.version, later.complete) == ((), changes.version, True)


@pytest.mark.long
async def test_changes_come_in_bounded_answers(shelf: Shelf) -> None:
    for number in range(501):
        await shelf.subscribe(f"sub-{number}")
    first = await shelf.stores.subscriptions.changes(Version(0))
    assert (len(first.entries), first.complete) == (500, False)
    assert first.version == first.entries[-1].version
    rest = await shelf.stores.subscriptions.changes(first.version)
    assert ([entry.id for entry in rest.entries], rest.complete) == (["sub-500"], True)


async def test_every_answer_names_the_pauses_in_force(shelf: Shelf) -> None:
    before = await shelf.stores.subscriptions.changes(Version(0))
    pause = await shelf.stores.control.pause_relay("default", "repairs")
    changes = await shelf.stores.subscriptions.changes(before.version)
    assert changes.version > before.version
    assert changes.pauses == (pause,)
    assert (await shelf.stores.subscriptions.changes(changes.version)).pauses == (pause,)
