"""The schedule, and what each answer means."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_server.domain.delivery import (
    ALL_CHARGED,
    DeliveryState,
    Outcome,
    Trigger,
    Uncharged,
)
from webhooks_server.domain.retry import Tried, count_uncharged, decide, scheduled_wait
from webhooks_server.domain.retry_after import parse_retry_after
from webhooks_server.domain.subscription import ClientErrorPolicy, DisableReason, RetryPolicy
from webhooks_server.domain.times import DAY, HOUR, MINUTE, SECOND, Instant, Micros


def tried(
    outcome: Outcome = Outcome.HTTP_ERROR,
    status_code: int = 500,
    *,
    charged_count: int = 0,
    uncharged: Uncharged = ALL_CHARGED,
    retry_after: int | None = None,
    trigger: Trigger = Trigger.PUBLISH,
    final_before: bool = False,
    is_ours: bool = False,
    is_doubtful: bool = False,
) -> Tried:
    return Tried(
        outcome=outcome,
        status_code=status_code,
        retry_after=None if retry_after is None else Micros(retry_after),
        charged_count=charged_count,
        uncharged=uncharged,
        trigger=trigger,
        final_before=final_before,
        is_ours=is_ours,
        is_doubtful=is_doubtful,
    )


def test_the_default_schedule_is_that_of_standard_webhooks() -> None:
    waits = [scheduled_wait(RetryPolicy(), attempts) for attempts in range(1, 12)]
    assert waits == [
        5 * SECOND,
        5 * MINUTE,
        30 * MINUTE,
        2 * HOUR,
        5 * HOUR,
        10 * HOUR,
        14 * HOUR,
        20 * HOUR,
        24 * HOUR,
        24 * HOUR,
        24 * HOUR,
    ]


@pytest.mark.parametrize(
    ("policy", "attempts", "wait"),
    [
        (RetryPolicy(initial_backoff=Micros(10_000)), 1, 10_000),
        (RetryPolicy(initial_backoff=Micros(10_000)), 4, 80_000),
        (RetryPolicy(max_backoff=Micros(8 * SECOND)), 2, 8 * SECOND),
        (RetryPolicy(backoff_multiplier=3.0), 3, 45 * SECOND),
        (RetryPolicy(backoff_multiplier=10.0), 100, DAY),
        (RetryPolicy(initial_backoff=Micros(SECOND), backoff_multiplier=1.0), 100, SECOND),
    ],
)
def test_one_of_the_three_switches_the_table_off(
    policy: RetryPolicy, attempts: int, wait: int
) -> None:
    assert scheduled_wait(policy, attempts) == wait


def test_success_is_final() -> None:
    assert (
        decide(RetryPolicy(), tried(Outcome.SUCCEEDED, 204), 1.0).state is DeliveryState.SUCCEEDED
    )


@pytest.mark.parametrize(
    ("outcome", "status_code"),
    [
        (Outcome.HTTP_ERROR, 500),
        (Outcome.HTTP_ERROR, 404),
        (Outcome.HTTP_ERROR, 429),
        (Outcome.REDIRECT, 301),
        (Outcome.TIMEOUT, 0),
        (Outcome.CONNECTION_ERROR, 0),
        (Outcome.TLS_ERROR, 0),
        (Outcome.DNS_ERROR, 0),
        (Outcome.PROTOCOL_ERROR, 0),
    ],
)
def test_failures_are_tried_again_by_schedule(outcome: Outcome, status_code: int) -> None:
    decision = decide(RetryPolicy(), tried(outcome, status_code), 1.0)
    assert (decision.state, decision.wait, decision.charged) == (
        DeliveryState.PENDING,
        5 * SECOND,
        True,
    )


def test_the_tenth_failure_is_the_last() -> None:
    assert decide(RetryPolicy(), tried(charged_count=8), 1.0).state is DeliveryState.PENDING
    last = decide(RetryPolicy(), tried(charged_count=9), 1.0)
    assert (last.state, last.reason) == (DeliveryState.FAILED, "attempts_spent")


def test_gone_fails_the_delivery_and_disables_the_subscription() -> None:
    decision = decide(RetryPolicy(), tried(status_code=410), 1.0)
    assert (decision.state, decision.reason, decision.disable) == (
        DeliveryState.FAILED,
        "gone",
        DisableReason.GONE,
    )


@pytest.mark.parametrize("status_code", [408, 425, 429])
@pytest.mark.parametrize("policy", list(ClientErrorPolicy))
def test_asking_for_patience_is_no_client_error(
    status_code: int, policy: ClientErrorPolicy
) -> None:
    decision = decide(RetryPolicy(client_error_policy=policy), tried(status_code=status_code), 1.0)
    assert decision.state is DeliveryState.PENDING


def test_client_error_policies() -> None:
    failing = RetryPolicy(client_error_policy=ClientErrorPolicy.FAIL_DELIVERY)
    disabling = RetryPolicy(client_error_policy=ClientErrorPolicy.DISABLE_SUBSCRIPTION)
    assert decide(failing, tried(status_code=401), 1.0).state is DeliveryState.FAILED
    assert decide(failing, tried(status_code=401), 1.0).disable is None
    assert decide(disabling, tried(status_code=401), 1.0).disable is DisableReason.CLIENT_ERROR
    assert decide(disabling, tried(status_code=500), 1.0).state is DeliveryState.PENDING


@pytest.mark.parametrize(
    ("status_code", "retry_after", "wait"),
    [
        (503, 60 * SECOND, 60 * SECOND),
        (503, SECOND, 5 * SECOND),  # never earlier than the schedule
        (500, 60 * SECOND, 5 * SECOND),  # not an answer that Retry-After goes with
        (429, 40 * HOUR, DAY),
    ],
)
def test_retry_after_can_only_lengthen(status_code: int, retry_after: int, wait: int) -> None:
    asked = tried(status_code=status_code, retry_after=retry_after)
    assert decide(RetryPolicy(), asked, 1.0).wait == wait


def test_a_blocked_address_is_not_tried_within_an_hour() -> None:
    assert decide(RetryPolicy(), tried(Outcome.BLOCKED_ADDRESS, 0), 0.8).wait == HOUR


@pytest.mark.parametrize(("before", "wait"), [(0, 5), (1, 10), (3, 40), (4, 60), (16, 60)])
def test_what_this_relay_is_short_of_is_waited_for(before: int, wait: int) -> None:
    uncharged = Uncharged(own=before)
    short = tried(Outcome.CONNECTION_ERROR, 0, charged_count=9, uncharged=uncharged, is_ours=True)
    decision = decide(RetryPolicy(), short, 1.0)
    assert (decision.state, decision.charged) == (DeliveryState.PENDING, False)
    assert decision.wait == wait * SECOND
    ping = tried(Outcome.CONNECTION_ERROR, 0, trigger=Trigger.PING, is_ours=True)
    assert decide(RetryPolicy(), ping, 1.0).state is DeliveryState.FAILED


def test_our_own_faults_are_not_charged_and_quarantined_at_the_third() -> None:
    first = decide(RetryPolicy(), tried(Outcome.INTERNAL, 0, charged_count=4), 1.0)
    assert (first.state, first.charged) == (DeliveryState.PENDING, False)
    others = Uncharged(abandoned=2, own=16, internal=1, doubtful=3)
    second = decide(RetryPolicy(), tried(Outcome.INTERNAL, 0, uncharged=others), 1.0)
    assert (second.state, second.charged) == (DeliveryState.PENDING, False)
    two = Uncharged(internal=2)
    third = decide(RetryPolicy(), tried(Outcome.INTERNAL, 0, uncharged=two), 1.0)
    assert (third.state, third.reason) == (DeliveryState.FAILED, "quarantined")


@pytest.mark.parametrize(("before", "charged"), [(0, False), (1, False), (2, True)])
def test_the_third_in_a_row_that_nobody_reported_is_charged(before: int, charged: bool) -> None:
    uncharged = Uncharged(abandoned=before, own=9, internal=2, doubtful=3)
    decision = decide(RetryPolicy(), tried(Outcome.ABANDONED, 0, uncharged=uncharged), 1.0)
    assert (decision.state, decision.charged) == (DeliveryState.PENDING, charged)


@pytest.mark.parametrize(("before", "charged"), [(0, False), (2, False), (3, True)])
def test_the_fourth_that_may_be_ours_is_the_receivers(before: int, charged: bool) -> None:
    uncharged = Uncharged(abandoned=2, own=9, internal=2, doubtful=before)
    lost = tried(Outcome.CONNECTION_ERROR, 0, uncharged=uncharged, is_doubtful=True)
    assert decide(RetryPolicy(), lost, 1.0).charged is charged
    ours = replace(lost, is_ours=True)
    assert not decide(RetryPolicy(), ours, 1.0).charged


BEFORE = Uncharged(abandoned=1, own=4, internal=1, doubtful=2)


@pytest.mark.parametrize(
    ("one", "after"),
    [
        (tried(Outcome.SUCCEEDED, 200, uncharged=BEFORE), (0, 0, 1, 2)),
        (tried(uncharged=BEFORE), (0, 0, 1, 2)),
        (tried(Outcome.ABANDONED, 0, uncharged=BEFORE), (2, 0, 1, 2)),
        (tried(Outcome.ABANDONED, 0, uncharged=Uncharged(abandoned=2)), (0, 0, 0, 0)),
        (tried(Outcome.TIMEOUT, 0, uncharged=BEFORE, is_ours=True), (0, 5, 1, 2)),
        (tried(Outcome.TIMEOUT, 0, uncharged=BEFORE, is_doubtful=True), (0, 5, 1, 3)),
        (tried(Outcome.INTERNAL, 0, uncharged=BEFORE), (0, 0, 2, 2)),
        (tried(Outcome.INTERNAL, 0, uncharged=Uncharged(internal=3)), (0, 0, 3, 0)),
        (tried(Outcome.TIMEOUT, 0, uncharged=Uncharged(own=16), is_ours=True), (0, 16, 0, 0)),
    ],
)
def test_each_kind_that_is_not_charged_is_counted_for_itself(
    one: Tried, after: tuple[int, ...]
) -> None:
    assert count_uncharged(one) == after


def test_a_ping_and_a_manual_retry_of_a_final_delivery_have_one_attempt() -> None:
    assert decide(RetryPolicy(), tried(trigger=Trigger.PING), 1.0).state is DeliveryState.FAILED
    unsendable = tried(Outcome.INTERNAL, 0, trigger=Trigger.PING)
    assert decide(RetryPolicy(), unsendable, 1.0).state is DeliveryState.FAILED
    assert decide(RetryPolicy(), tried(final_before=True), 1.0).state is DeliveryState.FAILED


@given(
    attempts=st.integers(1, 99),
    initial=st.none() | st.integers(10_000, DAY),
    longest=st.none() | st.integers(10_000, DAY),
    multiplier=st.just(0.0) | st.floats(1, 10),
    jitter=st.floats(0.8, 1.2),
    retry_after=st.none() | st.integers(0, DAY),
)
def test_waits_are_never_in_the_past_and_never_beyond_a_day(
    attempts: int,
    initial: int | None,
    longest: int | None,
    multiplier: float,
    jitter: float,
    retry_after: int | None,
) -> None:
    policy = RetryPolicy(
        max_attempts=100,
        initial_backoff=None if initial is None else Micros(initial),
        max_backoff=None if longest is None else Micros(longest),
        backoff_multiplier=multiplier,
    )
    asked = tried(status_code=503, charged_count=attempts - 1, retry_after=retry_after)
    assert 0 < decide(policy, asked, jitter).wait <= DAY


NOW = Instant(1_784_548_800_000_000)  # 2026-07-20T12:00:00Z


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("120", 120 * SECOND),
        (" 1.5 ", 1_500_000),
        ("0", 0),
        ("1000000000000", DAY),
        ("9" * 400, DAY),
        ("inf", None),
        ("1e3", None),
        ("1_0", None),
        ("+5", None),
        ("٣", None),
        ("-5", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Mon, 20 Jul 2026 12:01:00 GMT", 60 * SECOND),
        ("Mon, 20 Jul 2026 11:00:00 GMT", 0),
        ("Mon, 99 Jul 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after_header(value: str, wait: int | None) -> None:
    assert parse_retry_after(value, NOW) == wait


@pytest.mark.parametrize("value", ["Mon Jul 20 12:01:00 2026", "Mon, 20 Jul 2026 12:01:00 -0000"])
def test_a_retry_after_without_a_zone_is_universal_time(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        wait = parse_retry_after(value, NOW)
    time.tzset()
    assert wait == 60 * SECOND
