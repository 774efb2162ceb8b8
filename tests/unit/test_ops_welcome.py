"""The commands that a server prints at its start can be pasted as they are."""

import shlex
import sys

import pytest

from webhooks_server.ops.welcome import next_steps

PROGRAM = "/home/some one/webhooks-server"


@pytest.mark.parametrize(
    ("address", "options"),
    [
        ("127.0.0.1:50051", []),
        ("127.0.0.1:6000", ["--server", "127.0.0.1:6000"]),
        ("[::1]:50051", ["--server", "[::1]:50051"]),
        ("127.0.0.2:6000", ["--server", "127.0.0.2:6000"]),
        ("localhost:6000", ["--server", "localhost:6000"]),
        ("0.0.0.0:6000", ["--server", "127.0.0.1:6000"]),
        ("[::]:6000", ["--server", "[::1]:6000"]),
    ],
)
def test_the_commands_call_the_server_where_it_listens(
    monkeypatch: pytest.MonkeyPatch, address: str, options: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [PROGRAM])
    lines = [line for line in next_steps(address).splitlines() if line.startswith("  ")]
    subscribe, listen, publish = map(shlex.split, lines)
    assert subscribe[:2] == [PROGRAM, "subscribe"]
    assert subscribe[6:] == options
    assert listen[:2] == [PROGRAM, "listen"]
    assert publish == [PROGRAM, "publish", "invoice.paid", '{"amount": 12}', *options]


def test_a_module_is_called_by_the_same_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/here/webhooks_server/__main__.py"])
    monkeypatch.setattr(sys, "executable", "/some where/python")
    (line, *_) = [line for line in next_steps("[::1]:1").splitlines() if line.startswith("  ")]
    assert shlex.split(line)[:4] == ["/some where/python", "-m", "webhooks_server", "subscribe"]
