"""The `monitoring` and `reporting` pipelines, run by the CLI."""

import inspect
import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from kedro.io import DatasetError
from support.inference_traffic import Traffic, make_traffic
from support.project import Project
from support.report_tables import Element, health, options, read, tables_by_caption

from marvel_kedro.datasets.arrow_table import ArrowTableDataset
from marvel_kedro.datasets.optional import OptionalDataset
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.options import ReportingOptions
from marvel_kedro.pipelines.reporting import nodes
from marvel_kedro.table import local_engine

ALWAYS = "alerting.rules.slow.threshold=1,alerting.rules.slow.min_records=1"
NOW = "2026-01-04T06:00:00+00:00"  # the fourth day is incomplete


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return make_traffic(days=4, requests_a_day=60)


@pytest.fixture(scope="module")
def reported(
    trained: Path, traffic: Traffic, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, str]:
    """Make a project with a model, traffic and a report; return it and the terminal output."""
    project = Project(tmp_path_factory.mktemp("reported") / "project")
    shutil.copytree(trained, project.path)
    traffic.write(project.path / "data")
    outcome = project.cli(
        "--pipelines", "monitoring", "--params", f"monitoring.now={NOW},alerting.now={NOW},{ALWAYS}"
    )
    assert outcome.status == 0, outcome.output
    return project, outcome.output


def page(project: Project) -> Element:
    return read((project.path / "data/08_reporting/monitoring_report.html").read_text())


def test_page_is_written_logged_and_named_in_the_output(
    reported: tuple[Project, str],
) -> None:
    project, output = reported
    assert "Newest complete window: 2026-01-03" in page(project).text
    assert "Still running: the window 2026-01-04 (so far), 60 requests." in page(project).text
    text = " ".join(output.split())
    assert "data/08_reporting/monitoring_report.html" in text
    assert "60 requests so far" in text
    client = project.client()
    (experiment,) = client.search_experiments(filter_string="name = 'marvel_characters'")
    run = client.search_runs([experiment.experiment_id], max_results=1)[0]
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"monitoring_report.html", "drift.png", "quality.png"} <= files


def test_page_matches_the_tables(reported: tuple[Project, str]) -> None:
    project, _ = reported
    folder = project.path / "data/08_reporting"
    health = pq.read_table(folder / "health_metrics.parquet").to_pylist()
    shown = tables_by_caption(page(project))
    by_entity = {
        (f"{row['window']['start']:%Y-%m-%d}", f"{name} (version {row['model_version']})"): row
        for row in health
        for name in [row["served_entity_name"]]
    }
    names, *rows = shown["Requests"]
    days = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04 (so far)"]
    assert [row[0] for row in rows] == days
    for day, *counts in rows:
        for name, count in zip(names[1:], counts, strict=True):
            assert int(count) == by_entity[day[:10], name]["requests"]
    profile = pq.read_table(folder / "profile_metrics.parquet").to_pylist()
    nulls = shown["Missing values of version 1, window 2026-01-03"][1:]
    for name, rows_there, null, *_ in nulls:
        (row,) = [
            row
            for row in profile
            if (row["column_name"], row["model_version"], row["slice_key"]) == (name, "1", None)
            and row["log_type"] == "INPUT"
            and f"{row['window']['start']:%Y-%m-%d}" == "2026-01-03"
        ]
        assert (rows_there, null) == (f"{row['count']}", f"{row['percent_null']:.1f}%")


def test_page_shows_alerts_and_the_decision_to_retrain(reported: tuple[Project, str]) -> None:
    project, _ = reported
    shown = page(project)
    alerts = pq.read_table(project.path / "data/08_reporting/alerts.parquet").to_pylist()
    assert alerts
    rows = shown.all("table", class_="alerts")[0].rows()
    assert sorted(row[0] for row in rows[2::2]) == sorted(row["message"] for row in alerts)
    decision = project.report("retrain")
    output = shown.all("div", class_="decision")[0]
    assert output.all("h3")[0].text == f"Retraining: {'yes' if decision['retrain'] else 'no'}"
    assert [one.text for one in output.all("li")] == decision["reasons"]


def test_page_counts_rejected_requests_of_the_windows_shown(reported: tuple[Project, str]) -> None:
    project, _ = reported
    rejected = DeltaTable(project.path / "data/07_model_output/rejected_requests").to_pandas()
    inside = rejected[rejected["request_time"] < "2026-01-05"]
    assert len(inside)
    shown = tables_by_caption(page(project))[
        "Requests without a readable record, in the windows shown"
    ]
    assert {reason: int(count) for reason, count in shown[1:]} == (
        inside["reason"].value_counts().to_dict()
    )


