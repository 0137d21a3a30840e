"""The monitoring report as a self-contained HTML page."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from marvel_kedro.core import page
from marvel_kedro.monitoring.alerting.lifecycle import ACKNOWLEDGED, RESOLVED, SILENCED
from marvel_kedro.monitoring.alerting.rules import SEVERITIES, AlertingOptions, severity_rank
from marvel_kedro.monitoring.names import shown
from marvel_kedro.monitoring.report import drift_figures, performance_figures, svg, traffic_figures
from marvel_kedro.monitoring.report import formatting as fmt
from marvel_kedro.monitoring.report.data import ModelVersion, ReportData
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
    title = f"{TITLE}: {data.table.name}"
    body = _templates.get_template("report.html.j2").render(
        title=title,
        data=data,
        fmt=fmt,
        symbols=_SYMBOLS,
        svg=svg,
        shown=shown,
        verdict=_verdict(data),
        cools_down=_cools_down(data.retrain),
        worst=data.alerts.severity(),
        confidence=f"{100 * data.monitoring.confidence:g}%",
        tiles=tiles(data),
        subject=_subject,
        handling=_handling,
        nulls=_nulls,
        drift=drift_figures,
        performance=performance_figures,
        traffic=traffic_figures,
        entities=_entities(data),
        comparisons=_comparisons,
        rejected=_rejected,
        rules=_rules,
    )
    style = _templates.get_template("report.css").render()
    # The template escapes its inputs.
    return page.document(title, Markup(body), Markup(style))  # noqa: S704


def _verdict(data: ReportData) -> str:
    """Summarize the report in one or two sentences."""
    if not data.windows:
        return f"There are no metrics yet: no request in a window of {data.granularity}."
    counts = Counter(row["severity"] for row in data.alerts.firing)
    texts = [
        f"{counts[name]:,} {name if name in SEVERITIES else f'of unknown severity ({shown(name)})'}"
        for name in sorted(counts, key=severity_rank, reverse=True)
    ]
    verb = "alert is" if counts.total() == 1 else "alerts are"
    alerts = f"{fmt.listed(texts)} {verb} open." if texts else "No alert is open."
    if data.settled[-1].running:
        alerts += " The first window is still running; alerts wait for its end."
    if data.retrain is None:
        return alerts
    return f"{alerts} Retraining is {'due' if data.retrain['retrain'] else 'not due'}."


def _cools_down(retrain: Row | None) -> bool:
    """Return whether the cool-down was not over at the time of the decision."""
    if retrain is None or not retrain["cooldown_until"]:
        return False
    until, decided = (
        datetime.fromisoformat(retrain[key]) for key in ("cooldown_until", "decided_at")
    )
    return decided < until


def _subject(alert: Row) -> str:
    parts = []
    if alert["model_version"] is not None:
        parts.append(f"version {shown(alert['model_version'])}")
    if alert["slice_key"] is not None:
        parts.append(f"{alert['slice_key']} = {shown(alert['slice_value'])}")
    if alert["column_name"] not in (None, TABLE):
        parts.append(str(alert["column_name"]))
    return ", ".join(parts) or "the endpoint"


def _handling(alert: Row) -> str:
    if alert["state"] == ACKNOWLEDGED:
        return f"by {alert['acknowledged_by']}, {fmt.timestamp(alert['acknowledged_at'])}"
    if alert["state"] == SILENCED and alert["silenced_until"] is not None:
        return f"until {fmt.timestamp(alert['silenced_until'])}"
    if alert["state"] == RESOLVED:
        return alert["resolution"] or ""
    return ""


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
    caption = f"Missing values of version {version.name}, window {fmt.window(version.newest)}"
    head = [
        *("Column", "Rows", "Null", "in the baseline", "Not a number", "in the baseline"),
        *("Zero", "in the baseline", "Distinct values"),
    ]
    return fmt.HtmlTable(caption, head, rows)


def _entities(data: ReportData) -> fmt.HtmlTable | None:
    """Tabulate the counts of each served entity in all windows, and its newest latency."""
    entities = traffic_figures.entities(data)
    if not entities:
        return None
    requests = sum(row["requests"] for rows in entities.values() for row in rows.values())

    def texts(rows: Sequence[Row]) -> list[str]:
        def total(key: str) -> int:
            return sum(row[key] for row in rows)

        newest = next((row for row in reversed(rows) if row["latency_p95_ms"] is not None), {})
        outcomes = ("refused", "throttled", "failed", "unread")
        return [
            fmt.whole(total("requests")),
            fmt.share(fmt.ratio(total("requests"), requests)),
            *(fmt.share(fmt.ratio(total(key), total("requests"))) for key in outcomes),
            *(fmt.millis(newest.get(f"latency_{key}_ms")) for key in ("p50", "p95", "p99")),
            fmt.whole(total("records")),
            fmt.share(fmt.ratio(total("labelled"), total("records"))),
        ]

    caption = "Served entities; counts of all windows shown, latency of the newest window of each"
    head = [
        *("Entity", "Requests", "Share", "Refused", "Throttled", "Failed", "Unread"),
        *("p50", "p95", "p99", "Records", "Labelled"),
    ]
    cells = [[name, *texts([*rows.values()])] for name, rows in entities.items()]
    return fmt.HtmlTable(caption, head, cells)


def _comparisons(ab_report: Row) -> fmt.HtmlTable:
    rows = [
        [
            found["challenger"],
            name,
            fmt.signed(found.get(f"{metric}_gain"), ".4f"),
            " to ".join(fmt.signed(found.get(f"{metric}_{end}"), ".4f") for end in ("low", "high")),
            fmt.p_value(found.get(f"{metric}_p_value")),
        ]
        for found in ab_report["comparisons"]
        for metric, name in (("log_loss", "log loss"), ("accuracy", "accuracy"))
    ]
    caption = f"Gain over {ab_report['champion']}; positive is better"
    head = ["Challenger", "Metric", "Gain", "Bounds", "p"]
    return fmt.HtmlTable(caption, head, rows, text_columns=frozenset({1}))


def _rejected(data: ReportData) -> fmt.HtmlTable:
    rows = [[shown(reason, 200), fmt.whole(count)] for reason, count in data.rejected.items()]
    caption = "Requests without a readable record, in the windows shown"
    return fmt.HtmlTable(caption, ["Reason", "Requests"], rows)


def _rules(alerting: AlertingOptions) -> fmt.HtmlTable:
    test = f"adjusted p at most {alerting.alpha:g}"
    counted = {"count": "rows"}  # other columns have telling names
    rows = [
        [
            name,
            rule.severity,
            f"{rule.metric} {rule.comparison} {rule.threshold:g}",
            fmt.UNKNOWN if rule.test is None else test,
            f"{rule.windows} of {rule.granularity}",
            f"{rule.min_records:,} {counted.get(rule.records_column, rule.records_column)}",
            "yes" if rule.retrain else "no",
        ]
        for name, rule in alerting.active.items()
    ]
    head = ["Rule", "Severity", "Fires when", "And", "Windows", "At least", "Reason to retrain"]
    return fmt.HtmlTable("Rules", head, rows, text_columns=frozenset(range(1, 7)))
