"""Nodes of `monitoring`: count the records of the changed days, and measure them."""

import narwhals as nw
import pyarrow as pa
from narwhals.typing import IntoFrame

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.registry import FindVersion
from marvel_kedro.monitoring import baseline as baselines
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.aggregation import grouping, watermarks
from marvel_kedro.monitoring.aggregation.scales import fit_scales
from marvel_kedro.monitoring.aggregation.value_counts import Baseline, Groups
from marvel_kedro.monitoring.aggregation.watermarks import ChangedDays, RunScope
from marvel_kedro.monitoring.alerting import retraining_policy
from marvel_kedro.monitoring.inference_log import records
from marvel_kedro.monitoring.metrics import drift, performance_estimation, profile
from marvel_kedro.monitoring.metrics.operational_metrics import health_metrics
from marvel_kedro.monitoring.options import MonitoringOptions, RefreshManagedMonitor
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import AnyFrame, lazily
from marvel_kedro.table.local_engine import on_engine
from marvel_kedro.table.replacement import Replacement


def extend_baseline(  # noqa: PLR0913, PLR0917 - two possible test sets
    inference_log: IntoFrame,
    known_baseline: IntoFrame,
    registered_versions: FindVersion,
    test_set: IntoFrame,
    retested_on: IntoFrame | None,
    retraining_log: pa.Table,
    table: TableSpec,
    max_rows: int,
) -> Replacement:
    """Score the test set with each version in the log that has no baseline yet."""
    found = baselines.score_versions(
        sorted(records.versions(inference_log) - records.versions(known_baseline)),
        registered_versions,
        test_set,
        retraining_policy.retrained_versions(retraining_log),
        retested_on,
        table,
        max_rows,
    )
    rows = pa.concat_tables([tables.monitoring_baseline(table).empty_table(), *found.values()])
    return Replacement("model_version", list(found), rows)


def find_scope(  # noqa: PLR0913, PLR0917 - one a table
    days: ChangedDays,
    known_watermarks: pa.Table,
    inference_log: IntoFrame,
    monitoring_baseline: IntoFrame,
    options: MonitoringOptions,
    table: TableSpec,
    *known_metrics: pa.Table,
) -> tuple[RunScope, pa.Table]:
    """Select the windows to measure, and mark all days if all are recomputed."""
    return watermarks.find_scope(
        days,
        known_watermarks,
        records.versions_by_day(inference_log),
        records.versions(monitoring_baseline),
        options,
        table.target,
        lost=len(known_watermarks) > 0 and not all(map(len, known_metrics)),
    )


def count_records(
    inference_log: IntoFrame,
    monitoring_baseline: IntoFrame,
    scope: RunScope,
    options: MonitoringOptions,
    table: TableSpec,
) -> tuple[Groups, Baseline]:
    """Count the records of the scope and of the baseline, on the engine."""
    baseline = on_engine(monitoring_baseline)
    scales = fit_scales(baseline, options)
    groups = grouping.aggregate(_of_days(inference_log, scope), options, table.target, scales)
    return groups, grouping.aggregate_baseline(baseline, options, table.target, scales)


def measure_operations(  # noqa: PLR0913, PLR0917 - one a table
    inference_log: IntoFrame,
    rejected_requests: IntoFrame,
    known_health: pa.Table,
    scope: RunScope,
    options: MonitoringOptions,
    table: TableSpec,
) -> pa.Table:
    """Compute traffic, errors and latency by window and served entity."""
    log, rejected = (_of_days(rows, scope) for rows in (inference_log, rejected_requests))
    found = health_metrics(log, rejected, options.granularities, table.target.column)
    return scope.merge(known_health, found)


def refresh_managed_monitor(
    managed_monitor: RefreshManagedMonitor | None,
    inference_log: IntoFrame,  # noqa: ARG001 - must be up to date before
    monitoring_baseline: IntoFrame,  # noqa: ARG001 - must be up to date before
    options: MonitoringOptions,
) -> tuple[pa.Table, ...]:
    """Let a managed monitor compute the metrics if `monitoring.computed_by` is `databricks`.

    Returns:
        Its profile and drift metrics; empty if the project computes them.

    Raises:
        ProjectError: The environment has no managed monitor.
    """
    if options.computed_by == "project":
        return ()
    if managed_monitor is None:
        raise ProjectError(
            "monitoring.computed_by: databricks is for tables of a workspace: run with "
            "--env lakehouse there, or let the project compute the metrics (project)."
        )
    return managed_monitor(options)


def profile_columns(  # noqa: PLR0913, PLR0917 - one a table
    groups: Groups,
    baseline: Baseline,
    known_profile: pa.Table,
    scope: RunScope,
    managed: tuple[pa.Table, ...],
    table: TableSpec,
) -> pa.Table:
    """Profile every column in every window, and compute the model's performance."""
    if managed:
        return managed[0]
    found = profile.profile_metrics(scope.select(groups), baseline, table.target.classes)
    return scope.merge(known_profile, found)


def measure_drift(
    groups: Groups,
    baseline: Baseline,
    known_drift: pa.Table,
    scope: RunScope,
    managed: tuple[pa.Table, ...],
) -> pa.Table:
    """Compare every window with the previous one and with the baseline."""
    if managed:
        return managed[1]
    return scope.merge(known_drift, drift.drift_metrics(groups, baseline))


def estimate_performance(
    groups: Groups,
    baseline: Baseline,
    known_estimates: pa.Table,
    scope: RunScope,
    options: MonitoringOptions,
) -> pa.Table:
    """Estimate the performance of every window, with the realised one of known labels."""
    computed = performance_estimation.quality_estimates(
        scope.select(groups), baseline, options.confidence
    )
    return scope.merge(known_estimates, computed)


def complete_watermarks(
    days: ChangedDays, known_watermarks: pa.Table, scope: RunScope, *_: pa.Table
) -> pa.Table:
    """Mark all days as measured; takes every metrics table as input to run last."""
    return watermarks.complete(days, known_watermarks, scope)


def _of_days(rows: IntoFrame, scope: RunScope) -> AnyFrame:
    return lazily(on_engine(rows)).filter(nw.col("request_date").is_in(scope.days)).to_native()
