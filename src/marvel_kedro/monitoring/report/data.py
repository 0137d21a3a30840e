"""What the report says, taken from the tables of monitoring; nothing of it is drawn yet."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.monitoring.alerting import rules
from marvel_kedro.monitoring.alerting.evaluation import (
    ACKNOWLEDGED,
    OPEN,
    RESOLVED,
    SILENCED,
    firing,
)
from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.monitoring.options import MonitoringOptions, ReportingOptions
from marvel_kedro.monitoring.tables import BASELINE, INPUT, TABLE

Row = dict[str, Any]

QUALITY = ("roc_auc", "accuracy", "log_loss")
FAIRNESS = (
    "predictive_parity",
    "predictive_equality",
    "equal_opportunity",
    "statistical_parity",
)
SEVERITIES = tuple(reversed(rules.SEVERITIES))
"""The worst first."""
_STATES = (OPEN, ACKNOWLEDGED, SILENCED, RESOLVED)


class Span(NamedTuple):
    """A window: from `start` on, up to `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Cell:
    """How far a column of a window is from the baseline.

    Attributes:
        strength: Jensen-Shannon distance of a category, Kolmogorov-Smirnov statistic of a number:
            0 to 1; None where one side has no value.
        pvalue: Of the test, not adjusted for the number of columns.
        clear: Whether it is more than chance explains.
        alert: The worst severity of the alerts about the column in this window.
    """

    strength: float | None
    pvalue: float | None
    clear: bool
    alert: str | None


@dataclass(frozen=True)
class Column:
    """A column of a model version.

    Attributes:
        name: The column.
        cells: By window shown; None where the column was not there.
        profile: Its row of `profile_metrics` in the version's newest window, if it is there.
        baseline: That of the baseline.
        drift: Its row of `drift_metrics` there, against the baseline.
    """

    name: str
    cells: Sequence[Cell | None]
    profile: Row | None
    baseline: Row | None
    drift: Row | None


@dataclass(frozen=True)
class Quality:
    """A metric of a version or slice in a window, as far as it is known."""

    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    realised: float | None = None
    baseline: float | None = None
    records: int = 0
    labelled: int | None = None


@dataclass(frozen=True)
class Slice:
    """Records of a slice in a version's newest window.

    Attributes:
        key: The column or the condition.
        value: Its value.
        records: How many there are.
        quality: By metric.
        drifted: The column of it that drifts most, more than by chance, and how far.
        fairness: By measure, for the class Alive; None where it is not known.
    """

    key: str
    value: str
    records: int
    quality: Mapping[str, Quality]
    drifted: tuple[str, float] | None
    fairness: Mapping[str, float | None]

    @property
    def name(self) -> str:
        """As people read it."""
        if self.value == "true":
            return self.key
        return f"not ({self.key})" if self.value == "false" else f"{self.key} = {self.value}"


@dataclass(frozen=True)
class Version:
    """A model version.

    Attributes:
        name: The version.
        entities: The served entities that answered with it.
        newest: The newest window in which it scored a record.
        records: How many there.
        columns: Those that drift most first.
        columns_left_out: How many others there are.
        quality: By metric, by window shown; None where nothing is known.
        slices: Those with the most records first.
        slices_left_out: How many others there are.
    """

    name: str
    entities: Sequence[str]
    newest: Span
    records: int
    columns: Sequence[Column]
    columns_left_out: int
    quality: Mapping[str, Sequence[Quality | None]]
    slices: Sequence[Slice]
    slices_left_out: int


@dataclass(frozen=True)
class Alerts:
    """What is wrong.

    Attributes:
        shown: Those that are open first, then the newest first.
        left_out: How many others there are.
        firing: All that are neither silenced nor resolved.
    """

    shown: Sequence[Row]
    left_out: int
    firing: Sequence[Row]

    def severity(self, columns: Iterable[str]) -> str | None:
        """The worst severity of what fires about one of these columns of the tables."""
        about = set(columns)
        found = {row["severity"] for row in self.firing if about & _words(row["metric"])}
        return next((severity for severity in SEVERITIES if severity in found), None)


@dataclass(frozen=True)
class Facts:
    """All that the report says.

    Attributes:
        now: When it was made; windows that end later are not complete.
        granularity: Windows of which length it is about.
        windows: Complete ones, oldest first.
        windows_left_out: How many older ones there are.
        unfinished: The newest window that is not complete, if there is one.
        health: Rows of `health_metrics` of these windows, by window.
        versions: Those with the most records first.
        versions_left_out: How many others there are.
        alerts: What is wrong.
        retrain: The decision about a new training; None if nobody has taken one.
        rejected: Requests of which no record can be read, by reason.
        ab_report: The newest reading of the A/B test; None if there was none.
        monitoring: How the tables were made.
        alerting: When alerts are raised.
        options: How much is shown.
    """

    now: datetime
    granularity: str
    windows: Sequence[Span]
    windows_left_out: int
    unfinished: Span | None
    health: Mapping[Span, Sequence[Row]]
    versions: Sequence[Version]
    versions_left_out: int
    alerts: Alerts
    retrain: Row | None
    rejected: Mapping[str, int]
    ab_report: Row | None
    monitoring: MonitoringOptions
    alerting: AlertingOptions
    options: ReportingOptions

    def total(self, window: Span, name: str) -> int:
        """A count of all entities together."""
        return sum(row[name] for row in self.health.get(window, ()))


@dataclass(frozen=True)
class Tables:
    """The tables of monitoring that the report is made of, see `monitoring.tables`."""

    health: pa.Table
    profile: pa.Table
    drift: pa.Table
    estimates: pa.Table
    alerts: pa.Table
    rejected: Mapping[str, int] = field(default_factory=dict)
    retrain: Row | None = None
    ab_report: Row | None = None


def gather(
    tables: Tables,
    monitoring: MonitoringOptions,
    alerting: AlertingOptions,
    options: ReportingOptions,
) -> Facts:
    """Take from the tables what the report says.

    Args:
        tables: All of them; any may be empty.
        monitoring: How they were made, and when this is.
        alerting: When alerts are raised.
        options: How much is shown.
    """
    granularity = _granularity(monitoring, options)
    # Of slices only the rows about all columns are looked at, and those of columns are long.
    profile = tables.profile.filter(
        pc.field("slice_key").is_null() | (pc.field("column_name") == TABLE)
    )
    of_length = {
        name: table.filter(pc.field("granularity") == granularity)
        for name, table in (
            ("health", tables.health),
            ("profile", profile),
            ("drift", tables.drift),
            ("estimates", tables.estimates),
        )
    }
    windows = windows_of(of_length.values(), monitoring, options)
    shown = windows.shown
    rows = {name: _rows(table, shown) for name, table in of_length.items()}
    of_baseline = profile.filter(pc.field("log_type") == BASELINE).to_pylist()
    alerts = _alerts(tables.alerts, options)
    health: dict[Span, list[Row]] = {span: [] for span in shown}
    for row in rows["health"]:
        health[row["span"]].append(row)
    source = _Source(
        windows=shown,
        health=rows["health"],
        profile=[row for row in rows["profile"] if row["log_type"] == INPUT],
        of_baseline=of_baseline,
        drift=[row for row in rows["drift"] if row["drift_type"] == BASELINE],
        estimates=rows["estimates"],
        alerts=[row for row in tables.alerts.to_pylist() if row["granularity"] == granularity],
        options=options,
    )
    versions = source.versions()
    return Facts(
        now=monitoring.now,
        granularity=granularity,
        windows=shown,
        windows_left_out=windows.left_out,
        unfinished=windows.unfinished,
        health=health,
        versions=[source.version(name) for name in versions[: options.max_versions]],
        versions_left_out=max(0, len(versions) - options.max_versions),
        alerts=alerts,
        retrain=tables.retrain,
        rejected=dict(Counter(tables.rejected).most_common()),
        ab_report=tables.ab_report,
        monitoring=monitoring,
        alerting=alerting,
        options=options,
    )


@dataclass(frozen=True)
class Windows:
    """Which windows are shown.

    Attributes:
        shown: Complete ones, oldest first.
        left_out: How many older ones there are.
        unfinished: The newest window that is not complete, if there is one.
    """

    shown: Sequence[Span]
    left_out: int
    unfinished: Span | None


def windows_of(
    tables: Iterable[pa.Table], monitoring: MonitoringOptions, options: ReportingOptions
) -> Windows:
    """Find the windows that are shown in tables with `window` and `granularity`."""
    granularity = _granularity(monitoring, options)
    found = sorted(
        {
            span
            for table in tables
            for span in _spans(table.filter(pc.field("granularity") == granularity))
        }
    )
    complete = [span for span in found if span.end <= monitoring.now]
    shown = complete[-options.max_windows :]
    unfinished = found[-1] if len(found) > len(complete) else None
    return Windows(shown, len(complete) - len(shown), unfinished)


@dataclass(frozen=True)
class _Source:
    """Rows of the windows shown, each with its window as `span`."""

    windows: Sequence[Span]
    health: Sequence[Row]
    profile: Sequence[Row]
    of_baseline: Sequence[Row]
    drift: Sequence[Row]
    estimates: Sequence[Row]
    alerts: Sequence[Row]
    options: ReportingOptions

    def versions(self) -> list[str]:
        """Those with the most records in their newest window first, newer windows before that."""
        newest: dict[str, tuple[Span, int]] = {}
        for row in self.profile:
            if row["column_name"] == TABLE and row["slice_key"] is None and row["count"]:
                known = newest.get(row["model_version"])
                newest[row["model_version"]] = max(
                    filter(None, (known, (row["span"], row["count"])))
                )
        return sorted(newest, key=lambda name: (newest[name], name), reverse=True)

    def version(self, name: str) -> Version:
        profile, of_baseline, drift, estimates = (
            [row for row in rows if row["model_version"] == name]
            for rows in (self.profile, self.of_baseline, self.drift, self.estimates)
        )
        tables = [row for row in profile if row["column_name"] == TABLE and row["count"]]
        newest, records = max(
            (row["span"], row["count"]) for row in tables if row["slice_key"] is None
        )
        columns = self._columns(
            name,
            newest,
            [row for row in profile if row["slice_key"] is None],
            [row for row in of_baseline if row["slice_key"] is None],
            [row for row in drift if row["slice_key"] is None],
        )
        quality = _quality(
            [row for row in profile if row["column_name"] == TABLE],
            [row for row in of_baseline if row["column_name"] == TABLE],
            estimates,
        )
        slices = self._slices(newest, tables, drift, quality)
        return Version(
            name=name,
            entities=sorted(
                {
                    row["served_entity_name"]
                    for row in self.health
                    if row["model_version"] == name and row["served_entity_name"] is not None
                }
            ),
            newest=newest,
            records=records,
            columns=columns[: self.options.max_columns],
            columns_left_out=max(0, len(columns) - self.options.max_columns),
            quality={
                metric: [quality.get((span, None, None, metric)) for span in self.windows]
                for metric in QUALITY
            },
            slices=slices[: self.options.max_slices],
            slices_left_out=max(0, len(slices) - self.options.max_slices),
        )

    def _columns(
        self,
        version: str,
        newest: Span,
        profile: Sequence[Row],
        of_baseline: Sequence[Row],
        drift: Sequence[Row],
    ) -> list[Column]:
        drifts = {(row["column_name"], row["span"]): row for row in drift}
        profiles = {row["column_name"]: row for row in profile if row["span"] == newest}
        baselines = {row["column_name"]: row for row in of_baseline}
        names = {row["column_name"] for row in [*profile, *drift]} - {TABLE}
        columns = [
            Column(
                name,
                [
                    self._cell(version, name, span, drifts.get((name, span)))
                    for span in self.windows
                ],
                profiles.get(name),
                baselines.get(name),
                drifts.get((name, newest)),
            )
            for name in sorted(names)
        ]
        place = self.windows.index(newest)
        return sorted(columns, key=lambda column: _weight(column.cells[place]), reverse=True)

    def _cell(self, version: str, column: str, span: Span, drift: Row | None) -> Cell | None:
        if drift is None:
            return None
        strength, pvalue = strength_of(drift)
        severities = {
            row["severity"]
            for row in self.alerts
            if row["column_name"] == column
            and row["model_version"] == version
            and row["slice_key"] is None
            and row["since"] <= span.start
            and span.end <= row["window"]["end"]
        }
        return Cell(
            strength,
            pvalue,
            pvalue is not None and pvalue < self.options.chance,
            next((severity for severity in SEVERITIES if severity in severities), None),
        )

    def _slices(
        self,
        newest: Span,
        tables: Sequence[Row],
        drift: Sequence[Row],
        quality: Mapping[tuple[Span, str | None, str | None, str], Quality],
    ) -> list[Slice]:
        drifted: dict[tuple[str, str], tuple[float, str]] = {}
        for row in drift:
            strength, pvalue = strength_of(row)
            if strength is None or pvalue is None or pvalue >= self.options.chance:
                continue
            if row["span"] == newest and row["slice_key"] is not None:
                key = (row["slice_key"], row["slice_value"])
                drifted[key] = max(drifted.get(key, (-1.0, "")), (strength, row["column_name"]))
        found = [
            Slice(
                key=row["slice_key"],
                value=row["slice_value"],
                records=row["count"],
                quality={
                    metric: quality.get(
                        (newest, row["slice_key"], row["slice_value"], metric), Quality()
                    )
                    for metric in QUALITY
                },
                drifted=_turned(drifted.get((row["slice_key"], row["slice_value"]))),
                fairness={name: _fairness(row[name]) for name in FAIRNESS},
            )
            for row in tables
            if row["span"] == newest and row["slice_key"] is not None
        ]
        return sorted(found, key=lambda one: (-one.records, one.key, one.value))


def strength_of(drift: Row) -> tuple[float | None, float | None]:
    """How far a row of `drift_metrics` is from its other side, and the p-value of its test."""
    if _finite(drift["js_distance"]) is not None:
        return drift["js_distance"], (drift["chi_squared_test"] or {}).get("pvalue")
    test = drift["ks_test"] or {}
    return _finite(test.get("statistic")), _finite(test.get("pvalue"))


def _weight(cell: Cell | None) -> tuple[bool, bool, float]:
    """What is clear before what may be chance, and of that what an alert is about."""
    if cell is None:
        return (False, False, -1.0)
    return (cell.alert is not None, cell.clear, -1.0 if cell.strength is None else cell.strength)


def _quality(
    profile: Sequence[Row], of_baseline: Sequence[Row], estimates: Sequence[Row]
) -> dict[tuple[Span, str | None, str | None, str], Quality]:
    """By window, slice and metric; what estimates do not say is taken from the profile."""
    held: dict[tuple[str | None, str | None], dict[str, float | None]] = {
        (row["slice_key"], row["slice_value"]): _realised(row) for row in of_baseline
    }
    found = {
        (row["span"], row["slice_key"], row["slice_value"], metric): Quality(
            realised=value,
            baseline=held.get((row["slice_key"], row["slice_value"]), {}).get(metric),
            records=row["count"],
        )
        for row in profile
        for metric, value in _realised(row).items()
    }
    for row in estimates:
        key = (row["span"], row["slice_key"], row["slice_value"], row["metric"])
        known = found.get(key, Quality())
        realised, baseline = _finite(row["realised"]), _finite(row["baseline"])
        found[key] = Quality(
            estimate=_finite(row["estimate"]),
            low=_finite(row["low"]),
            high=_finite(row["high"]),
            realised=known.realised if realised is None else realised,
            baseline=known.baseline if baseline is None else baseline,
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


def _fairness(measure: Row | None) -> float | None:
    """Of a map by class, what there is for Alive."""
    by_class = dict((measure or {}).get("one_vs_all") or ())
    return _finite(by_class.get("Alive"))


def _alerts(table: pa.Table, options: ReportingOptions) -> Alerts:
    newest_first = sorted(
        table.to_pylist(), key=lambda row: (row["since"], row["alert_id"]), reverse=True
    )
    ordered = sorted(newest_first, key=lambda row: (_place(_STATES, row["state"]), _rank(row)))
    return Alerts(
        ordered[: options.max_alerts],
        max(0, len(ordered) - options.max_alerts),
        firing(table),
    )


def _rank(row: Row) -> int:
    """Severity counts among those that are not over."""
    return 0 if row["state"] == RESOLVED else _place(SEVERITIES, row["severity"])


def _place(order: Sequence[str], value: str) -> int:
    return order.index(value) if value in order else len(order)


def _words(metric: str | None) -> set[str]:
    """The names in an expression."""
    text = "".join(letter if letter.isalnum() or letter == "_" else " " for letter in metric or "")
    return set(text.split())


def _spans(table: pa.Table) -> Iterable[Span]:
    ends = pa.table({name: pc.struct_field(table["window"], name) for name in Span._fields})
    return [Span(**row) for row in ends.group_by(ends.column_names).aggregate([]).to_pylist()]


def _rows(table: pa.Table, windows: Sequence[Span]) -> list[Row]:
    """The rows of these windows, each with its window as `span`."""
    if not len(table) or not windows:
        return []
    start = pc.struct_field(table["window"], "start")
    kept = table.filter(pc.greater_equal(start, pa.scalar(windows[0].start, start.type)))
    shown = set(windows)
    rows = ({**row, "span": Span(**row["window"])} for row in kept.to_pylist() if row["window"])
    return [row for row in rows if row["span"] in shown]


def _turned(pair: tuple[float, str] | None) -> tuple[str, float] | None:
    return None if pair is None else (pair[1], pair[0])


def _granularity(monitoring: MonitoringOptions, options: ReportingOptions) -> str:
    return options.granularity or monitoring.granularities[0]


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
