"""The figures, and the goal of each.

A name with `pg` in it, and one that begins with G, is of a server on PostgreSQL, the others of one
on SQLite. The B are those of docs/benchmarks.md, the G what must hold in trouble and under load.
"""

from dataclasses import dataclass
from typing import Literal

MOST_IN_FLIGHT = 256
"""How many requests a server has out at most, unless it is told otherwise (WEBHOOKS_SLOTS)."""


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

    def share_of_goal(self, measured: float) -> float:
        """Return 1 where the goal is just met, more where it is surpassed."""
        best, least = (measured, self.goal) if self.more_is_better else (self.goal, measured)
        return best / least if least else 1.0


def figure(identity: str, part: str = "") -> Figure:
    """Return the figure with this id and part."""
    return next(one for one in FIGURES if (one.id, one.part) == (identity, part))


def _at_least(name: str, goal: float, unit: str, what: str) -> Figure:
    identity, _, part = name.partition(" ")
    return Figure(id=identity, part=part, what=what, unit=unit, goal=goal)


def _at_most(name: str, goal: float, unit: str, what: str) -> Figure:
    identity, _, part = name.partition(" ")
    return Figure(id=identity, part=part, what=what, unit=unit, goal=goal, more_is_better=False)


def _no_more_than(name: str, goal: float, unit: str, what: str) -> Figure:
    identity, _, part = name.partition(" ")
    return Figure(
        id=identity,
        part=part,
        what=what,
        kind="value",
        unit=unit,
        goal=goal,
        more_is_better=False,
    )


_DRAIN = "deliveries/s of a backlog ÷ raw signed aiohttp POSTs/s"
_UNARY = "durable unary Publish/s ÷ empty-handler RPCs/s, 64 in flight"
_BATCH = "durable BatchPublish (100) events/s ÷ raw executemany of the same rows"
_END_TO_END = "batch publish to received, events/s ÷ raw signed aiohttp POSTs/s"
_IDLE = "memory of an idle server"


def _dead_lane(identity: str) -> tuple[Figure, ...]:
    return (
        _at_most(
            f"{identity} finding",
            1.3,
            "ms",
            "finding due work, 1,000,000 pending of one lane ÷ 10,000 of it",
        ),
        _no_more_than(
            f"{identity} claim", 2.0, "ms", "reading the head of that lane, 99th percentile"
        ),
        _at_most(
            f"{identity} p99",
            1.25,
            "ms",
            "publish to received of 1,000 lanes, p99: one more dead with 1,000,000 ÷ none dead",
        ),
        _no_more_than(f"{identity} added", 50.0, "ms", "what that adds to their p99"),
    )


def _backlog(identity: str) -> tuple[Figure, ...]:
    return (
        _no_more_than(
            f"{identity} backlog", 160.0, "MiB", "most memory while 1,000,000 pending are sent"
        ),
        _no_more_than(
            f"{identity} first", 5.0, "s", "start on 1,000,000 pending to the first request"
        ),
        _at_least(
            f"{identity} drain",
            0.8,
            "deliveries/s",
            "deliveries/s with 1,000,000 pending ÷ with a short queue",
        ),
    )


def _fan_out(identity: str) -> tuple[Figure, ...]:
    return (
        _no_more_than(
            f"{identity} ack", 20.0, "ms", "Publish to 100,000 subscriptions, answered, p99"
        ),
        _no_more_than(f"{identity} rows", 30.0, "s", "until all its deliveries are stored"),
        _at_most(
            f"{identity} others",
            1.5,
            "ms",
            "publish to received of other events, p99: during ÷ before",
        ),
        _no_more_than(
            f"{identity} twice",
            10.0 * MOST_IN_FLIGHT,
            "requests",
            "sent twice after ten times kill -9 in a fan-out; its rows are exact",
        ),
    )


FIGURES = (
    _at_least("B1", 0.85, "deliveries/s", _DRAIN),
    _at_least("B1 pg", 0.85, "deliveries/s", _DRAIN),
    _at_least("B2", 0.70, "events/s", _UNARY),
    _at_least("B2 pg", 0.70, "events/s", _UNARY),
    _at_least("B3", 0.60, "events/s", _BATCH),
    _at_least("B3 pg", 0.60, "events/s", _BATCH),
    _at_least(
        "B4", 0.80, "events/s", "durable StreamingPublish events/s ÷ empty bidi stream, one stream"
    ),
    _at_most("B5 median", 2.0, "ms", "publish to received, idle ÷ (empty RPC + one raw POST)"),
    _at_most("B5 p99", 3.0, "ms", "the same, 99th percentile"),
    _no_more_than("B5 median time", 5.0, "ms", "publish to received, idle, on a quiet machine"),
    _no_more_than("B5 p99 time", 15.0, "ms", "the same, 99th percentile"),
    _at_least("B6", 0.80, "events/s", _END_TO_END),
    _at_least("B6 pg", 0.80, "events/s", _END_TO_END),
    *_dead_lane("B7"),
    _no_more_than("B8 idle", 115.0, "MiB", _IDLE),
    _no_more_than("B8 idle pg", 115.0, "MiB", _IDLE),
    *_backlog("B8"),
    _at_most("B9", 1.3, "ms", "a durable Publish with 100,000 subscriptions ÷ with 100"),
    *_fan_out("B10"),
    _at_most("B11", 1.15, "ms", "CPU time of a delivery: four processes ÷ one, on PostgreSQL"),
    _no_more_than("B12", 1.0, "s", "start of the process to the first served RPC, schema present"),
    *_dead_lane("G9"),
    *_backlog("G12"),
    *_fan_out("G13"),
    _at_least(
        "G26 flat", 0.9, "deliveries/s", "a snapshot is held: last part of a minute ÷ first part"
    ),
    _at_least("G26 kept", 0.5, "deliveries/s", "the same, last part ÷ before it was held"),
)
