"""The monitoring report as a self-contained HTML page."""

from collections import Counter
from itertools import pairwise

from markupsafe import Markup

from marvel_kedro.core import page
from marvel_kedro.monitoring.alerting.lifecycle import ACKNOWLEDGED, SILENCED
from marvel_kedro.monitoring.report import drift_figures, performance_figures, traffic_figures
from marvel_kedro.monitoring.report import formatting as fmt
from marvel_kedro.monitoring.report.data import SEVERITIES, ModelVersion, ReportData
from marvel_kedro.monitoring.report.figure import Legend, legend
from marvel_kedro.monitoring.report.tiles import tiles
from marvel_kedro.monitoring.report.windows import Row
from marvel_kedro.monitoring.tables import TABLE

TITLE = "Monitoring report"
_SYMBOLS = {"critical": "■", "warning": "▲", "info": "●"}
"""Severities differ by shape as well as by colour."""

_templates = page.templates("marvel_kedro.monitoring.report")
_templates.trim_blocks = _templates.lstrip_blocks = True


def render(data: ReportData) -> str:
    """Render the page."""
    body = _templates.get_template("report.html.j2").render(
        title=TITLE,
        data=data,
        fmt=fmt,
        symbols=_SYMBOLS,
        verdict=verdict(data),
        worst=data.alerts.severity(),
        tiles=tiles(data),
        subject=_subject,
        handling=_handling,
        heading=_heading,
        drifted=_drifted,
        nulls=_nulls,
        drift=drift_figures,
        performance=performance_figures,
        map_legend=_map_legend(),
        legends=_legends(data),
        traffic=traffic_figures.traffic(data),
        entities=_entities(data),
        comparisons=_comparisons(data),
        rejected=_rejected(data),
        rules=_rules(data),
    )
    style = _templates.get_template("report.css").render()
    # The template escapes its inputs.
    return page.document(TITLE, Markup(body), Markup(style))  # noqa: S704


def verdict(data: ReportData) -> str:
    """Summarize the report in one or two sentences."""
    if not data.windows:
        return "There are no metrics yet: no window is complete."
    counts = Counter(row["severity"] for row in data.alerts.firing)
    texts = [f"{counts[severity]:,} {severity}" for severity in SEVERITIES if counts[severity]]
    many = counts.total() > 1
    alerts = (
        f"{fmt.listed(texts)} alert{'s are' if many else ' is'} open."
        if texts
        else "No alert is open."
    )
    if data.retrain is None:
        return alerts
    return f"{alerts} Retraining is {'due' if data.retrain['retrain'] else 'not due'}."


def _subject(alert: Row) -> str:
    parts = []
    if alert["model_version"] is not None:
        parts.append(f"version {alert['model_version']}")
    if alert["slice_key"] is not None:
        parts.append(f"{alert['slice_key']} = {alert['slice_value']}")
    if alert["column_name"] not in (None, TABLE):
        parts.append(str(alert["column_name"]))
    return ", ".join(parts) or "the endpoint"


def _handling(alert: Row) -> str:
    if alert["state"] == ACKNOWLEDGED:
        return f"by {alert['acknowledged_by']}, {fmt.timestamp(alert['acknowledged_at'])}"
    if alert["state"] == SILENCED and alert["silenced_until"] is not None:
        return f"until {fmt.timestamp(alert['silenced_until'])}"
    return ""


def _heading(version: ModelVersion) -> str:
    entities = f" ({fmt.listed(version.entities)})" if version.entities else ""
    return f"Version {version.name}{entities}"


def _drifted(version: ModelVersion, data: ReportData) -> list[str]:
    newest = data.windows.index(version.newest)
    drifts = ((column.name, column.drifts[newest]) for column in version.columns)
    return [name for name, drift in drifts if drift and drift.significant]


def _nulls(version: ModelVersion) -> fmt.HtmlTable:
    rows = []
    for column in sorted(version.columns, key=lambda column: column.name):
        if column.profile is None:
            continue
        shares = [
            fmt.percent(side[name]) if side else fmt.UNKNOWN
            for name in ("percent_null", "percent_nan", "percent_zeros")
            for side in (column.profile, column.baseline)
        ]
        count, distinct = (fmt.whole(column.profile[name]) for name in ("count", "distinct_count"))
        rows.append([column.name, count, *shares, distinct])
    return fmt.HtmlTable(
        f"Missing values of version {version.name}, window {fmt.window(version.newest)}",
        [
            *("Column", "Rows", "Null", "in the baseline", "Not a number", "in the baseline"),
            *("Zero", "in the baseline", "Distinct values"),
        ],
        rows,
    )


