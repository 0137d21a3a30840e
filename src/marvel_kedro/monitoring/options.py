"""Options of monitoring, reporting, exporting and the A/B test; no other code."""

import hashlib
import json
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, field_validator, model_validator

from marvel_kedro.core.options import Options
from marvel_kedro.monitoring.aggregation.value_counts import Kind
from marvel_kedro.monitoring.aggregation.windows import Granularity
from marvel_kedro.table.description import Target

if TYPE_CHECKING:
    import pyarrow as pa

DECIMALS = 3
MOST_DECIMALS = 30
COUNTING = "3"
"""Method of counting and testing: metrics of another one cannot be compared with these."""


class ManagedMonitorOptions(Options):
    """Options of the managed monitor only; those of its dashboard apply when it is created."""

    timeout_minutes: float = Field(60.0, gt=0)  # to create it and to refresh its metrics, together
    # Workspace folder of the dashboard, such as `/Workspace/Shared/..`; None is the home folder of
    # the user who creates the monitor.
    assets_dir: str | None = Field(None, pattern="^/")
    dashboard: bool = False
    warehouse_id: str | None = None  # SQL warehouse of the dashboard; None is the first running one


class MonitoringOptions(Options):
    """Windows, slices and columns of the metrics."""

    now: AwareDatetime  # time of the run; windows that end later are incomplete
    granularities: tuple[Granularity, ...] = Field(("1 day",), min_length=1)  # of the windows
    # Columns of `inference_log`, or SQL expressions over them. Metrics are computed for each value,
    # or for `true` and `false`.
    slices: tuple[str, ...] = ()
    columns: dict[str, Kind] = Field(min_length=1)  # measured columns and their kinds
    # Decimals that counting must tell apart, by column. By default the baseline of a version sets
    # the scale of its numbers, see `aggregation.scales`; without a baseline it is `DECIMALS`.
    decimals: dict[str, int] = Field({})
    max_slice_values: int = Field(100, ge=1)  # the most frequent ones; the others are one slice
    max_cells: int = Field(5_000_000, ge=1)  # distinct values over all windows, versions and slices
    recompute_from: date | None = None  # recompute all metrics from this day on
    confidence: float = Field(0.95, gt=0, lt=1)  # of the interval of estimated performance
    # Source of `profile_metrics` and `drift_metrics`: this project, or a managed monitor of
    # Databricks over `inference_log`.
    computed_by: Literal["project", "databricks"] = "project"
    managed: ManagedMonitorOptions = ManagedMonitorOptions()

    @field_validator("columns", mode="before")
    @classmethod
    def _leave_out(cls, columns: Any) -> Any:  # noqa: ANN401 - any YAML
        """Leave out the columns whose kind is null, as another environment may set it."""
        if not isinstance(columns, dict):
            return columns
        return {name: kind for name, kind in columns.items() if kind is not None}

    @field_validator("granularities", "slices")
    @classmethod
    def _check_unique(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(values)) < len(values):
            raise ValueError("values must be unique")
        return values

    @field_validator("decimals")
    @classmethod
    def _check_decimals(cls, decimals: dict[str, int]) -> dict[str, int]:
        if wrong := [name for name, number in decimals.items() if abs(number) > MOST_DECIMALS]:
            allowed = f"{-MOST_DECIMALS} to {MOST_DECIMALS}"
            raise ValueError(f"decimals must be {allowed}, wrong for {', '.join(wrong)}")
        return decimals

    def decimals_of(self, column: str) -> int:
        """Return the decimals of a column's scale without a baseline."""
        return self.decimals.get(column, DECIMALS)

    def settings(self, target: Target) -> str:
        """Return a digest of the options, and the classes, that metrics depend on."""
        names = {"granularities", "slices", "columns", "decimals", "confidence", "computed_by"}
        text = COUNTING + self.model_dump_json(include=names) + json.dumps(target.classes)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Split(Options):
    """The configured traffic split from a time on: percentages by served entity."""

    since: AwareDatetime
    traffic: dict[str, Annotated[float, Field(ge=0)]]

    @model_validator(mode="after")
    def _has_traffic(self) -> Self:
        if not sum(self.traffic.values()):
            raise ValueError("the traffic split is empty: give percentages by served entity")
        return self


class ExpectedGain(Options):
    """The effect size that the test is tuned to detect, by metric."""

    log_loss: float = Field(0.03, gt=0)
    accuracy: float = Field(0.03, gt=0)


class ABTestOptions(Options):
    """Settings of the A/B test analysis."""

    champion: str = "champion"  # name of the served entity that the others are compared with
    since: date | None = None  # first day (UTC) of the requests to analyse; None: all
    until: date | None = None  # last day
    max_requests: int = Field(2_000_000, ge=1)  # fail if there are more to load from the engine
    # Probability of a false verdict, over all challengers and days together.
    alpha: float = Field(0.05, gt=0, lt=1)
    # Sets how early a difference of a given size is detected, and not the probability of a false
    # verdict.
    expected_gain: ExpectedGain = ExpectedGain()
    # Labelled clients (or requests without a client) that each entity needs before a verdict.
    min_clusters: int = Field(50, ge=2)
    split: tuple[Split, ...] = ()  # the configured traffic split; empty: shares are not checked
    seed: int = Field(42, ge=0)  # of the bootstrap of each entity's metrics
    resamples: int = Field(500, ge=20)  # of the bootstrap
    confidence: float = Field(0.95, gt=0, lt=1)  # of the bootstrap intervals
    calibration_bins: int = Field(10, ge=2, le=1000)


class ExportingOptions(Options):
    """Limits of the exported metrics."""

    min_labelled: int = Field(200, ge=1)  # records of a window for its realised performance
    max_series: int = Field(1500, ge=100)  # samples; the number of dropped ones is exported


class ReportingOptions(Options):
    """Limits of the report."""

    granularity: Granularity | None = None  # of the windows; null is the first of monitoring
    max_windows: int = Field(30, ge=1)  # the newest
    max_versions: int = Field(3, ge=1)  # those with the most records
    max_columns: int = Field(20, ge=1)  # of a version: those with the most drift
    max_items: int = Field(6, ge=1)  # categories of a column
    max_slices: int = Field(20, ge=1)  # of a version: those with the most records
    max_alerts: int = Field(50, ge=1)  # open ones first
    chance: float = Field(0.05, gt=0, lt=1)  # p-value from which drift is shown as possibly chance


RefreshManagedMonitor = Callable[[MonitoringOptions], "tuple[pa.Table, pa.Table]"]
"""Refresh a managed monitor and return its `PROFILE_METRICS` and `DRIFT_METRICS`."""
