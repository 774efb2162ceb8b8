"""The figures of the process, kept as plain numbers: what counts is on the way of every delivery.

A metrics library takes locks and makes objects for each value, five times what this costs. The text
that Prometheus reads is made from it when somebody looks.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from webhooks_server.ops.catalogue import COUNTERS, DISTRIBUTIONS, LEVELS, TENANT
from webhooks_server.ports.telemetry import Bound

OTHER_TENANTS = "_other"


class Watched(NamedTuple):
    """A level, and its bound where it has one."""

    read: Callable[[], float]
    bound: Bound


class Histogram:
    """How many values fell under each bound, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """Take the upper bounds, which belong to their class; above the last there is one more."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Yield each bound with how many values are at most that; the last one has them all."""
        total = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            yield bound, total


class Measures:
    """All figures of the catalogue; an unknown name is a KeyError.

    `tenants` is how many tenants get figures of their own where a counter has them, in the order in
    which they come; the rest share those of OTHER_TENANTS. With 0 the label does not exist.
    """

    def __init__(self, tenants: int = 0) -> None:
        """Begin at zero."""
        self._most_tenants = tenants
        self._tenants: set[str] = set()
        self.counters: dict[str, dict[tuple[str, ...], int]] = {name: {} for name in COUNTERS}
        self.histograms = {name: Histogram(one.bounds) for name, one in DISTRIBUTIONS.items()}
        self.levels: dict[str, dict[tuple[str, ...], Watched]] = {name: {} for name in LEVELS}
        self._by_tenant = frozenset(name for name, one in COUNTERS.items() if TENANT in one.labels)

    def labels_of(self, name: str) -> Sequence[str]:
        """Return the labels that a counter has here."""
        labels = COUNTERS[name].labels
        return labels if self._most_tenants else [label for label in labels if label != TENANT]

    def count(self, name: str, /, *labels: str, amount: int = 1) -> None:
        """Add to a counter."""
        if name in self._by_tenant:
            labels = (self._shown(labels[0]), *labels[1:]) if self._most_tenants else labels[1:]
        values = self.counters[name]
        values[labels] = values.get(labels, 0) + amount

    def measure(self, name: str, value: float, /) -> None:
        """Put one value into a distribution."""
        histogram = self.histograms[name]
        histogram.counts[bisect_left(histogram.bounds, value)] += 1
        histogram.sum += value

    def watch(
        self, name: str, read: Callable[[], float], /, *labels: str, bound: Bound = None
    ) -> None:
        """Read a level from here from now on."""
        self.levels[name][labels] = Watched(read, bound)

    def _shown(self, tenant: str) -> str:
        if tenant in self._tenants:
            return tenant
        if len(self._tenants) >= self._most_tenants:
            return OTHER_TENANTS
        self._tenants.add(tenant)
        return tenant
