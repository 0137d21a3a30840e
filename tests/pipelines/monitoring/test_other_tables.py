"""Monitoring, alerts, report, export and A/B test of tables that have nothing of Marvel's."""

import re
import shutil
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from support import other_tables
from support.other_tables import CHURN, READINGS, install, make_rows, predicted
from support.project import Project
from support.report_tables import read

from marvel_kedro.monitoring.inference_log import records
from marvel_kedro.monitoring.tables import inference_log
from marvel_kedro.monitoring.tables import labels as labels_schema
from marvel_kedro.table.description import TableSpec

NOW = "2026-01-03T00:00:00+00:00"  # after all traffic
MARVELS = re.compile(
    r"\balive\b|\bdead\b|page_id|universe|identity|gender|character"
    r"|marvel(?!_kedro|_monitoring)",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    ("table", "slices", "most"),
    [(CHURN, ["order = 'order 1'", "paperless"], 9), (READINGS, ["value > 0"], 1)],
    ids=["every kind", "numbers only"],
)
def test_another_table_is_monitored_in_its_own_words(
    project: Project, table: TableSpec, slices: list[str], most: int
) -> None:
    data, label = project.path / "data", table.target.column
    baseline, rows = make_rows(table, 800, 1), make_rows(table, 600, 2, moved=1.0)
    install(project.path, table, baseline)
    other_tables.make_traffic(table, rows).write(data)
    left_out = {"units"} & table.inputs.keys()
    options = {"now": NOW, "slices": slices, "max_slice_values": most}
    project.run(
        *("monitoring", "ab_test"),
        monitoring=options | {"columns": dict.fromkeys(left_out)},
        ab_test={"resamples": 20, "min_clusters": 5},
    )
    log = DeltaTable(data / "07_model_output/inference_log").to_pandas()
    log = log.sort_values(table.key, ignore_index=True)
    own = [table.key, *table.inputs, "probability"]
    pd.testing.assert_frame_equal(log[own], rows[own], check_dtype=False)
    assert log["prediction"].tolist() == predicted(table, rows)
    assert log[label].notna().sum() == 400
    assert pq.read_table(data / "08_reporting/health_metrics.parquet")["unread"].to_pylist() == (
        [0] * 4
    )

    profile = pq.read_table(data / "08_reporting/profile_metrics.parquet").to_pylist()
    whole = [row for row in profile if row["column_name"] == ":table" and not row["slice_key"]]
    assert {row["column_name"] for row in profile} == {
        *(":table", "prediction", "probability", *table.inputs.keys() - left_out)
    }
    assert {row["slice_key"] for row in profile} == {None, *slices}
    known = log[log[label].notna()]
    for row in (row for row in whole if row["log_type"] == "INPUT"):
        in_window = (known["request_time"] >= row["window"]["start"]) & (
            known["request_time"] < row["window"]["end"]
        )
        mine = known[in_window & (known["model_version"] == row["model_version"])]
        hits = (mine["prediction"] == mine[label]).mean()
        assert row["accuracy_score"] == pytest.approx(hits)
        counted = {
            (cell["prediction"], cell["label"]): cell["count"] for cell in row["confusion_matrix"]
        }
        assert counted == {
            (one, other): ((mine["prediction"] == one) & (mine[label] == other)).sum()
            for one in table.target.classes
            for other in table.target.classes
        }
        assert [name for name, _ in row["recall"]["one_vs_all"]] == list(table.target.classes)

    alerts = pq.read_table(data / "08_reporting/alerts.parquet").to_pylist()
    drifted = {row["column_name"] for row in alerts if row["rule"] == "input_drift"}
    assert {*table.numbers} - left_out <= drifted
    assert drifted.isdisjoint({"joined", "tags"})
    page = (data / "08_reporting/monitoring_report.html").read_text()
    about = (
        f"The table {table.name} of {table.row.many}. The model {table.name} predicts {label}: "
        f"{' or '.join(table.target.classes)}."
    )
    assert about in read(page).text
    assert read(page).all("h1")[0].text == f"Monitoring report: {table.name}"
    parity = f"for the class {table.target.positive}: 1 is parity"
    assert (parity in read(page).text) is (most > 1)
    ab_page = (data / "08_reporting/ab_page.html").read_text()
    assert f"A/B test: {table.name}" in ab_page
    assert project.report("ab_report")["labelled_records"] == 400
    samples = (data / "08_reporting/monitoring.prom").read_text()
    for text in (page, ab_page, samples, str(alerts), str(profile), str(list(log.columns))):
        assert MARVELS.findall(re.sub(r'src="data:[^"]*"', "", text)) == []


def test_tables_of_another_description_are_named_with_the_remedy(project: Project) -> None:
    """As after an adoption in a project that has served another table."""
    logs = project.path / "data/07_model_output"
    rows = make_rows(READINGS, 30, 1)
    install(project.path, CHURN, make_rows(CHURN, 30, 2))
    other_tables.make_traffic(READINGS, rows).write(project.path / "data")
    log = inference_log(READINGS).empty_table()
    write_deltalake(str(logs / "inference_log"), log, partition_by=["request_date"])

    def run() -> str:
        words = f"monitoring.now={NOW},monitoring.slices=[]"
        return " ".join(project.cli("--pipelines", "monitoring", "--params", words).output.split())

    labels = project.path / "data/03_primary/labels.parquet"
    assert "labels.parquet has other columns than the table description" in (output := run())
    assert "lacks customer, lacks churned." in output
    assert "Give it the columns customer, churned, labelled_at" in output
    labels.unlink()
    output = run()
    assert "inference_log has other columns than the table description (table.yml)" in output
    assert "lacks customer, lacks balance," in output
    assert "also has sample" in output
    assert "Move inference_log and monitoring_baseline away" in output
    shutil.rmtree(logs / "inference_log")
    assert "monitoring_report.html" in run()
    reasons = DeltaTable(logs / "rejected_requests").to_pandas()["reason"]
    assert set(reasons) == {"a prediction is not 1 or 0 with a probability from 0 to 1"}


def test_labels_in_words_of_the_source_are_classes_and_new_classes_are_read_again() -> None:
    at = [datetime(2026, 1, 1, tzinfo=UTC)] * 4
    given = [["a", "b", "c", "d"], ["yes", "1", "0", "maybe"], at]
    labels = pa.table(given, schema=labels_schema(CHURN))

    def newest(table: TableSpec) -> dict[str, str]:
        found = records.newest_labels(labels, table).collect("pyarrow").to_native()
        return dict(zip(found["customer"].to_pylist(), found["churned"].to_pylist(), strict=True))

    assert newest(CHURN) == {"a": "1", "b": "1", "c": "0"}
    target = CHURN.target.model_copy(update={"negative": None})
    rest = CHURN.model_copy(update={"target": target})
    assert newest(rest) == {"a": "1", "b": "1", "c": "not 1", "d": "not 1"}
    log = pa.Table.from_pylist([{"prediction": "0"}], inference_log(CHURN))
    assert records.has_other_classes(log, rest)
    assert not records.has_other_classes(log, CHURN)
