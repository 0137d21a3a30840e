"""A table and the managed monitor that keeps its metrics: looked at, set, refreshed, waited for."""

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

Looked = TypeVar("Looked")

_TABLE = "table"  # and no schema, which has monitors, too
_FIRST_SECONDS, _MOST_SECONDS = 5.0, 60.0
"""Between two looks."""

_CHANGING = {
    DataProfilingStatus.DATA_PROFILING_STATUS_PENDING,
    DataProfilingStatus.DATA_PROFILING_STATUS_DELETE_PENDING,
}
BROKEN = {
    DataProfilingStatus.DATA_PROFILING_STATUS_ERROR,
    DataProfilingStatus.DATA_PROFILING_STATUS_FAILED,
}
_UNDER_WAY = {
    RefreshState.MONITOR_REFRESH_STATE_PENDING,
    RefreshState.MONITOR_REFRESH_STATE_RUNNING,
}
_UNSUCCESSFUL = {
    RefreshState.MONITOR_REFRESH_STATE_FAILED: "failed",
    RefreshState.MONITOR_REFRESH_STATE_CANCELED: "was cancelled",
}
_OVER = {RefreshState.MONITOR_REFRESH_STATE_SUCCESS, *_UNSUCCESSFUL}

_AGAIN = "Run the same command again: it goes on from what is there."
_OTHERWISE = "Or let the project compute the metrics: monitoring.computed_by: project."
_OTHER = (
    f"Somebody else changes or refreshes it at the same time. Wait for the end of that. {_AGAIN}"
)
# By the kind of a refusal; the first that fits counts.
_REMEDIES: dict[type[DatabricksError], str] = {
    PermissionDenied: "Have it granted by an owner: USE CATALOG; on the schema USE SCHEMA and "
    "CREATE TABLE, for the metrics; on the table SELECT and MANAGE; on the baseline SELECT. "
    f"{_OTHERWISE}",
    ResourceConflict: _OTHER,
    InvalidState: _OTHER,
    NotFound: "A table, the schema or the monitor is not there, or not for you to see. Make the "
    "tables: kedro run --env lakehouse --pipelines monitoring, which makes the monitor, too.",
    BadRequest: "Mend monitoring.granularities and monitoring.slices in "
    "conf/*/monitoring/parameters.yml; the baseline has to have the table's columns. "
    f"{_OTHERWISE}",
}


@dataclass(frozen=True)
class MetricsTables:
    """Full names of the tables that a monitor keeps."""

    profile: str
    drift: str


@dataclass(frozen=True)
class Patience:
    """For how long something is waited for."""

    minutes: float
    started: float
    sleep: Callable[[float], None]
    monotonic: Callable[[], float]

    def until(
        self, look: Callable[[], Looked], over: Callable[[Looked], bool], thing: str
    ) -> Looked:
        """Look at a thing until it is over, less and less often.

        Raises:
            ProjectError: It is not over in time.
        """
        wait = _FIRST_SECONDS
        while not over(found := look()):
            if self.monotonic() - self.started >= 60 * self.minutes:
                raise ProjectError(
                    f"{thing} is not over after {self.minutes:g} minutes (timeout_minutes). It "
                    f"goes on in the workspace. {_AGAIN}"
                )
            self.sleep(wait)
            wait = min(2 * wait, _MOST_SECONDS)
        return found


