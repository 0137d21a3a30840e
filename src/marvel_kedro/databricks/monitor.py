"""Metrics computed by Databricks: the managed monitor over `inference_log`.

The monitor is created or updated by difference, then refreshed. Written from the source of
databricks-sdk 0.156 and from public documentation; not yet run against a workspace.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TypeVar

from databricks.sdk import WorkspaceClient, errors
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service import dataquality as sdk

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks import workspace
from marvel_kedro.monitoring.options import ManagedMonitorOptions

logger = logging.getLogger(__name__)

Polled = TypeVar("Polled")

_TABLE = "table"  # the type of the monitored object; schemas can have monitors, too
_FIRST_POLL_SECONDS, _MAX_POLL_SECONDS = 5.0, 60.0

_CHANGING = {
    sdk.DataProfilingStatus.DATA_PROFILING_STATUS_PENDING,
    sdk.DataProfilingStatus.DATA_PROFILING_STATUS_DELETE_PENDING,
}
_BROKEN = {
    sdk.DataProfilingStatus.DATA_PROFILING_STATUS_ERROR,
    sdk.DataProfilingStatus.DATA_PROFILING_STATUS_FAILED,
}
_IN_PROGRESS = {
    sdk.RefreshState.MONITOR_REFRESH_STATE_PENDING,
    sdk.RefreshState.MONITOR_REFRESH_STATE_RUNNING,
}
_OUTCOMES: dict[sdk.RefreshState | None, str | None] = {
    sdk.RefreshState.MONITOR_REFRESH_STATE_SUCCESS: None,
    sdk.RefreshState.MONITOR_REFRESH_STATE_FAILED: "failed",
    sdk.RefreshState.MONITOR_REFRESH_STATE_CANCELED: "was cancelled",
}
"""What became of a refresh that has ended; None for success."""

_AGAIN = "Run the same command again: it continues from the current state."
_OTHERWISE = "Or let the project compute the metrics: monitoring.computed_by: project."
_OTHER = f"Another client changes or refreshes it at the same time. Wait for that to end. {_AGAIN}"
_REMEDIES: dict[type[DatabricksError], str] = {
    errors.PermissionDenied: "Have it granted by an owner: USE CATALOG; on the schema USE SCHEMA "
    "and CREATE TABLE, for the metrics; on the table SELECT and MANAGE; on the baseline SELECT. "
    f"{_OTHERWISE}",
    errors.ResourceConflict: _OTHER,
    errors.InvalidState: _OTHER,
    errors.NotFound: "A table, the schema or the monitor is not there, or you may not see it. Make "
    "the tables: kedro run --env lakehouse --pipelines monitoring, which makes the monitor, too.",
    errors.BadRequest: "Fix monitoring.granularities and monitoring.slices in "
    f"conf/*/monitoring/parameters.yml; the baseline needs the table's columns. {_OTHERWISE}",
}


def refresh(  # noqa: PLR0913 - what is monitored
    client: WorkspaceClient,
    options: ManagedMonitorOptions,
    table: str,
    baseline_table: str | None,
    *,
    granularities: Sequence[str],
    slices: Sequence[str],
    label: str,
) -> tuple[str, str]:
    """Refresh the metrics of a table; create or update its monitor first if it differs.

    - A change or a refresh in progress is waited for. A refresh by another client may lack the
      newest rows, so a further one follows.
    - A second call changes nothing in the monitor.

    Args:
        client: The workspace.
        options: Options of the managed monitor alone.
        table: Full name of the inference log, which has the columns `request_time`, `prediction`,
            `model_version` and `label`.
        baseline_table: Full name of the table that drift is measured against, with the same
            columns; None to compare each window with the previous one only.
        granularities: Lengths of the windows, such as `1 day`.
        slices: Columns, and SQL conditions over them.
        label: The column of the label, which is null while it is unknown.

    Returns:
        The full names of the tables of profile metrics and of drift metrics.

    Raises:
        ProjectError: It names the table, what failed and the remedy.
    """
    monitor = _TableMonitor(client, table, options)
    spec = sdk.DataProfilingConfig(
        output_schema_id=monitor.schema_id,
        baseline_table_name=monitor.existing(baseline_table) if baseline_table else None,
        slicing_exprs=list(slices),
        inference_log=_log_config(granularities, label),
    )
    found = monitor.settled()
    if found is None:
        monitor.create(spec)
    elif changes := _differences(spec, found):
        monitor.update(spec, changes)
    monitor.await_others()
    monitor.refresh()
    return monitor.metrics_tables()


def _log_config(granularities: Sequence[str], label: str) -> sdk.InferenceLogConfig:
    names = {
        text: f"AGGREGATION_GRANULARITY_{text.upper().replace(' ', '_')}" for text in granularities
    }
    known = sdk.AggregationGranularity.__members__
    if unknown := [text for text, name in names.items() if name not in known]:
        raise ProjectError(
            f"monitoring.granularities: a managed monitor has no windows of {', '.join(unknown)}. "
            "Use windows such as 1 hour, 1 day and 1 week."
        )
    return sdk.InferenceLogConfig(
        problem_type=sdk.InferenceProblemType.INFERENCE_PROBLEM_TYPE_CLASSIFICATION,
        timestamp_column="request_time",
        granularities=[known[name] for name in names.values()],
        prediction_column="prediction",
        model_id_column="model_version",
        label_column=label,
    )


def _differences(spec: sdk.DataProfilingConfig, found: sdk.DataProfilingConfig) -> dict[str, str]:
    """Describe how a monitor differs from its specification, by the field to set.

    Folder, dashboard and warehouse are set when the monitor is created, and not compared.
    """
    new, old = _comparable(spec), _comparable(found)
    changes = {
        field: f"{field}: {old[field] or 'none'} -> {new[field] or 'none'}"
        for field in new
        if old[field] != new[field]
    }
    if not changes and found.status in _BROKEN:
        changes = {field: f"{field}: set again, since the monitor is broken" for field in new}
    return changes


def _comparable(config: sdk.DataProfilingConfig) -> dict[str, object]:
    """Return the compared fields, independent of order and case."""
    log = config.inference_log.as_dict() if config.inference_log else {}
    return {
        "baseline_table_name": (config.baseline_table_name or "").lower(),
        "slicing_exprs": sorted(config.slicing_exprs or ()),
        "inference_log": log | {"granularities": sorted(log.get("granularities", ()))},
    }


class _TableMonitor:
    """The managed monitor of a table: read, create, update, refresh and wait."""

    def __init__(self, client: WorkspaceClient, table: str, options: ManagedMonitorOptions) -> None:
        self._client = client
        self._api = client.data_quality
        self._options = options
        self._end = time.monotonic() + 60 * options.timeout_minutes
        self._table = table
        self._name = f"managed monitor of '{table}'"
        with workspace.errors_explained(f"The table '{table}'", "looked up", _REMEDIES):
            self._id = str(client.tables.get(table).table_id)
            self.schema_id = str(client.schemas.get(table.rpartition(".")[0]).schema_id)

    def existing(self, baseline: str) -> str:
        """Return the full name of the baseline as the catalog writes it."""
        with workspace.errors_explained(f"The baseline '{baseline}'", "looked up", _REMEDIES):
            return str(self._client.tables.get(baseline).full_name)

    def settled(self) -> sdk.DataProfilingConfig | None:
        """Return the monitor, one of an inference log, once no change goes on; None if none is."""
        found = self._poll(
            self._find,
            lambda found: found is None or found.status not in _CHANGING,
            f"A change of the {self._name}",
        )
        if found and not found.inference_log:
            raise ProjectError(
                f"The {self._name} exists, but not for an inference log. {self._deletion} "
                f"{_OTHERWISE}"
            )
        return found

    def create(self, spec: sdk.DataProfilingConfig) -> None:
        logger.info("The %s is new.", self._name)
        with self._explained("created"):
            home = f"/Workspace/Users/{self._client.current_user.me().user_name}"
            config = replace(
                spec,
                assets_dir=self._options.assets_dir
                or f"{home}/databricks_quality_monitoring/{self._table}",
                skip_builtin_dashboard=not self._options.dashboard,
                warehouse_id=self._options.warehouse_id,
            )
            self._api.create_monitor(sdk.Monitor(_TABLE, self._id, data_profiling_config=config))
        self._settle()

    def update(self, spec: sdk.DataProfilingConfig, changes: Mapping[str, str]) -> None:
        """Set the changed fields only."""
        for change in changes.values():
            logger.info("The %s: %s", self._name, change)
        config = sdk.DataProfilingConfig(
            spec.output_schema_id, **{field: getattr(spec, field) for field in changes}
        )
        monitor = sdk.Monitor(_TABLE, self._id, data_profiling_config=config)
        mask = ",".join(f"data_profiling_config.{field}" for field in changes)
        with self._explained("updated"):
            self._api.update_monitor(_TABLE, self._id, monitor, mask)
        self._settle()

    def await_others(self) -> None:
        """Wait for refreshes of other clients; the platform would queue a new one behind them."""

        def in_progress() -> bool:
            with self._explained("asked for its refreshes"):
                found = self._api.list_refresh(_TABLE, self._id)
                return any(one.state in _IN_PROGRESS for one in found)

        thing = f"A refresh of the {self._name}, started by another client,"
        self._poll(in_progress, lambda waiting: not waiting, thing)

    def refresh(self) -> None:
        with self._explained("refreshed"):
            started = self._api.create_refresh(_TABLE, self._id, sdk.Refresh(_TABLE, self._id))
        number = int(started.refresh_id or 0)
        logger.info("The %s is being refreshed.", self._name)

        def watch() -> sdk.Refresh:
            with self._explained("watched any longer; its refresh continues without that"):
                return self._api.get_refresh(_TABLE, self._id, number)

        thing = f"Refresh {number} of the {self._name}"
        done = self._poll(watch, lambda found: found.state in _OUTCOMES, thing)
        if failure := _OUTCOMES[done.state]:
            reason = self._reason(self._find(), done.message)
            raise ProjectError(
                f"{thing} {failure}: {reason}\nFix what it says, or look at the table's tab "
                f"Quality in Catalog Explorer. {_AGAIN} {_OTHERWISE}"
            )

    def metrics_tables(self) -> tuple[str, str]:
        found = self._find()
        if not (found and found.profile_metrics_table_name and found.drift_metrics_table_name):
            raise ProjectError(
                f"The {self._name} was refreshed, but names no tables of metrics. "
                f"{self._deletion} {_OTHERWISE}"
            )
        return found.profile_metrics_table_name, found.drift_metrics_table_name

    def _settle(self) -> None:
        """Wait for a change; only a refresh shows whether a broken monitor works."""
        found = self.settled()
        if found and found.status in _BROKEN:
            logger.warning("The %s is broken: %s", self._name, self._reason(found))

    def _poll(
        self, poll: Callable[[], Polled], done: Callable[[Polled], bool], thing: str
    ) -> Polled:
        """Poll until a thing is done, at growing intervals, or the time limit has passed."""
        wait = _FIRST_POLL_SECONDS
        while not done(found := poll()):
            if time.monotonic() >= self._end:
                raise ProjectError(
                    f"{thing} has not ended after {self._options.timeout_minutes:g} minutes "
                    f"(timeout_minutes). It continues in the workspace. {_AGAIN}"
                )
            time.sleep(wait)
            wait = min(2 * wait, _MAX_POLL_SECONDS)
        return found

    def _find(self) -> sdk.DataProfilingConfig | None:
        with self._explained("read"):
            try:
                return self._api.get_monitor(_TABLE, self._id).data_profiling_config
            except errors.NotFound:
                return None

    @staticmethod
    def _reason(found: sdk.DataProfilingConfig | None, message: str | None = None) -> str:
        message = message or (found and found.latest_monitor_failure_message) or "no reason given."
        return workspace.excerpt(message)

    @property
    def _deletion(self) -> str:
        return (
            f"Delete it (databricks data-quality delete-monitor {_TABLE} {self._id}; tables of "
            "metrics stay), then run the same command again, which creates a new one."
        )

    def _explained(self, action: str) -> AbstractContextManager[None]:
        return workspace.errors_explained(f"The {self._name}", action, _REMEDIES)
