"""Gauges of the newest complete windows, as samples of metric families.

- Every metric is a gauge: a figure of a window does not accumulate.
- Each granularity has one newest complete window over all tables. A figure that this window lacks
  is not exported; no older window replaces it.
- Labels arrive late, so realised performance is that of the newest window with enough labels.
- Slices are not exported: their values would be labels of unbounded cardinality.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.monitoring.alerting.lifecycle import ACKNOWLEDGED, OPEN, SILENCED
from marvel_kedro.monitoring.alerting.rules import SEVERITIES
from marvel_kedro.monitoring.names import shown
from marvel_kedro.monitoring.options import ExportingOptions
from marvel_kedro.monitoring.tables import BASELINE, INPUT, TABLE, TIME


class Family(NamedTuple):
    """A metric family."""

    name: str  # after the Prometheus conventions: the suffix is the base unit
    description: str  # one sentence, the family's HELP text
    labels: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Return the unit in OpenTelemetry notation, empty for none."""
        return {"seconds": "s", "ratio": "1"}.get(self.name.rpartition("_")[2], "")


class Sample(NamedTuple):
    """A value of a metric family."""

    family: Family
    labels: tuple[str, ...]  # values of the family's labels, in their order
    value: float  # finite or infinite, never NaN


@dataclass(frozen=True)
class Exported:
    """Exported samples and the time of the run that they describe."""

    at: datetime
    samples: tuple[Sample, ...]


def _families(text: str) -> tuple[Family, ...]:
    """Read families that are written like `name{label, ..}: description`.

    A long description is in an indented line of its own.

    Raises:
        ValueError: A family is not written like that.
    """
    families = []
    for entry in re.split(r"\n(?! )", text.strip()):
        found = re.fullmatch(r"(\w+)(?:{([\w, ]+)})?:\s+(.+)", entry)
        if found is None:
            raise ValueError(entry)
        name, labels, description = found.groups(default="")
        families.append(Family(name, description, tuple(re.findall(r"\w+", labels))))
    return tuple(families)


FAMILIES = _families("""
marvel_monitoring_run_timestamp_seconds: When the metrics were made.
marvel_monitoring_dropped_series: Samples beyond max_series, left out.
marvel_monitoring_alerts{severity, state}: Alerts that are not resolved, by severity and state.
marvel_monitoring_alerts_open{rule, severity, model_version}:
    Alerts of a rule that are neither acknowledged, silenced nor resolved.
marvel_monitoring_last_complete_window_timestamp_seconds{granularity}:
    End of the newest complete window.
marvel_monitoring_window_length_seconds{granularity}: Length of the newest complete window.
marvel_monitoring_last_labelled_window_timestamp_seconds{granularity, model_version}:
    End of the newest complete window with enough labels.
marvel_monitoring_quality{metric, source, granularity, model_version}:
    Quality: estimated before labels (with its interval), by labels, or of the baseline.
marvel_monitoring_requests{outcome, granularity, served_entity, model_version}:
    Requests of the window: answered, refused (4xx), throttled (429) or failed (5xx).
marvel_monitoring_unread_requests{granularity, served_entity, model_version}:
    Answered requests of the window of which no record can be read.
marvel_monitoring_records{granularity, served_entity, model_version}:
    Scored records of the window.
marvel_monitoring_labelled_records{granularity, served_entity, model_version}:
    Scored records of the window with a label.
marvel_monitoring_latency_seconds{percentile, granularity, served_entity, model_version}:
    Duration of the answered requests of the window, by percentile.
marvel_monitoring_drift{column, statistic, drift_type, granularity, model_version}:
    Distance of a column from the baseline or from the window before.
marvel_monitoring_drift_pvalue{column, test, drift_type, granularity, model_version}:
    How often chance alone is as far apart, not adjusted for the number of columns.
marvel_monitoring_column_null_ratio{granularity, model_version, column}:
    Share of rows without a value.
marvel_monitoring_column_mean{granularity, model_version, column}: Mean of a column of numbers.
marvel_monitoring_column_distinct_values{granularity, model_version, column}: Distinct values.
""")
"""By descending priority: samples beyond `max_series` are dropped from the end."""

