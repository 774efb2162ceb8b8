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


@contextmanager
def run_server(directory: Path, listen: str = "127.0.0.1:0") -> Iterator[str]:
    """Run a server with its data under directory; gives its address."""
    log = directory / "server.log"
    environment = {name: value for name, value in os.environ.items() if "WEBHOOKS" not in name}
    environment |= {
        "WEBHOOKS_LISTEN": listen,
        "WEBHOOKS_DATA_DIR": str(directory / "data"),
        "WEBHOOKS_LOG_FORMAT": "json",
    }
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [sys.executable, "-m", "webhooks_server", "serve"],
            env=environment,
            stdout=output,
            stderr=output,
        ) as process,
    ):
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
