"""From metrics to alerts: which rules fire, since when, and what people have done about it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.model.metrics import Flags, Floats
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import expressions
from marvel_kedro.monitoring.alerting.rules import SCHEMAS, AlertingOptions, Rule, Table

OPEN, ACKNOWLEDGED, SILENCED, RESOLVED = "open", "acknowledged", "silenced", "resolved"
ACKNOWLEDGE, SILENCE = "acknowledge", "silence"
ENTITY = "served_entity_name"
"""`slice_key` of an alert about a served entity."""

Metrics = Mapping[Table, pa.Table]
Row = dict[str, Any]

_COMPARISONS = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}
_WORDS = {">": "more than", ">=": "at least", "<": "less than", "<=": "at most"}
_COUNTS = ("requests", "answered", "refused", "throttled", "failed", "unread")


class Subject(NamedTuple):
    """What an alert of a rule is about; None where it is about all of them."""

    model_version: str | None
    slice_key: str | None
    slice_value: str | None
    column_name: str


class _Seen(NamedTuple):
    """What a rule saw in a window.

    Attributes:
        start: The first moment of the window.
        end: The first one after it.
        value: The metric.
        pvalue: As the test gave it; None without a test.
        adjusted: Over all columns.
        family: Over how many p-values it was adjusted.
        fires: Whether it is as the rule says.
    """

    start: datetime
    end: datetime
    value: float
    pvalue: float | None
    adjusted: float | None
    family: int
    fires: bool


@dataclass(frozen=True)
class _Episode:
    """Windows in a row in which a rule fires, in the order of time; `goes_on`: none came since."""

    windows: Sequence[_Seen]
    goes_on: bool

    @property
    def since(self) -> datetime:
        return self.windows[0].start

    @property
    def last(self) -> _Seen:
        return self.windows[-1]


def holm(pvalues: Floats) -> Floats:
    """Adjust p-values so that the chance of any false rejection is at most alpha.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6
    (1979): the k-th smallest of m, counted from 0, times m - k; none less than the one before it
    and none more than 1. It holds however the tests depend on each other.

    Args:
        pvalues: Shape (tests,); NaN where there was no test, which does not count.

    Returns:
        Adjusted p-values, shape (tests,); NaN where there was no test.
    """
    adjusted = np.full(len(pvalues), np.nan)
    tested = np.flatnonzero(~np.isnan(pvalues))
    order = tested[np.argsort(pvalues[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(pvalues[order] * factors), 1.0)
    return adjusted


def evaluate(
    metrics: Metrics, options: AlertingOptions, previous: pa.Table, now: datetime
) -> pa.Table:
    """Hold metrics against the rules.

    An alert is a stretch of windows in a row in which its rule fires. It is open until a window
    comes that is calm, or until its subject has not been seen for a while; a window that says
    nothing (too few records, no figure) changes nothing. If it fires again after a calm window,
    that is another alert. Where late records or labels change windows of the past, an alert
    remains the one that it was as long as its stretches overlap.

    Args:
        metrics: The tables of `SCHEMAS`, by name; one that is not there has no rows.
        options: The rules.
        previous: Alerts of the evaluation before: `tables.ALERTS`.
        now: Windows that end later are not complete and do not count.

    Returns:
        `tables.ALERTS`, in the order of time, rule and subject. Evaluated once more it is the same.
    """
    found = [
        (name, rule, subject, episodes)
        for name, rule in options.active.items()
        for subject, episodes in _episodes(rule, metrics, options, now)
    ]
    known = _Known(tables.conform(previous, tables.ALERTS).to_pylist())
    rows = [
        _with_history(_alert(name, rule, subject, episode), known, now, goes_on=episode.goes_on)
        for name, rule, subject, episodes in found
        for episode in episodes
    ]
    return _table([*rows, *(row | {"state": RESOLVED} for row in known.left())])


def act(alerts: pa.Table, actions: pa.Table, now: datetime) -> pa.Table:
    """Apply what people have done about alerts, and let silences end.

    Args:
        alerts: `tables.ALERTS`.
        actions: `tables.ALERT_ACTIONS`, in any order. A silence of a rule is about alerts to come
            as well; the latest silence counts.
        now: Silences that end later hold.

    Returns:
        The alerts with their states as they are now. Applied once more it is the same.
    """
    rows = alerts.to_pylist()
    ordered = sorted(actions.to_pylist(), key=lambda action: action["at"])
    for row in rows:
        if row["state"] == RESOLVED:
            continue
        for action in ordered:
            _apply(action, row)
        row["state"] = _state(row, now)
    return _table(rows)


def firing(alerts: pa.Table) -> list[Row]:
    """The alerts that are neither silenced nor resolved; acknowledging one does not end it."""
    return [row for row in alerts.to_pylist() if row["state"] in (OPEN, ACKNOWLEDGED)]


def _apply(action: Row, row: Row) -> None:
    if action["alert_id"] != row["alert_id"] and (
        action["rule"] is None or action["rule"] != row["rule"]
    ):
        return
    if action["action"] == ACKNOWLEDGE and action["at"] >= row["first_seen"]:
        row |= {"acknowledged_by": action["by"], "acknowledged_at": action["at"]}
    if action["action"] == SILENCE:
        row["silenced_until"] = action["until"]


def _state(row: Row, now: datetime) -> str:
    if row["silenced_until"] is not None and row["silenced_until"] > now:
        return SILENCED
    return OPEN if row["acknowledged_at"] is None else ACKNOWLEDGED


class _Known:
    """Alerts of the evaluation before, each to be taken up by one episode at most."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[tuple[Any, ...], list[Row]] = {}
        self._ids = set()
        for row in rows:
            self._rows.setdefault(self._key(row), []).append(row)
            self._ids.add(row["alert_id"])

    @staticmethod
    def _key(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in ("rule", "granularity", *Subject._fields))

    def take(self, row: Row) -> Row | None:
        """The latest alert about the same whose windows overlap."""
        left = self._rows.get(self._key(row), [])
        overlapping = [
            old
            for old in left
            if old["since"] < row["window"]["end"] and row["since"] < old["window"]["end"]
        ]
        if not overlapping:
            return None
        taken = max(
            overlapping, key=lambda old: (old["since"] == row["since"], old["window"]["end"])
        )
        left.remove(taken)
        return taken

    def new_id(self, row: Row) -> str:
        """An id that depends on what the alert is about and when it began, and nobody else has."""
        about = [*self._key(row), row["since"].isoformat()]
        for number in count():
            text = "\x1f".join(map(str, [*about, number] if number else about))
            found = hashlib.sha256(text.encode()).hexdigest()[:12]
            if found not in self._ids:
                self._ids.add(found)
                return found
        raise AssertionError

    def left(self) -> Iterator[Row]:
        """Those that no episode took up."""
        for rows in self._rows.values():
            yield from rows


