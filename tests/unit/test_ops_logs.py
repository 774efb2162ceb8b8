"""Log lines: one fact a line, known fields alone, and a bounded number of them."""

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from webhooks_server.domain.times import Instant
from webhooks_server.ops import LogConfig, ServerTelemetry, configure_logs
from webhooks_server.ops.telemetry import FIELDS, LINES_PER_SECOND, masked_url

PACKAGE = Path(__file__).parents[2] / "webhooks_server"


class StillClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def wall(self) -> Instant:
        return Instant(0)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before, level
    structlog.reset_defaults()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


def telemetry(
    clock: StillClock, output: io.StringIO, *, level: str = "info", as_json: bool = True
) -> ServerTelemetry:
    configure_logs(LogConfig(level=level, json=as_json), output)
    return ServerTelemetry(clock)


def lines(output: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_a_fact_is_one_json_line_with_its_fields(clock: StillClock, output: io.StringIO) -> None:
    telemetry(clock, output).fact("event.published", event="evt_1", tenant="default", count=2)

    (line,) = lines(output)
    assert line.pop("time")
    assert line == {
        "fact": "event.published",
        "level": "info",
        "event": "evt_1",
        "tenant": "default",
        "count": 2,
    }


def test_a_fact_is_one_line_for_people_too(clock: StillClock, output: io.StringIO) -> None:
    telemetry(clock, output, as_json=False).fact("relay.paused", reason="first\nsecond\x1b[31m")

    assert output.getvalue().count("\n") == 1
    assert "relay.paused" in output.getvalue()
    assert r"first\nsecond\x1b[31m" in output.getvalue()


def test_what_is_not_a_known_field_is_masked(clock: StillClock, output: io.StringIO) -> None:
    telemetry(clock, output).fact("subscription.created", secret="whsec_canary")

    assert "canary" not in output.getvalue()
    assert lines(output)[0]["secret"] == "***"


def test_of_a_url_only_scheme_and_host_are_shown(clock: StillClock, output: io.StringIO) -> None:
    url = "https://user:canary1@hooks.example.com:8443/services/canary2?token=canary3"
    telemetry(clock, output).fact("delivery.attempted", url=url, outcome="timeout")

    assert "canary" not in output.getvalue()
    assert str(lines(output)[0]["url"]).startswith("https://hooks.example.com/")
    assert masked_url(url) != masked_url(url + "4")
    assert masked_url("https://[") == "***"


def test_successful_deliveries_are_for_debugging(clock: StillClock, output: io.StringIO) -> None:
    quiet = telemetry(clock, output)
    quiet.fact("delivery.attempted", outcome="succeeded")
    assert lines(output) == []
    quiet.fact("delivery.attempted", outcome="http_error")
    assert len(lines(output)) == 1

    telemetry(clock, output, level="debug").fact("delivery.attempted", outcome="succeeded")
    assert lines(output)[-1]["level"] == "debug"


def test_more_lines_of_a_fact_than_anybody_reads_are_counted(
    clock: StillClock, output: io.StringIO
) -> None:
    stated = telemetry(clock, output)
    for _ in range(LINES_PER_SECOND + 5):
        stated.fact("delivery.attempted", outcome="timeout")
    stated.fact("engine.started")
    assert len(lines(output)) == LINES_PER_SECOND + 1

    clock.now += 1.0
    stated.fact("delivery.attempted", outcome="timeout")
    assert lines(output)[-1]["omitted"] == 5
    stated.fact("delivery.attempted", outcome="timeout")
    assert "omitted" not in lines(output)[-1]


def test_at_level_debug_nothing_is_left_out(clock: StillClock, output: io.StringIO) -> None:
    stated = telemetry(clock, output, level="debug")
    for _ in range(LINES_PER_SECOND + 5):
        stated.fact("delivery.attempted", outcome="timeout")

    assert len(lines(output)) == LINES_PER_SECOND + 5


def fail_with(secret: str) -> None:
    local = f"local {secret}"
    assert local
    raise RuntimeError("the lane is gone")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_fault_has_its_traceback_without_local_values(
    clock: StillClock, output: io.StringIO, *, as_json: bool
) -> None:
    stated = telemetry(clock, output, as_json=as_json)
    try:
        fail_with("canary")
    except RuntimeError as error:
        stated.fault("engine.failed", error, subscription="sub_1")

    assert "the lane is gone" in output.getvalue()
    assert "fail_with" in output.getvalue()
    assert "local canary" not in output.getvalue()
    if as_json:
        assert lines(output)[0]["level"] == "error"
        assert lines(output)[0]["subscription"] == "sub_1"


def test_libraries_speak_in_the_same_form_from_warning_on(
    clock: StillClock, output: io.StringIO
) -> None:
    telemetry(clock, output, level="debug")
    library = logging.getLogger("some.library")
    library.info("a payload perhaps")
    library.warning("low on %s", "memory")

    (line,) = lines(output)
    assert (line["fact"], line["library"]) == ("library.logged", "some.library")
    assert line["message"] == "low on memory"


def stated_fields() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"fact", "fault"}
            ):
                yield from ((path.name, one.arg) for one in node.keywords if one.arg)


def test_every_field_that_the_code_states_is_a_known_one() -> None:
    assert [(where, name) for where, name in stated_fields() if name not in FIELDS] == []


@pytest.mark.parametrize(
    ("fact", "fields", "level"),
    [
        ("delivery.attempted", {"outcome": "http_error", "state": "failed"}, "info"),
        ("subscription.created", {}, "info"),
        ("subscription.disabled", {"reason": "gone"}, "warning"),
        ("store.unwritable", {}, "warning"),
        ("store.writable", {}, "info"),
        ("audit.violated", {"count": 1}, "warning"),
        ("rpc.refused", {"reason": "INVALID_FIELD"}, "info"),
        ("rpc.refused", {"reason": "STORE_UNAVAILABLE"}, "warning"),
    ],
)
def test_a_fact_is_as_loud_as_what_is_to_be_done_about_it(
    clock: StillClock, output: io.StringIO, fact: str, fields: dict[str, str], level: str
) -> None:
    telemetry(clock, output).fact(fact, **fields)
    assert lines(output)[0]["level"] == level


def stated_facts() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                called = ast.unparse(node.func)
                told = called.endswith((".fact", ".fault", "._told"))
                if told:
                    # A choice between two names is two names.
                    strings = [
                        one for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)
                    ]
                    yield from (str(one.value) for one in strings)


def test_the_documentation_lists_every_fact() -> None:
    page = (PACKAGE.parent / "docs" / "operations.md").read_text()
    documented = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", page, re.MULTILINE))
    assert documented == set(stated_facts()) | {"library.logged"}
