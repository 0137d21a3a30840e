"""Building of the report data from the tables of monitoring."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.monitoring.alerting.lifecycle import (
    ACKNOWLEDGED,
    OPEN,
    RESOLVED,
    SILENCED,
    firing,
)
from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.monitoring.options import MonitoringOptions, ReportingOptions
from marvel_kedro.monitoring.report.data import (
    FAIRNESS,
    METRICS,
    SEVERITIES,
    Alerts,
    Column,
    ColumnDrift,
    ModelVersion,
    MonitoringTables,
    Performance,
    ReportData,
    Slice,
    worst,
)
from marvel_kedro.monitoring.report.windows import (
    Row,
    Window,
    granularity_of,
    rows_in,
    windows_of,
)
from marvel_kedro.monitoring.tables import BASELINE, INPUT, TABLE

_STATES = (OPEN, ACKNOWLEDGED, SILENCED, RESOLVED)

Performances = dict[tuple[Window, str | None, str | None, str], Performance]
"""By window, slice key, slice value and metric."""


def build(
    tables: MonitoringTables,
    monitoring: MonitoringOptions,
    alerting: AlertingOptions,
    options: ReportingOptions,
) -> ReportData:
    """Build the report data.

    Args:
        tables: The inputs; any table may be empty.
        monitoring: Settings of the metrics, and the time of the report.
        alerting: The alert rules.
        options: Limits of the report.
    """
    granularity = granularity_of(monitoring, options)
    # Of slices only the rows about all columns are needed, and those of columns are many.
    profile = tables.profile.filter(
        pc.field("slice_key").is_null() | (pc.field("column_name") == TABLE)
    )
    health, inputs, drift, estimates = (
        table.filter(pc.field("granularity") == granularity)
        for table in (tables.health, profile, tables.drift, tables.estimates)
    )
    windows = windows_of((health, inputs, drift, estimates), monitoring, options)
    by_window: dict[Window, list[Row]] = {window: [] for window in windows.shown}
    for row in rows_in(health, windows.shown):
        by_window[row["window"]].append(row)
    source = _Source(
        windows=windows.shown,
        health=by_window,
        profile=rows_in(inputs.filter(pc.field("log_type") == INPUT), windows.shown),
        baseline=profile.filter(pc.field("log_type") == BASELINE).to_pylist(),
        drift=rows_in(drift.filter(pc.field("drift_type") == BASELINE), windows.shown),
        estimates=rows_in(estimates, windows.shown),
        alerts=tables.alerts.filter(pc.field("granularity") == granularity).to_pylist(),
        options=options,
    )
    versions = source.version_names()
    return ReportData(
        now=monitoring.now,
        granularity=granularity,
        windows=windows.shown,
        windows_omitted=windows.omitted,
        incomplete=windows.incomplete,
        health=by_window,
        versions=[source.version(name) for name in versions[: options.max_versions]],
        versions_omitted=max(0, len(versions) - options.max_versions),
        alerts=_alerts(tables.alerts, options),
        retrain=tables.retrain,
        rejected=dict(Counter(tables.rejected).most_common()),
        ab_report=tables.ab_report,
        monitoring=monitoring,
        alerting=alerting,
        options=options,
    )


@dataclass(frozen=True)
class _Source:
    """Rows of the windows shown; of a window, a `Window` in place of the struct."""

    windows: Sequence[Window]
    health: Mapping[Window, Sequence[Row]]
    profile: Sequence[Row]
    baseline: Sequence[Row]
    drift: Sequence[Row]
    estimates: Sequence[Row]
    alerts: Sequence[Row]
    options: ReportingOptions

    def version_names(self) -> list[str]:
        """Order versions by their newest window, then by its records, highest first."""
        newest: dict[str, tuple[Window, int]] = {}
        for row in self.profile:
            if row["column_name"] == TABLE and row["slice_key"] is None and row["count"]:
                found = (row["window"], row["count"])
                newest[row["model_version"]] = max(newest.get(row["model_version"], found), found)
        return sorted(newest, key=lambda name: (newest[name], name), reverse=True)

    def version(self, name: str) -> ModelVersion:
        profile, baseline, drift, estimates = (
            [row for row in rows if row["model_version"] == name]
            for rows in (self.profile, self.baseline, self.drift, self.estimates)
        )
        whole = [row for row in profile if row["column_name"] == TABLE]
        newest, records = max(
            (row["window"], row["count"])
            for row in whole
            if row["slice_key"] is None and row["count"]
        )
        columns = self._columns(
            name,
            newest,
            *(
                [row for row in rows if row["slice_key"] is None]
                for rows in (profile, baseline, drift)
            ),
        )
        performances = _performances(
            whole, [row for row in baseline if row["column_name"] == TABLE], estimates
        )
        slices = self._slices(
            [row for row in whole if row["window"] == newest and row["slice_key"] is not None],
            [row for row in drift if row["window"] == newest and row["slice_key"] is not None],
            performances,
        )
        rows = [row for rows in self.health.values() for row in rows]
        entities = {row["served_entity_name"] for row in rows if row["model_version"] == name}
        return ModelVersion(
            name=name,
            entities=sorted(entities - {None}),
            newest=newest,
            records=records,
            columns=columns[: self.options.max_columns],
            columns_omitted=max(0, len(columns) - self.options.max_columns),
            performance={
                metric: [performances.get((window, None, None, metric)) for window in self.windows]
                for metric in METRICS
            },
            slices=slices[: self.options.max_slices],
            slices_omitted=max(0, len(slices) - self.options.max_slices),
        )

    def _columns(
        self,
        version: str,
        newest: Window,
        profile: Sequence[Row],
        baseline: Sequence[Row],
        drift: Sequence[Row],
    ) -> list[Column]:
        drifts = {(row["column_name"], row["window"]): row for row in drift}
        profiles = {row["column_name"]: row for row in profile if row["window"] == newest}
        baselines = {row["column_name"]: row for row in baseline}
        columns = [
            Column(
                name,
                [self._drift(version, drifts.get((name, window))) for window in self.windows],
                profiles.get(name),
                baselines.get(name),
                drifts.get((name, newest)),
            )
            for name in sorted({row["column_name"] for row in [*profile, *drift]} - {TABLE})
        ]
        place = self.windows.index(newest)
        return sorted(columns, key=lambda column: _drift_rank(column.drifts[place]), reverse=True)

    def _drift(self, version: str, drift: Row | None) -> ColumnDrift | None:
        if drift is None:
            return None
        distance, pvalue = _distance(drift)
        severities = (
            row["severity"]
            for row in self.alerts
            if row["column_name"] == drift["column_name"]
            and row["model_version"] == version
            and row["slice_key"] is None
            and row["since"] <= drift["window"].start
            and drift["window"].end <= row["window"]["end"]
        )
        return ColumnDrift(distance, pvalue, self._is_significant(pvalue), worst(severities))

    def _slices(
        self, profile: Sequence[Row], drift: Sequence[Row], performances: Performances
    ) -> list[Slice]:
        largest: dict[tuple[str, str], tuple[float, str]] = defaultdict(lambda: (-1.0, ""))
        for row in drift:
            distance, pvalue = _distance(row)
            if distance is not None and self._is_significant(pvalue):
                key = (row["slice_key"], row["slice_value"])
                largest[key] = max(largest[key], (distance, row["column_name"]))
        found = []
        for row in profile:
            key = (row["slice_key"], row["slice_value"])
            if row["count"]:
                performance = {
                    metric: performances.get((row["window"], *key, metric), Performance())
                    for metric in METRICS
                }
                drifted = largest[key][::-1] if key in largest else None
                fairness = {name: _for_alive(row[name]) for name in FAIRNESS}
                found.append(Slice(*key, row["count"], performance, drifted, fairness))
        return sorted(found, key=lambda one: (-one.records, one.key, one.value))

    def _is_significant(self, pvalue: float | None) -> bool:
        return pvalue is not None and pvalue < self.options.chance


def _distance(drift: Row) -> tuple[float | None, float | None]:
    """Return the distance of a row of `drift_metrics`, and the p-value of its test."""
    if _finite(drift["js_distance"]) is not None:
        return drift["js_distance"], (drift["chi_squared_test"] or {}).get("pvalue")
    test = drift["ks_test"] or {}
    return _finite(test.get("statistic")), _finite(test.get("pvalue"))


def _drift_rank(drift: ColumnDrift | None) -> tuple[bool, bool, float]:
    """Order by alert, then significance, then distance."""
    if drift is None:
        return (False, False, -1.0)
    distance = -1.0 if drift.distance is None else drift.distance
    return (drift.severity is not None, drift.significant, distance)


def _performances(
    profile: Sequence[Row], baseline: Sequence[Row], estimates: Sequence[Row]
) -> Performances:
    """Join estimates with the profile, which has the values that estimates lack."""
    baselines = {(row["slice_key"], row["slice_value"]): _realised(row) for row in baseline}
    found = {
        (row["window"], row["slice_key"], row["slice_value"], metric): Performance(
            realised=value,
            baseline=baselines.get((row["slice_key"], row["slice_value"]), {}).get(metric),
            records=row["count"],
        )
        for row in profile
        for metric, value in _realised(row).items()
    }
    for row in estimates:
        key = (row["window"], row["slice_key"], row["slice_value"], row["metric"])
        known = found.get(key, Performance())
        realised, base = _finite(row["realised"]), _finite(row["baseline"])
        found[key] = Performance(
            estimate=_finite(row["estimate"]),
            low=_finite(row["low"]),
            high=_finite(row["high"]),
            realised=known.realised if realised is None else realised,
            baseline=known.baseline if base is None else base,
            records=row["records"],
            labelled=row["labelled"],
        )
    return found


def _realised(row: Row) -> dict[str, float | None]:
    area = ((row["roc_auc_score"] or {}).get("one_vs_one") or {}).get("weighted")
    return {
        "roc_auc": _finite(area),
        "accuracy": _finite(row["accuracy_score"]),
        "log_loss": _finite(row["log_loss"]),
    }


def _for_alive(measure: Row | None) -> float | None:
    """Return the value for the class Alive of a map by class."""
    return _finite(dict((measure or {}).get("one_vs_all") or ()).get("Alive"))


def _alerts(table: pa.Table, options: ReportingOptions) -> Alerts:
    rows = table.to_pylist()
    rows.sort(key=lambda row: (row["since"], row["alert_id"]), reverse=True)
    rows.sort(key=_alert_rank)
    shown, omitted = rows[: options.max_alerts], rows[options.max_alerts :]
    return Alerts(shown, len(omitted), firing(table))


def _alert_rank(row: Row) -> tuple[int, int]:
    """Order by state, and by severity unless resolved."""
    severity = 0 if row["state"] == RESOLVED else _place(SEVERITIES, row["severity"])
    return (_place(_STATES, row["state"]), severity)


def _place(order: Sequence[str], value: str) -> int:
    return order.index(value) if value in order else len(order)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
