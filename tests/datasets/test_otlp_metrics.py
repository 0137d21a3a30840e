"""Samples reach a collector if the environment names one, and never fail a run."""

import logging
import sys
import time

import pytest
from kedro.io import DatasetError
from support.exported_metrics import NOW, every_family, key
from support.otlp_collector import Collector, attributes, collecting

from marvel_kedro.datasets.otlp_metrics import OtlpMetricsDataset
from marvel_kedro.monitoring.export import FAMILIES, Exported


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for signal in ("", "METRICS_"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT", raising=False)


def save(exported: Exported) -> None:
    OtlpMetricsDataset("marvel_monitoring").save(exported)


def sent(collector: Collector) -> dict[object, float]:
    return {
        (metric.name, frozenset(attributes(point).items())): point.as_double
        for _, metric in collector.metrics
        for point in metric.gauge.data_points
    }


def test_all_samples_reach_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "dd-api-key=abc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    exported = every_family()
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        save(exported)
    assert sent(collector) == {key(sample): sample.value for sample in exported.samples}
    by_name = {metric.name: metric for _, metric in collector.metrics}
    for family in FAMILIES:
        metric = by_name[family.name]
        assert (metric.description, metric.unit) == (family.description, family.unit)
        for point in metric.gauge.data_points:
            assert point.time_unix_nano == NOW.timestamp() * 1e9
    assert by_name["marvel_monitoring_latency_seconds"].unit == "s"
    assert by_name["marvel_monitoring_column_null_ratio"].unit == "1"
    assert by_name["marvel_monitoring_drift"].unit == ""
    (headers,) = collector.headers
    assert (headers["dd-api-key"], headers["content-encoding"]) == ("abc", "gzip")
    for resource, _ in collector.metrics:
        assert resource["service.name"] == "marvel_monitoring"
        assert resource["deployment.environment"] == "test"


@pytest.mark.parametrize(
    ("variables", "arrives", "name"),
    [
        ({}, False, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_SDK_DISABLED": "true"}, False, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_METRICS_EXPORTER": "none"}, False, ""),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "URL/v1/metrics"}, True, "marvel_monitoring"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_SERVICE_NAME": "heroes"},
            True,
            "heroes",
        ),
    ],
)
def test_environment_variables_turn_export_on_and_off(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], *, arrives: bool, name: str
) -> None:
    with collecting() as collector:
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value.replace("URL", collector.url))
        save(every_family())
    assert bool(collector.metrics) == arrives
    assert {resource["service.name"] for resource, _ in collector.metrics} == {name} - {""}


def test_unreachable_collector_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        save(every_family())
    assert time.monotonic() - began < 5
    assert "rejected the metrics" in caplog.text


def test_missing_exporter_package_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING):
        save(every_family())
    assert "marvel-kedro[server]" in caplog.text


def test_load_is_refused() -> None:
    with pytest.raises(DatasetError, match="not read from it"):
        OtlpMetricsDataset("marvel_monitoring").load()
