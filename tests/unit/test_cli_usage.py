"""The command line itself: help that shows how, and one clear line for whatever is wrong."""

import asyncio
import os

import pytest

from webhooks_server import __version__
from webhooks_server.cli.main import COMMANDS, main

NOBODY = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WEBHOOKS_")]:
        monkeypatch.delenv(name)


async def ended(*arguments: str) -> int:
    """Return the status of a command, run on a thread of its own with its own event loop."""
    with pytest.raises(SystemExit) as exit_:
        await asyncio.to_thread(main, arguments)
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
async def test_help_lists_all_commands_with_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert await ended(*arguments) == 0

    out = capsys.readouterr().out
    for command in COMMANDS:
        line = next(line for line in out.splitlines() if line.startswith(f"│ {command} "))
        assert len(line.strip("│ ").split()) > 4
    assert "webhooks-server publish invoice.paid" in out


@pytest.mark.parametrize("command", COMMANDS)
async def test_help_of_each_command_has_an_example(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert await ended(command, "--help") == 0

    out = capsys.readouterr().out
    assert out.startswith(f"Usage: webhooks-server {command}")
    assert f"\n webhooks-server {command}" in out


async def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert await ended("--version") == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["srve"], 2, 'Did you mean "serve"?'),
        (["serve", "x"], 2, "what is meant by x? (see webhooks-server serve --help)"),
        (["serve", "--slot", "1"], 2, "Did you mean --slots?"),
        (["serve", "--slots", "0"], 2, "--slots must be greater than or equal to 1"),
        (["serve", "--profile", "test"], 2, "--profile"),
        (["subscribe"], 2, "URL requires an argument"),
        (["subscribe", "http://a"], 2, "needs at least one pattern"),
        (["subscribe", "http://a", "b", "--header", "x"], 2, "'Name: value'"),
        (["subscribe", "http://a", "b", "--tenant", "A"], 2, "--tenant must be the id"),
        (["subscribe", "http://a", "b", "--server", NOBODY], 1, f"no server answers at {NOBODY}"),
        (["publish"], 2, "needs an event type"),
        (["publish", "a", "{}", "--data-file", "x"], 2, "not both"),
        (["publish", "a", "{}", "--content-type", "x/y"], 2, "--content-type describes"),
        (["publish", "a", "--file", "x"], 2, "give it alone"),
        (["publish", "a", "--stream"], 2, "give it alone"),
        (["publish", "a", "--data-file", "/nowhere/x"], 1, "/nowhere/x: No such file"),
        (["publish", "--file", "/nowhere/x"], 1, "/nowhere/x: No such file"),
        (["publish", "--file", "/"], 1, "/: Is a directory"),
        (["publish", "a", "\udcff", "--server", NOBODY], 2, "an argument is not UTF-8"),
        (["publish", "a", "--server", NOBODY], 1, f"no server answers at {NOBODY}"),
        (["publish", "a", "--server", "nowhere"], 2, "--server must be host:port"),
        (["audit", "--server", NOBODY], 1, f"no server answers at {NOBODY}"),
        (["backup", "--server", NOBODY], 1, f"no server answers at {NOBODY}"),
        (["listen", "--port", "65536"], 2, "--port"),
        (["listen", "--status", "199"], 2, "--status"),
        (["listen", "--count", "0"], 2, "--count"),
        (["listen", "--wait", "-1"], 2, "--wait"),
        (["relay"], 2, "say where to get what is to be sent"),
        (["relay", "--deadline", "5m"], 2, "--deadline and --json are for --once"),
        (["relay", "--once", "--deadline", "soon"], 2, "--deadline must be a span such as"),
        (["relay", "--once", "--server", NOBODY], 1, f"no server answers at {NOBODY}"),
        (["relay", "--once", "--server", NOBODY, "--data-dir", "x"], 2, "give one"),
        (["relay", "--data-dir", "x"], 2, "a SQLite file belongs to the one server"),
        (["relay", "--server", NOBODY, "--database-url", "postgresql://x"], 2, "give one"),
        (["relay", "--database-url", "sqlite://x"], 2, "must begin with postgresql://"),
        (["config", "--slots", "many"], 2, "--slots must be a valid integer"),
    ],
)
async def test_what_is_wrong_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, words: str
) -> None:
    assert await ended(*arguments) == status

    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("webhooks-server: ")
    assert words in line
