"""What has to be done to directories so that a rename survives a power cut."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Write a directory's entries to stable storage."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
