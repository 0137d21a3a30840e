"""The pipeline `monitoring`: the same tables in whatever order requests and labels arrive."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from support.inference_traffic import (
    LABELS_SCHEMA,
    PAYLOAD_SCHEMA,
    SERVED_SCHEMA,
    Traffic,
    make_traffic,
)
from support.metrics_contract import CONTRACT, columns
from support.monitoring_state import LOGS, METRICS, metrics, monitor, state
from support.project import Project
from support.shared import make_once
from support.table import TABLE

from marvel_kedro.datasets.delta_folder import DeltaFolderDataset
from marvel_kedro.monitoring import tables


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return make_traffic(days=4, requests_a_day=60)


def append(project: Project, payload: pa.Table, served: pa.Table) -> None:
    folder = project.path / "data/07_model_output"
    write_deltalake(
        folder / "inference_payload", payload, partition_by=["request_date"], mode="append"
    )
    write_deltalake(folder / "served_entities", served, mode="overwrite")


def label(project: Project, labels: pa.Table) -> None:
    pq.write_table(labels, project.path / "data/03_primary/labels.parquet")


@pytest.fixture(scope="module")
def monitored(trained: Path, traffic: Traffic, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after one run over all requests and labels, to read."""

    def make(folder: Path) -> None:
        shutil.copytree(trained, folder)
        project = Project(folder)
        append(project, traffic.payload, traffic.served)
        label(project, traffic.labels)
        monitor(project)

    return Project(make_once(tmp_path_factory, "monitored", make))


@pytest.fixture(scope="module")
def one_run(monitored: Project) -> dict[str, Any]:
    return state(monitored)


@pytest.fixture
def copied(monitored: Project, tmp_path: Path) -> Project:
    """A copy of it, to change."""
    shutil.copytree(monitored.path, tmp_path / "project")
    return Project(tmp_path / "project")


def days_of(payload: pa.Table) -> list[pa.Table]:
    return [payload.filter(pc.equal(payload["request_date"], day))
            for day in sorted(set(payload["request_date"].to_pylist()))]  # fmt: skip


def test_tables_have_the_exact_schemas(monitored: Project) -> None:
    for name in METRICS:
        table = metrics(monitored, name)
        assert table.schema.remove_metadata() == getattr(tables, name.upper()), name
        assert len(table), name
        assert columns(table.schema) == CONTRACT.get(name, columns(table.schema))
    for name in LOGS:
        found = DeltaTable(monitored.path / "data/07_model_output" / name).to_pyarrow_table()
        described = tables.named(name.upper(), TABLE.model_dump())
        assert found.schema.remove_metadata() == described, name


@pytest.mark.parametrize(
    "order", [pytest.param((0, 1, 2, 3), marks=pytest.mark.slow), (3, 1, 2, 0)], ids=str
)
def test_runs_day_by_day_in_any_order_equal_one_run(
    watched: Project, traffic: Traffic, one_run: dict[str, Any], order: Sequence[int]
) -> None:
    days = days_of(traffic.payload)
    label(watched, traffic.labels)
    for number in order:
        append(watched, days[number], traffic.served)
        monitor(watched)
    assert state(watched) == one_run


def test_late_requests_and_late_or_corrected_labels_equal_one_run(
    watched: Project, traffic: Traffic, one_run: dict[str, Any]
) -> None:
    shuffled = traffic.payload.take(np.random.default_rng(0).permutation(len(traffic.payload)))
    append(watched, shuffled.slice(0, 150), traffic.served)
    monitor(watched)  # no labels yet
    without = metrics(watched, "profile_metrics").to_pandas()
    assert without.loc[without["log_type"] == "INPUT", "accuracy_score"].isna().all()
    label(watched, traffic.labels.slice(0, 100))
    append(watched, shuffled.slice(150), traffic.served)
    monitor(watched)
    wrong = traffic.labels.slice(0, 150).to_pandas()
    wrong.loc[120:, "alive"] = wrong.loc[120:, "alive"].map({"Alive": "Dead", "Dead": "Alive"})
    label(watched, pa.Table.from_pandas(wrong, LABELS_SCHEMA, preserve_index=False))
    monitor(watched)
    assert state(watched) != one_run
    label(watched, traffic.labels)
    monitor(watched)
    assert state(watched) == one_run


