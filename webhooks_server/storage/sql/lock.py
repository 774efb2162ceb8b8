"""One process owns a data directory: a lock on a file of its own, which tells who holds it.

Never on the database file: closing any descriptor of it would drop SQLite's own locks (EA5).
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from webhooks_server.domain.errors import DataDirectoryInUse, StartError
from webhooks_server.storage.sql.config import LOCK_NAME

# Who only looks at the lock holds it for a moment.
_TRIES = 20
_PAUSE = 0.01
_LARGEST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The process that owns a data directory; its address is empty until it listens."""

    pid: int
    address: str = ""


class DataLock:
    """The lock of a data directory, held."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.announce("")

    def announce(self, address: str) -> None:
        """Tell others where this process listens."""
        text = json.dumps({"pid": os.getpid(), "address": address}).encode()
        try:
            os.pwrite(self._descriptor, text, 0)
            os.ftruncate(self._descriptor, len(text))
        except OSError as error:
            raise StartError(f"{LOCK_NAME} cannot be written: {error.strerror}") from error


@contextmanager
def hold_lock(data_dir: Path) -> Iterator[DataLock]:
    """Own a data directory; raises DataDirectoryInUse, which names its owner, or StartError."""
    descriptor = _open(data_dir)
    try:
        if not _take(descriptor):
            raise _in_use(data_dir, _read(descriptor))
        yield DataLock(descriptor)
    finally:
        os.close(descriptor)


def owner(data_dir: Path) -> Owner | None:
    """Return the live process that owns a data directory, or None."""
    try:
        descriptor = os.open(data_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor) or Owner(pid=0)
    else:
        return None
    finally:
        os.close(descriptor)


def _open(data_dir: Path) -> int:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"{data_dir} cannot be used: {error.strerror}") from error


def _take(descriptor: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return True
    return False


def _read(descriptor: int) -> Owner | None:
    try:
        content = json.loads(os.pread(descriptor, _LARGEST, 0))
        return Owner(pid=int(content["pid"]), address=str(content["address"]))
    except (ValueError, KeyError, TypeError):
        return None


def _in_use(data_dir: Path, found: Owner | None) -> DataDirectoryInUse:
    who = "another process" if found is None else f"process {found.pid}"
    where = f", which serves on {found.address}" if found and found.address else ""
    return DataDirectoryInUse(f"{data_dir} is in use by {who}{where}")
