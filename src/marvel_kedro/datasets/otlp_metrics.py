"""Metrics sent to an OpenTelemetry collector, if its standard environment variables name one."""

import logging
import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from kedro.io import DatasetError

from marvel_kedro.datasets.base import Metadata, ProjectDataset
from marvel_kedro.monitoring.export import Exported
from marvel_kedro.serving.telemetry.opentelemetry import is_enabled

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

logger = logging.getLogger(__name__)


class OtlpMetricsDataset(ProjectDataset[Exported, None]):
    """Send samples as gauges over OTLP/HTTP with protobuf when saved.

    - OTEL_EXPORTER_OTLP_ENDPOINT (or the variable for metrics alone) turns it on. The SDK reads
      headers, time limit, compression and resource attributes from their variables.
    - `service_name` is the resource's `service.name`, unless OTEL_SERVICE_NAME is set.
    - If the metrics cannot be sent, the run logs a warning and continues.
    """

    def __init__(self, service_name: str, metadata: Metadata = None) -> None:
        self._service_name = service_name
        super().__init__(metadata)

    def save(self, data: Exported) -> None:
        """Send the samples, if the environment turns it on."""
        if not is_enabled("metrics"):
            return
        try:
            from opentelemetry.exporter.otlp.proto.http import metric_exporter  # noqa: PLC0415
        except ModuleNotFoundError:
            logger.warning(
                "          OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry's exporter is not "
                "installed: pip install 'marvel-kedro[server]'. Nothing was sent."
            )
            return
        if _send(metric_exporter.OTLPMetricExporter(), data, self._service_name):
            logger.info("          %s samples sent by OpenTelemetry", f"{len(data.samples):,}")
        else:
            logger.warning(
                "          The collector of OTEL_EXPORTER_OTLP_ENDPOINT rejected the metrics; "
                "the tables and the text file have them. The next run sends its own values."
            )

    def load(self) -> None:
        """Raise a DatasetError."""
        raise DatasetError("Metrics are sent to a collector, and not read from it.")


def _send(exporter: "OTLPMetricExporter", exported: Exported, service_name: str) -> bool:
    """Send the samples once, with their own time, and return whether they arrived."""
    from opentelemetry.sdk.metrics import export as otel  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

    at = int(exported.at.timestamp() * 1e9)
    points: dict[Any, list[otel.NumberDataPoint]] = {}
    for family, labels, value in exported.samples:
        attributes = dict(zip(family.labels, labels, strict=True))
        points.setdefault(family, []).append(otel.NumberDataPoint(attributes, at, at, value))
    metrics = [
        otel.Metric(family.name, family.description, family.unit, otel.Gauge(data_points))
        for family, data_points in points.items()
    ]
    resource = Resource.create()
    if "OTEL_SERVICE_NAME" not in os.environ:
        resource = resource.merge(Resource({"service.name": service_name}))
    instrument = InstrumentationScope("marvel_kedro", version("marvel_kedro"))
    scope = otel.ScopeMetrics(instrument, metrics, "")
    try:
        result = exporter.export(otel.MetricsData([otel.ResourceMetrics(resource, [scope], "")]))
    finally:
        exporter.shutdown()
    return result is otel.MetricExportResult.SUCCESS
