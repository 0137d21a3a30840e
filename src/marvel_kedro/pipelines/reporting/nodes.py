"""Nodes of the `reporting` pipeline."""

from typing import Any

import pyarrow as pa
from matplotlib.figure import Figure
from narwhals.typing import IntoFrame

from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.monitoring.options import MonitoringOptions, ReportingOptions
from marvel_kedro.monitoring.report import builder, page, plots, rejected_requests, windows
from marvel_kedro.monitoring.report.data import MonitoringTables, ReportData


def count_rejected(
    rejected_requests_log: IntoFrame,
    health_metrics: pa.Table,
    monitoring: MonitoringOptions,
    options: ReportingOptions,
) -> dict[str, int]:
    """Count the requests without a readable record in the windows shown, by reason."""
    shown = windows.windows_of([health_metrics], monitoring, options).shown
    return rejected_requests.count_by_reason(rejected_requests_log, shown)


def build_report_data(  # noqa: PLR0913, PLR0917 - one a table
    health_metrics: pa.Table,
    profile_metrics: pa.Table,
    drift_metrics: pa.Table,
    quality_estimates: pa.Table,
    alerts: pa.Table,
    retrain: dict[str, Any],
    rejected: dict[str, int],
    ab_report: dict[str, Any] | None,
    monitoring: MonitoringOptions,
    alerting: AlertingOptions,
    options: ReportingOptions,
) -> ReportData:
    """Build the data of the report and its plots from the tables."""
    tables = MonitoringTables(
        health_metrics,
        profile_metrics,
        drift_metrics,
        quality_estimates,
        alerts,
        rejected,
        retrain,
        ab_report,
    )
    return builder.build(tables, monitoring, alerting, options)


def write_report(report_data: ReportData) -> str:
    """Render the report as a self-contained page."""
    return page.render(report_data)


def draw_drift(report_data: ReportData) -> Figure:
    """Draw the drift of each column by window."""
    return plots.draw_drift(report_data)


def draw_performance(report_data: ReportData) -> Figure:
    """Draw estimated and realised performance over time."""
    return plots.draw_performance(report_data)