def _alert(name: str, rule: Rule, subject: Subject, episode: _Episode) -> Row:
    """What the metrics say."""
    last = episode.last
    return {
        "rule": name,
        "severity": rule.severity,
        "since": episode.since,
        "window": {"start": last.start, "end": last.end},
        "granularity": rule.granularity,
        **subject._asdict(),
        "metric": rule.metric,
        "value": last.value,
        "threshold": rule.threshold,
        "windows_in_a_row": len(episode.windows),
        "pvalue": last.pvalue,
        "adjusted_pvalue": last.adjusted,
        "message": _message(rule, subject, episode),
    }


def _with_history(row: Row, known: _Known, now: datetime, *, goes_on: bool) -> Row:
    """Add what became of the alert so far; one that was resolved and fires anew begins anew."""
    old = known.take(row)
    new = {
        "alert_id": old["alert_id"] if old else known.new_id(row),
        "first_seen": now,
        "acknowledged_by": None,
        "acknowledged_at": None,
        "silenced_until": old["silenced_until"] if old else None,
        "notified_at": None,
    }
    if old and not (old["state"] == RESOLVED and goes_on):
        new = {key: old[key] for key in new}
    row |= new
    return row | {"state": _state(row, now) if goes_on else RESOLVED}


def _message(rule: Rule, subject: Subject, episode: _Episode) -> str:
    last = episode.last
    what = rule.meaning or rule.metric
    if subject.column_name != tables.TABLE:
        what = f"{subject.column_name}: {what}"
    parts = [f"{what} is {last.value:.4g}, {_WORDS[rule.comparison]} {rule.threshold:g}"]
    if last.adjusted is not None:
        parts.append(f"p {last.adjusted:.2g} adjusted over {last.family} columns")
    if subject.slice_key is not None:
        parts.append(f"{subject.slice_key} {subject.slice_value}")
    if subject.model_version is not None:
        parts.append(f"model version {subject.model_version}")
    stretch = f"window of {rule.granularity} from "
    if len(episode.windows) > 1:
        stretch = f"{len(episode.windows)} windows of {rule.granularity} in a row, the last from "
    return "; ".join([*parts, f"{stretch}{last.start:%Y-%m-%d %H:%M} UTC"])


