"""Where everything is caught, whatever it is (CONTRIBUTING.md, rule 7)."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "webhooks_server"
EDGES = {
    "engine/failing.py": "what is only kept for a restart is tried again",
    "engine/pinging.py": "around one ping that another process asked for",
    "engine/recording.py": "the loop that records never dies",
    "engine/refill.py": "the loop that reads lanes never dies",
    "engine/sending.py": "around one delivery",
    "engine/upkeep.py": "around each loop of the engine, and around one fan-out",
    "rpc/client/relay_sending.py": "around one delivery, in a relay elsewhere",
    "rpc/wall.py": "around one call",
    "storage/postgres/loop.py": "the loop that writes groups never dies",
    "storage/sql/prepare.py": "around one append of a group",
    "storage/sql/writer.py": "the loop that writes groups never dies",
}
"""Modules that go on after whatever error, and what of theirs must outlive it.

Who only looks at an error, and raises it or another one, is no edge.
"""
TRY_AGAIN = {"storage/postgres/pool.py": "raises what trying again does not mend"}
EVERYTHING = {"Exception", "BaseException"}


def caught(handler: ast.ExceptHandler) -> set[str]:
    """The names that a handler catches; one that names none catches everything."""
    if handler.type is None:
        return {"BaseException"}
    return {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}


def goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether what was caught can end here: the last thing that a handler does is not to raise."""
    return not isinstance(handler.body[-1], ast.Raise)


def handlers(source: str) -> Iterator[ast.ExceptHandler]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler) and caught(node) & EVERYTHING:
            yield node


def test_everything_is_caught_at_the_edges_alone() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if any(goes_on(one) for one in handlers(path.read_text()))
    }
    assert found == EDGES.keys() | TRY_AGAIN.keys()


def test_the_look_finds_what_it_is_for() -> None:
    assert [
        goes_on(one)
        for one in handlers(
            "try: a()\nexcept Exception: b()\n"
            "try: a()\nexcept (OSError, BaseException): raise\n"
            "try: a()\nexcept: b()\n"
            "try: a()\nexcept ValueError: b()\n"
        )
    ] == [True, False, True]
