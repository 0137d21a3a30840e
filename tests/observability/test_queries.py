"""Rules and dashboards query exported metrics only."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from support.project import ROOT

from marvel_kedro.monitoring.export import FAMILIES
from marvel_kedro.serving.telemetry import metrics

FOLDER = ROOT / "observability"
RULES = sorted(FOLDER.glob("prometheus/rules/*.yml"))
DASHBOARDS = sorted(FOLDER.glob("grafana/dashboards/*.json"))
OF_THE_SCRAPE = {"job", "instance"}


OF_DATABRICKS = (
    FOLDER / "prometheus/databricks.yml",
    Path(__file__).parent / "databricks_metrics.txt",
)


def exported() -> dict[str, set[str]]:
    """Return the labels of every scraped metric by name."""
    found = {"up": {"endpoint"}} | {family.name: set(family.labels) for family in FAMILIES}
    found |= {name: {"endpoint", "le"} for name in of_databricks()}
    for metric in vars(metrics).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        name, labels = metric._name, set(metric._labelnames)
        match metric:
            case Counter():
                found[f"{name}_total"] = labels
            case Gauge():
                found[name] = labels
            case Histogram():
                found |= {f"{name}_sum": labels, f"{name}_count": labels}
                found[f"{name}_bucket"] = labels | {"le"}
    return {name: labels | OF_THE_SCRAPE for name, labels in found.items()}


def of_databricks() -> set[str]:
    """Return the names that relabelling makes of Databricks' documented ones."""
    config, text = (path.read_text("utf-8") for path in OF_DATABRICKS)
    (scrape,) = yaml.safe_load(config)["scrape_configs"]
    *renaming, keeping = scrape["metric_relabel_configs"]
    found = set()
    for name in re.findall(r"^(\w+)[ {]", text, re.MULTILINE):
        renamed = name
        for one in renaming:
            if match := re.fullmatch(one["regex"], renamed):
                renamed = match.expand(one["replacement"].replace("${", "\\g<").replace("}", ">"))
        if re.fullmatch(keeping["regex"], renamed):
            found.add(renamed)
    return found


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            yield from group["rules"]


def dashboard_queries(path: Path) -> Iterator[str]:
    for panel in json.loads(path.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "1m")


def queries() -> list[str]:
    expressions = [rule["expr"] for rule in rules()]
    return expressions + [query for path in DASHBOARDS for query in dashboard_queries(path)]


def parts(expression: Any) -> Iterator[Any]:
    """Yield the expression and all expressions within it."""
    found: list[Any] = []
    promql.walk(expression, found.append)
    yield from found


def selectors(expression: Any) -> Iterator[promql.VectorSelector]:
    for part in parts(expression):
        if isinstance(part, promql.VectorSelector):
            yield part


LEVELS = ("served_entity", "granularity", "model_version", "column", "endpoint")


def known() -> dict[str, set[str]]:
    """Return labels of exported and recorded metrics; recorded names begin with their labels."""
    names = exported()
    for rule in rules():
        if "record" in rule:
            level = rule["record"].partition(":")[0]
            names[rule["record"]] = {label for label in LEVELS if label in level}
    return names


def test_recorded_names_begin_with_their_labels() -> None:
    for rule in rules():
        if "record" not in rule:
            continue
        level = rule["record"].partition(":")[0]
        by = [
            tuple(part.modifier.labels)
            for part in parts(promql.parse(rule["expr"]))
            if isinstance(part, promql.AggregateExpr)
            and part.modifier
            and str(part.modifier.type).endswith("By")
        ]
        if any(by):
            assert level in {"_".join(one for one in labels if one != "le") for labels in by}
        else:
            assert level.startswith("marvel"), rule


@pytest.mark.parametrize("query", queries())
def test_query_uses_exported_metrics_and_labels(query: str) -> None:
    names = known()
    expression = promql.parse(query)
    available: set[str] = set()
    for selector in selectors(expression):
        labels = names[str(selector.name)]
        assert {one.name for one in selector.matchers.matchers} <= labels, selector.name
        available |= labels
    for part in parts(expression):
        if isinstance(part, promql.AggregateExpr) and part.modifier:
            assert set(part.modifier.labels) <= available, query


def test_every_alert_has_severity_summary_and_action() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert alert["labels"]["severity"] in ("warning", "critical"), alert["alert"]
        assert set(alert["annotations"]) == {"summary", "action"}, alert["alert"]


def test_labels_in_messages_are_labels_of_the_alert() -> None:
    names = known()
    for rule in rules():
        shown = re.findall(r"\$labels\.(\w+)", json.dumps(rule.get("annotations", {})))
        available: set[str] = set()
        for selector in selectors(promql.parse(rule["expr"])):
            available |= names[str(selector.name)]
        assert set(shown) <= available, rule


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboard_has_unique_panels_that_do_not_overlap(path: Path) -> None:
    panels = json.loads(path.read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    (source,) = yaml.safe_load(
        (FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text("utf-8")
    )["datasources"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        place = panel["gridPos"]
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not covered & taken, panel["title"]
        assert max(x for x, _ in covered) < 24, panel["title"]
        taken |= covered
