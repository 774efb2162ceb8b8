"""What PostgreSQL does for the statements of a call, and how many rows it looks at for them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy import event as events_of_sqlalchemy

from tests.harness.postgres_database import Administrator
from webhooks_server.storage.postgres.connection import PLANNING

PLANNED = {"SELECT", "WITH", "UPDATE", "INSERT", "DELETE"}
_LOOKED_AT = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")

Statement = tuple[str, tuple[object, ...]]


@contextmanager
def statements() -> Iterator[list[Statement]]:
    """Collect what is sent to the database meanwhile, and has a plan."""
    collected: list[Statement] = []

    def collect(*given: object) -> None:
        _, _, statement, parameters, *_ = given
        assert isinstance(statement, str)
        assert isinstance(parameters, tuple | list)
        rows = parameters if isinstance(parameters, list) else [parameters]
        if statement.split()[0] in PLANNED:
            collected.extend((statement, tuple(row)) for row in rows)

    events_of_sqlalchemy.listen(Engine, "before_cursor_execute", collect)
    try:
        yield collected
    finally:
        events_of_sqlalchemy.remove(Engine, "before_cursor_execute", collect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A statement that was run, and undone again."""

    statement: str
    nodes: list[dict[str, Any]]

    def rows_of(self, *tables: str) -> int:
        """How many rows of these tables were looked at."""
        counts: list[float] = [
            node["Actual Loops"] * node.get(name, 0)
            for node in self.nodes
            for name in _LOOKED_AT
            if node.get("Relation Name") in tables
        ]
        return round(sum(counts))

    @property
    def pages(self) -> int:
        """How many pages were looked at, of tables and of indexes."""
        hit: int = self.nodes[0]["Shared Hit Blocks"]
        read: int = self.nodes[0]["Shared Read Blocks"]
        return hit + read

    @property
    def milliseconds(self) -> float:
        return float(self.nodes[0]["Actual Total Time"])

    @property
    def whole(self) -> set[str]:
        """The tables that were read from their first row on, whatever is asked for."""
        scans = [node for node in self.nodes if node["Node Type"] == "Seq Scan"]
        return {node["Relation Name"] for node in scans}

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    def __str__(self) -> str:
        shown = ("Node Type", "Relation Name", "Index Name", "Index Cond", "Filter", *_LOOKED_AT)
        lines = [
            "  ".join(str(node[name]) for name in (*shown, "Actual Loops") if name in node)
            for node in self.nodes
        ]
        return "\n".join([" ".join(self.statement.split()), *lines])


def plan_of(administrator: Administrator, statement: Statement, *, generic: bool) -> Plan:
    """Run a statement under the plan that fits its values, or the one for whatever values."""
    text, parameters = statement
    mode = "force_generic_plan" if generic else "force_custom_plan"
    settings = {**PLANNING, "plan_cache_mode": mode}
    local = "; ".join(f"SET LOCAL {name} = {value}" for name, value in settings.items())
    administrator.execute(f"BEGIN; {local}; PREPARE planned AS {text}")
    try:
        values = ", ".join(map(_literal, parameters))
        execute = f"EXECUTE planned ({values})" if parameters else "EXECUTE planned"
        explained = administrator.value(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {execute}")
    finally:
        administrator.execute("ROLLBACK; DEALLOCATE planned")
    return Plan(statement=text, nodes=list(_nodes(json.loads(explained)[0]["Plan"])))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from _nodes(below)


def _literal(given: object) -> str:
    """Return a value as a text that becomes of whatever type its parameter is."""
    return "NULL" if given is None else "'" + _text(given).replace("'", "''") + "'"


def _text(given: object) -> str:
    match given:
        case bytes():
            return "\\x" + given.hex()
        case list() | tuple() | range():
            quoted = (_text(one).replace("\\", "\\\\").replace('"', '\\"') for one in given)
            return "{" + ", ".join(f'"{one}"' for one in quoted) + "}"
        case _:
            return str(int(given) if isinstance(given, bool | int) else given)