def test_repeated_run_and_repeated_requests_change_nothing(
    copied: Project, traffic: Traffic, one_run: dict[str, Any]
) -> None:
    monitor(copied)
    assert state(copied) == one_run
    append(copied, traffic.payload.slice(30, 90), traffic.served)
    monitor(copied)
    assert state(copied) == one_run


def test_changed_settings_recompute_all_windows(copied: Project, one_run: dict[str, Any]) -> None:
    monitor(copied, granularities=["1 hour", "1 week"], slices=[])
    hourly = metrics(copied, "health_metrics")
    assert set(hourly["granularity"].to_pylist()) == {"1 hour", "1 week"}
    by_length = hourly.group_by("granularity").aggregate([("requests", "sum")]).to_pydict()
    assert by_length["requests_sum"] == [240, 240]
    monitor(copied)
    assert state(copied) == one_run


@pytest.mark.slow
def test_settings_reverted_after_a_kill_leave_no_metrics_of_the_other_settings(
    copied: Project, one_run: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("interrupted")

    with monkeypatch.context() as patched:
        patched.setattr("marvel_kedro.monitoring.aggregation.watermarks.complete", fail)
        with pytest.raises(RuntimeError, match="interrupted"):
            monitor(copied, granularities=["1 hour"])
    assert "1 hour" in metrics(copied, "profile_metrics")["granularity"].to_pylist()
    monitor(copied)
    assert state(copied) == one_run


def test_every_request_and_record_is_counted_once(
    one_run: dict[str, Any], traffic: Traffic
) -> None:
    assert sum(row["requests"] for row in one_run["health_metrics"]) == len(traffic.payload)
    answered = pc.sum(pc.equal(traffic.payload["status_code"], 200)).as_py()
    assert sum(row["answered"] for row in one_run["health_metrics"]) == answered
    records = sum(row["records"] for row in one_run["health_metrics"])
    overall = [
        row["count"]
        for row in one_run["profile_metrics"]
        if row["column_name"] == ":table"
        and row["log_type"] == "INPUT"
        and row["slice_key"] is None
    ]
    assert sum(overall) == records > answered


def test_empty_inference_table_gives_empty_metrics(watched: Project, traffic: Traffic) -> None:
    append(watched, PAYLOAD_SCHEMA.empty_table(), traffic.served)
    monitor(watched)
    for name in METRICS:
        assert len(metrics(watched, name)) == 0


def test_no_table_has_an_infinite_number_or_an_empty_partition(watched: Project) -> None:
    """Both would hide rows in deltalake 1.6.6: its statistics make null of the first."""
    few = make_traffic(days=1, requests_a_day=60)
    payload = few.payload.to_pandas()
    odd = ("1e999", "-1e999", "NaN", '"inf"', "1e308", "-0.0", "null")
    heights = [re.sub(r'("height": )[0-9.]+', rf"\g<1>{odd[n % 7]}", text) if n % 2 else text
               for n, text in enumerate(payload["request"])]  # fmt: skip
    answers = [re.sub(r'("probability": )[0-9.]+', r"\g<1>1e999", text) if n % 5 == 0 else text
               for n, text in enumerate(payload["response"])]  # fmt: skip
    payload = payload.assign(request=heights, response=answers)
    served = few.served.to_pandas().assign(entity_version=["1", ""])
    append(
        watched,
        pa.Table.from_pandas(payload, PAYLOAD_SCHEMA, preserve_index=False),
        pa.Table.from_pandas(served, SERVED_SCHEMA, preserve_index=False),
    )
    monitor(watched, slices=["height < 5"])
    for name in LOGS:
        folder = str(watched.path / "data/07_model_output" / name)
        table = DeltaTable(folder).to_pyarrow_table()
        assert len(table) > 5, name
        for column in (each for each in table.columns if pa.types.is_floating(each.type)):
            assert pc.all(pc.is_finite(column)).as_py() is not False, name
        read = DeltaFolderDataset(folder, name.upper(), TABLE.model_dump()).load()
        assert len(read.filter("request_date IS NOT NULL" if "request_date" in table.column_names
                               else "model_version <> ''").fetchall()) == len(table)  # fmt: skip


def test_inference_table_without_a_column_fails_and_names_it(
    watched: Project, traffic: Traffic
) -> None:
    append(watched, traffic.payload.drop_columns(["response"]), traffic.served)
    outcome = watched.cli("--pipelines", "monitoring")
    assert outcome.status == 1
    assert "The inference table lacks response" in " ".join(outcome.output.split())