def _episodes(
    rule: Rule, metrics: Metrics, options: AlertingOptions, now: datetime
) -> Iterator[tuple[Subject, list[_Episode]]]:
    rows = _complete(rule, metrics, now)
    seen = _look(rule, rows, metrics, options)
    times = set(rows["end"].to_pylist())
    if rule.records is not None:  # such as labels: that they are late makes no alert old
        times = {window.end for windows in seen.values() for window in windows}
    ends = sorted(times)[-options.expires_after_windows :]
    for subject, windows in seen.items():
        stretches: list[list[_Seen]] = [[]]
        for window in sorted(windows):
            if window.fires:
                stretches[-1].append(window)
            else:
                stretches.append([])
        current = stretches[-1]
        found = [
            _Episode(stretch, goes_on=stretch is current and stretch[-1].end in ends)
            for stretch in stretches
            if len(stretch) >= rule.windows
        ]
        if found:
            yield subject, found


def _complete(rule: Rule, metrics: Metrics, now: datetime) -> pa.Table:
    """The rows that a rule is about, of windows that are over, with `start` and `end`."""
    schema = SCHEMAS[rule.table]
    rows = tables.conform(metrics.get(rule.table, schema.empty_table()), schema)
    rows = rows.append_column("start", pc.struct_field(rows["window"], "start"))
    rows = rows.append_column("end", pc.struct_field(rows["window"], "end"))
    wanted = (pc.field("granularity") == rule.granularity) & (pc.field("end") <= _scalar(now))
    if rule.table == "drift_metrics":
        wanted &= pc.field("drift_type") == rule.drift_type
    if rule.table == "profile_metrics":
        wanted &= pc.field("log_type") == tables.INPUT
    if rule.table == "quality_estimates":
        wanted &= pc.field("metric") == rule.estimate_of
    if rule.table != "health_metrics" and not rule.slices:
        wanted &= pc.field("slice_key").is_null()
    rows = rows.filter(wanted)
    if rule.table == "health_metrics" and rule.by == "endpoint":
        return _whole_endpoint(rows, schema, now)
    return rows


def _whole_endpoint(rows: pa.Table, schema: pa.Schema, now: datetime) -> pa.Table:
    """The counts of all entities together; a window in which nobody asked has none of anything.

    Empty months and years, which are not of one length, may be a little off.
    """
    sums = rows.group_by(["start", "end"]).aggregate([(name, "sum") for name in _COUNTS])
    windows = sorted(zip(sums["start"].to_pylist(), sums["end"].to_pylist(), strict=True))
    following = [*(start for start, _ in windows), now][1:]
    added = [
        {"start": start, "end": end} | {f"{name}_sum": 0 for name in _COUNTS}
        for window, until in zip(windows, following, strict=True)
        for start, end in _after(*window, until=until)
    ]
    sums = pa.concat_tables([sums, pa.Table.from_pylist(added, sums.schema)])
    named = sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names])
    whole = tables.conform(named, schema)
    return whole.append_column("start", named["start"]).append_column("end", named["end"])


_LONGEST_GAP = 10_000
"""Windows: a clock that once was at 1970 leaves a gap that is none."""


