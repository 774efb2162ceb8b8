"""JSON Lines of events: what is taken from a line, and every reason to refuse one."""

import base64
import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_server.cli.event_lines import EventLine, LineRefused, parse_line
from webhooks_server.cli.raw_lines import MAX_LINE_BYTES, Pause, RawLine, read_lines
from webhooks_server.domain.bounds import LARGEST_PAYLOAD_SETTING
from webhooks_server.domain.ids import IdSource
from webhooks_server.rpc.client import EventDraft

IDS = IdSource(lambda: 0)


def parsed(line: str | bytes) -> EventLine:
    return parse_line(1, line.encode() if isinstance(line, str) else line, IDS)


def event(line: str) -> EventDraft:
    return parsed(line).event


@pytest.mark.parametrize(
    "data",
    [
        "{}",
        '{ "b":1,  "a" : 2 , "b":3 }',
        "1",
        '"text"',
        "null",
        "[1, 2.50, 1e400, -0.0]",
        "9" * 5000,
        '{"big": 9007199254740993.000000000000000001}',
        '"\\ud800 \\u00e4 ä 🦉 \\/"',
        '"} , { \\" ] [ : data"',
        "[" * 300 + "]" * 300,
    ],
)
@pytest.mark.parametrize(
    "line", ['{"event_type":"a","data":%s}', ' { "data" : %s\t,\t"event_type":"a" } \r']
)
def test_data_is_taken_as_it_stands(line: str, data: str) -> None:
    assert event(line % data).data_json == data


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :  ")]),
    st.booleans(),
)
def test_any_json_is_taken_as_it_stands(
    value: object, separators: tuple[str, str], escaped: bool
) -> None:
    data = json.dumps(value, separators=separators, ensure_ascii=escaped)
    assert event(f'{{"event_type": "a", "data": {data}}}').data_json == data


def test_all_fields_are_taken() -> None:
    line = """{"event_type":"a.b","event_id":"e-1","data_json":"{\\"x\\":1}","source":"s",
      "subject":"t","occur_time":"2026-11-24T05:00:00.000001+01:00","attributes":{"k":"v\\u00e4"},
      "data_schema":"d","data_content_type":"application/json"}"""

    assert event(line) == EventDraft(
        event_type="a.b",
        event_id="e-1",
        data_json='{"x":1}',
        content_type="application/json",
        source="s",
        subject="t",
        occur_time=event(
            '{"event_type":"a","occur_time":"2026-11-24T04:00:00.000001Z"}'
        ).occur_time,
        attributes={"k": "vä"},
        data_schema="d",
    )


def test_a_time_is_exact_to_the_microsecond() -> None:
    occurred = event('{"event_type":"a","occur_time":"9999-12-31T23:59:59.999999Z"}').occur_time
    assert occurred == 253_402_300_799_999_999


def test_an_event_without_an_id_gets_one() -> None:
    first, second = event('{"event_type":"a"}'), event('{"event_type":"a","event_id":""}')

    assert first.event_id.startswith("evt_")
    assert second.event_id.startswith("evt_")
    assert first.event_id != second.event_id


def test_bytes_come_as_base64() -> None:
    line = parsed('{"event_type":"a","data_bytes":"/wA=","data_content_type":"image/png"}')

    assert line.event.data_bytes == b"\xff\x00"
    assert line.payload_size == 2


