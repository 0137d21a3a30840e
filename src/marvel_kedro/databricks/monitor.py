"""Metrics computed by Databricks: the managed monitor over `inference_log`.

The monitor is created or updated by difference, then refreshed. Written from the source of
databricks-sdk 0.156 and from public documentation; not yet run against a workspace.
"""

import time
from collections.abc import Callable, Sequence

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.dataquality import (
    AggregationGranularity,
    DataProfilingConfig,
    InferenceLogConfig,
    InferenceProblemType,
)

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks.monitored_table import BROKEN, Deadline, MetricsTables, MonitoredTable
from marvel_kedro.monitoring.options import ManagedMonitorOptions


def refresh(  # noqa: PLR0913 - what is monitored, and how it is waited for
    client: WorkspaceClient,
    options: ManagedMonitorOptions,
    table: str,
    baseline_table: str | None,
    *,
    granularities: Sequence[str],
    slices: Sequence[str],
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> MetricsTables:
    """Refresh the metrics of a table; create or update its monitor first if it differs.

    - A change or a refresh in progress is waited for. A refresh by another client may lack the
      newest rows, so a further one follows.
    - A second call changes nothing in the monitor.

    Args:
        client: The workspace.
        options: Options of the managed monitor alone.
        table: Full name of the inference log, which has the columns `request_time`, `prediction`,
            `model_version` and `alive` (the label; null while it is unknown).
        baseline_table: Full name of the table that drift is measured against, with the same
            columns; None to compare each window with the previous one only.
        granularities: Lengths of the windows, such as `1 day`.
        slices: Columns, and SQL conditions over them.
        sleep: Wait for a number of seconds.
        monotonic: Return the seconds of a monotonic clock.

    Returns:
        The names of the tables of metrics.

    Raises:
        ProjectError: It names the table, what failed and the remedy.
    """
    deadline = Deadline(options.timeout_minutes, monotonic(), sleep, monotonic)
    monitored = MonitoredTable(client, table, deadline)
    spec = DataProfilingConfig(
        output_schema_id=monitored.schema_id,
        baseline_table_name=monitored.existing(baseline_table) if baseline_table else None,
        slicing_exprs=list(slices),
        inference_log=_log_config(granularities),
    )
    found = monitored.settled()
    if found is None:
        monitored.create(spec, options)
    elif changes := differences(spec, found):
        monitored.update(spec, changes)
    monitored.await_others()
    monitored.refresh()
    return monitored.metrics_tables()


def differences(spec: DataProfilingConfig, found: DataProfilingConfig) -> dict[str, str]:
    """Compare a monitor with its specification.

    Folder, dashboard and warehouse are set when the monitor is created, and not compared.

    Returns:
        A description of the change by the field to set; empty if nothing differs.
    """
    new, old = _comparable(spec), _comparable(found)
    changes = {
        field: f"{field}: {old[field] or 'none'} -> {new[field] or 'none'}"
        for field in new
        if old[field] != new[field]
    }
    if not changes and found.status in BROKEN:
        changes = {field: f"{field}: set again, since the monitor is broken" for field in new}
    return changes


def _comparable(config: DataProfilingConfig) -> dict[str, object]:
    """Return the compared fields, independent of order and case."""
    log = config.inference_log.as_dict() if config.inference_log else {}
    return {
        "baseline_table_name": (config.baseline_table_name or "").lower(),
        "slicing_exprs": sorted(config.slicing_exprs or ()),
        "inference_log": log | {"granularities": sorted(log.get("granularities", ()))},
    }


def _log_config(granularities: Sequence[str]) -> InferenceLogConfig:
    names = {
        text: f"AGGREGATION_GRANULARITY_{text.upper().replace(' ', '_')}" for text in granularities
    }
    known = {granularity.value for granularity in AggregationGranularity}
    if unknown := [text for text, name in names.items() if name not in known]:
        raise ProjectError(
            f"monitoring.granularities: a managed monitor has no windows of {', '.join(unknown)}. "
            "Use windows such as 1 hour, 1 day and 1 week."
        )
    return InferenceLogConfig(
        problem_type=InferenceProblemType.INFERENCE_PROBLEM_TYPE_CLASSIFICATION,
        timestamp_column="request_time",
        granularities=[AggregationGranularity(name) for name in names.values()],
        prediction_column="prediction",
        model_id_column="model_version",
        label_column="alive",
    )