def _entities(data: ReportData) -> fmt.HtmlTable | None:
    """Tabulate the counts of each served entity in all windows, and its newest latency."""
    rows: dict[str, list[Row]] = {name: [] for name in traffic_figures.entities(data)}
    if not rows:
        return None
    for found in data.health.values():
        for row in found:
            rows[fmt.entity(row)].append(row)
    requests = sum(row["requests"] for own in rows.values() for row in own)

    def texts(own: list[Row]) -> list[str]:
        def total(key: str) -> int:
            return sum(row[key] for row in own)

        newest = next((row for row in reversed(own) if row["latency_p95_ms"] is not None), {})
        outcomes = ("refused", "throttled", "failed", "unread")
        return [
            fmt.whole(total("requests")),
            fmt.share(fmt.ratio(total("requests"), requests)),
            *(fmt.share(fmt.ratio(total(key), total("requests"))) for key in outcomes),
            *(fmt.millis(newest.get(f"latency_{key}_ms")) for key in ("p50", "p95", "p99")),
            fmt.whole(total("records")),
            fmt.share(fmt.ratio(total("labelled"), total("records"))),
        ]

    return fmt.HtmlTable(
        "Served entities; counts of all windows shown, latency of the newest window of each",
        [
            *("Entity", "Requests", "Share", "Refused", "Throttled", "Failed", "Unread"),
            *("p50", "p95", "p99", "Records", "Labelled"),
        ],
        [[name, *texts(own)] for name, own in rows.items()],
    )


def _comparisons(data: ReportData) -> fmt.HtmlTable | None:
    if data.ab_report is None or not data.ab_report["comparisons"]:
        return None
    rows = [
        [
            found["challenger"],
            name,
            fmt.signed(found.get(f"{metric}_gain"), ".4f"),
            " to ".join(fmt.signed(found.get(f"{metric}_{end}"), ".4f") for end in ("low", "high")),
            fmt.p_value(found.get(f"{metric}_p_value")),
        ]
        for found in data.ab_report["comparisons"]
        for metric, name in (("log_loss", "log loss"), ("accuracy", "accuracy"))
    ]
    return fmt.HtmlTable(
        f"Gain over {data.ab_report['champion']}; positive is better",
        ["Challenger", "Metric", "Gain", "Bounds", "p"],
        rows,
        text_columns=frozenset({1}),
    )


def _rejected(data: ReportData) -> fmt.HtmlTable | None:
    if not data.rejected:
        return None
    return fmt.HtmlTable(
        "Requests without a readable record, in the windows shown",
        ["Reason", "Requests"],
        [[reason, fmt.whole(count)] for reason, count in data.rejected.items()],
    )


def _rules(data: ReportData) -> fmt.HtmlTable:
    test = f"adjusted p at most {data.alerting.alpha:g}"
    rows = []
    for name, rule in data.alerting.active.items():
        counted = "rows" if rule.records_column == "count" else rule.records_column
        rows.append(
            [
                name,
                rule.severity,
                f"{rule.metric} {rule.comparison} {rule.threshold:g}",
                fmt.UNKNOWN if rule.test is None else test,
                f"{rule.windows} of {rule.granularity}",
                f"{rule.min_records:,} {counted}",
                "yes" if rule.retrain else "no",
            ]
        )
    head = ["Rule", "Severity", "Fires when", "And", "Windows", "At least", "Reason to retrain"]
    return fmt.HtmlTable("Rules", head, rows, text_columns=frozenset(range(1, 7)))


def _map_legend() -> list[tuple[int, str]]:
    steps = [f"{step:g}" for step in drift_figures.STEPS]
    ranges = [f"{low} to {high}" for low, high in pairwise(steps)]
    return list(enumerate([f"below {steps[0]}", *ranges, f"{steps[-1]} or more"], 1))


def _legends(data: ReportData) -> dict[str, Legend]:
    confidence = f"{data.monitoring.confidence:.0%}"
    return {
        "bars": legend(("bar", "c1", "this window"), ("hollow", "c2", "baseline")),
        "performance": legend(
            ("circle", "c1", "estimated, before labels"),
            ("band", "c1", f"its {confidence} interval"),
            ("diamond", "c2", "from the known labels"),
            ("level", "", "baseline"),
        ),
        "slices": legend(
            ("circle", "c1", f"estimated, with its {confidence} interval"),
            ("diamond", "c2", "from the known labels"),
            ("tick", "", "the slice in the baseline"),
        ),
        "entities": traffic_figures.entity_legend(data),
    }
