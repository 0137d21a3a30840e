"""Gauges of the newest complete windows, as samples of metric families.

- Every metric is a gauge: a figure of a window does not accumulate.
- Each granularity has one newest complete window over all tables. A figure that this window lacks
  is not exported; no older window replaces it.
- Labels arrive late, so realised performance is that of the newest window with enough labels.
- Slices are not exported: their values would be labels of unbounded cardinality.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.alerting.lifecycle import ACKNOWLEDGED, OPEN, SILENCED
from marvel_kedro.monitoring.alerting.rules import SEVERITIES
from marvel_kedro.monitoring.options import ExportingOptions
from marvel_kedro.monitoring.tables import BASELINE, INPUT, TABLE, TIME


class Family(NamedTuple):
    """A metric family.

    Attributes:
        name: After the Prometheus conventions: the suffix is the base unit.
        description: One sentence, the family's HELP text.
        labels: Names of the labels.
    """

    name: str
    description: str
    labels: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Return the unit in OpenTelemetry notation, empty for none."""
        return {"seconds": "s", "ratio": "1"}.get(self.name.rpartition("_")[2], "")


class Sample(NamedTuple):
    """A value of a metric family.

    Attributes:
        family: The metric family.
        labels: Values of the family's labels, in their order.
        value: Finite or infinite, never NaN.
    """

    family: Family
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True)
class Exported:
    """Exported samples and the time of the run that they describe."""

    at: datetime
    samples: tuple[Sample, ...]


_WINDOW = ("granularity",)
_VERSION = ("granularity", "model_version")
_ENTITY = ("granularity", "served_entity", "model_version")
_COLUMN = ("granularity", "model_version", "column")

RUN = Family("marvel_monitoring_run_timestamp_seconds", "When the metrics were made.")
DROPPED = Family("marvel_monitoring_dropped_series", "Samples beyond max_series, left out.")
ALERTS = Family(
    "marvel_monitoring_alerts",
    "Alerts that are not resolved, by severity and state.",
    ("severity", "state"),
)
ALERTS_OPEN = Family(
    "marvel_monitoring_alerts_open",
    "Alerts of a rule that are neither acknowledged, silenced nor resolved.",
    ("rule", "severity"),
)
WINDOW_END = Family(
    "marvel_monitoring_last_complete_window_timestamp_seconds",
    "End of the newest complete window.",
    _WINDOW,
)
WINDOW_LENGTH = Family(
    "marvel_monitoring_window_length_seconds", "Length of the newest complete window.", _WINDOW
)
LABELLED_END = Family(
    "marvel_monitoring_last_labelled_window_timestamp_seconds",
    "End of the newest complete window with enough labels.",
    _VERSION,
)
PERFORMANCE = Family(
    "marvel_monitoring_quality",
    "Quality: estimated before labels (with its interval), by labels, or of the baseline.",
    ("metric", "source", *_VERSION),
)
REQUESTS = Family(
    "marvel_monitoring_requests",
    "Requests of the window: answered, refused (4xx), throttled (429) or failed (5xx).",
    ("outcome", *_ENTITY),
)
UNREAD = Family(
    "marvel_monitoring_unread_requests",
    "Answered requests of the window of which no record can be read.",
    _ENTITY,
)
RECORDS = Family("marvel_monitoring_records", "Scored records of the window.", _ENTITY)
LABELLED = Family(
    "marvel_monitoring_labelled_records", "Scored records of the window with a label.", _ENTITY
)
LATENCY = Family(
    "marvel_monitoring_latency_seconds",
    "Duration of the answered requests of the window, by percentile.",
    ("percentile", *_ENTITY),
)
DRIFT = Family(
    "marvel_monitoring_drift",
    "Distance of a column from the baseline or from the window before.",
    ("column", "statistic", "drift_type", *_VERSION),
)
PVALUE = Family(
    "marvel_monitoring_drift_pvalue",
    "How often chance alone is as far apart, not adjusted for the number of columns.",
    ("column", "test", "drift_type", *_VERSION),
)
NULLS = Family("marvel_monitoring_column_null_ratio", "Share of rows without a value.", _COLUMN)
MEAN = Family("marvel_monitoring_column_mean", "Mean of a column of numbers.", _COLUMN)
DISTINCT = Family("marvel_monitoring_column_distinct_values", "Distinct values.", _COLUMN)

FAMILIES = (
    *(RUN, DROPPED, ALERTS, ALERTS_OPEN, WINDOW_END, WINDOW_LENGTH, LABELLED_END, PERFORMANCE),
    *(REQUESTS, UNREAD, RECORDS, LABELLED, LATENCY, DRIFT, PVALUE, NULLS, MEAN, DISTINCT),
)
"""By descending priority: samples beyond `max_series` are dropped from the end."""

