"""The report as one page that needs nothing else."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import jinja2
from markupsafe import Markup

from marvel_kedro.core import page
from marvel_kedro.monitoring.alerting.rules import Rule
from marvel_kedro.monitoring.report import charts, figures, formatting
from marvel_kedro.monitoring.report.data import SEVERITIES, Facts, Quality, Row, Version
from marvel_kedro.monitoring.report.formatting import UNKNOWN, Grid

TITLE = "Monitoring report"
_NONE = Markup("")
_ENDS = ("low", "high")
_HEADLINE = "roc_auc"
_SYMBOLS = {"critical": "■", "warning": "▲", "info": "●"}
"""Severities differ by shape, too."""
_ABOUT_QUALITY = {
    "estimated": {"estimate", "low", "high"},
    "realised": {"realised", "accuracy_score", "log_loss", "roc_auc_score"},
}
"""Columns of the tables that an alert about a tile is made of."""

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("marvel_kedro.monitoring.report", "."),
    autoescape=True,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


@dataclass(frozen=True)
class Tile:
    """A figure at a glance.

    Attributes:
        name: What it is.
        figure: The figure.
        note: What it is to be seen beside.
        severity: Of the worst alert about it.
        spark: How it came to be.
    """

    name: str
    figure: str
    note: str
    severity: str | None
    spark: Markup = _NONE


def render(facts: Facts) -> str:
    """Write the page."""
    body = _templates.get_template("report.html.j2").render(
        title=TITLE,
        facts=facts,
        words=formatting,
        symbols=_SYMBOLS,
        verdict=verdict(facts),
        worst=_worst(facts),
        tiles=tiles(facts),
        alerts=alerts(facts),
        versions=[_version(version, facts) for version in facts.versions],
        map_legend=_map_legend(),
        legends=_legends(facts),
        traffic=figures.traffic(facts),
        entities=_entities(facts),
        comparisons=_comparisons(facts),
        rejected=_rejected(facts),
        rules=_rules(facts),
        thresholds=figures.STEPS,
    )
    style = _templates.get_template("report.css").render()
    # The template escapes what it is given.
    return page.document(TITLE, Markup(body), Markup(style))  # noqa: S704


def verdict(facts: Facts) -> str:
    """The report in a sentence or two."""
    if not facts.windows:
        return "There is no complete window yet: nothing has been measured."
    counts = Counter(row["severity"] for row in facts.alerts.firing)
    said = [f"{counts[severity]:,} {severity}" for severity in SEVERITIES if counts[severity]]
    if said:
        many = sum(counts.values()) > 1
        alarm = (
            f"{formatting.listed(said)} alert{'s' if many else ''} {'are' if many else 'is'} open."
        )
    else:
        alarm = "No alert is open."
    if facts.retrain is None:
        return alarm
    decision = "A new training is due." if facts.retrain["retrain"] else "No new training is due."
    return f"{alarm} {decision}"


def tiles(facts: Facts) -> list[Tile]:
    """Health at a glance, of the newest complete window."""
    if not facts.windows:
        return []
    found = _health_tiles(facts) if facts.health[facts.windows[-1]] else []
    if facts.versions:
        found += _quality_tiles(facts, facts.versions[0])
        found.append(_drift_tile(facts, facts.versions[0]))
    firing = facts.alerts.firing
    states = Counter(row["state"] for row in firing)
    found.append(
        Tile(
            "Open alerts",
            f"{len(firing):,}",
            f"{states['acknowledged']:,} of them acknowledged" if firing else "none fires",
            _worst(facts),
        )
    )
    return found


def alerts(facts: Facts) -> list[dict[str, str]]:
    """Alerts in words."""
    return [
        {
            "severity": row["severity"],
            "state": row["state"],
            "rule": row["rule"],
            "about": _about(row),
            "message": row["message"] or "",
            "since": formatting.moment(row["since"]),
            "windows": formatting.whole(row["windows_in_a_row"]),
            "value": formatting.measure(row["value"]),
            "threshold": formatting.measure(row["threshold"]),
            "by": _handled(row),
        }
        for row in facts.alerts.shown
    ]


def _health_tiles(facts: Facts) -> list[Tile]:
    def totals(name: str) -> list[int]:
        return [facts.total(span, name) for span in facts.windows]

    def ratios(name: str, of: str) -> list[float | None]:
        return [
            part / whole if whole else None
            for part, whole in zip(totals(name), totals(of), strict=True)
        ]

    latencies = [
        max(
            (
                (row["latency_p95_ms"], formatting.entity(row))
                for row in facts.health[span]
                if row["latency_p95_ms"] is not None
            ),
            default=(None, ""),
        )
        for span in facts.windows
    ]
    slowest, who = latencies[-1]
    requests = totals("requests")
    before = (
        f"{formatting.whole(requests[-2])} in the window before"
        if len(requests) > 1
        else "the first window"
    )
    failed, labelled = ratios("failed", "requests"), ratios("labelled", "records")
    return [
        Tile(
            "Requests",
            formatting.whole(requests[-1]),
            before,
            facts.alerts.severity({"requests"} if not requests[-1] else ()),
            charts.spark(requests),
        ),
        Tile(
            "Failed requests",
            formatting.share(failed[-1]),
            f"{formatting.whole(totals('failed')[-1])} failed, "
            f"{formatting.whole(totals('refused')[-1])} "
            f"refused, {formatting.whole(totals('throttled')[-1])} throttled",
            facts.alerts.severity(("failed", "refused", "throttled", "unread")),
            charts.spark(failed),
        ),
        Tile(
            "Latency, p95",
            formatting.millis(slowest),
            f"of the slowest: {who}" if who else "nothing was answered",
            facts.alerts.severity(("latency_p50_ms", "latency_p95_ms", "latency_p99_ms")),
            charts.spark([value for value, _ in latencies]),
        ),
        Tile(
            "Labelled records",
            formatting.share(labelled[-1]),
            f"{formatting.whole(totals('labelled')[-1])} of "
            f"{formatting.whole(totals('records')[-1])}; "
            "of all shown "
            f"{formatting.share(_ratio(sum(totals('labelled')), sum(totals('records'))))}",
            None,
            charts.spark(labelled),
        ),
    ]


def _quality_tiles(facts: Facts, version: Version) -> list[Tile]:
    """The leading version's; of the newest window that has the figure."""
    found = [one or Quality() for one in version.quality[_HEADLINE]]
    name = formatting.NAMES[_HEADLINE]
    tiles = []
    for kind, values in (
        ("estimated", [one.estimate for one in found]),
        ("realised", [one.realised for one in found]),
    ):
        places = [place for place, value in enumerate(values) if value is not None]
        title = f"{name}, {'from labels' if kind == 'realised' else kind}"
        if not places:
            tiles.append(Tile(title, UNKNOWN, f"not known of version {version.name}", None))
            continue
        last = found[places[-1]]
        notes = []
        if last.baseline is not None:
            lost = formatting.signed((values[places[-1]] or 0.0) - last.baseline)
            notes.append(f"baseline {formatting.figure(last.baseline)} ({lost})")
        if kind == "realised" and last.labelled is not None:
            notes.append(formatting.number_of(last.labelled, "label"))
        notes.append(f"version {version.name}")
        if places[-1] != len(values) - 1:
            notes.append(f"window {formatting.window(facts.windows[places[-1]])}")
        tiles.append(
            Tile(
                title,
                formatting.figure(values[places[-1]]),
                "; ".join(notes),
                facts.alerts.severity(_ABOUT_QUALITY[kind]),
                charts.spark(values),
            )
        )
    return tiles


