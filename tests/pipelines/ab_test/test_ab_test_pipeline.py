"""The `ab_test` pipeline: from the endpoint's tables to the report."""

import json
import re

import pandas as pd
import pyarrow as pa
import pytest
from support.inference_traffic import LABELS_SCHEMA, Traffic, make_traffic
from support.project import Project

from marvel_kedro.core.errors import ProjectError


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return make_traffic(champion_noise=1.5, days=12, requests_a_day=250)


def test_endpoint_tables_give_a_verdict_a_page_and_artefacts(
    project: Project, traffic: Traffic
) -> None:
    traffic.write(project.path / "data")
    outcome = project.cli("--pipelines", "ab_test")
    assert outcome.status == 0, outcome.output
    output = re.sub(r"[\s│]+", " ", outcome.output)
    assert "challenger (version 2) is better than champion (version 1)" in output
    assert "open the A/B reading data/08_reporting/ab_page.html" in output

    report = project.report("ab_report")
    assert report["requests"] == traffic.payload.num_rows
    (comparison,) = report["comparisons"]
    assert comparison["verdict"] == "challenger is better"
    assert comparison["log_loss_low"] > 0
    entities = pd.read_csv(project.path / "data/08_reporting/ab_entities.csv")
    assert entities["served_entity_name"].tolist() == ["champion", "challenger"]
    assert entities["requests"].sum() == traffic.payload.num_rows
    page = (project.path / "data/08_reporting/ab_page.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    experiment = project.client().get_experiment_by_name("marvel_characters")
    assert experiment
    (run,) = project.client().search_runs([experiment.experiment_id])
    artefacts = {file.path for file in project.client().list_artifacts(run.info.run_id)}
    assert artefacts >= {"ab_report.json", "ab_entities.csv", "ab_page.html"}


def test_without_labels_the_report_has_no_performance(project: Project, traffic: Traffic) -> None:
    Traffic(traffic.payload, traffic.served, pa.Table.from_pylist([], LABELS_SCHEMA)).write(
        project.path / "data"
    )
    project.run("ab_test")
    report = project.report("ab_report")
    assert report["verdict"].startswith("No labels yet")
    assert report["entities"][0]["latency_p95_ms"] > 0
    assert report["entities"][0]["roc_auc"] is None
    json.dumps(report, allow_nan=False)
    page = (project.path / "data/08_reporting/ab_page.html").read_text()
    assert "No labels yet" in page
    assert page.count("There are no labels yet.") == 2
    assert "log loss</th>" not in page


def test_labels_are_read_as_monitoring_reads_them(project: Project, traffic: Traffic) -> None:
    """Times of nanoseconds, a page labelled twice, one of an unknown time, one of neither class."""
    traffic.write(project.path / "data")
    project.run("ab_test")
    labels = traffic.labels.to_pandas()
    expected = project.report("ab_report")
    earlier = labels.head(5).assign(
        alive=labels["alive"].map({"Alive": "Dead", "Dead": "Alive"}),
        labelled_at=labels["labelled_at"] - pd.Timedelta(days=1),
    )
    odd = labels.head(1).assign(page_id="no such page", alive="perhaps")
    unknown = pd.Series([pd.NaT], odd.index, labels["labelled_at"].dtype)
    timeless = odd.assign(page_id="another", alive="Alive", labelled_at=unknown)
    given = pd.concat([labels, earlier, odd, timeless])
    given["labelled_at"] = given["labelled_at"].astype("datetime64[ns, UTC]")
    given.to_parquet(project.path / "data/03_primary/labels.parquet", index=False)
    outcome = project.cli("--pipelines", "ab_test")
    assert outcome.status == 0, outcome.output
    assert "1 labels are neither Alive nor Dead" in " ".join(outcome.output.split())
    assert project.report("ab_report") == expected


@pytest.mark.parametrize("missing", ["inference_payload", "served_entities", "labels"])
def test_missing_table_is_named_with_its_source(
    project: Project, traffic: Traffic, missing: str
) -> None:
    traffic.write(project.path / "data")
    for path in project.path.glob(f"data/*/{missing}*"):
        path.rename(project.path / "away")
    outcome = project.cli("--pipelines", "ab_test")
    assert outcome.status == 1
    output = " ".join(outcome.output.split())
    assert f"{missing} is not there" in output
    assert "kedro serve" in output or (
        "Bring a table with page_id, alive (Alive or Dead) and labelled_at" in output
    )


def test_table_without_the_inference_columns_is_rejected(
    project: Project, traffic: Traffic
) -> None:
    incomplete = traffic.payload.drop_columns(["response", "status_code"])
    Traffic(incomplete, traffic.served, traffic.labels).write(project.path / "data")
    with pytest.raises(ProjectError, match="lacks status_code, response"):
        project.run("ab_test")