STATES = (OPEN, ACKNOWLEDGED, SILENCED)
"""Alert states other than resolved."""

OUTCOMES = ("answered", "refused", "throttled", "failed")
PERCENTILES = {"latency_p50_ms": "50", "latency_p95_ms": "95", "latency_p99_ms": "99"}
DISTANCES = (
    *("js_distance", "tv_distance", "l_infinity_distance"),
    *("wasserstein_distance", "population_stability_index"),
)
TESTS = {"ks_test": "ks", "chi_squared_test": "chi_squared"}

_REALISED = {
    "accuracy": ("accuracy_score",),
    "log_loss": ("log_loss",),
    "roc_auc": ("roc_auc_score", "one_vs_one", "weighted"),
    "precision": ("precision", "weighted"),
    "recall": ("recall", "weighted"),
    "f1_score": ("f1_score", "weighted"),
}
"""Path in `profile_metrics` by metric; averages are weighted by class."""

_ESTIMATED = {"estimate": "estimate", "estimate_low": "low", "estimate_high": "high"}

Row = Mapping[str, Any]
Newest = Mapping[str, tuple[datetime, datetime]]
"""Start and end of the newest complete window by granularity."""


def export(  # noqa: PLR0913, PLR0917 - one per table
    health: pa.Table,
    profile: pa.Table,
    drift: pa.Table,
    estimates: pa.Table,
    alerts: pa.Table,
    options: ExportingOptions,
    now: datetime,
) -> Exported:
    """Collect the samples of the newest windows that end before `now`.

    Returns:
        At most one sample per family and labels, in the order of `FAMILIES`.
    """
    profiles, drifts, estimated = (
        table.filter(pc.is_null(table["slice_key"])) for table in (profile, drift, estimates)
    )
    inputs = profiles.filter(pc.equal(profiles["log_type"], INPUT))
    newest = _newest_windows([health, inputs, drifts, estimated], now)
    samples = [
        *_alert_samples(alerts.to_pylist()),
        *_window_samples(newest),
        *_operational_samples(_rows_at(health, newest)),
        *_drift_samples(_rows_at(drifts, newest)),
        *_column_samples(_rows_at(inputs, newest)),
        *_estimate_samples(_rows_at(estimated, newest)),
        *_realised_samples(profiles, inputs, newest, options.min_labelled, now),
    ]
    return Exported(now, _limited(samples, options.max_series, now))


def _with_times(table: pa.Table) -> pa.Table:
    """Add `start` and `end` of the window as columns."""
    return table.append_column("start", pc.struct_field(table["window"], "start")).append_column(
        "end", pc.struct_field(table["window"], "end")
    )


def _complete(table: pa.Table, now: datetime) -> pa.Table:
    return _with_times(table).filter(pc.field("end") <= pa.scalar(now, TIME))


def _newest_windows(tables: Iterable[pa.Table], now: datetime) -> Newest:
    windows = pa.concat_tables(
        _complete(table, now).select(["granularity", "start", "end"]) for table in tables
    )
    latest = windows.group_by("granularity").aggregate([("start", "max"), ("end", "max")])
    return {
        row["granularity"]: (row["start_max"], row["end_max"])
        for row in latest.sort_by("granularity").to_pylist()
    }


def _rows_at(table: pa.Table, newest: Newest) -> list[Row]:
    timed = _with_times(table)
    return [
        row
        for granularity, (start, _) in newest.items()
        for row in timed.filter(
            (pc.field("granularity") == granularity) & (pc.field("start") == pa.scalar(start, TIME))
        ).to_pylist()
    ]


def _alert_samples(rows: Sequence[Row]) -> Iterator[Sample]:
    """Yield every severity and state, zeros included: zero differs from missing."""
    unresolved = [(row["severity"], row["state"]) for row in rows if row["state"] in STATES]
    for severity in SEVERITIES:
        for state in STATES:
            yield from _sample(ALERTS, (severity, state), unresolved.count((severity, state)))
    rules = [(row["rule"], row["severity"]) for row in rows if row["state"] == OPEN]
    for rule in sorted(set(rules)):
        yield from _sample(ALERTS_OPEN, rule, rules.count(rule))


def _window_samples(newest: Newest) -> Iterator[Sample]:
    for granularity, (start, end) in newest.items():
        yield Sample(WINDOW_END, (granularity,), end.timestamp())
        yield Sample(WINDOW_LENGTH, (granularity,), (end - start).total_seconds())


