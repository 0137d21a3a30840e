"""Building of the report data from the tables of monitoring."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.monitoring.aggregation.limits import OTHERS
from marvel_kedro.monitoring.alerting import lifecycle
from marvel_kedro.monitoring.alerting.rules import AlertingOptions, severity_rank
from marvel_kedro.monitoring.metrics.statistical_tests import js_by_chance, ks_by_chance
from marvel_kedro.monitoring.names import shown
from marvel_kedro.monitoring.options import MonitoringOptions, ReportingOptions
from marvel_kedro.monitoring.report import data, windows
from marvel_kedro.monitoring.report.data import MonitoringTables
from marvel_kedro.monitoring.report.windows import Row, Window
from marvel_kedro.monitoring.tables import BASELINE, INPUT, TABLE
from marvel_kedro.table.description import TableSpec

_STATES = (lifecycle.OPEN, lifecycle.ACKNOWLEDGED, lifecycle.SILENCED, lifecycle.RESOLVED)

Performances = defaultdict[tuple[Window, str | None, str | None, str], data.Performance]
"""By window, slice key, slice value and metric."""


def build(  # noqa: PLR0913, PLR0917 - what the report is about
    tables: MonitoringTables,
    monitoring: MonitoringOptions,
    alerting: AlertingOptions,
    options: ReportingOptions,
    table: TableSpec,
    model: str,
) -> data.ReportData:
    """Build the report data of a registered model; any table of metrics may be empty."""
    rows = _Rows(tables, monitoring, alerting, options, table.target.positive)
    versions = rows.version_names()
    return data.ReportData(
        table=table,
        model=model,
        granularity=rows.selected.granularity,
        windows=rows.windows,
        windows_omitted=rows.selected.omitted,
        health=rows.health,
        versions=[rows.version(name) for name in versions[: options.max_versions]],
        versions_omitted=max(0, len(versions) - options.max_versions),
        alerts=_alerts(tables.alerts, options),
        retrain=tables.retrain,
        rejected=tables.rejected,
        ab_report=tables.ab_report,
        monitoring=monitoring,
        alerting=alerting,
        options=options,
    )


class _Rows:
    """Rows of the windows shown; `window` of each is a `Window`."""

    def __init__(
        self,
        tables: MonitoringTables,
        monitoring: MonitoringOptions,
        alerting: AlertingOptions,
        options: ReportingOptions,
        positive: str,
    ) -> None:
        self.options, self.positive = options, positive
        self.tested = [rule.columns for rule in alerting.active.values() if rule.test is not None]
        # Of slices only the rows about all columns are needed, and those of columns are many.
        profile = tables.profile.filter(
            pc.field("slice_key").is_null() | (pc.field("column_name") == TABLE)
        )
        # A managed monitor may have rows of no version, and of the records without a slice's value.
        profile, drift, estimates = (
            table.filter(
                pc.field("model_version").is_valid()
                & (pc.field("slice_key").is_null() | pc.field("slice_value").is_valid())
            )
            for table in (profile, tables.drift, tables.estimates)
        )
        of_windows = (tables.health, profile, drift, estimates)
        self.selected = windows.windows_of(of_windows, monitoring, options)
        self.windows = self.selected.shown
        of_length = pc.field("granularity") == self.selected.granularity
        health, inputs, drift, estimates = (table.filter(of_length) for table in of_windows)
        self.health: dict[Window, list[Row]] = {window: [] for window in self.windows}
        for row in windows.rows_in(health, self.windows):
            self.health[row["window"]].append(row)
        inputs = inputs.filter(pc.field("log_type") == INPUT)
        self.profile = windows.rows_in(inputs, self.windows)
        self.baseline = profile.filter(pc.field("log_type") == BASELINE).to_pylist()
        drift = drift.filter(pc.field("drift_type") == BASELINE)
        self.drift = windows.rows_in(drift, self.windows)
        self.estimates = windows.rows_in(estimates, self.windows)
        self.alerts = tables.alerts.filter(of_length).to_pylist()

    def version_names(self) -> list[str]:
        """Order versions by their newest window, then by its records, highest first."""
        newest: dict[str, tuple[bool, Window, int]] = {}
        for row in self.profile:
            if row["column_name"] == TABLE and row["slice_key"] is None and row["count"]:
                found = _settled(row)
                newest[row["model_version"]] = max(newest.get(row["model_version"], found), found)
        return sorted(newest, key=lambda name: (newest[name], name), reverse=True)

    def version(self, name: str) -> data.ModelVersion:
        profile, baseline, drift, estimates = (
            _where(rows, model_version=name)
            for rows in (self.profile, self.baseline, self.drift, self.estimates)
        )
        whole = _where(profile, column_name=TABLE)
        _, newest, records = max(
            _settled(row) for row in _where(whole, slice_key=None) if row["count"]
        )
        columns = self._columns(
            newest, *(_where(rows, slice_key=None) for rows in (profile, baseline, drift))
        )
        performances = _performances(whole, _where(baseline, column_name=TABLE), estimates)
        slices = self._slices(
            _where(whole, window=newest), _where(drift, window=newest), performances
        )
        rows = _where(self.health[newest], model_version=name)
        entities = {row["served_entity_name"] for row in rows}
        return data.ModelVersion(
            name=shown(name),
            entities=sorted(map(shown, entities - {None})),
            newest=newest,
            records=records,
            only_prediction=_only_prediction(_where(profile, slice_key=None, window=newest)),
            one_class_labels=_one_class_labels(performances[newest, None, None, "roc_auc"]),
            columns=columns[: self.options.max_columns],
            columns_omitted=max(0, len(columns) - self.options.max_columns),
            performance={
                metric: [performances[window, None, None, metric] for window in self.windows]
                for metric in data.METRICS
            },
            slices=slices[: self.options.max_slices],
            slices_omitted=max(0, len(slices) - self.options.max_slices),
            joined={one.key: one.records for one in slices if one.value == OTHERS},
        )

    def _columns(
        self, newest: Window, profile: list[Row], baseline: list[Row], drift: list[Row]
    ) -> list[data.Column]:
        drifts = {(row["column_name"], row["window"]): row for row in drift}
        distinct = {(row["column_name"], row["window"]): row["distinct_count"] for row in profile}
        profiles = {row["column_name"]: row for row in profile if row["window"] == newest}
        baselines = {row["column_name"]: row for row in baseline}
        columns = []
        for name in sorted({row["column_name"] for row in [*profile, *drift]} - {TABLE}):
            before = baselines.get(name, {}).get("distinct_count")
            by_window = [
                self._drift(drifts.get((name, window)), distinct.get((name, window)), before)
                for window in self.windows
            ]
            latest = by_window[self.windows.index(newest)]
            rows = profiles.get(name), baselines.get(name), drifts.get((name, newest))
            columns.append(data.Column(name, by_window, latest, *rows))
        return sorted(columns, key=lambda column: _drift_rank(column.newest), reverse=True)

    def _drift(self, drift: Row | None, *distinct: int | None) -> data.ColumnDrift | None:
        if drift is None:
            return None
        known = [count for count in distinct if count]
        most = sum(known) if len(known) == len(distinct) else math.inf
        about = {name: drift[name] for name in ("column_name", "model_version")}
        severities = (
            row["severity"]
            for row in _where(self.alerts, slice_key=None, **about)
            if row["since"] <= drift["window"].start and drift["window"].end <= row["window"]["end"]
        )
        return data.ColumnDrift(
            *_distances(drift, self.options.chance, most),
            data.worst(severities),
            self._is_watched(drift["column_name"]),
        )

    def _is_watched(self, column: str) -> bool:
        """Return false if rules test drift, but none of this column: its p-values may not hold."""
        return not self.tested or any(names == "all" or column in names for names in self.tested)

    def _slices(
        self, profile: Sequence[Row], drift: Sequence[Row], performances: Performances
    ) -> list[data.Slice]:
        largest: dict[tuple[str, str], tuple[float, str]] = defaultdict(lambda: (-1.0, ""))
        for row in drift:
            _, excess, _ = _distances(row, self.options.chance)
            if excess and self._is_watched(row["column_name"]):
                key = (row["slice_key"], row["slice_value"])
                largest[key] = max(largest[key], (excess, row["column_name"]))
        found = []
        for row in profile:
            key = (row["slice_key"], row["slice_value"])
            if row["slice_key"] is None or not row["count"]:
                continue
            performance = {
                metric: performances[row["window"], *key, metric] for metric in data.METRICS
            }
            drifted = largest[key][::-1] if key in largest else None
            fairness = {name: _of_class(row[name], self.positive) for name in data.FAIRNESS}
            found.append(data.Slice(*key, row["count"], performance, drifted, fairness))
        return sorted(found, key=lambda one: (-one.records, one.key, one.value))


def _only_prediction(profile: Sequence[Row]) -> str | None:
    """Return the class that was predicted for all of several records."""
    for row in _where(profile, column_name="prediction", distinct_count=1):
        if row["count"] > 1 and not row["percent_null"] and row["frequent_items"]:
            return shown(row["frequent_items"][0]["item"])
    return None


def _one_class_labels(area: data.Performance) -> bool:
    return (area.labelled or 0) > 1 and area.estimate is not None and area.realised is None


def _settled(row: Row) -> tuple[bool, Window, int]:
    """Order rows by window, then by records; the running window counts if there is no other."""
    return (not row["window"].running, row["window"], row["count"])


def _where(rows: Sequence[Row], **values: Any) -> list[Row]:  # noqa: ANN401 - of any column
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def _distances(
    drift: Row, chance: float, max_categories: float = math.inf
) -> tuple[float | None, float | None, float | None]:
    """Return the distance of a row of `drift_metrics`, its part beyond chance, and the p-value."""
    distance = _finite(drift["js_distance"])
    test = drift["ks_test" if distance is None else "chi_squared_test"] or {}
    statistic, pvalue = _finite(test.get("statistic")), _finite(test.get("pvalue"))
    if distance is None and (distance := statistic) is None:
        return None, None, pvalue
    if statistic is None or pvalue is None or pvalue >= chance:
        return distance, 0.0, pvalue
    if drift["js_distance"] is None:
        return distance, distance - ks_by_chance(distance, pvalue), pvalue
    by_chance = js_by_chance(distance, statistic, pvalue, max_categories)
    return distance, distance - by_chance, pvalue


def _drift_rank(drift: data.ColumnDrift | None) -> tuple[bool, float, bool]:
    """Order by the distance beyond chance, then by alert; columns without a rule come last."""
    if drift is None or drift.excess is None:
        return (False, -1.0, False)
    return (drift.watched, drift.excess, drift.severity is not None)


def _performances(
    profile: Sequence[Row], baseline: Sequence[Row], estimates: Sequence[Row]
) -> Performances:
    """Join estimates with the profile, which has the values that estimates lack."""
    baselines = {(row["slice_key"], row["slice_value"]): _realised(row) for row in baseline}
    found: Performances = defaultdict(data.Performance)
    for row in profile:
        part = (row["slice_key"], row["slice_value"])
        for metric, realised in _realised(row).items():
            base = baselines.get(part, {}).get(metric)
            performance = data.Performance(realised=realised, baseline=base, records=row["count"])
            found[row["window"], *part, metric] = performance
    for row in estimates:
        key = (row["window"], row["slice_key"], row["slice_value"], row["metric"])
        names = ("estimate", "low", "high", "realised", "baseline", "records", "labelled")
        known = {name: row[name] for name in names if _finite(row[name]) is not None}
        found[key] = replace(found[key], **known)
    return found


def _realised(row: Row) -> dict[str, float | None]:
    area = ((row["roc_auc_score"] or {}).get("one_vs_one") or {}).get("weighted")
    return {
        "roc_auc": _finite(area),
        "accuracy": _finite(row["accuracy_score"]),
        "log_loss": _finite(row["log_loss"]),
    }


def _of_class(measure: Row | None, name: str) -> float | None:
    """Return the value for a class of a map by class."""
    return _finite(dict((measure or {}).get("one_vs_all") or ()).get(name))


def _alerts(table: pa.Table, options: ReportingOptions) -> data.Alerts:
    rows = table.to_pylist()
    rows.sort(key=lambda row: (row["since"], row["alert_id"]), reverse=True)
    rows.sort(key=_alert_rank)
    shown, omitted = rows[: options.max_alerts], rows[options.max_alerts :]
    return data.Alerts(shown, len(omitted), lifecycle.firing(table))


def _alert_rank(row: Row) -> tuple[int, int]:
    """Order by state, and by severity unless resolved."""
    resolved = row["state"] == lifecycle.RESOLVED
    # Another program or a newer version may have written a state that is not known here.
    state = _STATES.index(row["state"]) if row["state"] in _STATES else 0
    return state, 0 if resolved else -severity_rank(row["severity"])


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
