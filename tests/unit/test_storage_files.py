"""EA5: nothing but SQLite opens the database. Closing another descriptor of it loses commits."""

import ast
from pathlib import Path

from webhooks_server.storage import sql

ROOM = Path(sql.__file__).parent
OPENING = {"open", "read_bytes", "read_text", "write_bytes", "write_text", "sendfile", "truncate"}
OPENING |= {"copy", "copy2", "copyfile", "copytree"}
# The lock has a file of its own; a directory is opened to be synced; a new file is not opened yet.
ALLOWED = {"lock.py": {"open"}, "files.py": {"open"}}


def opening_calls(source: str) -> set[str]:
    """The names by which a module opens files, as functions or methods."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {call.id for call in calls if isinstance(call, ast.Name)}
    names |= {call.attr for call in calls if isinstance(call, ast.Attribute)}
    return names & OPENING


def test_no_module_opens_files() -> None:
    found = {path.name: opening_calls(path.read_text()) for path in sorted(ROOM.rglob("*.py"))}
    assert len(found) > 20
    assert {name: calls for name, calls in found.items() if calls} == ALLOWED


def test_the_check_sees_what_it_looks_for() -> None:
    assert opening_calls("open('a'); os.truncate('a', 0); path.read_bytes()") == {
        "open",
        "truncate",
        "read_bytes",
    }
