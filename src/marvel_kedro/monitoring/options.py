"""Options of monitoring, reporting, exporting and the A/B test; no other code."""

import hashlib
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AwareDatetime, Field, field_validator, model_validator

from marvel_kedro.core.options import Options
from marvel_kedro.monitoring.aggregation.value_counts import Kind
from marvel_kedro.monitoring.aggregation.windows import Granularity

if TYPE_CHECKING:
    import pyarrow as pa

DECIMALS = 3


class ManagedMonitorOptions(Options):
    """Options of the managed monitor only.

    Attributes:
        timeout_minutes: Time limit for creating the monitor and refreshing its metrics together.
        assets_dir: Workspace folder of its dashboard, such as `/Workspace/Shared/..`; None is the
            home folder of the user who creates the monitor. Applies at creation.
        dashboard: Create a dashboard. Applies at creation.
        warehouse_id: SQL warehouse of the dashboard; None is the first running one.
    """

    timeout_minutes: float = Field(60.0, gt=0)
    assets_dir: str | None = Field(None, pattern="^/")
    dashboard: bool = False
    warehouse_id: str | None = None


class MonitoringOptions(Options):
    """Windows, slices and columns of the metrics.

    Attributes:
        now: Time of the run; windows that end later are incomplete.
        granularities: Lengths of the windows.
        slices: Columns of `inference_log`, or SQL expressions over them. Metrics are computed for
            each value, or for `true` and `false`.
        columns: Measured columns and their kinds.
        decimals: Decimals to which numbers are rounded before counting; `DECIMALS` by default.
        max_slice_values: Maximum number of values of a slice.
        max_cells: Maximum number of distinct values over all windows, versions and slices.
        recompute_from: Recompute all metrics from this day on.
        confidence: Confidence level of the interval of estimated performance.
        computed_by: Source of `profile_metrics` and `drift_metrics`: this project, or a managed
            monitor of Databricks over `inference_log`.
        managed: Options of the managed monitor.
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
    def _check_unique(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(values)) < len(values):
            raise ValueError("values must be unique")
        return values

    @field_validator("decimals")
    @classmethod
    def _check_decimals(cls, decimals: dict[str, int]) -> dict[str, int]:
        if wrong := [name for name, number in decimals.items() if not 0 <= number <= 6]:  # noqa: PLR2004
            raise ValueError(f"decimals must be 0 to 6, wrong for {', '.join(wrong)}")
        return decimals

    def decimals_of(self, column: str) -> int:
        """Return the decimals to which the numbers of a column are rounded."""
        return self.decimals.get(column, DECIMALS)

    @property
    def settings(self) -> str:
        """Return a digest of the options that metrics depend on."""
        names = {
            *("granularities", "slices", "columns", "decimals", "confidence", "computed_by"),
        }
        return hashlib.sha256(self.model_dump_json(include=names).encode()).hexdigest()[:16]


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
    """Settings of the A/B test analysis.

    Attributes:
        champion: Name of the served entity that the others are compared with.
        since: First day (UTC) of the requests to analyse; None is the first there is.
        until: Last day.
        max_requests: Fail if the inference table has more rows to load from the engine.
        alpha: Probability of a false verdict, over all challengers and days together.
        expected_gain: Sets how early a difference of a given size is detected. It does not change
            the probability of a false verdict.
        min_clusters: Labelled clients (or requests without a client) that each entity needs before
            there is a verdict.
        split: The configured traffic split; without it the shares are not checked.
        seed: Of the bootstrap of each entity's metrics.
        resamples: Of the bootstrap.
        confidence: Of the bootstrap intervals.
        calibration_bins: Of the calibration error.
    """

    champion: str = "champion"
    since: date | None = None
    until: date | None = None
    max_requests: int = Field(2_000_000, ge=1)
    alpha: float = Field(0.05, gt=0, lt=1)
    expected_gain: ExpectedGain = ExpectedGain()
    min_clusters: int = Field(50, ge=2)
    split: tuple[Split, ...] = ()
    seed: int = Field(42, ge=0)
    resamples: int = Field(500, ge=20)
    confidence: float = Field(0.95, gt=0, lt=1)
    calibration_bins: int = Field(10, ge=2, le=1000)


class ExportingOptions(Options):
    """Limits of the exported metrics.

    Attributes:
        min_labelled: Labelled records that a window needs for its realised performance.
        max_series: Maximum number of samples; the number of dropped samples is exported.
    """

    min_labelled: int = Field(200, ge=1)
    max_series: int = Field(1500, ge=100)


class ReportingOptions(Options):
    """Limits of the report.

    Attributes:
        granularity: Length of the windows; null is the first granularity of monitoring.
        max_windows: Number of newest windows.
        max_versions: Number of model versions, those with the most records first.
        max_columns: Columns of a version, those with the most drift first.
        max_items: Categories of a column.
        max_slices: Slices of a version, those with the most records first.
        max_alerts: Number of alerts, open ones first.
        chance: Drift with a p-value of at least this is shown as possibly due to chance.
    """

    granularity: Granularity | None = None
    max_windows: int = Field(30, ge=1)
    max_versions: int = Field(3, ge=1)
    max_columns: int = Field(20, ge=1)
    max_items: int = Field(6, ge=1)
    max_slices: int = Field(20, ge=1)
    max_alerts: int = Field(50, ge=1)
    chance: float = Field(0.05, gt=0, lt=1)


RefreshManagedMonitor = Callable[[MonitoringOptions], "tuple[pa.Table, pa.Table]"]
"""Refresh a managed monitor and return its `PROFILE_METRICS` and `DRIFT_METRICS`."""
