"""A retraining on tables equals one on files: rows, model and log."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pandas.testing import assert_frame_equal
from support.labelled_log import make_log, typed, write_log
from support.project import Project

from marvel_kedro import cli
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.tables import conform

SCHEMAS = {"sail": "a-b", "spark": "marvel_characters"}  # Spark's own catalog has no hyphens
SMALL = "training.evaluation.resamples=20,training.gate.resamples=200"
NOW = ("--params", f"{SMALL},monitoring.now=2026-02-01T00:00:00+00:00")
TABLES = ("newest_records", "retraining_train_set", "retraining_test_set")


def run(project: Project, *words: str, engine: str = "sail") -> None:
    outcome = project.on(engine, *words, MARVEL_SCHEMA=SCHEMAS[engine])
    assert outcome.status == 0, outcome.output


def log_of(project: Project) -> list[dict[str, Any]]:
    path = project.path / "data" / "08_reporting" / "retraining_log.parquet"
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def folder(project: Project, table: str, engine: str = "sail") -> Path:
    """The folder of a table of the warehouse."""
    return project.path / "data" / "warehouse" / SCHEMAS[engine] / table


def managed(project: Project, table: str, engine: str = "sail") -> list[dict[str, Any]]:
    """Rows of a table of the warehouse, read with Arrow."""
    found = DeltaTable(folder(project, table, engine)).to_pyarrow_table()
    rows: list[dict[str, Any]] = conform(found, getattr(tables, table.upper())).to_pylist()
    return rows


def records(characters: pd.DataFrame) -> pd.DataFrame:
    """New pages, known pages, repeated pages, and records without a label."""
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


class Step(NamedTuple):
    """The state of a project after a step."""

    retrain: dict[str, Any]
    promotion: dict[str, Any]
    log: list[dict[str, Any]]


def step(project: Project, log: list[dict[str, Any]]) -> Step:
    return Step(project.report("retrain"), project.report("promotion"), log)


def made(project: Project, *env: str) -> None:
    """Synthetic rows and a model trained on them."""
    pipelines = ("--pipelines", "synthetic,processing,training")
    run(project, *pipelines, "--params", f"{SMALL},synthetic.rows=4000", *env)


def as_on_spark(project: Project) -> None:
    """Give tables and champion the names that they have in Spark's catalog."""
    sail, spark = (project.path / "data/warehouse" / SCHEMAS[name] for name in ("sail", "spark"))
    sail.rename(spark)
    client, model = project.client(), f"spark_catalog.{SCHEMAS['spark']}.marvel_characters"
    client.copy_model_version(f"models:/sail.{SCHEMAS['sail']}.marvel_characters/1", model)
    client.set_registered_model_alias(model, "champion", "1")


def retrained(project: Project, *env: str, engine: str = "sail") -> None:
    """Alerts and a retraining on the new records."""
    for pipeline in ("alerting", "retraining"):
        run(project, "--pipelines", pipeline, *NOW, *env, engine=engine)


def gone_on(project: Project, *env: str, engine: str = "sail") -> None:
    """Alerts again and a training, while the retrained version is the champion."""
    run(project, "--pipelines", "alerting,training", *NOW, *env, engine=engine)


class OnFiles(NamedTuple):
    """The states in the environment `base`."""

    incoming: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    first: Step
    then: Step


@pytest.fixture(scope="module")
def on_files(template: Path, tmp_path_factory: pytest.TempPathFactory) -> OnFiles:
    project = Project(tmp_path_factory.mktemp("files") / "project")
    shutil.copytree(template, project.path)
    made(project)
    incoming = records(project.table("records"))
    write_log(incoming, project.path / "data" / "07_model_output" / "inference_log")
    retrained(project)
    first = step(project, log_of(project))
    tables = {name: project.table(name) for name in TABLES}
    gone_on(project)
    return OnFiles(incoming, tables, first, step(project, log_of(project)))


def test_scenario_retrains_on_files(on_files: OnFiles) -> None:
    """Otherwise the engines would agree trivially."""
    assert all(len(table) > 100 for table in on_files.tables.values())
    assert on_files.first.retrain["labelled_records"] == 2200
    assert on_files.first.log[0]["model_version"] == "2"
    # Since that training no label has become known.
    assert on_files.then.retrain["labelled_records"] == 0
    # The new champion is challenged on what it was retrained for.
    assert on_files.first.log[0]["outcome"] == "promoted"
    decision = on_files.then.promotion
    assert (decision["tested_on"], decision["promoted"]) == ("retraining_test_set", False)
    assert decision["previous_champion"] == "2"


@pytest.mark.parametrize("engine", ["sail", pytest.param("spark", marks=pytest.mark.spark)])
def test_retraining_is_the_same_on_every_engine(
    engine: str, on_files: OnFiles, project: Project
) -> None:
    lakehouse = ("--env", "lakehouse")
    made(project, *lakehouse)
    if engine == "spark":  # the main job runs on it in test_parity.py
        as_on_spark(project)
    write_log(on_files.incoming, folder(project, "inference_log", engine))
    retrained(project, *lakehouse, engine=engine)
    for name, expected in on_files.tables.items():
        order: Any = {"by": "page_id", "ignore_index": True}
        found = DeltaTable(folder(project, name, engine)).to_pandas()[expected.columns]
        assert_frame_equal(
            found.sort_values(**order), expected.sort_values(**order), check_exact=True, obj=name
        )
    compare(step(project, managed(project, "retraining_log", engine)), on_files.first)
    gone_on(project, *lakehouse, engine=engine)
    compare(step(project, managed(project, "retraining_log", engine)), on_files.then)


def compare(found: Step, expected: Step) -> None:
    assert found.retrain == expected.retrain
    assert found.log == expected.log
    for key in ("model_digest", "tested_on", "promoted", "previous_champion", "checks"):
        assert found.promotion[key] == expected.promotion[key], key


def test_alerts_command_acknowledges_alerts_of_a_lakehouse(project: Project) -> None:
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
    write_deltalake(folder(project, "alerts"), pa.Table.from_pylist([alert], tables.ALERTS))
    words, environment = ("--env", "lakehouse"), {"MARVEL_SCHEMA": SCHEMAS["sail"]}
    acknowledge = (*words, "ack", "aaa", "--by", "Eve")
    done = project.cli(*acknowledge, command=cli.alerts, environment=environment)
    assert done.status == 0, done.output
    (action,) = managed(project, "alert_actions")
    assert (action["alert_id"], action["by"]) == ("aaa111", "Eve")
    listed = project.cli(*words, command=cli.alerts, environment=environment)
    assert listed.status == 0, listed.output
    assert "acknowledged" in listed.output
    assert "1 alert" in listed.output
