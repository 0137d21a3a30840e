"""`kedro demo`, whole: its output agrees with the tables and the registry."""

import re
import shutil
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console
from support.churn import CHURN, customers
from support.project import Project

from marvel_kedro import cli
from marvel_kedro.simulation import demo, demo_project


def test_demo_serves_and_monitors_each_day_in_a_project_of_its_own(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"DAYS": 2, "DRIFT_FROM": 2, "REQUESTS": 40}.items():
        monkeypatch.setattr(demo, name, value)
    monkeypatch.setattr(demo_project, "SYNTHETIC_ROWS", 1500)
    outcome = project.cli(command=cli.demo)
    assert outcome.status == 0, outcome.output
    assert "day  1" in outcome.output
    assert "Ten days" in outcome.output
    folder = project.path / "data" / "demo"
    assert (folder / "data/08_reporting/monitoring_report.html").stat().st_size > 10_000
    health = pq.read_table(folder / "data/08_reporting/health_metrics.parquet").to_pylist()
    assert sum(row["requests"] for row in health) == 80
    assert not project.client().search_registered_models()


def compared(version: str, verdict: str, gain: float, p: float) -> dict[str, Any]:
    figures = {"log_loss_gain": gain, "log_loss_low": 0.0, "log_loss_p_value": p}
    versions = {"challenger_version": version, "champion_version": "1"}
    return {"verdict": verdict} | versions | figures


@pytest.mark.parametrize(
    ("retrain", "challenger", "events", "actions"),
    [
        (False, None, [], []),
        (
            True,
            "2",
            [
                "retrained after 1,200 new labels: version 2",
                "version 2 is challenger: 50 % of traffic",
            ],
            ["retraining", "shift 50"],
        ),
        (
            True,
            None,
            [
                "retrained after 1,200 new labels: version 2",
                "the promotion gate rejects version 2",
            ],
            ["retraining"],
        ),
        (
            False,
            "2",
            [
                "A/B test: challenger is better (gain in log loss +0.070, p = 0.01)",
                "version 2 is promoted: all traffic",
            ],
            ["promote 2 by the A/B test: 2 beats 1 at 2026-01-12"],
        ),
        (False, "3", ["A/B test: no difference yet (gain in log loss +0.010, p = 0.3)"], []),
        (False, "4", ["A/B test: too few labels to compare"], []),  # of other versions
    ],
    ids=["calm", "accepted by the gate", "rejected by the gate", "won", "undecided", "unlabelled"],
)
def test_demo_follows_the_decisions_of_a_day(
    retrain: bool, challenger: str | None, events: list[str], actions: list[str]
) -> None:
    """With stand-ins for project and server; the slow test has the real ones."""
    done: list[str] = []
    reports = {
        "retrain": {"retrain": retrain, "labelled_records": 1200},
        "promotion": {"model_version": "2"},
        "ab_report": {
            "verdict": "2 beats 1",
            "comparisons": [
                compared("2", "challenger is better", 0.07, 0.01),
                compared("3", "no difference yet", 0.01, 0.3),
                compared("4", "challenger is better", 0.07, 0.01) | {"champion_version": "0"},
            ],
        },
    }
    project: Any = SimpleNamespace(
        report=reports.__getitem__,
        alert_events=lambda: ["alert realised_roc_auc, version 1"],
        run=lambda name, **_: done.append(name),
        version={"challenger": challenger, "champion": "1"}.get,
        shift_traffic=lambda percent: done.append(f"shift {percent}"),
        promote=lambda version, by, at: done.append(f"promote {version} by {by} at {at:%F}"),
    )
    server: Any = SimpleNamespace(traffic=lambda: {"challenger": 50}, champion_version=lambda: "2")
    story = demo._Demo(project, server, Console(quiet=True))
    story._react(7)
    assert story.timeline.events[7] == ["alert realised_roc_auc, version 1", *events]
    assert done == actions


