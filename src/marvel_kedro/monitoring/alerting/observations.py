"""The value of a rule's metric in each window, by the subject of the alert."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import compress, starmap
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.model.metrics import Flags
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import expressions
from marvel_kedro.monitoring.alerting.multiple_testing import holm_by_group
from marvel_kedro.monitoring.alerting.rules import SCHEMAS, AlertingOptions, Rule, Table

Metrics = Mapping[Table, pa.Table]

ENTITY = "served_entity_name"
"""`slice_key` of an alert about a served entity."""

_COMPARISONS = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}
_COUNTS = ("requests", "answered", "refused", "throttled", "failed", "unread")
_LONGEST_GAP = 10_000
"""Windows without requests that are added at most: a client with a wrong clock may send 1970."""


class Subject(NamedTuple):
    """The subject of an alert; None where the alert covers all values."""

    model_version: str | None
    slice_key: str | None
    slice_value: str | None
    column_name: str = tables.TABLE


class Observation(NamedTuple):
    """A rule's metric in the window from `start` to `end`, exclusive."""

    start: datetime
    end: datetime
    value: float
    pvalue: float | None  # None without a test
    adjusted_pvalue: float | None  # over all columns
    tests: int  # number of p-values that it was adjusted over
    fires: bool  # the condition of the rule is met


def rule_rows(rule: Rule, metrics: Metrics, now: datetime) -> pa.Table:
    """Select the rows of complete windows that a rule applies to, with `start` and `end`."""
    rows = _select(rule, rule.table, metrics).filter(pc.field("end") <= pa.scalar(now, tables.TIME))
    if rule.table == "health_metrics" and rule.by == "endpoint":
        return _endpoint_totals(rows, now)
    return rows


def observe(
    rule: Rule, rows: pa.Table, metrics: Metrics, options: AlertingOptions, label: str
) -> dict[Subject, list[Observation]]:
    """Evaluate a rule's metric and test on the rows of `rule_rows`.

    Returns:
        Observations by subject, in any order. Windows without a value or with too few records are
        left out.
    """
    value = expressions.values(rule.metric, rows)
    usable = ~np.isnan(value) & has_records(rule, rows, metrics) & _has_column(rule, rows, label)
    fires = _COMPARISONS[rule.comparison](value, rule.threshold)
    pvalue, adjusted = np.full((2, len(rows)), np.nan)
    tests = np.zeros(len(rows), dtype=np.int64)
    if rule.test is not None:
        pvalue = expressions.values(rule.test, rows)
        # One family: all columns (and slices, if checked) of a window and model version.
        adjusted, tests = holm_by_group(pvalue, _keys(rows, "start", "end", "model_version"))
        usable &= ~np.isnan(pvalue) | ~fires  # below the threshold no test can make it fire
        fires &= adjusted <= options.alpha
    figures = (value, pvalue, adjusted, tests, fires)
    measured = [pa.array(each, from_pandas=True) for each in figures]  # NaN becomes null
    observed = pa.table([rows["start"], rows["end"], *measured], Observation._fields)
    observations = map(Observation._make, _keys(observed, *Observation._fields))
    found: dict[Subject, list[Observation]] = defaultdict(list)
    pairs = zip(_subjects(rule, rows), observations, strict=True)
    for subject, observation in compress(pairs, usable):
        found[subject].append(observation)
    return found


def _select(rule: Rule, table: Table, metrics: Metrics) -> pa.Table:
    schema = SCHEMAS[table]
    rows = tables.conform(metrics.get(table, schema.empty_table()), schema)
    for edge in ("start", "end"):
        rows = rows.append_column(edge, pc.struct_field(rows["window"], edge))
    selected = pc.field("granularity") == rule.granularity
    if table == "drift_metrics":
        selected &= pc.field("drift_type") == rule.drift_type
    if table == "profile_metrics":
        selected &= pc.field("log_type") == tables.INPUT
    if table == "quality_estimates":
        selected &= pc.field("metric") == rule.estimate_of
    if table != "health_metrics" and not rule.slices:
        selected &= pc.field("slice_key").is_null()
    return rows.filter(selected)


def _endpoint_totals(rows: pa.Table, now: datetime) -> pa.Table:
    """Add up the counts of all entities, and add the windows without requests.

    Empty months and years may be slightly off, since they are not of one length.
    """
    sums = rows.group_by(["start", "end"]).aggregate([(name, "sum") for name in _COUNTS])
    sums = sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names])
    windows = sorted(_keys(sums, "start", "end"))
    following = [*(start for start, _ in windows), now][1:]
    empty = [
        {"start": start, "end": end} | dict.fromkeys(_COUNTS, 0)
        for window, until in zip(windows, following, strict=True)
        for start, end in _windows_between(*window, until=until)
    ]
    sums = pa.concat_tables([sums, pa.Table.from_pylist(empty, sums.schema)])
    totals = tables.conform(sums, SCHEMAS["health_metrics"])
    return totals.append_column("start", sums["start"]).append_column("end", sums["end"])


def _windows_between(
    start: datetime, end: datetime, *, until: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the last windows of the same length that fit between a window and a time."""
    length = end - start
    room = (until - end) // length
    for number in range(max(0, room - _LONGEST_GAP), room):
        yield end + number * length, end + (number + 1) * length


def has_records(rule: Rule, rows: pa.Table, metrics: Metrics) -> Flags:
    """Return true for the rows of `rule_rows` with enough records for the rule."""
    if not rule.min_records:
        return np.ones(len(rows), dtype=bool)
    if rule.table != "drift_metrics":
        return expressions.values(rule.records_column, rows) >= rule.min_records
    # Drift rows have no record count; the profile of the column has it. Where the profile is
    # missing, a false alarm is better than a hidden drift.
    names = ("start", "end", *Subject._fields)
    profile = _select(rule, "profile_metrics", metrics)
    counts = dict(zip(_keys(profile, *names), profile["count"].to_pylist(), strict=True))
    known = [counts.get(key, rule.min_records) for key in _keys(rows, *names)]
    return np.greater_equal(known, rule.min_records)


def _has_column(rule: Rule, rows: pa.Table, label: str) -> Flags:
    if "column_name" not in rows.column_names:
        return np.ones(len(rows), dtype=bool)
    names = rows["column_name"].to_pylist()
    # Labels are null until they arrive.
    inputs = set(names) - {tables.TABLE, label}
    chosen = inputs if rule.columns == "all" else rule.columns
    return np.array([name in chosen for name in names], dtype=bool)


def _subjects(rule: Rule, rows: pa.Table) -> Iterator[Subject]:
    if rule.table == "health_metrics":
        for version, entity in _keys(rows, "model_version", ENTITY):
            yield Subject(version, None if entity is None else ENTITY, entity)
    else:
        names = [name for name in Subject._fields if name in rows.column_names]
        yield from starmap(Subject, _keys(rows, *names))


def _keys(rows: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(rows[name].to_pylist() for name in names), strict=True)
