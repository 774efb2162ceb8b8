"""The figures: what each one is, its goal, and how a result is written down and shown."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RESULTS = Path(__file__).parent / "results" / "latest.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure. `part` tells figures of one benchmark apart; a `value` has no limit beside it."""

    id: str
    part: str = ""
    what: str
    kind: Literal["ratio", "value"] = "ratio"
    unit: str
    goal: float
    more_is_better: bool = True

    @property
    def name(self) -> str:
        """The id, with the part where there is one."""
        return f"{self.id} {self.part}".strip()

    def is_met_by(self, measured: float) -> bool:
        """Tell whether a measured ratio or value reaches the goal."""
        return measured >= self.goal if self.more_is_better else measured <= self.goal


FIGURES = (
    Figure(
        id="B1",
        what="deliveries/s of a backlog ÷ raw signed aiohttp POSTs/s",
        unit="deliveries/s",
        goal=0.85,
    ),
    Figure(
        id="B2",
        what="durable unary Publish/s ÷ empty-handler RPCs/s, 64 in flight",
        unit="events/s",
        goal=0.70,
    ),
    Figure(
        id="B3",
        what="durable BatchPublish (100) events/s ÷ raw executemany of the same rows",
        unit="events/s",
        goal=0.60,
    ),
    Figure(
        id="B4",
        what="durable StreamingPublish events/s ÷ empty bidi stream, one stream",
        unit="events/s",
        goal=0.80,
    ),
    Figure(
        id="B5",
        part="median",
        what="publish to received, idle ÷ (empty RPC + one raw POST)",
        unit="ms",
        goal=2.0,
        more_is_better=False,
    ),
    Figure(
        id="B5",
        part="p99",
        what="the same, 99th percentile",
        unit="ms",
        goal=3.0,
        more_is_better=False,
    ),
    Figure(
        id="B5",
        part="median time",
        what="publish to received, idle, on a quiet machine",
        kind="value",
        unit="ms",
        goal=5.0,
        more_is_better=False,
    ),
    Figure(
        id="B5",
        part="p99 time",
        what="the same, 99th percentile",
        kind="value",
        unit="ms",
        goal=15.0,
        more_is_better=False,
    ),
    Figure(
        id="B6",
        what="batch publish to received, events/s ÷ raw signed aiohttp POSTs/s",
        unit="events/s",
        goal=0.80,
    ),
    Figure(
        id="B8",
        part="idle",
        what="memory of an idle server",
        kind="value",
        unit="MiB",
        goal=115.0,
        more_is_better=False,
    ),
    Figure(
        id="B12",
        what="start of the process to the first served RPC, schema present",
        kind="value",
        unit="s",
        goal=1.0,
        more_is_better=False,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one figure; `measured` is the ratio or the value itself."""

    figure: Figure
    measured: float
    ours: float
    limit: float | None = None
    quick: bool = False

    def as_row(self) -> dict[str, object]:
        """Return what is written as one JSON line."""
        row: dict[str, object] = {"id": self.figure.id}
        if self.figure.part:
            row["part"] = self.figure.part
        row[self.figure.kind] = round(self.measured, 4)
        row["ours"] = round(self.ours, 4)
        if self.limit is not None:
            row["limit"] = round(self.limit, 4)
        row |= {"unit": self.figure.unit, "goal": self.figure.goal}
        return row | {"quick": True} if self.quick else row


def figure(identity: str, part: str = "") -> Figure:
    """Return the figure with this id and part."""
    return next(one for one in FIGURES if (one.id, one.part) == (identity, part))


def write(results: Sequence[Result]) -> None:
    """Write results in the place of earlier ones of the same figures; the others stay."""
    RESULTS.parent.mkdir(exist_ok=True)
    latest = {result.figure: result for result in (*read(), *results)}
    ordered = sorted(latest.values(), key=lambda result: FIGURES.index(result.figure))
    RESULTS.write_text("".join(json.dumps(result.as_row()) + "\n" for result in ordered))


def read() -> list[Result]:
    """Return the latest result of each figure that was ever measured."""
    if not RESULTS.exists():
        return []
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    known = {(one.id, one.part) for one in FIGURES}
    return [_result(row) for row in rows if (row["id"], row.get("part", "")) in known]


def table(results: Iterable[Result]) -> str:
    """Return results as a table in Markdown, which reads well on a terminal too."""
    head = ["figure", "what", "measured", "goal", "", "ours", "limit"]
    rows = [_cells(result) for result in results]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    ruled = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in ruled
    )


def _result(row: dict[str, float | str | bool]) -> Result:
    what = figure(str(row["id"]), str(row.get("part", "")))
    return Result(
        figure=what,
        measured=float(row[what.kind]),
        ours=float(row["ours"]),
        limit=float(row["limit"]) if "limit" in row else None,
        quick=bool(row.get("quick", False)),
    )


def _cells(result: Result) -> list[str]:
    what = result.figure
    sign = "≥" if what.more_is_better else "≤"
    unit = f" {what.unit}" if what.kind == "value" else ""
    return [
        f"{what.name}, quick" if result.quick else what.name,
        what.what,
        f"{result.measured:.2f}{unit}",
        f"{sign} {what.goal:g}{unit}",
        "pass" if what.is_met_by(result.measured) else "short",
        f"{result.ours:,.4g} {what.unit}"
        if result.ours < 100
        else f"{result.ours:,.0f} {what.unit}",
        "" if result.limit is None else _number(result.limit),
    ]


def _number(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