_BY_NAME = {family.name.removeprefix("marvel_monitoring_"): family for family in FAMILIES}
RUN, DROPPED = _BY_NAME["run_timestamp_seconds"], _BY_NAME["dropped_series"]

_Figure = tuple[str, str, dict[str, str]]
"""Name of the family, column of the value, and the labels that are not columns themselves."""

_OUTCOMES = ("answered", "refused", "throttled", "failed")
_OPERATIONAL: list[_Figure] = [
    *(("requests", name, {"outcome": name}) for name in _OUTCOMES),
    ("unread_requests", "unread", {}),
    ("records", "records", {}),
    ("labelled_records", "labelled", {}),
    *(("latency_seconds", f"latency_p{n}_ms", {"percentile": str(n)}) for n in (50, 95, 99)),
]
_DISTANCES = (
    *("js_distance", "tv_distance", "l_infinity_distance"),
    *("wasserstein_distance", "population_stability_index"),
)
_TESTS = ("ks", "chi_squared")
_DRIFT: list[_Figure] = [
    *(("drift", name, {"statistic": name}) for name in _DISTANCES),
    *(("drift", f"{test}_test.statistic", {"statistic": f"{test}_statistic"}) for test in _TESTS),
    *(("drift_pvalue", f"{test}_test.pvalue", {"test": test}) for test in _TESTS),
]
_COLUMN: list[_Figure] = [
    ("column_null_ratio", "percent_null", {}),
    ("column_mean", "avg", {}),
    ("column_distinct_values", "distinct_count", {}),
]
_ESTIMATED: list[_Figure] = [
    ("quality", "estimate", {"source": "estimate"}),
    *(("quality", name, {"source": f"estimate_{name}"}) for name in ("low", "high")),
]
_AVERAGED = ("precision", "recall", "f1_score")  # weighted by class
_REALISED: list[_Figure] = [
    ("quality", "accuracy_score", {"metric": "accuracy"}),
    ("quality", "log_loss", {"metric": "log_loss"}),
    ("quality", "roc_auc_score.one_vs_one.weighted", {"metric": "roc_auc"}),
    *(("quality", f"{name}.weighted", {"metric": name}) for name in _AVERAGED),
]
_DIVISORS = {"latency_seconds": 1000, "column_null_ratio": 100}
"""From milliseconds and percent to the base unit."""
_LABEL_COLUMNS = {"served_entity": "served_entity_name", "column": "column_name"}

Row = dict[str, Any]
Newest = Mapping[str, tuple[datetime, datetime]]
"""Start and end of the newest complete window by granularity."""
_Value = tuple[str, tuple[str, ...], float | None]
"""Name of the family, values of its labels, and the value; None is not exported."""


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
    # Flattened, members are columns such as `window.start` and `roc_auc_score.one_vs_one.weighted`.
    health, *sliced = (table.flatten().flatten() for table in (health, profile, drift, estimates))
    profiles, drifts, estimated = (rows.filter(pc.field("slice_key").is_null()) for rows in sliced)
    inputs = profiles.filter(pc.field("log_type") == INPUT)
    newest = _newest_windows([health, inputs, drifts, estimated], now)
    of_column = pc.field("column_name") != TABLE
    values = [
        *_alert_values(alerts.to_pylist()),
        *_window_values(newest),
        *_values(_rows_at(health, newest), _OPERATIONAL),
        *_values(_rows_at(drifts.filter(of_column), newest), _DRIFT),
        *_values(_rows_at(inputs.filter(of_column), newest), _COLUMN),
        *_values(_rows_at(estimated, newest), _ESTIMATED),
        *_realised_values(profiles, inputs, newest, options.min_labelled, now),
    ]
    found = {
        (_BY_NAME[name], labels): value / _DIVISORS.get(name, 1)
        for name, labels, value in values
        if value is not None and not math.isnan(value)
    }
    ordered = sorted(found, key=lambda series: (FAMILIES.index(series[0]), series[1]))
    kept = ordered[: options.max_series - 2]
    samples = [
        Sample(RUN, (), now.timestamp()),
        Sample(DROPPED, (), float(len(ordered) - len(kept))),
        *(Sample(*series, found[series]) for series in kept),
    ]
    return Exported(now, tuple(samples))


