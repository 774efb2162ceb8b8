"""Reads lines as bytes, of bounded length, and tells when no more are there for now."""

import os
import select
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass

CHUNK_BYTES = 256 * 1024
MAX_LINE_BYTES = 16 * 1024 * 1024
"""No line with a payload within the largest bound is longer, however its characters are escaped."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLine:
    """A line that is not blank, and how many bytes were read with it; too long, it has no text."""

    number: int
    text: bytes | None
    position: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Everything that is there was read, and the file may grow."""


def read_lines(descriptor: int) -> Iterator[RawLine | Pause]:
    """Yield the lines of an open file, and a Pause where the next has to be waited for."""
    splitter = _Splitter()
    while chunk := os.read(descriptor, CHUNK_BYTES):
        yield from splitter.split(chunk)
        if not _is_ready(descriptor):
            yield Pause()
    yield from splitter.line()


class _Splitter:
    """Keeps what stands behind the last line feed until the next one comes."""

    def __init__(self) -> None:
        self._number = 0
        self._position = 0
        self._open = bytearray()
        self._too_long = False

    def split(self, chunk: bytes) -> Iterator[RawLine]:
        *closed, rest = chunk.split(b"\n")
        for part in closed:
            self._keep(part)
            self._position += 1
            yield from self.line()
        self._keep(rest)

    def _keep(self, part: bytes) -> None:
        self._position += len(part)
        self._too_long = self._too_long or len(self._open) + len(part) > MAX_LINE_BYTES
        if self._too_long:
            self._open.clear()
        else:
            self._open += part

    def line(self) -> Iterator[RawLine]:
        self._number += 1
        text, too_long = bytes(self._open), self._too_long
        self._open.clear()
        self._too_long = False
        if self._number == 1:
            text = text.removeprefix(_BYTE_ORDER_MARK)
        if too_long or text.strip(b" \t\r"):
            kept = None if too_long else text
            yield RawLine(number=self._number, text=kept, position=self._position)


def _is_ready(descriptor: int) -> bool:
    if sys.platform == "win32" or stat.S_ISREG(os.fstat(descriptor).st_mode):
        return True
    return bool(select.select([descriptor], [], [], 0)[0])
