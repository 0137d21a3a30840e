"""A table and its managed monitor: read, create, update, refresh and wait."""

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TypeVar

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    BadRequest,
    InvalidState,
    NotFound,
    PermissionDenied,
    ResourceConflict,
)
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.dataquality import (
    DataProfilingConfig,
    DataProfilingStatus,
    Monitor,
    Refresh,
    RefreshState,
)

from marvel_kedro.core.errors import ProjectError, without_password
from marvel_kedro.databricks import workspace
from marvel_kedro.monitoring.options import ManagedMonitorOptions

logger = logging.getLogger(__name__)

Polled = TypeVar("Polled")

_TABLE = "table"  # the type of the monitored object; schemas can have monitors, too
_FIRST_SECONDS, _MAX_SECONDS = 5.0, 60.0
"""Time between two polls."""

_CHANGING = {
    DataProfilingStatus.DATA_PROFILING_STATUS_PENDING,
    DataProfilingStatus.DATA_PROFILING_STATUS_DELETE_PENDING,
}
BROKEN = {
    DataProfilingStatus.DATA_PROFILING_STATUS_ERROR,
    DataProfilingStatus.DATA_PROFILING_STATUS_FAILED,
}
_IN_PROGRESS = {
    RefreshState.MONITOR_REFRESH_STATE_PENDING,
    RefreshState.MONITOR_REFRESH_STATE_RUNNING,
}
_UNSUCCESSFUL = {
    RefreshState.MONITOR_REFRESH_STATE_FAILED: "failed",
    RefreshState.MONITOR_REFRESH_STATE_CANCELED: "was cancelled",
}
_OVER = {RefreshState.MONITOR_REFRESH_STATE_SUCCESS, *_UNSUCCESSFUL}

_AGAIN = "Run the same command again: it continues from the current state."
_OTHERWISE = "Or let the project compute the metrics: monitoring.computed_by: project."
_OTHER = f"Another client changes or refreshes it at the same time. Wait for that to end. {_AGAIN}"
_REMEDIES: dict[type[DatabricksError], str] = {
    PermissionDenied: "Have it granted by an owner: USE CATALOG; on the schema USE SCHEMA and "
    "CREATE TABLE, for the metrics; on the table SELECT and MANAGE; on the baseline SELECT. "
    f"{_OTHERWISE}",
    ResourceConflict: _OTHER,
    InvalidState: _OTHER,
    NotFound: "A table, the schema or the monitor is not there, or you may not see it. Make the "
    "tables: kedro run --env lakehouse --pipelines monitoring, which makes the monitor, too.",
    BadRequest: "Fix monitoring.granularities and monitoring.slices in "
    "conf/*/monitoring/parameters.yml; the baseline needs the table's columns. "
    f"{_OTHERWISE}",
}
"""Remedies by the type of the error; the first that fits is used."""


@dataclass(frozen=True)
class MetricsTables:
    """Full names of the tables of a monitor."""

    profile: str
    drift: str


@dataclass(frozen=True)
class Deadline:
    """The time limit of waiting, and its clock."""

    minutes: float
    started: float
    sleep: Callable[[float], None]
    monotonic: Callable[[], float]

    def until(
        self, poll: Callable[[], Polled], done: Callable[[Polled], bool], thing: str
    ) -> Polled:
        """Poll until a thing is done, at growing intervals.

        Raises:
            ProjectError: The time limit has passed.
        """
        wait = _FIRST_SECONDS
        while not done(found := poll()):
            if self.monotonic() - self.started >= 60 * self.minutes:
                raise ProjectError(
                    f"{thing} has not ended after {self.minutes:g} minutes (timeout_minutes). It "
                    f"continues in the workspace. {_AGAIN}"
                )
            self.sleep(wait)
            wait = min(2 * wait, _MAX_SECONDS)
        return found


