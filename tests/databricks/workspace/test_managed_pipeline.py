"""The pipeline `monitoring` with the metrics of a managed monitor."""

import shutil

import databricks.sdk.clock
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable, write_deltalake
from support.inference_traffic import make_traffic
from support.monitoring_state import metrics
from support.project import Project
from support.workspace.clock import Clock
from support.workspace.host import Host
from support.workspace.quality import DataQuality

from marvel_kedro.monitoring.tables import DRIFT_METRICS, PROFILE_METRICS, conform

NAME = "managed-1"
SCHEMA = f"sail.{NAME}"
NOW = "2026-01-20T00:00:00+00:00"


def test_monitoring_reads_the_tables_of_a_managed_monitor(
    watched: Project, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databricks.sdk.clock, "time", Clock())
    monkeypatch.setenv("MARVEL_SCHEMA", NAME)
    quality = DataQuality(host.catalog)
    host.workspace.add(quality)
    names = ["request_time", "prediction", "alive", "model_version", "gender", "universe"]
    host.catalog.put("schemas", SCHEMA)
    for table in ("inference_log", "monitoring_baseline"):
        host.catalog.put("tables", f"{SCHEMA}.{table}", columns=[{"name": name} for name in names])

    traffic = make_traffic(days=2, requests_a_day=60)
    few = "synthetic.rows=1500,training.fit.max_trees=20,training.fit.folds=2"
    project = watched
    traffic.write(project.path / "data")
    refused = project.cli(
        "--pipelines", "monitoring", "--params", "monitoring.computed_by=databricks"
    )
    assert refused.status == 1
    assert "--env lakehouse" in " ".join(refused.output.split())
    assert project.cli("--pipelines", "monitoring", "--params", f"monitoring.now={NOW}").status == 0

    # What the platform writes: the same columns in another order, an unknown one, one of another
    # type, and rows about every column of the table, ids and labels included.
    warehouse = project.path / "data/warehouse" / NAME
    for name in ("profile_metrics", "drift_metrics"):
        table = metrics(project, name)
        table = table.select(table.column_names[::-1])
        table = table.append_column("more", pa.array([1] * len(table)))
        place = table.column_names.index("column_name")
        of_gender = table.filter(pc.field("column_name") == "gender")
        for other in ("alive", "databricks_request_id"):
            renamed = of_gender.set_column(place, "column_name", pa.array([other] * len(of_gender)))
            table = pa.concat_tables([table, renamed])
        if "logging_table_commit_version" in table.column_names:
            place = table.column_names.index("logging_table_commit_version")
            texts = pa.array(["latest"] * len(table))
            table = table.set_column(place, "logging_table_commit_version", texts)
        write_deltalake(warehouse / f"inference_log_{name}", table)
    traffic.write_tables(project.path / "data/warehouse" / NAME)
    lakehouse = ("--env", "lakehouse")
    assert project.cli(*lakehouse, "--params", few).status == 0
    words = (
        "--pipelines",
        "monitoring",
        "--params",
        f"monitoring.now={NOW},monitoring.computed_by=databricks",
    )
    for _ in range(2):
        outcome = project.cli(*lakehouse, *words)
        assert outcome.status == 0, outcome.output
    assert "logging_table_commit_version has the type string and is left out" in " ".join(
        outcome.output.split()
    )
    (monitor,) = quality.monitors.values()
    config = monitor["data_profiling_config"]
    assert config["inference_log"]["model_id_column"] == "model_version"
    assert config["slicing_exprs"] == ["identity", "gender", "universe = 'Earth-616'"]
    (refreshes,) = quality.refreshes.values()
    assert len(refreshes) >= 2
    for name, schema in (("profile_metrics", PROFILE_METRICS), ("drift_metrics", DRIFT_METRICS)):
        read = DeltaTable(warehouse / name).to_pyarrow_table()
        assert conform(read, schema).to_pylist() == metrics(project, name).to_pylist()
    assert (warehouse / "alerts").is_dir()
    shutil.rmtree(warehouse)
