"""Input tables of the report, and a parser of its page."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pyarrow as pa
from support.samples import CLASSES, START, distribution, group, scored, window
from support.table import TABLE

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.aggregation.value_counts import Group, Segment
from marvel_kedro.monitoring.alerting.rules import AlertingOptions, Rule
from marvel_kedro.monitoring.metrics.drift import drift_metrics
from marvel_kedro.monitoring.metrics.performance_estimation import quality_estimates
from marvel_kedro.monitoring.metrics.profile import profile_metrics
from marvel_kedro.monitoring.options import MonitoringOptions, ReportingOptions
from marvel_kedro.monitoring.report import builder
from marvel_kedro.monitoring.report.data import MonitoringTables, ReportData

VOID = {"meta", "link", "br", "wbr", "img", "input", "hr", "col", "source", "area", "base", "embed"}
DAY = timedelta(days=1)
ERRORS = Rule(table="health_metrics", metric="failed / requests", threshold=0.02, min_records=50)
CHALLENGER = Segment("4")
WOMEN = Segment("3", "gender", "Female")
EARTH, ELSEWHERE = (Segment("3", "universe = 'Earth-616'", value) for value in ("true", "false"))
DECISION = {
    "retrain": True,
    "reasons": ["input_drift: height moved"],
    "cooldown_until": None,
    "labelled_records": 1234,
    "decided_at": "2026-01-15T06:00:00+00:00",
}


def options(**changed: Any) -> MonitoringOptions:
    """Return options at ten days after the first window."""
    given = {"now": START + 10 * DAY, "columns": {"gender": "category"}} | changed
    return MonitoringOptions.model_validate(given)


def records(
    seed: int, rows: int = 200, *, moved: float = 0.0, genders: Sequence[str] = ("Female", "Male")
) -> Group:
    """Make a group of a number, a category and free text; `moved` shifts the number."""
    generator = np.random.default_rng(seed)
    height = generator.normal(1.8 + moved, 0.1, rows).round(3)
    gender = [None if number % 7 == 0 else genders[number % len(genders)] for number in range(rows)]
    probability = generator.uniform(0.2, 0.9, rows).round(4)
    positive = [
        None if number % 3 == 0 else bool(generator.random() < chance)
        for number, chance in enumerate(probability)
    ]
    return group(
        {
            "height": distribution(height.tolist()),
            "gender": distribution(gender, "category"),
            "name": distribution(["x" * (5 + number % 9) for number in range(rows)], "text"),
            "probability": distribution(probability.tolist()),
        },
        scored(probability, positive=positive),
    )


def report_tables(
    groups: Mapping[tuple[int, Segment], Group], baseline: Mapping[Segment, Group], **others: Any
) -> MonitoringTables:
    """Make the tables of groups, each of a day."""
    keyed = {(window(day), part): one for (day, part), one in groups.items()}
    given: dict[str, Any] = {
        "health": health([(day, f"entity {part.model_version}", part.model_version, 200, 3)
                          for day, part in groups if part.slice_key is None]),
        "profile": profile_metrics(keyed, baseline, CLASSES),
        "drift": drift_metrics(keyed, baseline),
        "estimates": quality_estimates(keyed, baseline),
        "alerts": tables.ALERTS.empty_table(),
    }  # fmt: skip
    return MonitoringTables(**given | others)


def health(rows: Sequence[tuple[int, str | None, str | None, int, int]]) -> pa.Table:
    """Make `health_metrics` of day, entity, version, requests and failed requests."""
    return pa.Table.from_pylist(
        [
            {
                "window": span(day),
                "granularity": "1 day",
                "served_entity_name": name,
                "model_version": version,
                "requests": requests,
                "answered": requests - failed,
                "refused": 0,
                "throttled": 0,
                "failed": failed,
                "unread": 0,
                "records": requests - failed,
                "labelled": (requests - failed) // 2,
                "latency_p50_ms": 5.0 + day if requests > failed else None,
                "latency_p95_ms": 20.0 + day if requests > failed else None,
                "latency_p99_ms": 40.0 + day if requests > failed else None,
            }
            for day, name, version, requests, failed in rows
        ],
        tables.HEALTH_METRICS,
    )


def alert(day: int, **changed: Any) -> dict[str, Any]:
    """Make an alert about a column since a day."""
    return {
        "alert_id": f"id-{day}",
        "rule": "input_drift",
        "severity": "warning",
        "state": "open",
        "since": START + day * DAY,
        "window": span(day),
        "granularity": "1 day",
        "model_version": "3",
        "column_name": "height",
        "metric": "first(js_distance, ks_test.statistic)",
        "value": 0.5,
        "threshold": 0.1,
        "windows_in_a_row": 1,
        "message": "height moved",
        "first_seen": START + (day + 1) * DAY,
    } | changed


def alerts(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), tables.ALERTS)


def span(day: int) -> dict[str, datetime]:
    one = window(day)
    return {"start": one.start, "end": one.end}


def empty() -> MonitoringTables:
    return MonitoringTables(
        tables.HEALTH_METRICS.empty_table(),
        tables.PROFILE_METRICS.empty_table(),
        tables.DRIFT_METRICS.empty_table(),
        tables.QUALITY_ESTIMATES.empty_table(),
        tables.ALERTS.empty_table(),
    )


def report_data(
    found: MonitoringTables,
    monitoring: MonitoringOptions | None = None,
    rules: Mapping[str, Rule] | None = None,
    **shown: Any,
) -> ReportData:
    monitoring = monitoring or options()
    alerting = AlertingOptions(now=monitoring.now, rules={"errors": ERRORS, **(rules or {})})
    return builder.build(
        found, monitoring, alerting, ReportingOptions(**shown), TABLE, "marvel_characters"
    )


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return all of its text with single spaces."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join("".join(parts).split())

    def all(self, tag: str, **attributes: str) -> list["Element"]:
        """Return the elements with a tag and attributes; `class_` matches any one class."""
        found = []
        for child in self.children:
            if isinstance(child, str):
                continue
            if child.tag == tag and all(
                value in child.attributes.get(name.rstrip("_"), "").split()
                if name == "class_"
                else child.attributes.get(name.replace("_", "-")) == value
                for name, value in attributes.items()
            ):
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    def every(self) -> list["Element"]:
        elements = [child for child in self.children if isinstance(child, Element)]
        return elements + [below for one in elements for below in one.every()]

    def rows(self) -> list[list[str]]:
        """Return the texts of a table by row."""
        return [
            [one.text for one in row.children if isinstance(one, Element)] for row in self.all("tr")
        ]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("page", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        one = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(one)
        if tag not in VOID:
            self.open.append(one)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> ends another element, line {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(page: str) -> Element:
    """Parse a page, and check that its elements are closed in order."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert [one.tag for one in reader.open] == ["page"]
    return reader.open[0]