def _drift_tile(facts: Facts, version: Version) -> Tile:
    """How many columns drift, and which one most."""
    place = facts.windows.index(version.newest)
    clear = {
        column.name: cell.strength
        for column in version.columns
        if (cell := column.cells[place]) and cell.clear and cell.strength is not None
    }
    counts = [
        sum(figures.level(column.cells[at]) > 0 for column in version.columns)
        for at in range(len(facts.windows))
    ]
    strongest = max(clear, key=lambda name: clear[name], default=None)
    note = "none more than chance explains" if strongest is None else f"{strongest} most"
    return Tile(
        "Columns that drift",
        f"{len(clear)} of {len(version.columns) + version.columns_left_out}",
        f"{note}; version {version.name}",
        facts.alerts.severity(("js_distance", "ks_test", "chi_squared_test", "percent_null_delta")),
        charts.spark(counts),
    )


def _version(version: Version, facts: Facts) -> dict[str, Any]:
    drifted = [
        column.name
        for column in version.columns
        if (cell := column.cells[facts.windows.index(version.newest)]) and cell.clear
    ]
    return {
        "name": version.name,
        "heading": f"Version {version.name}"
        + (f" ({formatting.listed(list(version.entities))})" if version.entities else ""),
        "newest": formatting.window(version.newest),
        "records": formatting.number_of(version.records, "record"),
        "drifted": drifted,
        "map": figures.drift_map(version, facts),
        "columns_left_out": version.columns_left_out,
        "distributions": figures.distributions(version, facts),
        "quality": figures.quality(version, facts),
        "slices": figures.slices(version),
        "slices_left_out": version.slices_left_out,
        "fairness": figures.fairness(version),
        "nulls": _nulls(version),
    }