def test_rejected_request_without_a_time_counts_at_the_start_of_its_day() -> None:
    """As in `health_metrics`, also where the first window begins within a day."""
    times = [
        (date(2026, 1, 5), None),
        (date(2026, 1, 6), None),
        (date(2026, 1, 5), datetime(2026, 1, 5, 23, 59, tzinfo=UTC)),
        (date(2026, 1, 7), datetime(2026, 1, 7, tzinfo=UTC)),
        (date(2026, 1, 7), None),
    ]
    rejected = pa.Table.from_pylist(
        [
            {"request_date": day, "request_time": time, "reason": f"{number}"}
            for number, (day, time) in enumerate(times)
        ],
        tables.REJECTED_REQUESTS,
    )
    frame = local_engine.relation(rejected)

    def counted(shown: pa.Table) -> set[str]:
        return set(nodes.count_rejected(frame, shown, options(), ReportingOptions()))

    two_days = health([(0, "one", "3", 9, 0), (1, "one", "3", 9, 0)])
    assert counted(two_days) == {"0", "1", "2"}
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    from_noon = pa.Table.from_pylist(
        [
            row | {"window": {"start": noon, "end": noon + timedelta(hours=12.5)}}
            for row in two_days.to_pylist()
        ],
        tables.HEALTH_METRICS,
    )
    assert counted(from_noon) == {"1", "2"}
    assert counted(tables.HEALTH_METRICS.empty_table()) == set()


def test_reporting_alone_uses_the_existing_tables(
    reported: tuple[Project, str], tmp_path: Path
) -> None:
    before, _ = reported
    shutil.copytree(before.path, tmp_path / "project")
    project = Project(tmp_path / "project")
    project.run(
        "reporting",
        monitoring={"now": "2026-01-20T00:00:00+00:00"},
        reporting={"max_windows": 2},
    )
    again = page(project)
    assert "Newest complete window: 2026-01-04" in again.text
    assert "2 older windows are not shown" in again.text


def test_page_shows_the_newest_ab_test_report(
    reported: tuple[Project, str], tmp_path: Path
) -> None:
    before, _ = reported
    assert "There is no A/B test report" in page(before).text
    shutil.copytree(before.path, tmp_path / "project")
    project = Project(tmp_path / "project")
    project.run("ab_test")
    project.run("reporting", monitoring={"now": NOW})
    assert project.report("ab_report")["verdict"] in page(project).text


@pytest.mark.slow
def test_kedro_viz_shows_tables_and_plots(reported: tuple[Project, str]) -> None:
    project, _ = reported
    outcome = project.kedro("viz", "build", "--include-previews")
    assert outcome.status == 0, outcome.output
    api = project.path / "build" / "api"
    shown = json.loads((api / "pipelines" / "monitoring").read_text())
    previews = {
        node["name"]: json.loads((api / "nodes" / node["id"]).read_text()).get("preview")
        for node in shown["nodes"]
        if node["type"] == "data"
    }
    names = ("health_metrics", "profile_metrics", "drift_metrics", "quality_estimates")
    for name in (*names, "drift_plot", "quality_plot"):
        assert previews[name], name
    assert len(previews["drift_metrics"]["data"]) == 10


def test_preview_has_the_types_of_kedro_viz(tmp_path: Path) -> None:
    dataset = ArrowTableDataset(str(tmp_path / "drift.parquet"), "DRIFT_METRICS")
    assert dataset.preview() == {"index": [], "columns": dataset.load().column_names, "data": []}
    rows = [{"column_name": "height", "js_distance": float("nan"), "count_delta": 3,
             "ks_test": {"statistic": 0.5, "pvalue": 0.1},
             "slice_value": "x" * 300}] * 3  # fmt: skip
    table = dataset.load()
    dataset.save(type(table).from_pylist(rows, table.schema))
    preview = dataset.preview(nrows=2)
    cells = dict(zip(preview["columns"], preview["data"][0], strict=True))
    assert len(preview["data"]) == 2
    assert cells["ks_test"] == '{"statistic": 0.5, "pvalue": 0.1}'
    assert cells["js_distance"] == "nan"
    assert cells["count_delta"] == 3
    assert len(cells["slice_value"]) == 201
    assert json.loads(json.dumps(preview, allow_nan=False)) == preview
    assert inspect.signature(dataset.preview).return_annotation.__name__ == "TablePreview"


def test_optional_dataset_loads_none_until_the_file_exists(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    dataset = OptionalDataset({"type": "json.JSONDataset", "filepath": str(path)})
    assert dataset.load() is None
    path.write_text('{"verdict": "none"}')
    assert dataset.load() == {"verdict": "none"}
    with pytest.raises(DatasetError, match="only read"):
        dataset.save({})  # type: ignore[arg-type]