def _operational_samples(rows: Iterable[Row]) -> Iterator[Sample]:
    for row in rows:
        entity = (row["granularity"], row["served_entity_name"] or "", row["model_version"] or "")
        for outcome in OUTCOMES:
            yield from _sample(REQUESTS, (outcome, *entity), row[outcome])
        yield from _sample(UNREAD, entity, row["unread"])
        yield from _sample(RECORDS, entity, row["records"])
        yield from _sample(LABELLED, entity, row["labelled"])
        for name, percentile in PERCENTILES.items():
            yield from _sample(LATENCY, (percentile, *entity), row[name], scale=1000)


def _drift_samples(rows: Iterable[Row]) -> Iterator[Sample]:
    for row in rows:
        if row["column_name"] == TABLE:
            continue
        column, compared = row["column_name"], (row["drift_type"], *_version(row))
        for name in DISTANCES:
            yield from _sample(DRIFT, (column, name, *compared), row[name])
        for name, test in TESTS.items():
            statistic = (column, f"{test}_statistic", *compared)
            yield from _sample(DRIFT, statistic, _member(row, (name, "statistic")))
            yield from _sample(PVALUE, (column, test, *compared), _member(row, (name, "pvalue")))


def _column_samples(rows: Iterable[Row]) -> Iterator[Sample]:
    for row in rows:
        if row["column_name"] == TABLE:
            continue
        labels = (*_version(row), row["column_name"])
        yield from _sample(NULLS, labels, row["percent_null"], scale=100)
        yield from _sample(MEAN, labels, row["avg"])
        yield from _sample(DISTINCT, labels, row["distinct_count"])


def _estimate_samples(rows: Iterable[Row]) -> Iterator[Sample]:
    for row in rows:
        for source, name in _ESTIMATED.items():
            yield from _sample(PERFORMANCE, (row["metric"], source, *_version(row)), row[name])


def _realised_samples(
    profiles: pa.Table, inputs: pa.Table, newest: Newest, min_labelled: int, now: datetime
) -> Iterator[Sample]:
    """Yield realised performance of the versions in the newest windows and of their baselines."""
    has_labels = (pc.field("column_name") == TABLE) & pc.field("accuracy_score").is_valid()
    windows = _complete(inputs.filter(has_labels), now)
    windows = windows.filter(pa.array(_labelled(windows) >= min_labelled)).sort_by("start")
    realised = {_version(row): row for row in windows.to_pylist()}  # the newest row wins
    is_baseline = has_labels & (pc.field("log_type") == BASELINE)
    baselines = {
        row["model_version"] or "": row for row in profiles.filter(is_baseline).to_pylist()
    }
    for version in sorted({_version(row) for row in _rows_at(inputs, newest)}):
        sources = {"realised": realised.get(version), "baseline": baselines.get(version[1])}
        if row := sources["realised"]:
            yield Sample(LABELLED_END, version, row["end"].timestamp())
        for source, row in sources.items():
            for metric, path in _REALISED.items() if row else ():
                yield from _sample(PERFORMANCE, (metric, source, *version), _member(row, path))


def _labelled(rows: pa.Table) -> Floats:
    """Return the number of labelled records per row, the sum of its confusion matrix."""
    matrices = rows["confusion_matrix"].combine_chunks()
    counts = pc.struct_field(pc.list_flatten(matrices), "count").to_numpy(zero_copy_only=False)
    row = pc.list_parent_indices(matrices).to_numpy()
    return np.bincount(row, counts.astype(np.float64), minlength=len(rows)).astype(np.float64)


def _version(row: Row) -> tuple[str, str]:
    return row["granularity"], row["model_version"] or ""


def _member(row: Row | None, path: Sequence[str]) -> float | None:
    """Return a nested member, None if a struct on the path is null."""
    found: Any = row
    for name in path:
        found = None if found is None else found[name]
    return found


def _sample(
    family: Family, labels: tuple[str, ...], value: float | None, scale: float = 1
) -> Iterator[Sample]:
    """Yield a sample of `value / scale`, none for null and NaN."""
    if value is not None and not math.isnan(value):
        yield Sample(family, labels, value / scale)


def _limited(samples: Iterable[Sample], max_series: int, now: datetime) -> tuple[Sample, ...]:
    by_series = {(sample.family, sample.labels): sample for sample in samples}
    priority = {family: place for place, family in enumerate(FAMILIES)}
    ordered = sorted(by_series.values(), key=lambda one: (priority[one.family], one.labels))
    kept = ordered[: max_series - 2]
    return (
        Sample(RUN, (), now.timestamp()),
        Sample(DROPPED, (), float(len(ordered) - len(kept))),
        *kept,
    )