def _nulls(version: Version) -> Grid:
    def pair(column: Row | None, before: Row | None, name: str) -> list[str]:
        return [formatting.percent(side[name]) if side else UNKNOWN for side in (column, before)]

    return Grid(
        f"Missing values of version {version.name}, window {formatting.window(version.newest)}",
        [
            *("Column", "Rows", "Null", "in the baseline", "Not a number", "in the baseline"),
            *("Zero", "in the baseline", "Distinct values"),
        ],
        [
            [
                column.name,
                formatting.whole(column.profile["count"]),
                *(
                    text
                    for name in ("percent_null", "percent_nan", "percent_zeros")
                    for text in pair(column.profile, column.baseline, name)
                ),
                formatting.whole(column.profile["distinct_count"]),
            ]
            for column in sorted(version.columns, key=lambda column: column.name)
            if column.profile is not None
        ],
    )


def _entities(facts: Facts) -> Grid | None:
    """Who answered how much in all windows shown; latency of the newest one."""
    named = figures.entities(facts)
    if not named:
        return None
    rows = [
        (span, formatting.entity(row), row) for span, some in facts.health.items() for row in some
    ]
    whole = sum(row["requests"] for *_, row in rows)

    def texts(name: str) -> list[str]:
        own = [row for _, entity, row in rows if entity == name]
        newest = next((row for row in reversed(own) if row["latency_p95_ms"] is not None), None)
        sums = {
            key: sum(row[key] for row in own)
            for key in (
                "requests",
                "refused",
                "throttled",
                "failed",
                "unread",
                "records",
                "labelled",
            )
        }
        return [
            formatting.whole(sums["requests"]),
            formatting.share(_ratio(sums["requests"], whole)),
            *(
                formatting.share(_ratio(sums[key], sums["requests"]))
                for key in ("refused", "throttled", "failed", "unread")
            ),
            *(
                formatting.millis(newest[f"latency_{key}_ms"] if newest else None)
                for key in ("p50", "p95", "p99")
            ),
            formatting.whole(sums["records"]),
            formatting.share(_ratio(sums["labelled"], sums["records"])),
        ]

    return Grid(
        "Served entities; counts of all windows shown, latency of each one's newest",
        [
            *("Entity", "Requests", "Share", "Refused", "Throttled", "Failed", "Unread"),
            *("p50", "p95", "p99", "Records", "Labelled"),
        ],
        [[name, *texts(name)] for name in named],
    )


