"""What came of the figures: how it is judged, written down and shown."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.goals import FIGURES, Figure, figure

RESULTS = Path(__file__).parent / "results" / "latest.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one figure; `measured` is the ratio or the value itself.

    `series` is how `ours` came about: seconds since the beginning, and what was measured there.
    """

    figure: Figure
    measured: float
    ours: float
    limit: float | None = None
    quick: bool = False
    series: tuple[tuple[float, float], ...] = ()

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
        if self.quick:
            row["quick"] = True
        if self.series:
            row["series"] = self.series
        return row


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


def _result(row: dict[str, Any]) -> Result:
    what = figure(str(row["id"]), str(row.get("part", "")))
    return Result(
        figure=what,
        measured=float(row[what.kind]),
        ours=float(row["ours"]),
        limit=float(row["limit"]) if "limit" in row else None,
        quick=bool(row.get("quick", False)),
        series=tuple((at, value) for at, value in row.get("series", ())),
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
        _amount(result.ours, what.unit),
        "" if result.limit is None else _amount(result.limit, what.unit),
    ]


def _amount(number: float, unit: str) -> str:
    return f"{number:,.4g} {unit}" if number < 100 else f"{number:,.0f} {unit}"
