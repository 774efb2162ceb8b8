"""Event types, patterns, and the index that matches them."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_server.domain.ids import SubscriptionId, SubscriptionNumber, TenantId, Version
from webhooks_server.domain.match_index import MatchIndex
from webhooks_server.domain.patterns import (
    candidates,
    event_type_problem,
    is_reserved,
    pattern_problem,
)
from webhooks_server.domain.subscription import Changes, IndexEntry, RelayPause, State
from webhooks_server.domain.times import Instant

TENANT = TenantId("default")
segment = st.text("abcXYZ019_-", min_size=1, max_size=6)
event_types = st.lists(segment, min_size=1, max_size=8).map(".".join)


@pytest.mark.parametrize(
    "event_type",
    ["a", "invoice.paid", "A-1_b.C", "x" * 128, ".".join("a" * 8), "webhooks.ping"],
)
def test_good_event_types(event_type: str) -> None:
    assert event_type_problem(event_type) is None


@pytest.mark.parametrize(
    "event_type",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a/b",
        "é",
        "a*",
        "*",
        "x" * 129,
        ".".join("a" * 9),
        "a\n",
    ],
)
def test_bad_event_types(event_type: str) -> None:
    assert event_type_problem(event_type)


@pytest.mark.parametrize("pattern", ["*", "a.*", "invoice.line.*", "a.b", ".".join("a" * 8) + ".*"])
def test_good_patterns(pattern: str) -> None:
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize(
    "pattern", ["", "**", "*.a", "a.*.b", "a*", ".*", "a.*.*", "x" * 127 + ".*"]
)
def test_bad_patterns(pattern: str) -> None:
    assert pattern_problem(pattern)


@given(event_types)
def test_candidates_are_the_patterns_that_match(event_type: str) -> None:
    found = candidates(event_type)
    assert len(found) <= 9
    assert all(pattern_problem(pattern) is None for pattern in found)
    for pattern in found:
        assert pattern in ("*", event_type) or event_type.startswith(pattern.removesuffix("*"))


def test_reserved_types_are_matched_by_name_only() -> None:
    assert is_reserved("webhooks.ping")
    assert not is_reserved("webhooksx.ping")
    assert candidates("webhooks.ping") == ("webhooks.*", "webhooks.ping")


def entry(number: int, *patterns: str, version: int = 1, state: State = State.ACTIVE) -> IndexEntry:
    return IndexEntry(
        number=SubscriptionNumber(number),
        tenant=TENANT,
        id=SubscriptionId(f"s{number}"),
        partition=number % 256,
        version=Version(version),
        state=state,
        deleted=False,
        patterns=patterns,
    )


def changes(version: int, *entries: IndexEntry, pauses: tuple[RelayPause, ...] = ()) -> Changes:
    return Changes(version=Version(version), entries=entries, pauses=pauses, complete=True)


def test_the_index_matches_each_subscription_once_in_order() -> None:
    index = MatchIndex()
    index.apply(changes(3, entry(9, "*", "a.*"), entry(2, "a.b"), entry(5, "b")))
    assert list(index.match(TENANT, "a.b")) == [2, 9]
    assert list(index.match(TenantId("other"), "a.b")) == []
    assert index.version == 3


def test_an_older_change_never_overwrites_a_newer_one() -> None:
    index = MatchIndex()
    index.apply(changes(5, entry(1, "b", version=5)))
    index.apply(changes(4, entry(1, "a", version=4)))
    assert list(index.match(TENANT, "a")) == []
    assert list(index.match(TENANT, "b")) == [1]
    assert index.version == 5


@pytest.mark.parametrize(
    ("state", "matches", "sends"),
    [
        (State.ACTIVE, True, True),
        (State.PAUSED, True, False),
        (State.UNVERIFIED, True, False),
        (State.INACTIVE, False, False),
        (State.DISABLED, False, False),
    ],
)
def test_what_a_state_means(state: State, matches: bool, sends: bool) -> None:
    index = MatchIndex()
    index.apply(changes(1, entry(1, "a", state=state)))
    assert bool(index.match(TENANT, "a")) is matches
    assert index.sends(SubscriptionNumber(1)) is sends


def test_deleted_subscriptions_neither_match_nor_send_but_are_known() -> None:
    index = MatchIndex()
    index.apply(changes(1, entry(1, "a")))
    index.apply(changes(2, replace(entry(1, "a", version=2), deleted=True)))
    assert not index.match(TENANT, "a")
    assert not index.sends(SubscriptionNumber(1))
    known = index.get(SubscriptionNumber(1))
    assert known is not None
    assert known.deleted


@pytest.mark.parametrize("tenant", ["", "default"])
def test_a_paused_relay_sends_nothing_but_matches(tenant: str) -> None:
    index = MatchIndex()
    pause = RelayPause(tenant=tenant, reason="deploy", pause_time=Instant(1))
    index.apply(changes(1, entry(1, "a"), pauses=(pause,)))
    assert index.match(TENANT, "a")
    assert not index.sends(SubscriptionNumber(1))
    index.apply(changes(2))
    assert index.sends(SubscriptionNumber(1))


def test_explanations_say_why() -> None:
    index = MatchIndex()
    index.apply(changes(1, entry(1, "a.*"), entry(2, "b"), entry(3, "a.b", state=State.INACTIVE)))
    told = [
        (one.entry.number, one.matched, one.reason, one.pattern)
        for one in index.explain(TENANT, "a.b", before=None, count=9)
    ]
    assert told == [
        (3, False, "the subscription is inactive", "a.b"),
        (2, False, "no pattern matches the event type", ""),
        (1, True, "a pattern matches", "a.*"),
    ]


def explained(index: MatchIndex, before: int | None, count: int) -> list[int]:
    return [one.entry.number for one in index.explain(TENANT, "a", before=before, count=count)]


def test_explanations_come_newest_first_in_whatever_order_the_index_learned() -> None:
    index = MatchIndex()
    other = replace(entry(6, "a"), tenant=TenantId("other"))
    index.apply(changes(1, entry(5, "a"), entry(2, "b"), other, entry(9, "a"), entry(4, "a")))
    assert explained(index, None, 3) == [9, 5, 4]
    assert explained(index, 4, 3) == [2]
    assert explained(index, 2, 3) == []
    index.apply(changes(2, replace(entry(5, "a", version=2), deleted=True), entry(3, "a")))
    index.apply(changes(3, entry(9, "b", version=3), entry(5, "a")))
    assert explained(index, None, 9) == [9, 4, 3, 2]
    assert explained(index, 9, 2) == [4, 3]
    assert index.explain(TenantId("none"), "a", before=None, count=1) == []


def test_a_page_of_explanations_costs_its_own_size() -> None:
    index = MatchIndex()
    index.apply(changes(1, *(entry(number, "a") for number in range(1, 30_001))))
    start = time.process_time()
    for _ in range(100):
        assert len(explained(index, 15_000, 10)) == 10
    # A walk through all took several seconds.
    assert time.process_time() - start < 1


def test_an_older_answer_never_brings_a_pause_back() -> None:
    index = MatchIndex()
    pause = RelayPause(tenant="", reason="deploy", pause_time=Instant(1))
    index.apply(changes(5))
    index.apply(changes(4, pauses=(pause,)))
    assert index.pauses == frozenset()