def _comparisons(facts: Facts) -> Grid | None:
    if facts.ab_report is None or not facts.ab_report["comparisons"]:
        return None
    names = {"log_loss": "log loss", "accuracy": "accuracy"}
    rows = [
        [
            found["challenger"],
            name,
            formatting.signed(found.get(f"{metric}_gain"), ".4f"),
            " to ".join(
                formatting.signed(found.get(f"{metric}_{end}"), ".4f") for end in ("low", "high")
            ),
            formatting.p_value(found.get(f"{metric}_p_value")),
        ]
        for found in facts.ab_report["comparisons"]
        for metric, name in names.items()
    ]
    return Grid(
        f"Gain over {facts.ab_report['champion']}; positive is better",
        ["Challenger", "In", "Gain", "Bounds", "p"],
        rows,
        texts=frozenset({1}),
    )


def _rejected(facts: Facts) -> Grid | None:
    if not facts.rejected:
        return None
    return Grid(
        "Requests of which no record can be read, in the windows shown",
        ["Reason", "Requests"],
        [[reason, formatting.whole(count)] for reason, count in facts.rejected.items()],
    )


def _rules(facts: Facts) -> Grid:
    """When alerts are raised."""
    return Grid(
        "Rules",
        ["Rule", "Severity", "Fires when", "And", "Windows", "At least", "Asks for a training"],
        [
            [
                name,
                rule.severity,
                f"{rule.metric} {rule.comparison} {rule.threshold:g}",
                _tested(rule, facts.alerting.alpha),
                f"{rule.windows} of {rule.granularity}",
                f"{rule.min_records:,} {'rows' if rule.records_column == 'count' else rule.records_column}",
                "yes" if rule.retrain else "no",
            ]
            for name, rule in facts.alerting.active.items()
        ],
        texts=frozenset(range(1, 7)),
    )


def _tested(rule: Rule, alpha: float) -> str:
    return UNKNOWN if rule.test is None else f"adjusted p at most {alpha:g}"


def _map_legend() -> list[tuple[int, str]]:
    steps = [f"{step:g}" for step in figures.STEPS]
    return [
        (1, f"below {steps[0]}"),
        *((number, f"{low} to {high}") for number, (low, high) in enumerate(pairwise(steps), 2)),
        (len(steps) + 1, f"{steps[-1]} or more"),
    ]


def _legends(facts: Facts) -> dict[str, list[tuple[Markup, str]]]:
    confidence = f"{facts.monitoring.confidence:.0%}"
    return {
        "distributions": figures.legend(("bar", "c1", "this window")),
        "bars": figures.legend(("bar", "c1", "this window"), ("hollow", "c2", "baseline")),
        "numbers": figures.legend(("band", "c1", "this window"), ("dashed", "c2", "baseline")),
        "quality": figures.legend(
            ("circle", "c1", "estimated, before labels"),
            ("band", "c1", f"its {confidence} interval"),
            ("diamond", "c2", "from the labels that are known"),
            ("level", "", "baseline"),
        ),
        "slices": figures.legend(
            ("circle", "c1", f"estimated, with its {confidence} interval"),
            ("diamond", "c2", "from the labels that are known"),
            ("tick", "", "the slice in the baseline"),
        ),
        "entities": figures.entity_legend(facts),
    }


def _about(row: Row) -> str:
    parts = []
    if row["model_version"] is not None:
        parts.append(f"version {row['model_version']}")
    if row["slice_key"] is not None:
        parts.append(f"{row['slice_key']} = {row['slice_value']}")
    if row["column_name"] not in (None, ":table"):
        parts.append(str(row["column_name"]))
    return ", ".join(parts) or "the endpoint"


def _handled(row: Row) -> str:
    if row["state"] == "acknowledged":
        return f"by {row['acknowledged_by']}, {formatting.moment(row['acknowledged_at'])}"
    if row["state"] == "silenced" and row["silenced_until"] is not None:
        return f"until {formatting.moment(row['silenced_until'])}"
    return ""


def _worst(facts: Facts) -> str | None:
    found = {row["severity"] for row in facts.alerts.firing}
    return next((severity for severity in SEVERITIES if severity in found), None)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
