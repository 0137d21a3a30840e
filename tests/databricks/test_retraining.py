"""A retraining on tables is that of files: the same rows, the same model, the same log."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from labelled import make_log, typed, write_log
from pandas.testing import assert_frame_equal
from support import Project

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.tables import conform

ENGINES = {"sail": {"MARVEL_ENGINE": "sail"}, "spark": {"MARVEL_ENGINE": "spark"}}
WAREHOUSE = Path("data", "warehouse", "marvel_characters")
NOW = "2026-02-01T00:00:00+00:00"
SMALL = "training.evaluation.resamples=20,training.gate.resamples=200"
TABLES = ("newest_characters", "retraining_train_set", "retraining_test_set")


def run(project: Project, *words: str, **environment: str) -> None:
    outcome = project.kedro("run", *words, OMP_NUM_THREADS="1", **environment)
    assert outcome.status == 0, outcome.output


def log_of(project: Project) -> list[dict[str, Any]]:
    path = project.path / "data" / "08_reporting" / "retraining_log.parquet"
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def managed(project: Project, table: str) -> list[dict[str, Any]]:
    """Rows of a table of the warehouse, as Arrow has them."""
    folder = project.path / WAREHOUSE / table
    found = DeltaTable(folder).to_pyarrow_table()
    rows: list[dict[str, Any]] = conform(found, getattr(tables, table.upper())).to_pylist()
    return rows


def records(characters: pd.DataFrame) -> pd.DataFrame:
    """New pages, pages that are known, pages that come twice, and records without a label."""
    drifted = make_log(records=2000, scenario="concept")
    time = pd.Timestamp("2026-01-02", tz="UTC")
    known = characters.head(200)[["page_id", "alive"]].assign(
        request_time=time, labelled_at=time, databricks_request_id="k", record_number=range(200)
    )
    again = drifted.head(300).assign(
        request_time=drifted["request_time"].head(300) + pd.Timedelta(hours=1),
        height=1.5,
        gender="",
    )
    unlabelled = drifted.tail(100).assign(alive=None, labelled_at=None)
    return typed(pd.concat([drifted, known, again, unlabelled]))


@pytest.mark.parametrize("engine", ["sail", pytest.param("spark", marks=pytest.mark.spark)])
def test_an_engine_changes_nothing(
    engine: str, project: Project, template: Path, tmp_path: Path
) -> None:
    made = ("--pipelines", "synthetic,processing,training")
    now = ("--params", f"{SMALL},monitoring.now={NOW}")
    small = ("--params", f"{SMALL},synthetic.rows=4000")
    run(project, *made, *small)
    log = records(project.table("characters"))
    write_log(log, project.path / "data" / "07_model_output" / "inference_log")
    for pipeline in ("alerting", "retraining"):
        run(project, "--pipelines", pipeline, *now)

    shutil.copytree(template, tmp_path / "lakehouse")
    lakehouse = Project(tmp_path / "lakehouse")
    run(lakehouse, *made, *small, "--env", "lakehouse", **ENGINES[engine])
    write_log(log, lakehouse.path / WAREHOUSE / "inference_log")
    for pipeline in ("alerting", "retraining"):
        run(lakehouse, "--pipelines", pipeline, *now, "--env", "lakehouse", **ENGINES[engine])

    for name in TABLES:
        order: Any = {"by": "page_id", "ignore_index": True}
        expected, found = project.table(name), lakehouse.delta(name)[project.table(name).columns]
        assert len(expected) > 100
        assert_frame_equal(
            found.sort_values(**order), expected.sort_values(**order), check_exact=True, obj=name
        )
    assert lakehouse.report("retrain") == project.report("retrain")
    assert project.report("retrain")["labelled_records"] == 2200
    assert managed(lakehouse, "retraining_log") == log_of(project)
    assert log_of(project)[0]["model_version"] == "2"
    digests = [each.report("promotion")["model_digest"] for each in (project, lakehouse)]
    assert digests[0] == digests[1]

    # Since that training no label has become known.
    run(project, "--pipelines", "alerting", *now)
    run(lakehouse, "--pipelines", "alerting", *now, "--env", "lakehouse", **ENGINES[engine])
    assert lakehouse.report("retrain") == project.report("retrain")
    assert project.report("retrain")["labelled_records"] == 0

    # Were it promoted after all, it would be challenged on what it was retrained for.
    assert log_of(project)[0]["outcome"] == "challenger"
    for each in (project, lakehouse):
        name = each.report("promotion")["model_name"]
        each.client().set_registered_model_alias(name, "champion", "2")
    run(project, "--pipelines", "training", *now)
    run(lakehouse, "--pipelines", "training", *now, "--env", "lakehouse", **ENGINES[engine])
    decisions = [each.report("promotion") for each in (project, lakehouse)]
    for record in decisions:
        assert (record["tested_on"], record["promoted"]) == ("retraining_test_set", False)
        assert record["previous_champion"] == "2"
    assert decisions[0]["checks"] == decisions[1]["checks"]


def test_alerts_in_tables_are_acknowledged_there(project: Project) -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    alert = {
        "alert_id": "aaa111",
        "rule": "input_drift",
        "severity": "warning",
        "state": "open",
        "message": "it drifts",
        "since": begun,
        "window": {"start": begun, "end": begun},
        "first_seen": begun,
    }
    folder = project.path / WAREHOUSE / "alerts"
    write_deltalake(str(folder), pa.Table.from_pylist([alert], tables.ALERTS))
    done = project.kedro("alerts", "--env", "lakehouse", "ack", "aaa", "--by", "Eve")
    assert done.status == 0, done.output
    (action,) = managed(project, "alert_actions")
    assert (action["alert_id"], action["by"]) == ("aaa111", "Eve")
    listed = project.kedro("alerts", "--env", "lakehouse")
    assert listed.status == 0, listed.output
    assert "acknowledged" in listed.output
    assert "1 alert" in listed.output