def _newest_windows(tables: Iterable[pa.Table], now: datetime) -> Newest:
    names = ["granularity", "window.start", "window.end"]
    windows = pa.concat_tables(table.select(names) for table in tables)
    complete = windows.filter(pc.field("window.end") <= pa.scalar(now, TIME))
    latest = complete.group_by("granularity").aggregate([(name, "max") for name in names[1:]])
    return {
        row["granularity"]: (row["window.start_max"], row["window.end_max"])
        for row in latest.sort_by("granularity").to_pylist()
    }


def _rows_at(table: pa.Table, newest: Newest) -> list[Row]:
    conditions = (
        (pc.field("granularity") == granularity) & (pc.field("window.start") == start)
        for granularity, (start, _) in newest.items()
    )
    return [row for condition in conditions for row in table.filter(condition).to_pylist()]


def _values(rows: Iterable[Row], figures: Sequence[_Figure]) -> Iterator[_Value]:
    for row, (name, column, fixed) in product(rows, figures):
        labels = (
            shown(fixed.get(label) or row[_LABEL_COLUMNS.get(label, label)] or "")
            for label in _BY_NAME[name].labels
        )
        yield name, tuple(labels), row[column]


def _alert_values(rows: Sequence[Row]) -> Iterator[_Value]:
    """Yield every severity and state, zeros included: zero differs from missing."""
    states = Counter((row["severity"], row["state"]) for row in rows)
    for labels in product(SEVERITIES, (OPEN, ACKNOWLEDGED, SILENCED)):
        yield "alerts", labels, states[labels]
    rules = Counter(
        (row["rule"], row["severity"], row["model_version"] or "")
        for row in rows
        if row["state"] == OPEN
    )
    yield from (("alerts_open", labels, number) for labels, number in rules.items())


def _window_values(newest: Newest) -> Iterator[_Value]:
    for granularity, (start, end) in newest.items():
        yield "last_complete_window_timestamp_seconds", (granularity,), end.timestamp()
        yield "window_length_seconds", (granularity,), (end - start).total_seconds()


def _realised_values(
    profiles: pa.Table, inputs: pa.Table, newest: Newest, min_labelled: int, now: datetime
) -> Iterator[_Value]:
    """Yield realised performance of the versions in the newest windows and of their baselines."""
    has_labels = (pc.field("column_name") == TABLE) & pc.field("accuracy_score").is_valid()
    is_complete = pc.field("window.end") <= pa.scalar(now, TIME)
    realised = {
        _version(row): row | {"source": "realised"}  # the newest row wins
        for row in inputs.filter(has_labels & is_complete).sort_by("window.start").to_pylist()
        if sum(cell["count"] or 0 for cell in row["confusion_matrix"] or () if cell) >= min_labelled
    }
    of_baselines = profiles.filter(has_labels & (pc.field("log_type") == BASELINE)).to_pylist()
    baselines = {row["model_version"] or "": row | {"source": "baseline"} for row in of_baselines}
    for granularity, model in sorted({_version(row) for row in _rows_at(inputs, newest)}):
        if row := realised.get((granularity, model)):
            end = row["window.end"].timestamp()
            yield "last_labelled_window_timestamp_seconds", (granularity, model), end
            yield from _values([row], _REALISED)
        if row := baselines.get(model):
            yield from _values([row | {"granularity": granularity}], _REALISED)


def _version(row: Row) -> tuple[str, str]:
    return row["granularity"], row["model_version"] or ""