def tables_by_caption(page: Element) -> dict[str, list[list[str]]]:
    """Return the tables of the page by their unique captions."""
    found = [(table.all("caption"), table.rows()) for table in page.all("table")]
    named = [(caption[0].text, rows) for caption, rows in found if caption]
    assert len({name for name, _ in named}) == len(named)
    return dict(named)


def tiles_by_name(page: Element) -> dict[str, list[str]]:
    found = {}
    for tile in page.all("ul", class_="tiles")[0].all("li"):
        name, *texts = [one.text for one in tile.all("p") if one.text]
        found[name] = texts
    return found


def variables(style: str) -> list[dict[str, str]]:
    """Return the colours of a style sheet by name, for light and for dark mode."""
    light = dict(
        re.findall(r"--([\w-]+): (#\w{6})", re.sub(r"@media.*?\} \}", "", style, flags=re.DOTALL))
    )
    dark = dict(
        pair
        for block in re.findall(
            r"@media \(prefers-color-scheme: dark\) (.*?\} \})", style, flags=re.DOTALL
        )
        for pair in re.findall(r"--([\w-]+): (#\w{6})", block)
    )
    return [light, light | dark]


def contrast(first: str, second: str) -> float:
    """Compute the contrast ratio of WCAG 2.2."""
    bright = sorted(
        (
            float(
                np.dot(
                    [0.2126, 0.7152, 0.0722],
                    np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4),
                )
            )
            for colour in (first, second)
            for c in [np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255]
        ),
        reverse=True,
    )
    return (bright[0] + 0.05) / (bright[1] + 0.05)
