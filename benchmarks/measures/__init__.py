"""What is done for the figures: a measure for each benchmark and kind of store."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from benchmarks.figures import Result
from benchmarks.measures.backlog import backlog
from benchmarks.measures.crowd import crowd
from benchmarks.measures.dead_lane import dead_lane
from benchmarks.measures.fan_out import fan_out
from benchmarks.measures.idle import latency, memory, starting
from benchmarks.measures.processes import processes
from benchmarks.measures.snapshot import snapshot
from benchmarks.measures.speed import (
    batch_publishing,
    draining,
    end_to_end,
    publishing,
    streaming,
)
from benchmarks.stores import KINDS, Kind
from benchmarks.turns import Scale

POSTGRES: tuple[Kind, ...] = ("postgres",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What is run for figures of one id on one kind of store; raises BenchmarkError."""

    id: str
    kind: Kind
    run: Callable[[Scale, Kind], Awaitable[list[Result]]]

    @property
    def name(self) -> str:
        """What it is called where it is told how far the run is."""
        return f"{self.id} on {self.kind}"


def _on(
    identity: str,
    run: Callable[[Scale, Kind], Awaitable[list[Result]]],
    kinds: tuple[Kind, ...] = ("sqlite",),
) -> tuple[Measure, ...]:
    return tuple(Measure(id=identity, kind=kind, run=run) for kind in kinds)


MEASURES = (
    *_on("B1", draining, KINDS),
    *_on("B2", publishing, KINDS),
    *_on("B3", batch_publishing, KINDS),
    *_on("B4", streaming),
    *_on("B5", latency),
    *_on("B6", end_to_end, KINDS),
    *_on("B7", dead_lane),
    *_on("B8", memory, KINDS),
    *_on("B8", backlog),
    *_on("B9", crowd),
    *_on("B10", fan_out),
    *_on("B11", processes, POSTGRES),
    *_on("B12", starting),
    *_on("G9", dead_lane, POSTGRES),
    *_on("G12", backlog, POSTGRES),
    *_on("G13", fan_out, POSTGRES),
    *_on("G26", snapshot, POSTGRES),
)