def _after(
    start: datetime, end: datetime, *, until: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The last windows of the same length that have room between a window and a moment."""
    length = end - start
    room = (until - end) // length
    for number in range(max(0, room - _LONGEST_GAP), room):
        yield end + number * length, end + (number + 1) * length


def _look(
    rule: Rule, rows: pa.Table, metrics: Metrics, options: AlertingOptions
) -> dict[Subject, list[_Seen]]:
    """What the rule saw of each subject, in any order; windows that say nothing are left out."""
    value = expressions.values(rule.metric, rows)
    says = ~np.isnan(value) & _has_records(rule, rows, metrics)
    fires = _COMPARISONS[rule.comparison](value, rule.threshold)
    pvalue, adjusted = np.full((2, len(rows)), np.nan)
    family = np.zeros(len(rows), dtype=np.int64)
    if rule.test is not None:
        pvalue = expressions.values(rule.test, rows)
        adjusted, family = _adjusted(pvalue, rows)
        says &= ~np.isnan(pvalue)
        fires &= adjusted <= options.alpha
    names = rows["column_name"].to_pylist() if "column_name" in rows.column_names else None
    if names is not None:
        says &= _is_wanted(rule, names)
    seen: dict[Subject, list[_Seen]] = {}
    subjects = _subjects(rule, rows, names)
    times = zip(rows["start"].to_pylist(), rows["end"].to_pylist(), strict=True)
    for place, (subject, (start, end)) in enumerate(zip(subjects, times, strict=True)):
        if says[place]:
            seen.setdefault(subject, []).append(
                _Seen(
                    start,
                    end,
                    float(value[place]),
                    None if rule.test is None else float(pvalue[place]),
                    None if rule.test is None else float(adjusted[place]),
                    int(family[place]),
                    bool(fires[place]),
                )
            )
    return seen


def _adjusted(pvalue: Floats, rows: pa.Table) -> tuple[Floats, Any]:
    """Holm over all columns (and slices, if there are any) of a window and model version.

    Returns:
        Adjusted p-values and over how many they were, both of shape (rows,).
    """
    adjusted = np.full(len(pvalue), np.nan)
    sizes = np.zeros(len(pvalue), dtype=np.int64)
    families: dict[tuple[Any, ...], list[int]] = {}
    keys = (rows[name].to_pylist() for name in ("start", "end", "model_version"))
    for place, key in enumerate(zip(*keys, strict=True)):
        families.setdefault(key, []).append(place)
    for places in families.values():
        adjusted[places] = holm(pvalue[places])
        sizes[places] = (~np.isnan(pvalue[places])).sum()
    return adjusted, sizes


def _has_records(rule: Rule, rows: pa.Table, metrics: Metrics) -> Flags:
    if not rule.min_records:
        return np.ones(len(rows), dtype=bool)
    if rule.table != "drift_metrics":
        return expressions.values(rule.counted, rows) >= rule.min_records
    # A drift does not say of how many records it is; their profile does.
    profiles = _complete(
        rule.model_copy(update={"table": "profile_metrics"}),
        metrics,
        datetime.max.replace(tzinfo=UTC),
    )
    keys = ("start", "end", *Subject._fields)
    counts = dict(
        zip(
            zip(*(profiles[name].to_pylist() for name in keys), strict=True),
            profiles["count"].to_pylist(),
            strict=True,
        )
    )
    # Without a profile it is not known: rather an alarm than silence.
    return np.array(
        [
            counts.get(key, rule.min_records) >= rule.min_records
            for key in zip(*(rows[name].to_pylist() for name in keys), strict=True)
        ],
        dtype=bool,
    )


def _is_wanted(rule: Rule, names: Sequence[str]) -> Flags:
    if rule.columns == "all":
        return np.array([name != tables.TABLE for name in names], dtype=bool)
    return np.array([name in rule.columns for name in names], dtype=bool)


def _subjects(rule: Rule, rows: pa.Table, names: Sequence[str] | None) -> Iterator[Subject]:
    versions = rows["model_version"].to_pylist()
    columns = names if names is not None else [tables.TABLE] * len(versions)
    if rule.table == "health_metrics":
        values = rows[ENTITY].to_pylist()
        slices = [(None if value is None else ENTITY, value) for value in values]
    else:
        slices = list(
            zip(rows["slice_key"].to_pylist(), rows["slice_value"].to_pylist(), strict=True)
        )
    for version, (key, value), column in zip(versions, slices, columns, strict=True):
        yield Subject(version, key, value, column)


def _scalar(time: datetime) -> pa.Scalar:
    return pa.scalar(time, tables.TIME)


def _table(rows: Iterable[Row]) -> pa.Table:
    ordered = sorted(
        rows,
        key=lambda row: (row["since"], row["rule"], *(row[name] or "" for name in Subject._fields)),
    )
    return pa.Table.from_pylist(list(ordered), tables.ALERTS)
