"""The server, as people run it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_BOUND = 20.0
STOP_BOUND = 20.0


class Restartable:
    """A server that can be killed, and comes back at its address."""

    def __init__(self, directory: Path) -> None:
        self.address = "127.0.0.1:0"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self._directory / f"server{time.monotonic_ns()}.log"
        self._process = _started(self._directory, self.address, log)
        self.address = _address(self._process, log)

    def kill(self) -> None:
        """Kill it as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_BOUND)


def _started(directory: Path, listen: str, log: Path) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if "WEBHOOKS" not in name}
    environment |= {
        "WEBHOOKS_LISTEN": listen,
        "WEBHOOKS_DATA_DIR": str(directory / "data"),
        "WEBHOOKS_LOG_FORMAT": "json",
    }
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "webhooks_server", "serve"],
            env=environment,
            stdout=output,
            stderr=output,
        )


@contextmanager
def run_server(directory: Path, listen: str = "127.0.0.1:0") -> Iterator[str]:
    """Run a server with its data under directory; gives its address."""
    log = directory / "server.log"
    with _started(directory, listen, log) as process:
        try:
            yield _address(process, log)
            assert process.poll() is None, f"the server died:\n{log.read_text()}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_BOUND)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_BOUND
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if "server.serving" in line:
                return str(json.loads(line)["address"])
        time.sleep(0.02)
    raise AssertionError(f"the server does not serve:\n{log.read_text()}")
