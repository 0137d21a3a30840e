"""Nodes of the `reporting` pipeline."""

from typing import Any

import pyarrow as pa
from narwhals.typing import IntoFrame

from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.monitoring.options import MonitoringOptions, ReportingOptions
from marvel_kedro.monitoring.report import builder, rejected_requests, windows
from marvel_kedro.monitoring.report.data import MonitoringTables, ReportData
from marvel_kedro.serving.configuration import EndpointOptions
from marvel_kedro.table.description import TableSpec


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
    health: pa.Table,
    profile: pa.Table,
    drift: pa.Table,
    estimates: pa.Table,
    alerts: pa.Table,
    rejected: dict[str, int],
    retrain: dict[str, Any],
    ab_report: dict[str, Any] | None,
    monitoring: MonitoringOptions,
    alerting: AlertingOptions,
    options: ReportingOptions,
    table: TableSpec,
    endpoint: EndpointOptions,
) -> ReportData:
    """Build the data of the report and its plots from the tables."""
    tables = MonitoringTables(
        health, profile, drift, estimates, alerts, rejected, retrain, ab_report
    )
    return builder.build(tables, monitoring, alerting, options, table, endpoint.model)
