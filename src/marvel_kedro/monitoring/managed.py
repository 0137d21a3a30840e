"""What a managed monitor is told beside what `monitoring` says anyway."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa
from pydantic import Field

from marvel_kedro.options import Options

if TYPE_CHECKING:
    from marvel_kedro.monitoring.options import MonitoringOptions


class ManagedMonitorOptions(Options):
    """What only the managed monitor has.

    Attributes:
        timeout_minutes: How long making it and bringing its metrics up to date may take in all.
        assets_dir: Folder of the workspace for its dashboard, such as `/Workspace/Shared/..`; the
            home of who makes it, if None. It counts when the monitor is made.
        dashboard: Whether it gets a dashboard. It counts when the monitor is made.
        warehouse_id: SQL warehouse of the dashboard; the first one that runs, if None.
    """

    timeout_minutes: float = Field(60.0, gt=0)
    assets_dir: str | None = Field(None, pattern="^/")
    dashboard: bool = False
    warehouse_id: str | None = None


Refresh = Callable[["MonitoringOptions"], tuple[pa.Table, pa.Table]]
"""Has a managed monitor brought up to date; gives `PROFILE_METRICS` and `DRIFT_METRICS`."""
