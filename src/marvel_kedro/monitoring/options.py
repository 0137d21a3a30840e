"""How monitoring counts and measures."""

import hashlib
from datetime import date
from typing import Literal

from pydantic import AwareDatetime, Field, field_validator

from marvel_kedro.core.options import Options
from marvel_kedro.monitoring.aggregation.value_counts import Kind
from marvel_kedro.monitoring.aggregation.windows import Granularity

DECIMALS = 3


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


class MonitoringOptions(Options):
    """What is measured, by which windows and slices.

    Attributes:
        now: When this is read; windows that end later are not complete.
        granularities: Lengths of the windows.
        slices: Columns of `inference_log`, or SQL expressions over them: metrics are made for each
            value, or for `true` and `false`.
        columns: What is measured, and what kind of column it is.
        decimals: Numbers are counted by so many decimals; 3, where nothing is said.
        max_slice_values: More values of a slice are refused.
        max_cells: More distinct values, over all windows, versions and slices, are refused.
        recompute_from: From this day on everything is made anew, even if nothing has changed.
        confidence: Of the interval of an estimate of quality.
        computed_by: Whose `profile_metrics` and `drift_metrics` these are: the project's, or those
            of a managed monitor of Databricks over `inference_log`.
        managed: What only the managed monitor has.
    """

    now: AwareDatetime
    granularities: tuple[Granularity, ...] = Field(("1 day",), min_length=1)
    slices: tuple[str, ...] = ()
    columns: dict[str, Kind] = Field(min_length=1)
    decimals: dict[str, int] = Field({"probability": 4}, validate_default=True)
    max_slice_values: int = Field(100, ge=1)
    max_cells: int = Field(5_000_000, ge=1)
    recompute_from: date | None = None
    confidence: float = Field(0.95, gt=0, lt=1)
    computed_by: Literal["project", "databricks"] = "project"
    managed: ManagedMonitorOptions = ManagedMonitorOptions()

    @field_validator("granularities", "slices")
    @classmethod
    def _each_once(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(values)) < len(values):
            raise ValueError("each is to be there once")
        return values

    @field_validator("decimals")
    @classmethod
    def _fit_for_counting(cls, decimals: dict[str, int]) -> dict[str, int]:
        if wrong := [name for name, number in decimals.items() if not 0 <= number <= 6]:  # noqa: PLR2004
            raise ValueError(f"0 to 6 decimals, at {', '.join(wrong)}")
        return decimals

    def decimals_of(self, column: str) -> int:
        """By how many decimals the numbers of a column are counted."""
        return self.decimals.get(column, DECIMALS)

    @property
    def settings(self) -> str:
        """Digest of what metrics depend on beside the tables; another one, other metrics."""
        said = self.model_dump_json(
            include={
                *("granularities", "slices", "columns", "decimals", "confidence", "computed_by"),
            }
        )
        return hashlib.sha256(said.encode()).hexdigest()[:16]
