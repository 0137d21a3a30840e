"""Tell the world outside what monitoring has found."""

import logging

import pyarrow as pa

from marvel_kedro.monitoring import export
from marvel_kedro.monitoring.export import DROPPED, Exported
from marvel_kedro.monitoring.options import ExportingOptions, MonitoringOptions

logger = logging.getLogger(__name__)


def export_metrics(  # noqa: PLR0913, PLR0917 - one a table
    health_metrics: pa.Table,
    profile_metrics: pa.Table,
    drift_metrics: pa.Table,
    quality_estimates: pa.Table,
    alerts: pa.Table,
    monitoring: MonitoringOptions,
    options: ExportingOptions,
) -> tuple[str, Exported]:
    """Take the figures of the newest windows out of the tables.

    Returns:
        Prometheus' text, and the same samples to be sent.
    """
    exported = export.export(
        health_metrics,
        profile_metrics,
        drift_metrics,
        quality_estimates,
        alerts,
        options,
        monitoring.now,
    )
    if dropped := sum(sample.value for sample in exported.samples if sample.family == DROPPED):
        logger.warning(
            "          %d samples are more than exporting.max_series and were left out", dropped
        )
    logger.info("          %s samples", f"{len(exported.samples):,}")
    return export.render(exported), exported
