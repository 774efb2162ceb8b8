"""The figures: counted cheaply, told in full, and with as many series as there were."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.scraping import Scrape, parsed
from webhooks_server.domain import egress
from webhooks_server.domain.bounds import MAX_OUTSTANDING_EVENTS
from webhooks_server.domain.subscription import PARTITIONS
from webhooks_server.engine import announcing, caches, gates, pinging, relays
from webhooks_server.ops import page
from webhooks_server.ops.catalogue import COUNTERS, DISTRIBUTIONS, LEVELS, PREFIX
from webhooks_server.ops.exposition import Exposition
from webhooks_server.ops.measures import OTHER_TENANTS, Measures
from webhooks_server.relay import addresses, http
from webhooks_server.rpc import server, streams
from webhooks_server.services import pings
from webhooks_server.storage.sql import backlog, lanes, readers, thread

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"
ROW = re.compile(r"^\| `webhooks_([a-z_]+)` \|", re.MULTILINE)


def told(measures: Measures) -> Scrape:
    return Scrape(series=parsed(Exposition(measures).text().decode()))


def test_a_distribution_counts_what_is_at_most_each_bound() -> None:
    measures = Measures()
    for value in (0.001, 0.0011, 0.2, 31.0):
        measures.measure("publish_seconds", value)
    found = told(measures)

    assert found.value("publish_seconds_bucket", le="0.001") == 1
    assert found.value("publish_seconds_bucket", le="0.0025") == 2
    assert found.value("publish_seconds_bucket", le="30.0") == 3
    assert found.value("publish_seconds_bucket", le="+Inf") == 4
    assert found.value("publish_seconds_count") == 4
    assert found.value("publish_seconds_sum") == pytest.approx(31.2021)


def test_a_level_is_read_when_somebody_looks() -> None:
    measures, held = Measures(), [1]
    measures.watch("reads_waiting", lambda: len(held), "engine", bound=9)
    held.append(2)
    found = told(measures)

    assert found.value("reads_waiting", pool="engine") == 2
    assert found.value("reads_waiting_limit", pool="engine") == 9


def test_a_tenant_is_not_named_unless_that_is_wanted() -> None:
    measures = Measures()
    for tenant in ("a", "b"):
        measures.count("events", tenant, "accepted")

    assert told(measures).value("events_total", result="accepted") == 2


def test_of_many_tenants_the_first_are_named() -> None:
    measures = Measures(tenants=2)
    for number in range(50):
        measures.count("attempts", f"t{number}", "timeout")
    measures.count("attempts", "t1", "timeout")
    found = told(measures)

    assert found.value("attempts_total", tenant="t0", outcome="timeout") == 1
    assert found.value("attempts_total", tenant="t1", outcome="timeout") == 2
    assert found.value("attempts_total", tenant=OTHER_TENANTS, outcome="timeout") == 48


def test_what_is_not_in_the_catalogue_is_an_error() -> None:
    with pytest.raises(KeyError):
        Measures().count("evnets", "accepted")


def test_the_process_itself_is_told_too() -> None:
    assert parsed(Exposition(Measures()).text().decode())[
        ("process_resident_memory_bytes", frozenset())
    ]


def stated(kind: str) -> Iterator[str]:
    """Yield the names that the code gives to telemetry.count, .measure or .watch."""
    for path in (ROOT / "webhooks_server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called, first = ast.unparse(node.func), node.args[0]
            by_name = called == kind or called.endswith(f"telemetry.{kind}")
            if by_name and isinstance(first, ast.Constant):
                yield str(first.value)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        # The other two are counted where facts are told.
        ("count", set(COUNTERS) - {"facts", "faults"}),
        ("measure", set(DISTRIBUTIONS)),
        ("watch", set(LEVELS)),
    ],
)
def test_the_catalogue_is_what_the_code_states(kind: str, names: set[str]) -> None:
    assert set(stated(kind)) == names


def test_the_documentation_lists_the_catalogue() -> None:
    names = [f"{name}_total" for name in COUNTERS] + [*DISTRIBUTIONS, *LEVELS]
    assert sorted(ROW.findall(PAGE.read_text())) == sorted(names)
    assert PREFIX == "webhooks_"


BOUND = re.compile(r"^\| ([^`|][^|]*) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
# Levels that have no bound: they tell of time, of yes and no, or of a share of what is bounded.
NO_BOUND = {
    "partitions_owned",
    "breakers_open",
    "oldest_due_seconds",
    "control_age_seconds",
    "store_writable",
}


def bounds() -> dict[str, tuple[str, str]]:
    """What is bounded by the page: the bound, and the metric."""
    text = PAGE.read_text().partition("### What is bounded")[2].partition("###")[0]
    return {what: (bound, metric) for what, bound, metric in BOUND.findall(text) if what != "what"}


def test_the_documentation_tells_the_bound_of_each_level() -> None:
    named = {
        name for _, metric in bounds().values() for name in re.findall("webhooks_([a-z_]+)", metric)
    }
    assert named == set(LEVELS) - NO_BOUND


@pytest.mark.parametrize(
    ("what", "numbers"),
    [
        ("calls that run", (server.MAX_STREAMS, server.MAX_CHECKS, server.MAX_STREAMS)),
        ("publish streams", (streams.MAX_STREAMS, streams.MAX_STREAMS_OF_CONNECTION)),
        ("what publish streams", (64, MAX_OUTSTANDING_EVENTS, 4)),
        ("Publishes", (backlog.MAX_WAITING,)),
        ("changes", (thread.MAX_WAITING,)),
        ("reads", (readers.MAX_WAITING,)),
        ("relays attached", (relays.MAX_ATTACHED,)),
        ("gates", (gates.MOST_UNUSED,)),
        ("subscriptions ready", (caches.MAX_SUBSCRIPTIONS,)),
        ("fan-outs", (lanes.FAN_OUTS_AT_ONCE,)),
        ("what other processes", (PARTITIONS, announcing.MOST_REPORTS)),
        ("pings that somebody", (pings.MAX_PINGS,)),
        ("pings that other", (pinging.MAX_HEARD,)),
        ("connections", (page.MAX_CONNECTIONS,)),
        ("targets", (http._KNOWN_TARGETS, egress._KNOWN_VERDICTS, 4096)),
        ("caps", (addresses.MOST_UNUSED,)),
    ],
)
def test_the_bounds_of_the_documentation_are_those_of_the_code(
    what: str, numbers: tuple[int, ...]
) -> None:
    (found,) = [bound for name, (bound, _) in bounds().items() if name.startswith(what)]
    told = [int(one.replace(",", "")) for one in re.findall(r"\d[\d,]*\d|\d", found)]
    assert told == list(numbers)


def test_a_server_without_a_page_loads_no_library_for_it() -> None:
    look = "import sys, webhooks_server.app.serving; "
    look += "print([one for one in sys.modules if one.startswith("
    look += "('prometheus_client', 'opentelemetry'))])"
    shown = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
