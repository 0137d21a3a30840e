"""Features of the platform that can be imitated: its environment variable and `dbutils`."""

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest
from kedro.framework.project import LOGGING
from pyspark.sql import SparkSession
from support.project import ROOT

from marvel_kedro.cli import job
from marvel_kedro.core import packaged
from marvel_kedro.databricks import session, tables, task_values
from marvel_kedro.databricks.tables import Place


@pytest.fixture(autouse=True)
def _platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "client.4.9")
    monkeypatch.delenv("MARVEL_TASK_VALUES", raising=False)


def test_task_values_are_set_through_dbutils(monkeypatch: pytest.MonkeyPatch) -> None:
    received: dict[str, str] = {}

    def set_value(key: str, value: str) -> None:
        received[key] = value

    runtime = ModuleType("databricks.sdk.runtime")
    runtime.dbutils = SimpleNamespace(  # type: ignore[attr-defined]
        jobs=SimpleNamespace(taskValues=SimpleNamespace(set=set_value))
    )
    monkeypatch.setitem(sys.modules, "databricks.sdk.runtime", runtime)
    task_values.set_values({"promoted": "true", "model_version": "3"})
    assert received == {"promoted": "true", "model_version": "3"}


def test_no_session_is_started_on_databricks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://unused.invalid:1")
    session.start("spark", ROOT / "nowhere")
    assert SparkSession.getActiveSession() is None


def test_job_log_works_without_a_reconfigurable_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wheel tasks run in a notebook kernel, whose stdout is not a file."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    before = dict(LOGGING.data)
    try:
        job._log_plainly(packaged.conf_source())
    finally:
        LOGGING.configure(before)


def test_table_version_is_the_latest_of_its_history() -> None:
    asked: list[str] = []

    class Spark:
        def sql(self, statement: str) -> "Spark":
            asked.append(statement)
            return self

        def collect(self) -> list[dict[str, int]]:
            return [{"version": 7}]

    place = Place("mlops_dev", "marvel", ROOT / "nowhere", frozenset())
    assert tables.version(Spark(), "records", place) == 7  # type: ignore[arg-type]
    assert asked == ["DESCRIBE HISTORY `mlops_dev`.`marvel`.`records` LIMIT 1"]
