"""The figures as the text that Prometheus reads (its format 0.0.4)."""

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from webhooks_server import __version__
from webhooks_server.ops.catalogue import COUNTERS, DISTRIBUTIONS, LEVELS, PREFIX
from webhooks_server.ops.measures import Measures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """Renders the figures, and those of the process itself: memory, processor time, open files."""

    def __init__(self, measures: Measures) -> None:
        """Take the figures."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Figures(measures))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def text(self) -> bytes:
        """Return all figures as they are now."""
        return generate_latest(self._registry)


class _Figures(Collector):
    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def describe(self) -> Iterator[Metric]:
        """Promise nothing: the registry asks for it in the place of reading everything once."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield each family, also those that are at zero."""
        yield InfoMetricFamily(f"{PREFIX}server", "The server", {"version": __version__})
        yield from self._counters()
        yield from self._histograms()
        yield from self._levels()

    def _counters(self) -> Iterator[Metric]:
        for name, counter in COUNTERS.items():
            labels = self._measures.labels_of(name)
            family = CounterMetricFamily(PREFIX + name, counter.meaning, labels=labels)
            values = self._measures.counters[name]
            for given, value in (values or ({} if labels else {(): 0})).items():
                family.add_metric(given, value)
            yield family

    def _histograms(self) -> Iterator[Metric]:
        for name, one in DISTRIBUTIONS.items():
            histogram = self._measures.histograms[name]
            buckets = [(_bound(at), count) for at, count in histogram.cumulative()]
            yield HistogramMetricFamily(
                PREFIX + name, one.meaning, buckets=buckets, sum_value=histogram.sum
            )

    def _levels(self) -> Iterator[Metric]:
        for name, one in LEVELS.items():
            level = GaugeMetricFamily(PREFIX + name, one.meaning, labels=one.labels)
            limit = GaugeMetricFamily(
                f"{PREFIX}{name}_limit", f"The bound of {PREFIX}{name}", labels=one.labels
            )
            for labels, watched in self._measures.levels[name].items():
                level.add_metric(labels, watched.read())
                bound = watched.bound() if callable(watched.bound) else watched.bound
                if bound is not None:
                    limit.add_metric(labels, bound)
            yield level
            if limit.samples:
                yield limit


def _bound(value: float) -> str:
    return "+Inf" if value == float("inf") else str(value)