def test_the_payload_is_measured_in_bytes() -> None:
    assert parsed('{"event_type":"a","data":"ä"}').payload_size == 4


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[]", "is not JSON: Expecting { at character 1"),
        ("nonsense", "is not JSON: Expecting { at character 1"),
        ("{", "is not JSON: Expecting a key in double quotes at character 2"),
        ('{"event_type"}', "is not JSON: Expecting : at character 14"),
        ('{"event_type":}', "is not JSON: Expecting value at character 15"),
        ('{"event_type":"a",}', "is not JSON: Expecting a key in double quotes at character 19"),
        ('{"event_type":"a" "data":1}', "is not JSON: Expecting , at character 19"),
        ('{"event_type":"a"} x', "is not JSON: More text after the object at character 20"),
        ("{} x", "is not JSON: More text after the object at character 4"),
        ("{1:2}", "is not JSON: Expecting a key in double quotes at character 2"),
        ('{"event_type":"a","data":NaN}', "is not JSON: NaN is not a JSON value"),
        ('{"event_type":"a","data":[-Infinity]}', "is not JSON: -Infinity is not a JSON value"),
        (
            '{"event_type":"a","data":"\t"}',
            "is not JSON: Invalid control character at at",
        ),
        (
            '{"event_type":"a","data":{"x" 1}}',
            "is not JSON: Expecting ':' delimiter at",
        ),
        ("{}", "has no event_type"),
        ('{"data":{}}', "has no event_type"),
        ('{"event_type":1}', "event_type must be a string"),
        ('{"event_type":"a","event_id":null}', "event_id must be a string"),
        ('{"event_type":"a","data_json":{}}', "data_json must be a string"),
        ('{"event_type":"a","source":"\\ud800"}', "source holds half of a surrogate pair"),
        ('{"event_type":"a","data":1,"data_json":"1"}', "has both data and data_json"),
        ('{"event_type":"a","event_type":"b"}', "names event_type twice"),
        ('{"event_type":"a","priority":1}', "'priority' is not a field of an event"),
        ('{"event_type":"a","data_bytes":"?"}', "data_bytes must be base64"),
        ('{"event_type":"a","occur_time":"today"}', "occur_time must be a time such as"),
        ('{"event_type":"a","occur_time":"2026-11-24T05:00:00"}', "occur_time must be a time such"),
        ('{"event_type":"a","occur_time":5}', "occur_time must be a string"),
        ('{"event_type":"a","attributes":[]}', "attributes must be an object of strings"),
        ('{"event_type":"a","attributes":{"k":1}}', "each value of attributes must be a string"),
        ('{"event_type":"a","attributes":{"\\udfff":"1"}}', "a key of attributes holds half of"),
        ('{"event_type":"a","data":' + "[" * 100_000, "is nested too deep"),
    ],
)
def test_a_line_is_refused_with_the_reason(line: str, reason: str) -> None:
    with pytest.raises(LineRefused) as refused:
        parsed(line)
    assert str(refused.value).startswith(reason)


def test_a_line_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(LineRefused, match="is not UTF-8 at byte 3"):
        parsed(b'{"\xff":1}')


@pytest.mark.parametrize("name", ["data", "data_bytes"])
def test_a_payload_beyond_every_setting_is_refused_here(name: str) -> None:
    def line(size: int) -> str:
        payload = "x" * size
        text = base64.b64encode(payload.encode()).decode() if name == "data_bytes" else payload[2:]
        return f'{{"event_type":"a","{name}":"{text}"}}'

    assert parsed(line(LARGEST_PAYLOAD_SETTING)).payload_size == LARGEST_PAYLOAD_SETTING
    with pytest.raises(LineRefused, match="data must have at most 3145728 bytes, has 3145729"):
        parsed(line(LARGEST_PAYLOAD_SETTING + 1))


def read(path: Path) -> list[RawLine | Pause]:
    with path.open("rb") as file:
        return list(read_lines(file.fileno()))


def test_lines_end_at_line_feeds_alone(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes("\ufeffone\u2028still\rone\r\n\n \t\r\ntwo\n three".encode())

    assert read(path) == [
        RawLine(number=1, text="one\u2028still\rone\r".encode(), position=20),
        RawLine(number=4, text=b"two", position=29),
        RawLine(number=5, text=b" three", position=35),
    ]


def test_a_line_that_is_too_long_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"x" * MAX_LINE_BYTES + b"\n" + b"y" * (MAX_LINE_BYTES + 1) + b"\nz")

    first, second, third = read(path)
    assert isinstance(first, RawLine)
    assert first.text == b"x" * MAX_LINE_BYTES
    assert isinstance(second, RawLine)
    assert second.text is None
    assert isinstance(third, RawLine)
    assert (third.number, third.text) == (3, b"z")


def test_a_pipe_that_has_no_more_for_now_says_so() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb", buffering=0) as writer:
        writer.write(b"one\ntw")
        items = read_lines(reading)
        assert next(items) == RawLine(number=1, text=b"one", position=4)
        assert next(items) == Pause()
        late = threading.Timer(0.05, writer.write, [b"o\n"])
        late.start()
        assert next(items) == RawLine(number=2, text=b"two", position=8)
        late.join()
        writer.close()
        assert list(items) in ([], [Pause()])
