"""What a managed monitor is told beside what `monitoring` says anyway."""

from pydantic import Field

from marvel_kedro.options import Options


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
