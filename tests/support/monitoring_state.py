"""Tables written by a run of `monitoring`, for comparison with another run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from support.metrics_contract import CONTRACT, columns
from support.project import Project
from support.table import TABLE

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.tables import conform

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("health_metrics", "profile_metrics", "drift_metrics", "quality_estimates")
LOGS = ("inference_log", "rejected_requests", "monitoring_baseline")


NOW = "2026-01-20T00:00:00+00:00"


def monitor(project: Project, **parameters: Any) -> None:
    """Run the pipeline at a time after all traffic of `inference_traffic.py`."""
    project.run("monitoring", monitoring={"now": NOW} | parameters)


def metrics(project: Project, name: str) -> pa.Table:
    """Read a metrics table of `base`."""
    return pq.read_table(project.path / f"data/08_reporting/{name}.parquet")


def state(project: Project) -> dict[str, Any]:
    """Read every table of `base`."""
    logs = project.path / "data/07_model_output"
    return {name: metrics(project, name).to_pylist() for name in METRICS} | {
        name: _sorted(DeltaTable(logs / name).to_pyarrow_table()) for name in LOGS
    }


def lakehouse_state(schema: Path) -> dict[str, Any]:
    """Read every table of a folder of Delta tables."""
    read = {name: DeltaTable(schema / name).to_pyarrow_table() for name in (*METRICS, *LOGS)}
    for name, contract in CONTRACT.items():
        assert columns(read[name].schema) == contract
    found = {
        name: conform(table, tables.named(name.upper(), TABLE.model_dump()))
        for name, table in read.items()
    }
    return {name: tables.sort_rows(found[name]).to_pylist() for name in METRICS} | {
        name: _sorted(found[name]) for name in LOGS
    }


def _sorted(table: pa.Table) -> str:
    keys = [field.name for field in table.schema if field.type != pa.float64()]
    frame: pd.DataFrame = table.sort_by([(name, "ascending") for name in keys]).to_pandas()
    return frame.to_csv()
