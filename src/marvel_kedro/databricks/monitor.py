"""The tables of metrics by the platform: a managed monitor over `inference_log`.

It is made and changed by difference, refreshed and waited for. Written from the source of
databricks-sdk 0.156 and from public documentation; no workspace has seen it yet.
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
from marvel_kedro.databricks.monitored_table import BROKEN, MetricsTables, MonitoredTable, Patience
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
    """Bring the metrics of a table up to date; make or change its monitor where it is not so.

    A change or a refresh that is under way is waited for. A refresh that somebody else has begun
    may lack the newest rows, so that one more follows. A second call changes nothing of the
    monitor.

    Args:
        client: The workspace.
        options: What only the managed monitor has.
        table: Full name of the inference log, which has the columns `request_time`, `prediction`,
            `model_version` and `alive` (what became of them; null where nobody knows yet).
        baseline_table: Full name of what drift is measured against, with the same columns; None
            for windows against those before them alone.
        granularities: Lengths of the windows, such as `1 day`.
        slices: Columns, and SQL conditions over them.
        sleep: Lets seconds pass.
        monotonic: Tells how many seconds have passed.

    Returns:
        Where the metrics are.

    Raises:
        ProjectError: It names the table, what failed and the remedy.
    """
    patience = Patience(options.timeout_minutes, monotonic(), sleep, monotonic)
    monitored = MonitoredTable(client, table, patience)
    wanted = DataProfilingConfig(
        output_schema_id=monitored.schema_id,
        baseline_table_name=monitored.known(baseline_table) if baseline_table else None,
        slicing_exprs=list(slices),
        inference_log=_log_config(granularities),
    )
    found = monitored.settled()
    if found is None:
        monitored.create(wanted, options)
    elif changes := differences(wanted, found):
        monitored.update(wanted, changes)
    monitored.await_others()
    monitored.refresh()
    return monitored.metrics_tables()


def differences(wanted: DataProfilingConfig, found: DataProfilingConfig) -> dict[str, str]:
    """What of a monitor is not as asked for.

    Folder, dashboard and warehouse count when it is made, and are not looked at.

    Returns:
        A sentence by the field that is to be set; none if all is well.
    """
    asked, there = _compared(wanted), _compared(found)
    told = {
        field: f"{field}: {there[field] or 'none'} -> {asked[field] or 'none'}"
        for field in asked
        if there[field] != asked[field]
    }
    if not told and found.status in BROKEN:
        told = {field: f"{field}: set again, since the monitor is broken" for field in asked}
    return told


def _compared(config: DataProfilingConfig) -> dict[str, object]:
    """What is asked for, in a form in which no order or case makes a difference."""
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
            "It has some such as 1 hour, 1 day and 1 week."
        )
    return InferenceLogConfig(
        problem_type=InferenceProblemType.INFERENCE_PROBLEM_TYPE_CLASSIFICATION,
        timestamp_column="request_time",
        granularities=[AggregationGranularity(name) for name in names.values()],
        prediction_column="prediction",
        model_id_column="model_version",
        label_column="alive",
    )
