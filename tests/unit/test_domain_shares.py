"""Who may take from whom, how much, and what is given back (engine.md, EB3, EC7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_server.domain.ids import DeliverySeq
from webhooks_server.domain.shares import (
    Silence,
    fair_share,
    fresh_for,
    given_back,
    is_gone,
    picked,
)
from webhooks_server.engine.discovery import FIRST_NUMBERS, LONG_LAG, SHORT_LAG, Marks


@pytest.mark.parametrize(
    ("silence", "is_connected", "session_age", "gone"),
    [
        (59.9, True, 100, False),
        (60.0, True, 0.0, True),
        (60.0, False, 0.0, True),
        (0.9, False, 100, False),
        (1.0, False, 5.0, True),
        (1.0, False, 4.9, False),
        (30.0, False, 4.9, False),
        (30.0, True, 100, False),
    ],
)
def test_an_engine_is_gone_by_its_silence_and_sooner_where_it_is_not_connected(
    silence: float, session_age: float, *, is_connected: bool, gone: bool
) -> None:
    shown = Silence(seconds=silence, is_connected=is_connected)
    assert is_gone(shown, session_age, 60.0) is gone


@pytest.mark.parametrize(
    ("round_trip", "seconds"), [(0.001, 0.9), (0.45, 0.9), (0.8, 1.6), (1.5, 3.0), (9.0, 3.0)]
)
def test_a_beat_holds_for_twice_its_round_trip(round_trip: float, seconds: float) -> None:
    assert fresh_for(round_trip, 3.0) == seconds


@given(st.lists(st.integers(0, 4096), min_size=1, max_size=40).filter(any))
def test_all_shares_together_are_everything_and_little_more(slots: list[int]) -> None:
    shares = [fair_share(256, mine, sum(slots)) for mine in slots]
    assert 256 <= sum(shares) < 256 + len(slots)
    assert all(bool(share) == bool(mine) for share, mine in zip(shares, slots, strict=True))


def test_takers_begin_at_different_places() -> None:
    assert picked([1, 2, 3, 200], 2, 150, 256) == [200, 1]
    assert picked([1, 2, 3, 200], 2, 2, 256) == [2, 3]
    assert picked([1, 2], -3, 0, 256) == []
    assert picked([1, 2], 9, 0, 256) == [1, 2]


def test_what_is_given_back_is_a_quarter_of_the_surplus_with_the_fewest_lanes() -> None:
    lanes = {number: 100 - number for number in range(100)}
    assert given_back(lanes, 60) == list(range(99, 89, -1))
    assert given_back(lanes, 98) == [99]
    assert given_back(lanes, 100) == []
    assert given_back(lanes, 300) == []


def test_marks_tell_what_was_the_highest_number_some_time_ago() -> None:
    marks = Marks()
    marks.add(100.0, DeliverySeq(50_000))
    assert marks.before(100.0, LONG_LAG) == 50_000 - FIRST_NUMBERS
    assert marks.before(100.0, SHORT_LAG) == 50_000 - FIRST_NUMBERS
    for tenth in range(1, 301):
        marks.add(100.0 + tenth / 10, DeliverySeq(50_000 + tenth))
    assert marks.before(130.0, SHORT_LAG) == 50_290
    assert marks.before(130.0, LONG_LAG) == 50_200
    assert marks.newest == 50_300
    assert len(marks._marks) <= 102
    marks.reset()
    marks.add(131.0, DeliverySeq(7))
    assert marks.before(131.0, LONG_LAG) == 0