class MonitoredTable:
    """A table and its monitor."""

    def __init__(self, client: WorkspaceClient, table: str, patience: Patience) -> None:
        self._client = client
        self._api = client.data_quality
        self._table = table
        self._name = f"The managed monitor of '{table}'"
        self._patience = patience
        with workspace.asking(f"The table '{table}'", "looked up", _REMEDIES):
            self._id = str(client.tables.get(table).table_id)
            self.schema_id = str(client.schemas.get(table.rpartition(".")[0]).schema_id)

    def known(self, table: str) -> str:
        """The name of another table, which is there."""
        with workspace.asking(f"The baseline '{table}'", "looked up", _REMEDIES):
            return str(self._client.tables.get(table).full_name)

    def settled(self) -> DataProfilingConfig | None:
        """The monitor when nothing is under way with it; None if there is none.

        Raises:
            ProjectError: There is one, and it is for no inference log.
        """
        found = self._patience.until(
            self._find,
            lambda found: found is None or found.status not in _CHANGING,
            f"A change of {_lowered(self._name)}",
        )
        if found and not found.inference_log:
            raise ProjectError(
                f"{self._name} is there, but for no inference log. {self._deletion} {_OTHERWISE}"
            )
        return found

    def create(self, wanted: DataProfilingConfig, options: ManagedMonitorOptions) -> None:
        """Make the monitor, and wait until it is there."""
        logger.info("%s is new.", self._name)
        with self._asking("made"):
            home = f"/Workspace/Users/{self._client.current_user.me().user_name}"
            config = replace(
                wanted,
                assets_dir=options.assets_dir
                or f"{home}/databricks_quality_monitoring/{self._table}",
                skip_builtin_dashboard=not options.dashboard,
                warehouse_id=options.warehouse_id,
            )
            self._api.create_monitor(Monitor(_TABLE, self._id, data_profiling_config=config))
        self._settle()

    def update(self, wanted: DataProfilingConfig, changes: Mapping[str, str]) -> None:
        """Set some fields, and wait until that is done; others stay as they are."""
        for change in changes.values():
            logger.info("%s: %s", self._name, change)
        config = DataProfilingConfig(
            wanted.output_schema_id, **{field: getattr(wanted, field) for field in changes}
        )
        with self._asking("changed"):
            self._api.update_monitor(
                _TABLE,
                self._id,
                Monitor(_TABLE, self._id, data_profiling_config=config),
                ",".join(f"data_profiling_config.{field}" for field in changes),
            )
        self._settle()

    def await_others(self) -> None:
        """Wait for refreshes that somebody else has begun, as the platform does for a new one."""

        def under_way() -> list[Refresh]:
            with self._asking("asked for its refreshes"):
                found = self._api.list_refresh(_TABLE, self._id)
                return [one for one in found if one.state in _UNDER_WAY]

        thing = f"A refresh of {_lowered(self._name)}, begun by somebody else,"
        self._patience.until(under_way, lambda found: not found, thing)

    def refresh(self) -> None:
        """Bring the metrics up to date, and wait for them."""
        with self._asking("refreshed"):
            begun = self._api.create_refresh(_TABLE, self._id, Refresh(_TABLE, self._id))
        number = int(begun.refresh_id or 0)
        logger.info("%s is being refreshed.", self._name)

        def look() -> Refresh:
            with self._asking("watched any longer; its refresh goes on without that"):
                return self._api.get_refresh(_TABLE, self._id, number)

        thing = f"Refresh {number} of {_lowered(self._name)}"
        done = self._patience.until(look, lambda found: found.state in _OVER, thing)
        if done.state in _UNSUCCESSFUL:
            why = self._why(self._find(), done.message)
            raise ProjectError(
                f"{thing} {_UNSUCCESSFUL[done.state]}: {why}\nMend what it says, or look at the "
                f"table's tab Quality in Catalog Explorer. {_AGAIN} {_OTHERWISE}"
            )

    def metrics_tables(self) -> MetricsTables:
        """Where the metrics are.

        Raises:
            ProjectError: The monitor was made by half.
        """
        found = self._find()
        if not (found and found.profile_metrics_table_name and found.drift_metrics_table_name):
            raise ProjectError(
                f"{self._name} was refreshed, and names no tables of metrics. {self._deletion} "
                f"{_OTHERWISE}"
            )
        return MetricsTables(found.profile_metrics_table_name, found.drift_metrics_table_name)

    def _settle(self) -> None:
        """Wait for a change; whether a broken monitor works is for its refresh to say."""
        found = self.settled()
        if found and found.status in BROKEN:
            logger.warning("%s is broken: %s", self._name, self._why(found))

    def _find(self) -> DataProfilingConfig | None:
        with self._asking("looked at"):
            try:
                return self._api.get_monitor(_TABLE, self._id).data_profiling_config
            except NotFound:
                return None

    @staticmethod
    def _why(found: DataProfilingConfig | None, said: str | None = None) -> str:
        said = said or (found and found.latest_monitor_failure_message) or "it does not say why."
        return workspace.shortened(without_password(" ".join(said.split())))

    @property
    def _deletion(self) -> str:
        return (
            f"Delete it (databricks data-quality delete-monitor {_TABLE} {self._id}; tables of "
            "metrics stay), then run the same command again, which makes it anew."
        )

    def _asking(self, what: str) -> AbstractContextManager[None]:
        return workspace.asking(self._name, what, _REMEDIES)


def _lowered(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
