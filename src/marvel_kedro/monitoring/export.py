"""Figures of the newest windows, as samples of metrics and in Prometheus' text format.

All are gauges: what is true of a window does not count up. Of each granularity there is the newest
window that is complete, whichever table has it; a figure that this window lacks is not there, and
no older one stands in for it. Labels come late, so what they say is of the newest window of which
enough are known. Slices stay in the tables: their values would be labels without a bound.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
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
    """Samples that have a name in common.

    Attributes:
        name: By the conventions of Prometheus: the unit, a base unit, comes last.
        meaning: One sentence.
        labels: Names of the labels.
    """

    name: str
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """In the notation of OpenTelemetry; empty for what has none."""
        return {"seconds": "s", "ratio": "1"}.get(self.name.rpartition("_")[2], "")


class Sample(NamedTuple):
    """A figure.

    Attributes:
        family: What it is.
        labels: Values of the family's labels, in their order.
        value: May be infinite, is never NaN.
    """

    family: Family
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True)
class Exported:
    """What is told to the world outside, and when it was true."""

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
QUALITY = Family(
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
    *(RUN, DROPPED, ALERTS, ALERTS_OPEN, WINDOW_END, WINDOW_LENGTH, LABELLED_END, QUALITY),
    *(REQUESTS, UNREAD, RECORDS, LABELLED, LATENCY, DRIFT, PVALUE, NULLS, MEAN, DISTINCT),
)
"""In the order in which they are kept if there are too many samples."""

STATES = (OPEN, ACKNOWLEDGED, SILENCED)
"""Of alerts that are not resolved."""

OUTCOMES = ("answered", "refused", "throttled", "failed")
PERCENTILES = {"latency_p50_ms": "50", "latency_p95_ms": "95", "latency_p99_ms": "99"}
DISTANCES = (
    *("js_distance", "tv_distance", "l_infinity_distance"),
    *("wasserstein_distance", "population_stability_index"),
)
TESTS = {"ks_test": "ks", "chi_squared_test": "chi_squared"}

_BY_LABELS = {
    "accuracy": ("accuracy_score",),
    "log_loss": ("log_loss",),
    "roc_auc": ("roc_auc_score", "one_vs_one", "weighted"),
    "precision": ("precision", "weighted"),
    "recall": ("recall", "weighted"),
    "f1_score": ("f1_score", "weighted"),
}
"""By our name of a metric where it is in `profile_metrics`; averages are weighted by class."""

_ESTIMATED = {"estimate": "estimate", "estimate_low": "low", "estimate_high": "high"}

Row = Mapping[str, Any]
Newest = Mapping[str, tuple[datetime, datetime]]
"""By granularity the start and the end of its newest complete window."""


def export(  # noqa: PLR0913, PLR0917 - one a table
    health: pa.Table,
    profile: pa.Table,
    drift: pa.Table,
    estimates: pa.Table,
    alerts: pa.Table,
    options: ExportingOptions,
    now: datetime,
) -> Exported:
    """Take the figures of the newest windows out of the tables.

    Args:
        health: `tables.HEALTH_METRICS`.
        profile: `tables.PROFILE_METRICS`, of which baselines have no window.
        drift: `tables.DRIFT_METRICS`.
        estimates: `tables.QUALITY_ESTIMATES`.
        alerts: `tables.ALERTS`.
        options: How much.
        now: Windows that end later are not complete.

    Returns:
        One sample at most of each family and labels, in the order of `FAMILIES`.
    """
    profiles, drifts, estimated = (_overall(table) for table in (profile, drift, estimates))
    described = profiles.filter(pc.equal(profiles["log_type"], INPUT))
    newest = _newest([health, described, drifts, estimated], now)
    found = [
        *_of_alerts(alerts.to_pylist()),
        *_of_windows(newest),
        *_of_health(_at(health, newest)),
        *_of_drift(_at(drifts, newest)),
        *_of_columns(_at(described, newest)),
        *_of_estimates(_at(estimated, newest)),
        *_of_labels(profiles, described, newest, options.min_labelled, now),
    ]
    return Exported(now, _bounded(found, options.max_series, now))


def render(exported: Exported) -> str:
    """Write samples as Prometheus reads them: the text format 0.0.4, without times.

    https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
    """
    lines: list[str] = []
    for family, samples in groupby(exported.samples, key=lambda sample: sample.family):
        lines.append(f"# HELP {family.name} {_escaped(family.meaning)}")
        lines.append(f"# TYPE {family.name} gauge")
        for sample in samples:
            labels = ",".join(
                f'{name}="{_quoted(value)}"'
                for name, value in zip(family.labels, sample.labels, strict=True)
            )
            shown = f"{{{labels}}}" if labels else ""
            lines.append(f"{family.name}{shown} {_number(sample.value)}")
    return "".join(f"{line}\n" for line in lines)


def _overall(table: pa.Table) -> pa.Table:
    """The rows that are not about a slice."""
    return table.filter(pc.is_null(table["slice_key"]))


def _with_times(table: pa.Table) -> pa.Table:
    """With the start and the end of the window as columns."""
    return table.append_column("start", pc.struct_field(table["window"], "start")).append_column(
        "end", pc.struct_field(table["window"], "end")
    )


def _complete(table: pa.Table, now: datetime) -> pa.Table:
    """The rows of windows that are over, with their times."""
    return _with_times(table).filter(pc.field("end") <= pa.scalar(now, TIME))


def _newest(tables: Iterable[pa.Table], now: datetime) -> Newest:
    windows = pa.concat_tables(
        _complete(table, now).select(["granularity", "start", "end"]) for table in tables
    )
    latest = windows.group_by("granularity").aggregate([("start", "max"), ("end", "max")])
    return {
        row["granularity"]: (row["start_max"], row["end_max"])
        for row in latest.sort_by("granularity").to_pylist()
    }


def _at(table: pa.Table, newest: Newest) -> list[Row]:
    """The rows of the newest windows."""
    known = _with_times(table)
    return [
        row
        for granularity, (start, _) in newest.items()
        for row in known.filter(
            (pc.field("granularity") == granularity) & (pc.field("start") == pa.scalar(start, TIME))
        ).to_pylist()
    ]


def _of_alerts(rows: Sequence[Row]) -> Iterator[Sample]:
    """All severities and states, from zero on: what is 0 and what is not told are two things."""
    unresolved = [(row["severity"], row["state"]) for row in rows if row["state"] in STATES]
    for severity in SEVERITIES:
        for state in STATES:
            yield from _sample(ALERTS, (severity, state), unresolved.count((severity, state)))
    rules = [(row["rule"], row["severity"]) for row in rows if row["state"] == OPEN]
    for rule in sorted(set(rules)):
        yield from _sample(ALERTS_OPEN, rule, rules.count(rule))


def _of_windows(newest: Newest) -> Iterator[Sample]:
    for granularity, (start, end) in newest.items():
        yield Sample(WINDOW_END, (granularity,), end.timestamp())
        yield Sample(WINDOW_LENGTH, (granularity,), (end - start).total_seconds())


def _of_health(rows: Iterable[Row]) -> Iterator[Sample]:
    for row in rows:
        entity = (row["granularity"], row["served_entity_name"] or "", row["model_version"] or "")
        for outcome in OUTCOMES:
            yield from _sample(REQUESTS, (outcome, *entity), row[outcome])
        yield from _sample(UNREAD, entity, row["unread"])
        yield from _sample(RECORDS, entity, row["records"])
        yield from _sample(LABELLED, entity, row["labelled"])
        for name, percentile in PERCENTILES.items():
            if row[name] is not None:
                yield from _sample(LATENCY, (percentile, *entity), row[name] / 1000)


def _of_drift(rows: Iterable[Row]) -> Iterator[Sample]:
    for row in rows:
        if row["column_name"] == TABLE:
            continue
        column, compared = row["column_name"], (row["drift_type"], *_version(row))
        for name in DISTANCES:
            yield from _sample(DRIFT, (column, name, *compared), row[name])
        for name, test in TESTS.items():
            statistic = (column, f"{test}_statistic", *compared)
            yield from _sample(DRIFT, statistic, _within(row, (name, "statistic")))
            yield from _sample(PVALUE, (column, test, *compared), _within(row, (name, "pvalue")))


def _of_columns(rows: Iterable[Row]) -> Iterator[Sample]:
    for row in rows:
        if row["column_name"] == TABLE:
            continue
        labels = (*_version(row), row["column_name"])
        if row["percent_null"] is not None:
            yield from _sample(NULLS, labels, row["percent_null"] / 100)
        yield from _sample(MEAN, labels, row["avg"])
        yield from _sample(DISTINCT, labels, row["distinct_count"])


def _of_estimates(rows: Iterable[Row]) -> Iterator[Sample]:
    for row in rows:
        for source, name in _ESTIMATED.items():
            yield from _sample(QUALITY, (row["metric"], source, *_version(row)), row[name])


def _of_labels(
    profiles: pa.Table, described: pa.Table, newest: Newest, least: int, now: datetime
) -> Iterator[Sample]:
    """What labels say of the versions that the newest windows have, and of their baselines."""
    is_quality = (pc.field("column_name") == TABLE) & pc.field("accuracy_score").is_valid()
    windows = _complete(described.filter(is_quality), now)
    windows = windows.filter(pa.array(_labelled(windows) >= least)).sort_by("start")
    realised = {_version(row): row for row in windows.to_pylist()}  # the newest stays
    is_baseline = is_quality & (pc.field("log_type") == BASELINE)
    baselines = {
        row["model_version"] or "": row for row in profiles.filter(is_baseline).to_pylist()
    }
    for version in sorted({_version(row) for row in _at(described, newest)}):
        if version in realised:
            yield Sample(LABELLED_END, version, realised[version]["end"].timestamp())
            yield from _quality("realised", version, realised[version])
        if version[1] in baselines:
            yield from _quality("baseline", version, baselines[version[1]])


def _quality(source: str, version: tuple[str, str], row: Row) -> Iterator[Sample]:
    for metric, path in _BY_LABELS.items():
        yield from _sample(QUALITY, (metric, source, *version), _within(row, path))


def _labelled(rows: pa.Table) -> Floats:
    """Labelled records of each row: what its confusion matrix adds up to, shape (rows,)."""
    cells = rows["confusion_matrix"].combine_chunks()
    counts = pc.struct_field(pc.list_flatten(cells), "count").to_numpy(zero_copy_only=False)
    row = pc.list_parent_indices(cells).to_numpy()
    return np.bincount(row, counts.astype(np.float64), minlength=len(rows)).astype(np.float64)


def _version(row: Row) -> tuple[str, str]:
    return row["granularity"], row["model_version"] or ""


def _within(row: Row, path: Sequence[str]) -> float | None:
    """A member of a member; None if there is none on the way."""
    found: Any = row
    for name in path:
        found = None if found is None else found[name]
    return found


def _sample(family: Family, labels: tuple[str, ...], value: float | None) -> Iterator[Sample]:
    if value is not None and not math.isnan(value):
        yield Sample(family, labels, float(value))


def _bounded(found: Iterable[Sample], most: int, now: datetime) -> tuple[Sample, ...]:
    by_series = {(sample.family, sample.labels): sample for sample in found}
    order = {family: place for place, family in enumerate(FAMILIES)}
    samples = sorted(by_series.values(), key=lambda sample: (order[sample.family], sample.labels))
    kept = samples[: most - 2]
    return (
        Sample(RUN, (), now.timestamp()),
        Sample(DROPPED, (), float(len(samples) - len(kept))),
        *kept,
    )


def _number(value: float) -> str:
    """As Go's ParseFloat, by which Prometheus reads it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')
