"""Tables of a lakehouse: catalog entries, SQL, and the result on Spark."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from support.project import ROOT, Project, clean_environment
from support.table import TABLE, configuration

from marvel_kedro.databricks.contract import Contract
from marvel_kedro.databricks.tables import Feature, create_statement
from marvel_kedro.pipeline_registry import register_pipelines
from marvel_kedro.project.config_loader import ConfigLoader
from marvel_kedro.settings import CONFIG_LOADER_ARGS

RECORDS = Contract.named("Records", TABLE)
TABLES = {
    "records",
    "rejected_records",
    "source_rows",
    "train_set",
    "test_set",
    "test_scores",
    "predictions",
    "newest_records",
    "retraining_train_set",
    "retraining_test_set",
}
BY_THE_ENDPOINT = {"inference_payload", "served_entities"}


def catalog(env: str) -> dict[str, Any]:
    arguments: dict[str, Any] = CONFIG_LOADER_ARGS
    found: dict[str, Any] = ConfigLoader(str(configuration()), env=env, **arguments)["catalog"]
    return found


def test_lakehouse_tables_have_three_level_names_and_are_overwritten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MARVEL_CATALOG", "mlops_dev")
    monkeypatch.setenv("MARVEL_SCHEMA", "mine")
    entries = catalog("lakehouse")
    found = {
        name: entry for name, entry in entries.items() if "ManagedTable" in str(entry.get("type"))
    }
    assert set(found) == TABLES | BY_THE_ENDPOINT
    for name, entry in found.items():
        assert (entry["catalog"], entry["database"], entry["table"]) == ("mlops_dev", "mine", name)
        if name in BY_THE_ENDPOINT:
            assert "write_mode" not in entry, "these are read only"
            continue
        assert entry["write_mode"] == "overwrite", "an upsert may fall back to append"
        Contract.named(entry["metadata"]["contract"], TABLE)
    assert entries["champion"]["model_name"] == "mlops_dev.mine.marvel_characters"
    # What is left to files is small, or belongs to the run.
    others = {str(entry["type"]) for name, entry in entries.items() if name not in TABLES}
    assert not [kind for kind in others if "Parquet" in kind]


def test_base_and_lakehouse_have_the_same_tables() -> None:
    base = {name for name, entry in catalog("base").items() if "Parquet" in str(entry["type"])}
    assert base == TABLES - {"source_rows"}  # which pandas need not read twice
    assert register_pipelines()["__default__"].datasets() <= {
        *catalog("lakehouse"),
        *("roc_plot", "calibration_plot", "confusion_plot", "importance_plot"),
        *("params:table", "params:processing", "params:training", "params:serving"),
    }


def test_base_runs_without_the_packages_of_a_lakehouse(tmp_path: Path) -> None:
    """Other packages may look for Spark; the project must work without it."""
    code = """
import sys
lakehouse = ("pyspark", "pysail", "deltalake", "grpc", "databricks.connect")
sys.modules |= dict.fromkeys(lakehouse) # importing them fails from here on
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
bootstrap_project(".")
with KedroSession.create(".") as session:
    catalog = session.load_context().catalog
    print(*(type(catalog.get(name)).__name__ for name in ("raw_table", "records")))
print([name for name in sys.modules if name.startswith("marvel_kedro.databricks.")])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=clean_environment() | {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    types, ours = done.stdout.splitlines()[-2:]
    assert types == "RawCSVDataset ParquetDataset"
    assert "tables" not in ours


def test_create_statement_uses_the_features_of_the_catalog() -> None:
    columns = [("page_id", "string"), ("height", "double")]
    plain = create_statement("`c`.`s`.`t`", columns, RECORDS, [])
    made = "CREATE TABLE IF NOT EXISTS `c`.`s`.`t`"
    assert plain == f"{made} (`page_id` string, `height` double) USING delta"
    every: list[Feature] = ["comments", "primary_key", "clustering", "change_data_feed", "tags"]
    whole = create_statement("`c`.`s`.`t`", columns, RECORDS, every)
    for part in (
        "`page_id` string NOT NULL COMMENT 'Title of the wiki page; the key'",
        "PRIMARY KEY (`page_id`)",
        "CLUSTER BY (`page_id`)",
        "COMMENT 'One row per character; text is null where the source is empty.'",
        "TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')",
    ):
        assert part in whole


ON_SPARK = """
import json, sys
from pathlib import Path
from pyspark.sql import SparkSession
from marvel_kedro.databricks import session, tables
from marvel_kedro.databricks.contract import Contract
from marvel_kedro.databricks.tables import Place
from marvel_kedro.table.description import TableSpec

features = frozenset({"comments", "clustering", "change_data_feed"})
place = Place("spark_catalog", "features", Path(sys.argv[1]), features)
contract = Contract.named("Predictions", TableSpec.model_validate_json(sys.argv[2]))
session.start("spark", place.warehouse)
spark = SparkSession.builder.getOrCreate()
tables.attach(spark, place)
name = place.full_name("predictions")
rows = spark.sql(
    "SELECT 'a' page_id, 'Alive' prediction, 0.5D probability, 'm' model_name, '1' model_version,"
    " current_timestamp() scored_at"
)
tables.create(spark, "predictions", rows.dtypes, contract, place)
rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true").saveAsTable(name)
tables.restore(spark, "predictions", contract, place)
found = {
    "clustered": spark.sql(f"DESCRIBE DETAIL {name}").collect()[0]["clusteringColumns"],
    "changes": spark.sql(f"SELECT * FROM table_changes('{name}', 0)").count(),
    "local version": tables.version(spark, "predictions", place),
    "history": tables.latest_version(spark, name),
}
tables.restore(spark, "predictions", contract, place)
found["after a second look"] = tables.version(spark, "predictions", place)
session.end()
print(json.dumps(found))
"""


@pytest.mark.spark
@pytest.mark.parametrize("remote", ["", "local[2]"], ids=["classic", "connect"])
def test_spark_tables_keep_comments_clustering_and_change_feed(tmp_path: Path, remote: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ON_SPARK, str(tmp_path), TABLE.model_dump_json()],
        env=clean_environment() | ({"SPARK_REMOTE": remote} if remote else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["clustered"] == ["page_id"]
    assert found["changes"] == 1
    # The version of the folder equals that of the history, and existing comments are not
    # written again.
    assert found["local version"] == found["history"] == found["after a second look"]
    table = DeltaTable(tmp_path / "features" / "predictions")
    assert table.metadata().description == "One row per scored character."
    comments = {field.name: field.metadata.get("comment") for field in table.schema().fields}
    assert comments["probability"] == "Probability of Alive"
    assert all(comments.values())


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("MARVEL_SCHEMA", "a.b"),
        ("MARVEL_CATALOG", "a`b"),
        ("MARVEL_SCHEMA", "a-"),
        ("MARVEL_SCHEMA", "ä b"),
    ],
)
def test_names_that_no_engine_allows_are_refused(
    project: Project, variable: str, name: str
) -> None:
    outcome = project.cli("--env", "lakehouse", environment={variable: name})
    assert outcome.status == 1
    assert f"{name!r} ({variable}" in " ".join(outcome.output.split())
    assert not (project.path / "data" / "warehouse").exists()
