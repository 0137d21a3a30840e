"""The tables of monitoring are the same on every engine."""

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession
from support import other_tables
from support.inference_traffic import Traffic, make_traffic
from support.monitoring_state import lakehouse_state, state
from support.other_tables import CHURN, READINGS, make_rows
from support.project import Project
from support.random_log import OPTIONS, START, make_log
from support.table import TABLE

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.aggregation.grouping import aggregate
from marvel_kedro.monitoring.aggregation.watermarks import ChangedDays
from marvel_kedro.monitoring.defaults import measured_columns
from marvel_kedro.monitoring.inference_log import records
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.local_engine import relation

SMALL = "synthetic.rows=1500,training.fit.max_trees=20,training.fit.folds=2"
SCHEMAS = {"sail": "select-1", "spark": "marvel_characters"}  # Spark's own catalog has no hyphens
MONITOR = (
    *("--pipelines", "monitoring", "--params"),
    "monitoring.now=2026-01-20T00:00:00+00:00,monitoring.max_slice_values=1",
)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return make_traffic(days=3, requests_a_day=60)


def ran(project: Project, *words: str, engine: str = "sail") -> None:
    outcome = project.on(engine, *words, MARVEL_SCHEMA=SCHEMAS[engine])
    assert outcome.status == 0, outcome.output


@pytest.fixture(scope="module")
def on_files(
    traffic: Traffic, trained: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The tables in the environment `base`."""
    project = Project(tmp_path_factory.mktemp("files") / "project")
    shutil.copytree(trained, project.path)
    traffic.write(project.path / "data")
    ran(project, *MONITOR)
    return state(project)


@pytest.mark.parametrize("engine", ["sail", pytest.param("spark", marks=pytest.mark.spark)])
def test_monitoring_tables_are_the_same_on_every_engine(
    engine: str, traffic: Traffic, on_files: dict[str, Any], project: Project
) -> None:
    sail, warehouse = ("--env", "lakehouse"), project.path / "data/warehouse"
    ran(project, *sail, "--params", SMALL)
    if engine == "spark":  # whose catalog has other names
        shutil.move(warehouse / SCHEMAS["sail"], warehouse / SCHEMAS["spark"])
        project.client().copy_model_version(
            f"models:/sail.{SCHEMAS['sail']}.marvel_characters/1",
            f"spark_catalog.{SCHEMAS['spark']}.marvel_characters",
        )
    schema = warehouse / SCHEMAS[engine]
    if engine == "sail":  # Spark takes minutes to do it twice
        some = Traffic(traffic.payload.slice(40), traffic.served, traffic.labels.slice(0, 70))
        some.write_tables(schema)
        ran(project, *MONITOR, *sail, engine=engine)
        assert lakehouse_state(schema) != on_files
    traffic.write_tables(schema)  # late requests and late labels
    ran(project, *MONITOR, *sail, engine=engine)
    assert lakehouse_state(schema) == on_files


@pytest.mark.parametrize("longest", ["1 day", "1 week", "1 month", "1 year"])
def test_frequent_values_of_a_slice_are_the_same_on_every_engine(
    longest: str, sail_session: Any
) -> None:
    log = make_log(600)
    genders = pa.array([f"g{n * n % 17}" if n % 5 else None for n in range(600)])
    log = log.set_column(log.column_names.index("gender"), "gender", genders)
    options = OPTIONS.model_copy(update={"max_slice_values": 3, "granularities": (longest,)})
    expected = aggregate(relation(log), options, TABLE.target)
    found = aggregate(sail_session.createDataFrame(log), options, TABLE.target)
    assert found.keys() == expected.keys()
    assert all(pickle.dumps(found[key]) == pickle.dumps(expected[key]) for key in found)


@pytest.mark.parametrize("table", [CHURN, READINGS], ids=["every kind", "numbers only"])
def test_another_table_is_parsed_and_counted_the_same_on_every_engine(
    table: TableSpec, sail_session: Any
) -> None:
    rows = make_rows(table, 90, 1)
    sent = other_tables.make_traffic(table, rows)
    slice_of = "order = 'order 1'" if table is CHURN else "value > 0"
    columns = measured_columns(table.model_dump())
    options = MonitoringOptions(now=START, columns=columns, slices=(slice_of,), max_slice_values=1)
    days = ChangedDays({}, tuple(sorted({*sent.payload["request_date"].to_pylist()})), ())
    labels = sent.labels
    if table is CHURN:  # numbers in a table of a lakehouse
        labels = labels.set_column(1, "churned", labels["churned"].cast(pa.int64()))
    found = []
    for as_frame in (relation, sail_session.createDataFrame):
        payload, served, known = (as_frame(one) for one in (sent.payload, sent.served, labels))
        both = list(records.read_changed_days(payload, served, known, payload, days, table))
        logs = [one.rows for one, _ in both]
        if as_frame is relation:
            logs = [pa.concat_tables(pa.table(one) for one in logs)]
        log = logs[0] if as_frame is relation else logs[0].toArrow()
        log = log.cast(tables.inference_log(table)).sort_by(table.key)
        found.append((log, aggregate(as_frame(log), options, table.target)))
    (log, counted), (other_log, other_counted) = found
    assert log.num_rows == 90
    assert log[table.target.column].null_count == 30
    assert other_log.equals(log)
    assert other_counted.keys() == counted.keys()
    assert all(pickle.dumps(other_counted[key]) == pickle.dumps(counted[key]) for key in counted)


@pytest.fixture(scope="module")
def sail_session() -> Iterator[Any]:
    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    yield session
    session.stop()
    server.stop()