class MonitoredTable:
    """A table and its managed monitor."""

    def __init__(self, client: WorkspaceClient, table: str, deadline: Deadline) -> None:
        self._client = client
        self._api = client.data_quality
        self._table = table
        self._name = f"The managed monitor of '{table}'"
        self._deadline = deadline
        with workspace.errors_explained(f"The table '{table}'", "looked up", _REMEDIES):
            self._id = str(client.tables.get(table).table_id)
            self.schema_id = str(client.schemas.get(table.rpartition(".")[0]).schema_id)

    def existing(self, table: str) -> str:
        """Return the full name of another table.

        Raises:
            ProjectError: There is no such table.
        """
        with workspace.errors_explained(f"The baseline '{table}'", "looked up", _REMEDIES):
            return str(self._client.tables.get(table).full_name)

    def settled(self) -> DataProfilingConfig | None:
        """Return the monitor once no change is in progress; None if there is none.

        Raises:
            ProjectError: The monitor is not one for an inference log.
        """
        found = self._deadline.until(
            self._find,
            lambda found: found is None or found.status not in _CHANGING,
            f"A change of {_lowered(self._name)}",
        )
        if found and not found.inference_log:
            raise ProjectError(
                f"{self._name} exists, but not for an inference log. {self._deletion} {_OTHERWISE}"
            )
        return found

    def create(self, spec: DataProfilingConfig, options: ManagedMonitorOptions) -> None:
        """Create the monitor and wait for it."""
        logger.info("%s is new.", self._name)
        with self._explained("created"):
            home = f"/Workspace/Users/{self._client.current_user.me().user_name}"
            config = replace(
                spec,
                assets_dir=options.assets_dir
                or f"{home}/databricks_quality_monitoring/{self._table}",
                skip_builtin_dashboard=not options.dashboard,
                warehouse_id=options.warehouse_id,
            )
            self._api.create_monitor(Monitor(_TABLE, self._id, data_profiling_config=config))
        self._settle()

    def update(self, spec: DataProfilingConfig, changes: Mapping[str, str]) -> None:
        """Set the changed fields only, and wait for the update."""
        for change in changes.values():
            logger.info("%s: %s", self._name, change)
        config = DataProfilingConfig(
            spec.output_schema_id, **{field: getattr(spec, field) for field in changes}
        )
        with self._explained("updated"):
            self._api.update_monitor(
                _TABLE,
                self._id,
                Monitor(_TABLE, self._id, data_profiling_config=config),
                ",".join(f"data_profiling_config.{field}" for field in changes),
            )
        self._settle()

    def await_others(self) -> None:
        """Wait for refreshes of other clients; the platform would queue a new one behind them."""

        def in_progress() -> list[Refresh]:
            with self._explained("asked for its refreshes"):
                found = self._api.list_refresh(_TABLE, self._id)
                return [one for one in found if one.state in _IN_PROGRESS]

        thing = f"A refresh of {_lowered(self._name)}, started by another client,"
        self._deadline.until(in_progress, lambda found: not found, thing)

    def refresh(self) -> None:
        """Refresh the metrics and wait for them."""
        with self._explained("refreshed"):
            started = self._api.create_refresh(_TABLE, self._id, Refresh(_TABLE, self._id))
        number = int(started.refresh_id or 0)
        logger.info("%s is being refreshed.", self._name)

        def poll() -> Refresh:
            with self._explained("watched any longer; its refresh continues without that"):
                return self._api.get_refresh(_TABLE, self._id, number)

        thing = f"Refresh {number} of {_lowered(self._name)}"
        done = self._deadline.until(poll, lambda found: found.state in _OVER, thing)
        if done.state in _UNSUCCESSFUL:
            reason = self._reason(self._find(), done.message)
            raise ProjectError(
                f"{thing} {_UNSUCCESSFUL[done.state]}: {reason}\nFix what it says, or look at the "
                f"table's tab Quality in Catalog Explorer. {_AGAIN} {_OTHERWISE}"
            )

    def metrics_tables(self) -> MetricsTables:
        """Return the names of the tables of metrics.

        Raises:
            ProjectError: The monitor names none.
        """
        found = self._find()
        if not (found and found.profile_metrics_table_name and found.drift_metrics_table_name):
            raise ProjectError(
                f"{self._name} was refreshed, but names no tables of metrics. {self._deletion} "
                f"{_OTHERWISE}"
            )
        return MetricsTables(found.profile_metrics_table_name, found.drift_metrics_table_name)

    def _settle(self) -> None:
        """Wait for a change; only a refresh shows whether a broken monitor works."""
        found = self.settled()
        if found and found.status in BROKEN:
            logger.warning("%s is broken: %s", self._name, self._reason(found))

    def _find(self) -> DataProfilingConfig | None:
        with self._explained("read"):
            try:
                return self._api.get_monitor(_TABLE, self._id).data_profiling_config
            except NotFound:
                return None

    @staticmethod
    def _reason(found: DataProfilingConfig | None, message: str | None = None) -> str:
        message = message or (found and found.latest_monitor_failure_message) or "no reason given."
        return workspace.shorten(without_password(" ".join(message.split())))

    @property
    def _deletion(self) -> str:
        return (
            f"Delete it (databricks data-quality delete-monitor {_TABLE} {self._id}; tables of "
            "metrics stay), then run the same command again, which creates a new one."
        )

    def _explained(self, action: str) -> AbstractContextManager[None]:
        return workspace.errors_explained(self._name, action, _REMEDIES)


def _lowered(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
