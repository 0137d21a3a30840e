"""Node of `exporting`."""

import logging

import pyarrow as pa

from marvel_kedro.monitoring.export import DROPPED, Exported, export
from marvel_kedro.monitoring.options import ExportingOptions, MonitoringOptions

logger = logging.getLogger(__name__)


def export_metrics(  # noqa: PLR0913, PLR0917 - one per table
    health: pa.Table,
    profile: pa.Table,
    drift: pa.Table,
    estimates: pa.Table,
    alerts: pa.Table,
    monitoring: MonitoringOptions,
    options: ExportingOptions,
) -> tuple[str, Exported]:
    """Export the metrics of the newest windows.

    Returns:
        The samples in the Prometheus text format, and as they are for OpenTelemetry.
    """
    from marvel_kedro.monitoring.prometheus_text import render  # noqa: PLC0415 - start-up time

    exported = export(health, profile, drift, estimates, alerts, options, monitoring.now)
    if dropped := sum(sample.value for sample in exported.samples if sample.family == DROPPED):
        logger.warning("          %d samples above exporting.max_series were dropped", dropped)
    logger.info("          %s samples", f"{len(exported.samples):,}")
    return render(exported), exported
