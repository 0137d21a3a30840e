"""Exported samples in the Prometheus text format."""

from collections.abc import Iterator
from itertools import groupby

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from marvel_kedro.monitoring.export import Exported


class SampleCollector(Collector):
    """Exported samples as gauges, without timestamps."""

    def __init__(self, exported: Exported) -> None:
        """Keep the samples."""
        self._samples = exported.samples

    def collect(self) -> Iterator[Metric]:
        """Yield a metric family per consecutive samples of one family."""
        for family, samples in groupby(self._samples, key=lambda sample: sample.family):
            metric = GaugeMetricFamily(family.name, family.description, labels=family.labels)
            for sample in samples:
                metric.add_metric(sample.labels, sample.value)
            yield metric


def render(exported: Exported) -> str:
    """Return the samples in the Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(SampleCollector(exported))
    return generate_latest(registry).decode()
