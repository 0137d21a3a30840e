"""The data of the report, before formatting and drawing."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from marvel_kedro.monitoring.alerting import rules
from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.monitoring.names import shown
from marvel_kedro.monitoring.options import MonitoringOptions, ReportingOptions
from marvel_kedro.monitoring.report.windows import Row, Window
from marvel_kedro.table.description import TableSpec

METRICS = ("roc_auc", "accuracy", "log_loss")
FAIRNESS = ("predictive_parity", "predictive_equality", "equal_opportunity", "statistical_parity")


@dataclass(frozen=True)
class MonitoringTables:
    """Inputs of the report: the tables of `monitoring.tables`, and results of other pipelines.

    Attributes:
        rejected: Number of requests without a readable record, by reason.
        retrain: The decision to retrain; None if there is none.
        ab_report: The newest report of the A/B test; None if there is none.
    """

    health: pa.Table
    profile: pa.Table
    drift: pa.Table
    estimates: pa.Table
    alerts: pa.Table
    rejected: Mapping[str, int] = field(default_factory=dict)
    retrain: Row | None = None
    ab_report: Row | None = None


@dataclass(frozen=True)
class ColumnDrift:
    """Drift of a column in a window from the baseline.

    Attributes:
        distance: Jensen-Shannon distance of a category, Kolmogorov-Smirnov statistic of a number:
            0 to 1; None where one side has no value.
        excess: The part of the distance beyond what chance gives, 0 if the p-value is not below
            `chance`; None where there is no distance.
        pvalue: Of the test, not adjusted for the number of columns.
        severity: Highest severity of the alerts about the column in this window.
        watched: A rule with a test of drift covers the column, or no column has such a rule.
    """

    distance: float | None
    excess: float | None
    pvalue: float | None
    severity: str | None
    watched: bool = True

    @property
    def significant(self) -> bool:
        """Return true if the distance is beyond chance, and the rules do not leave it out."""
        return self.watched and bool(self.excess)


@dataclass(frozen=True)
class Column:
    """A column of a model version.

    Attributes:
        drifts: By window shown; None where the column is absent.
        newest: The one of the version's newest window.
        profile: Its row of `profile_metrics` in that window, if any.
        baseline: Its row of `profile_metrics` in the baseline, if any.
        drift: Its row of `drift_metrics` in that window against the baseline, if any.
    """

    name: str
    drifts: Sequence[ColumnDrift | None]
    newest: ColumnDrift | None
    profile: Row | None
    baseline: Row | None
    drift: Row | None


@dataclass(frozen=True)
class Performance:
    """A metric of a version or slice in a window; None where unknown."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    realised: float | None = None
    baseline: float | None = None
    records: int = 0
    labelled: int | None = None

    @property
    def known(self) -> list[float]:
        """Return the values that are known."""
        values = (self.low, self.high, self.estimate, self.realised, self.baseline)
        return [value for value in values if value is not None]


@dataclass(frozen=True)
class Slice:
    """A slice in a version's newest window.

    Attributes:
        key: The column or the condition.
        performance: By metric.
        drift: The column with the largest distance beyond chance, and that.
        fairness: By measure, for the positive class; None where unknown.
    """

    key: str
    value: str
    records: int
    performance: Mapping[str, Performance]
    drift: tuple[str, float] | None
    fairness: Mapping[str, float | None]

    @property
    def name(self) -> str:
        """Return the display name."""
        if self.value == "true":
            return self.key
        if self.value == "false":
            return f"not ({self.key})"
        return f"{self.key} = {shown(self.value)}"


@dataclass(frozen=True)
class ModelVersion:
    """A model version.

    Attributes:
        entities: The served entities with this version in its newest window.
        newest: The newest window in which it scored a record.
        records: Number of records in that window.
        only_prediction: The class that was predicted for all of several records there, if any.
        one_class_labels: The labels of several records there are of one class.
        columns: Columns with the most drift first, without those omitted.
        performance: By metric, by window shown.
        slices: Slices with the most records first, without those omitted.
        joined: Records of rare values, which are measured as one slice, by slice key.
    """

    name: str
    entities: Sequence[str]
    newest: Window
    records: int
    only_prediction: str | None
    one_class_labels: bool
    columns: Sequence[Column]
    columns_omitted: int
    performance: Mapping[str, Sequence[Performance]]
    slices: Sequence[Slice]
    slices_omitted: int
    joined: Mapping[str, int]


@dataclass(frozen=True)
class Alerts:
    """The alerts of the report.

    Attributes:
        shown: Open ones first, then the newest first, without those omitted.
        firing: All that are neither silenced nor resolved.
    """

    shown: Sequence[Row]
    omitted: int
    firing: Sequence[Row]

    def severity(
        self, columns: Collection[str] | None = None, version: str | None = None
    ) -> str | None:
        """Return the highest severity of the firing alerts, or of those about some columns.

        An alert is about the columns of the tables that its metric contains. With a version, alerts
        about other versions do not count.
        """
        return worst(
            row["severity"]
            for row in self.firing
            if columns is None or {*columns} & {*re.findall(r"\w+", row["metric"] or "")}
            if version is None or row["model_version"] in (None, version)
        )


@dataclass(frozen=True)
class ReportData:
    """All data of the report; `retrain`, `rejected` and `ab_report` are as in `MonitoringTables`.

    Attributes:
        table: The description of the table.
        model: The registered model.
        windows: The windows shown, oldest first; the last one may be running.
        windows_omitted: Number of older windows.
        health: Rows of `health_metrics` by window shown.
        versions: Versions with the most records first, without those omitted.
    """

    table: TableSpec
    model: str
    granularity: str
    windows: Sequence[Window]
    windows_omitted: int
    health: Mapping[Window, Sequence[Row]]
    versions: Sequence[ModelVersion]
    versions_omitted: int
    alerts: Alerts
    retrain: Row | None
    rejected: Mapping[str, int]
    ab_report: Row | None
    monitoring: MonitoringOptions
    alerting: AlertingOptions
    options: ReportingOptions

    @property
    def settled(self) -> Sequence[Window]:
        """Return the complete windows shown, or the running one if there is no other."""
        return [window for window in self.windows if not window.running] or self.windows

    @property
    def running(self) -> Window | None:
        """Return the window that has not ended, if it is shown."""
        return next((window for window in self.windows if window.running), None)


def worst(severities: Iterable[str]) -> str | None:
    """Return the highest severity; None if there is none."""
    return max(severities, key=rules.severity_rank, default=None)
