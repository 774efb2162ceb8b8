"""Files that whatever happens is written to before the next step, and what can be read from them.

One line a fact, its words apart by tabs. Moments are seconds of CLOCK_MONOTONIC, which all
processes of a machine share and nobody sets.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

INTENT = "intent"
ACKNOWLEDGED = "acknowledged"


class Ledger:
    """A file that is only ever appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, lines: Iterable[tuple[object, ...]]) -> None:
        """Append lines: a process that dies afterwards has left them."""
        text = "".join("\t".join(map(str, line)) + "\n" for line in lines)
        os.write(self._file, text.encode())

    def sync(self) -> None:
        """Put what was appended onto the disk: a machine that dies afterwards has left it."""
        os.fdatasync(self._file)

    def close(self) -> None:
        os.close(self._file)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What a delivery is by its names: one event for one subscription."""

    event: str
    subscription: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publications:
    """What a publisher wanted to be delivered, and of which events it knows that they are kept."""

    wanted: frozenset[Pair]
    acknowledged: frozenset[str]

    @property
    def promised(self) -> frozenset[Pair]:
        """What must be delivered."""
        return frozenset(pair for pair in self.wanted if pair.event in self.acknowledged)

    @classmethod
    def read(cls, path: Path) -> "Publications":
        wanted, acknowledged = set(), set()
        for what, event, *subscriptions in lines_of(path):
            if what == ACKNOWLEDGED:
                acknowledged.add(event)
                continue
            for subscription in subscriptions:
                wanted.add(Pair(event=event, subscription=subscription))
        return cls(wanted=frozenset(wanted), acknowledged=frozenset(acknowledged))


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A request that arrived in whole, and what it was going to be answered; 0 is nothing."""

    moment: float
    pair: Pair
    attempt: int
    status: int

    @property
    def is_taken(self) -> bool:
        """Tell whether the receiver counts it as delivered."""
        return 200 <= self.status < 300


class Receipts:
    """The ledger of a receiver, read on while it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._read: list[Receipt] = []

    def all(self) -> list[Receipt]:
        """Return what has come so far, the first one first."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            text = file.read()
        # The last line may be half of one.
        whole = text[: text.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.decode().splitlines():
            moment, event, subscription, attempt, status = line.split("\t")
            self._read.append(
                Receipt(
                    moment=float(moment),
                    pair=Pair(event=event, subscription=subscription),
                    attempt=int(attempt),
                    status=int(status),
                )
            )
        return self._read


def lines_of(path: Path) -> Iterator[list[str]]:
    """Yield the lines of a ledger, in words."""
    for line in path.read_text().splitlines():
        yield line.split("\t")
