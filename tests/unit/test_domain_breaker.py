"""The breaker of a lane, its slow start, and rates: pure decisions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_server.domain.breaker import (
    FAILURES_TO_OPEN,
    SOUND,
    UNKNOWN,
    Health,
    Sign,
    Standing,
    allowed,
    is_open,
    judge,
    probed_now,
    restored,
    settled,
    sign_of,
)
from webhooks_server.domain.delivery import Outcome
from webhooks_server.domain.rates import per_minute, shared

MOST = 10


def after(health: Health, *signs: Sign, now: float = 0.0) -> Health:
    for sign in signs:
        health = judge(health, sign, now)
    return health


TROUBLES = [Sign.TROUBLE] * FAILURES_TO_OPEN


@pytest.mark.parametrize(
    ("outcome", "code", "sign"),
    [
        (Outcome.SUCCEEDED, 204, Sign.WELL),
        (Outcome.TIMEOUT, 0, Sign.TROUBLE),
        (Outcome.CONNECTION_ERROR, 0, Sign.TROUBLE),
        (Outcome.TLS_ERROR, 0, Sign.TROUBLE),
        (Outcome.DNS_ERROR, 0, Sign.TROUBLE),
        (Outcome.HTTP_ERROR, 429, Sign.TROUBLE),
        (Outcome.HTTP_ERROR, 502, Sign.TROUBLE),
        (Outcome.HTTP_ERROR, 503, Sign.TROUBLE),
        (Outcome.HTTP_ERROR, 504, Sign.TROUBLE),
        (Outcome.HTTP_ERROR, 500, Sign.REFUSED),
        (Outcome.HTTP_ERROR, 404, Sign.REFUSED),
        (Outcome.REDIRECT, 302, Sign.REFUSED),
        (Outcome.PROTOCOL_ERROR, 999, Sign.REFUSED),
        (Outcome.BLOCKED_ADDRESS, 0, Sign.REFUSED),
        (Outcome.INTERNAL, 0, None),
        (Outcome.ABANDONED, 0, None),
    ],
)
def test_what_an_attempt_tells_of_its_receiver(
    outcome: Outcome, code: int, sign: Sign | None
) -> None:
    assert sign_of(outcome, code) is sign


def test_ten_failures_in_a_row_open_the_breaker_and_nine_do_not() -> None:
    nine = after(SOUND, *TROUBLES[1:])
    assert allowed(nine, 0.0, MOST) == MOST
    assert nine.standing is Standing.FAILING
    ten = after(nine, Sign.TROUBLE)
    assert allowed(ten, 29.9, MOST) == 0
    assert is_open(ten, 29.9)


@pytest.mark.parametrize("sign", [Sign.WELL, Sign.REFUSED])
def test_an_answer_breaks_the_row(sign: Sign) -> None:
    health = after(SOUND, *TROUBLES[1:], sign, *TROUBLES[1:])
    assert health.open_until is None


def test_one_probe_decides_and_the_rest_doubles_up_to_ten_minutes() -> None:
    health, now, rests = after(SOUND, *TROUBLES), 0.0, []
    for _ in range(7):
        assert health.open_until is not None
        rests.append(health.open_until - now)
        now = health.open_until
        assert allowed(health, now, MOST) == 1
        health = judge(health, Sign.TROUBLE, now)
    assert rests == [30, 60, 120, 240, 480, 600, 600]


def test_what_was_in_flight_when_it_opened_changes_nothing() -> None:
    health = after(SOUND, *TROUBLES)
    assert after(health, *TROUBLES, now=5.0) is health


def test_a_receiver_that_comes_back_starts_slowly() -> None:
    health = judge(after(SOUND, *TROUBLES), Sign.WELL, 30.0)
    assert health.standing is Standing.PROVEN
    assert [allowed(health, 30.0 + second, MOST) for second in range(6)] == [1, 2, 4, 8, 10, 10]
    assert settled(health, 33.9, MOST) is health
    assert settled(health, 34.0, MOST) is SOUND


def test_a_failure_halves_the_slow_start_and_a_second_without_doubles_it() -> None:
    health = judge(after(SOUND, *TROUBLES), Sign.WELL, 0.0)
    health = judge(health, Sign.REFUSED, 3.5)
    assert [allowed(health, at, MOST) for at in (3.5, 4.4, 4.5, 5.5)] == [4, 4, 8, 10]
    for _ in range(5):
        health = judge(health, Sign.TROUBLE, 3.5)
    assert allowed(health, 3.5, MOST) == 1


def test_a_probe_that_is_refused_closes_the_breaker_too() -> None:
    health = judge(after(SOUND, *TROUBLES), Sign.REFUSED, 30.0)
    assert health.standing is Standing.FAILING
    assert health.open_until is None
    assert allowed(health, 30.0, MOST) == 1


def test_a_lane_is_unproven_until_its_first_success() -> None:
    assert UNKNOWN.standing is Standing.UNPROVEN
    assert allowed(UNKNOWN, 0.0, MOST) == 1
    assert judge(UNKNOWN, Sign.WELL, 0.0) is SOUND
    refused = judge(UNKNOWN, Sign.REFUSED, 0.0)
    assert refused.standing is Standing.FAILING
    assert allowed(refused, 60.0, MOST) == 1


def test_what_is_on_record_is_taken_up_again() -> None:
    assert restored(0, 5.0) is UNKNOWN
    assert restored(1, 5.0).standing is Standing.FAILING
    assert allowed(restored(1, 5.0), 5.0, MOST) == 1
    opened = after(SOUND, *TROUBLES)
    again = restored(opened.level, 100.0)
    assert again.level == opened.level == 2
    assert allowed(again, 100.0, MOST) == 1
    assert judge(again, Sign.TROUBLE, 100.0).open_until == 160.0
    assert judge(again, Sign.WELL, 100.0).level == 0


def test_a_probe_can_be_asked_for() -> None:
    health = probed_now(after(SOUND, *TROUBLES), 3.0)
    assert allowed(health, 3.0, MOST) == 1
    assert judge(health, Sign.TROUBLE, 3.0).open_until == 63.0
    assert probed_now(SOUND, 3.0) is SOUND


@given(st.lists(st.tuples(st.sampled_from(Sign), st.sampled_from([0.0, 0.4, 1.0, 31.0, 700.0]))))
def test_whatever_comes_a_lane_is_never_shut_for_longer_than_ten_minutes(
    history: list[tuple[Sign, float]],
) -> None:
    health, now = UNKNOWN, 0.0
    for sign, wait in history:
        now += wait
        health = settled(judge(health, sign, now), now, MOST)
        assert 0 <= allowed(health, now, MOST) <= MOST
        assert allowed(health, now + 600, MOST) >= 1
        assert (health.level == 0) == (not health.failing)
        if sign is Sign.WELL:
            assert health.standing is Standing.PROVEN
            assert not is_open(health, now)


@pytest.mark.parametrize("requests", [1, 59, 60, 61, 600, 100_000])
def test_no_minute_has_a_tenth_more_than_the_rate(requests: int) -> None:
    rate, now, sent = per_minute(requests), 0.0, 0
    full_at = rate.full_after(0.0)
    for _ in range(min(3 * requests, 30_000)):
        now = max(now, rate.free_at(full_at))
        full_at = rate.taken(full_at, now)
        sent += now <= 60.001
    assert sent <= requests * 1.1
    assert sent >= min(requests, 30_000) * 0.99


def test_a_bucket_that_rested_holds_a_second_of_requests() -> None:
    rate, now = per_minute(600), 1000.0
    full_at = rate.full_after(0.0)
    burst = 0
    while rate.free_at(full_at) <= now:
        full_at = rate.taken(full_at, now)
        burst += 1
    assert burst == 10


def test_bounds_over_all_engines_are_shared() -> None:
    assert [shared(64, engines) for engines in (0, 1, 3, 100)] == [64, 64, 21, 1]
    assert shared(0, 3) == 0