@pytest.mark.slow
@pytest.mark.parametrize("rows", [569, 1500])
def test_demo_of_another_table_has_alert_retraining_and_promotion(
    project: Project, rows: int
) -> None:
    """A small table, in the words of its description; its raw file stays where it is."""
    described = yaml.safe_dump({"table": CHURN.model_dump(mode="json", exclude_defaults=True)})
    (project.path / "conf" / "base" / "table.yml").write_text(described)
    if rows == 569:  # without what is Marvel's alone
        shutil.rmtree(project.path / "src" / "marvel_kedro" / "characters")
    sources = {name: source for source, name in CHURN.sources.items()}
    customers(rows).rename(columns=sources).to_csv(project.raw.with_name(CHURN.file), index=False)
    outcome = project.kedro("demo")
    assert outcome.status == 0, outcome.output
    output = " ".join(outcome.output.split())
    for words in (
        "Training a champion for the table churn on customers in customers.csv",
        "concept drift: Yes and No are exchanged for",
        "of the customers, those with",
        "alert realised_roc_auc, version 1",
        "new labels: version 2",
        "version 2 is promoted",
        "Champion: version 2. Open alerts: 0.",
    ):
        assert words in output, output
    assert outcome.output.count("  calm\n") == 3, "a calm day has an alert"
    assert not (project.path / "data" / "demo" / "data" / "01_raw").exists()
    for word in ("alive", "dead", "character", "page_id"):
        assert not re.search(rf"\b{word}", output, re.IGNORECASE), word


@pytest.mark.slow
def test_demo_ends_with_promotion_and_recovered_performance(project: Project) -> None:
    away = project.path / "away"  # the variables are ignored
    outcome = project.kedro("demo", MARVEL_FILES=str(away), MLFLOW_TRACKING_URI=f"sqlite:///{away}")
    assert outcome.status == 0, outcome.output
    output = " ".join(outcome.output.split())
    assert "alert realised_roc_auc, version 1" in output
    assert "new labels: version 2" in output
    assert "A/B test: challenger is better (gain in log loss +" in output
    assert "version 2 is promoted" in output
    assert "A/B test: challenger (version 2) is better than champion (version 1)" in output
    assert "Champion: version 2. Open alerts: 0." in output
    assert outcome.output.count("  calm\n") == 3, "a calm day has an alert"
    folder = project.path / "data" / "demo"
    assert (folder / "data/08_reporting/monitoring_report.html").stat().st_size > 10_000
    assert str(Project(folder).champion().version) == "2"

    rows = pq.read_table(folder / "data/08_reporting/quality_estimates.parquet").to_pylist()
    performance = {
        (row["window"]["start"].day, row["model_version"]): row["realised"]
        for row in rows
        if row["metric"] == "roc_auc" and row["slice_key"] is None
    }
    calm, drifted, back = performance[7, "1"], performance[10, "1"], performance[14, "2"]
    assert drifted < calm - 0.15
    assert back > drifted + 0.15
    operational = pq.read_table(folder / "data/08_reporting/health_metrics.parquet").to_pylist()
    by_entity = {
        row["served_entity_name"]: row for row in operational if row["window"]["start"].day == 12
    }
    assert 0.3 < by_entity["challenger"]["requests"] / 600 < 0.7
    assert sum(row["requests"] for row in operational) == 6000

    alerts = pq.read_table(folder / "data/08_reporting/alerts.parquet").to_pylist()
    assert {row["resolution"] for row in alerts if row["rule"].startswith("realised")} == {
        "version 1 is retired"
    }
    card = (folder / "data/08_reporting/model_card.md").read_text().splitlines()[2]
    assert card.startswith("**Champion.** Version 2 was promoted on 2026-01-")
    assert "by the A/B test: challenger (version 2) is better" in card
    page = (folder / "data/08_reporting/monitoring_report.html").read_text()
    assert "No alert is open." in page
    assert 'class="critical"' not in page.split('id="drift"')[0]

    assert not away.exists()

    again = project.kedro("demo", "--folder", "src")
    assert again.status == 1
    assert "src is not empty, and no demo" in " ".join(again.output.split())
