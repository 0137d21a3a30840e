"""A collector of OpenTelemetry, where its standard environment variables name one."""

import logging
import os
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from marvel_kedro.monitoring.export import Exported
from marvel_kedro.serving.telemetry.opentelemetry import is_enabled

logger = logging.getLogger(__name__)

_EXPORTER = "opentelemetry.exporter.otlp.proto.http"


class OtlpMetricsDataset(AbstractDataset[Exported, None]):
    """Saving sends the samples as gauges, over OTLP/HTTP with protobuf.

    OTEL_EXPORTER_OTLP_ENDPOINT (or the one of metrics alone) turns it on; headers, time limit,
    compression and attributes of the resource are read from their variables by the SDK. Metrics
    that cannot be sent are no fault of the run that made them: a warning says so.
    """

    def __init__(self, service_name: str, metadata: dict[str, Any] | None = None) -> None:
        """Say who sends.

        Args:
            service_name: The resource's `service.name`, unless OTEL_SERVICE_NAME says another.
            metadata: Of Kedro's plugins.
        """
        self._service_name = service_name
        self.metadata = metadata

    def save(self, data: Exported) -> None:
        """Send the samples, if the environment asks for it."""
        if not is_enabled("metrics", os.environ):
            return
        if not _is_installed():
            logger.warning(
                "          OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry's exporter is not "
                "installed: pip install 'marvel-kedro[server]'. Nothing was sent."
            )
            return
        if _send(data, self._service_name):
            logger.info("          %s samples sent by OpenTelemetry", f"{len(data.samples):,}")
        else:
            logger.warning(
                "          The collector of OTEL_EXPORTER_OTLP_ENDPOINT did not take the metrics; "
                "the tables and the text file have them. The next run sends what is true then."
            )

    def load(self) -> None:
        """Refuse.

        Raises:
            DatasetError: Always: a collector is written to.
        """
        raise DatasetError("Metrics are sent to a collector, and not read from it.")

    def _describe(self) -> dict[str, Any]:
        return {"service_name": self._service_name}


def _is_installed() -> bool:
    try:
        return find_spec(_EXPORTER) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def _send(exported: Exported, service_name: str) -> bool:
    """Send the samples once, with their own time; whether they arrived."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - optional
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415
        Gauge,
        Metric,
        MetricExportResult,
        MetricsData,
        NumberDataPoint,
        ResourceMetrics,
        ScopeMetrics,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

    at = int(exported.at.timestamp() * 1e9)
    points: dict[Any, list[NumberDataPoint]] = {}
    for family, labels, value in exported.samples:
        attributes = dict(zip(family.labels, labels, strict=True))
        points.setdefault(family, []).append(NumberDataPoint(attributes, at, at, value))
    metrics = [
        Metric(family.name, family.description, family.unit, Gauge(data_points))
        for family, data_points in points.items()
    ]
    resource = Resource.create()
    if "OTEL_SERVICE_NAME" not in os.environ:
        resource = resource.merge(Resource({"service.name": service_name}))
    scope = ScopeMetrics(InstrumentationScope("marvel_kedro", version("marvel_kedro")), metrics, "")
    exporter = OTLPMetricExporter()
    try:
        result = exporter.export(MetricsData([ResourceMetrics(resource, [scope], "")]))
    finally:
        exporter.shutdown()
    return result is MetricExportResult.SUCCESS
