"""The checks at the door that need no server: JSON, filters, URLs, ids, times."""

import subprocess
import sys
from contextlib import suppress
from functools import reduce
from operator import and_, or_

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_server.domain.errors import InvalidArgument
from webhooks_server.domain.event import Event, content_hash
from webhooks_server.domain.filters import Field, Kind, Term, parse_filter
from webhooks_server.domain.ids import (
    EventId,
    IdSource,
    TenantId,
    delivery_id,
    delivery_uid,
    is_event_id,
)
from webhooks_server.domain.json_text import MAX_DEPTH, json_problem
from webhooks_server.domain.times import Instant


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        " [1, 2] \r\n",
        "null",
        '"\\ud800"',
        "9" * 5000,
        "1e400",
        '{"a":1,"a":2}',
        "[" * 128 + "]" * 128,
        '"' + "[" * 500 + '"',
        '{"a":"' + '\\"' * 1000 + '"}',
    ],
)
def test_json_that_passes(text: str) -> None:
    assert json_problem(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "{} {}",
        "NaN",
        "[Infinity]",
        "-Infinity",
        "'a'",
        '{"a":1,}',
        "[" * 129 + "]" * 129,
        "[" * 100_000,
        '{"a":' * 5000,
        "\u00a0{}",
        '"\n"',
        "01",
        '"' + '\\"' * 100_000,
    ],
)
def test_json_that_does_not(text: str) -> None:
    assert json_problem(text)


def test_the_depth_is_checked_in_a_few_times_the_payload() -> None:
    text = "[" + ",".join(["[]"] * MAX_DEPTH) + ',"' + "x" * 1_000_000 + '"]'
    # Resident memory, since the pattern's own stack is nothing that tracemalloc sees.
    code = """if True:
        import resource, sys
        from webhooks_server.domain.json_text import json_problem
        text = sys.stdin.read()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert json_problem(text) is None
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], input=text, capture_output=True, check=True, text=True
    )
    assert int(done.stdout) * 1024 < 10 * len(text)


FIELDS = {
    "state": Field(kind=Kind.CHOICE, choices={"STATE_ACTIVE": 1}),
    "event_type": Field(kind=Kind.TEXT),
    "events": Field(kind=Kind.TEXTS),
    "create_time": Field(kind=Kind.TIME),
}


def test_filters_parse() -> None:
    terms = parse_filter(
        'state = STATE_ACTIVE AND event_type != "in\\"v.*" AND events:invoice.*'
        " AND create_time >= 1970-01-01T00:00:01.5+00:00",
        FIELDS,
    )
    assert terms == (
        Term(field="state", operator="=", value=1),
        Term(field="event_type", operator="!=", value='in"v.', is_prefix=True),
        Term(field="events", operator=":", value="invoice.*"),
        Term(field="create_time", operator=">=", value=1_500_000),
    )
    assert parse_filter("  ", FIELDS) == ()


def test_a_star_alone_is_any_text_but_a_pattern_in_a_list() -> None:
    (term,) = parse_filter("event_type = *", FIELDS)
    assert term == Term(field="event_type", operator="=", value="", is_prefix=True)
    (term,) = parse_filter("events:*", FIELDS)
    assert term == Term(field="events", operator=":", value="*")


@pytest.mark.parametrize(
    "text",
    [
        "nope = 1",
        "state",
        "state =",
        "state = STATE_OTHER",
        "state < STATE_ACTIVE",
        "event_type : a",
        "create_time = yesterday",
        "create_time = 2026-01-01T00:00:00",
        "create_time = 0001-01-01T00:00:00+23:00 OR x = 1",
        "event_type = a OR event_type = b",
        "event_type = a event_type = b",
        "(event_type = a)",
        'event_type = "a',
        'event_type = "\0"',
        " AND ".join(["event_type = a"] * 21),
        "event_type = " + "a" * 2048,
    ],
)
def test_filters_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_filter(text, FIELDS)
    assert caught.value.reason == "INVALID_FILTER"


@given(st.text(max_size=200))
def test_any_text_as_a_filter_is_parsed_or_refused(text: str) -> None:
    with suppress(InvalidArgument):
        parse_filter(text, FIELDS)


def test_ids_are_uuid_version_7_and_sort_by_time() -> None:
    wall = 1_784_548_800_000_000
    ids = IdSource(lambda: wall)
    first = ids.uid()
    wall += 2_000
    second = ids.uid()
    assert first[:6] < second[:6]
    assert (first[6] >> 4, first[8] >> 6) == (7, 2)
    assert delivery_uid(delivery_id(first)) == first
    assert is_event_id(ids.event())


def test_the_hash_of_a_content_never_changes() -> None:
    # It is stored with each event; what is published again later is compared with it.
    event = Event(
        tenant=TenantId("default"),
        id=EventId("evt_1"),
        event_type="invoice.paid",
        payload=b'{"a":1}',
        is_json=True,
        content_type="application/json",
    )
    full = event._replace(
        source="s",
        subject="ü",
        data_schema="d",
        attributes={"b": "2", "a": ""},
        occur_time=Instant(-5),
    )
    assert [content_hash(one).hex() for one in (event, full)] == [
        "06c6bf0d48b6e945eb133503e1b5c90963d4bea41811625ad6d161cb3f5e9a3a",
        "0912b49408515b27dbc3fc5890fee1fb0840dbbcad739a4fe96b9dcc20387572",
    ]


@pytest.mark.parametrize("count", [0, 1, 511, 512, 513, 2000])
def test_uids_made_together_are_as_good_as_uids_made_alone(count: int) -> None:
    ids = IdSource(lambda: 1_700_000_000_000_000)
    alone = [ids.uid() for _ in range(3)]
    together = [*ids.uids(count), *alone, ids.uid()]
    assert len(set(together)) == count + 4
    assert {len(uid) for uid in together} == {16}
    assert {(uid[6] >> 4, uid[8] >> 6) for uid in together} == {(7, 2)}
    assert {uid[:6] for uid in together} == {(1_700_000_000_000).to_bytes(6)}
    # All the rest is random: no bit is the same in all of many.
    if count > 500:
        numbers = [int.from_bytes(uid[6:]) for uid in together]
        fixed = 0xF << 76 | 0b11 << 62
        assert reduce(or_, numbers) | fixed == 2**80 - 1
        assert reduce(and_, numbers) & ~fixed == 0


@pytest.mark.parametrize(
    "value",
    [
        "",
        "dlv_",
        "dlv_" + "g" * 32,
        "dlv_" + "A" * 32,
        "evt_" + "a" * 32,
        "dlv_" + "a" * 31,
        "dlv_" + "aa " * 8 + "a" * 8,
        "dlv_" + "a" * 30 + "  ",
        "dlv_" + "a" * 32 + "\n",
        "dlv_" + "a" * 31 + "٣",
    ],
)
def test_what_is_no_delivery_id(value: str) -> None:
    assert delivery_uid(value) is None
