"""Take from the tables of monitoring what people are to see, and write and draw it."""

from datetime import timedelta
from typing import Any

import narwhals as nw
import pyarrow as pa
from matplotlib.figure import Figure
from narwhals.typing import IntoFrame

from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.monitoring.options import MonitoringOptions, ReportingOptions
from marvel_kedro.monitoring.report import data, page, plots
from marvel_kedro.monitoring.report.data import Facts, Tables
from marvel_kedro.table.frames import lazily

_A_MOMENT = timedelta(microseconds=1)


def count_rejected(
    rejected_requests: IntoFrame,
    health_metrics: pa.Table,
    monitoring: MonitoringOptions,
    options: ReportingOptions,
) -> dict[str, int]:
    """Count, on the engine, the requests of which no record can be read, in the windows shown.

    Returns:
        By reason, the most frequent first.
    """
    shown = data.windows_of([health_metrics], monitoring, options).shown
    if not shown:
        return {}
    first, last = shown[0].start, shown[-1].end
    time, day = nw.col("request_time"), nw.col("request_date")
    # As the health counts them: one without a time is of the first moment of its day.
    midnight = (day >= (first - _A_MOMENT + timedelta(days=1)).date()) & (
        day <= (last - _A_MOMENT).date()
    )
    inside = ((time >= first) & (time < last)) | (time.is_null() & midnight)
    counted = (
        lazily(rejected_requests)
        .filter(inside)
        .group_by("reason")
        .agg(requests=nw.len())
        .collect("pyarrow")
        .to_native()
    )
    rows = sorted(counted.to_pylist(), key=lambda row: (-row["requests"], str(row["reason"])))
    return {str(row["reason"]): row["requests"] for row in rows}


def gather_facts(  # noqa: PLR0913, PLR0917 - one a table
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
) -> Facts:
    """Take from the tables what the report says."""
    tables = Tables(
        health_metrics,
        profile_metrics,
        drift_metrics,
        quality_estimates,
        alerts,
        rejected,
        retrain,
        ab_report,
    )
    return data.gather(tables, monitoring, alerting, options)


def write_report(report_facts: Facts) -> str:
    """Write the report as one page that needs nothing else."""
    return page.render(report_facts)


def draw_drift(report_facts: Facts) -> Figure:
    """Draw how far each column is from the baseline, by window."""
    return plots.draw_drift(report_facts)


def draw_quality(report_facts: Facts) -> Figure:
    """Draw the estimated and the realised quality over time."""
    return plots.draw_quality(report_facts)
