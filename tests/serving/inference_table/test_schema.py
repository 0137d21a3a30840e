"""The tables have the columns that Databricks' have, for every reader."""

import json
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from support.project import clean_environment
from support.spool_to_table import SUPPORT, Server, names_in, run_script, running

from marvel_kedro.serving.inference_table.schema import SCHEMA, SERVED_SCHEMA

CONTRACT = {
    "databricks_request_id": "string",
    "request_date": "date",
    "client_request_id": "string",
    "request_time": "timestamp",
    "status_code": "int",
    "sampling_fraction": "double",
    "execution_duration_ms": "bigint",
    "request": "string",
    "response": "string",
    "logging_error_codes": "array<string>",
    "served_entity_id": "string",
    "requester": "string",
}
"""Columns of Databricks' inference table in Spark's type names."""


def test_table_has_columns_of_databricks_inference_table(server: Server) -> None:
    assert server.flush() == 0
    table = DeltaTable(server.table)
    names = {"integer": "int", "long": "bigint"}
    found = {}
    for field in json.loads(table.schema().to_json())["fields"]:
        kind = field["type"]
        found[field["name"]] = names.get(kind, kind) if isinstance(kind, str) else (
            f"{kind['type']}<{kind['elementType']}>"
        )  # fmt: skip
    assert list(found.items()) == list(CONTRACT.items())
    assert table.metadata().partition_columns == ["request_date"]
    assert all(field.metadata["comment"] for field in table.schema().fields)
    assert table.protocol().min_reader_version == 1, "any reader can"


@pytest.mark.parametrize("comment", ["text of another release", None])
def test_flush_appends_to_tables_with_other_column_comments(
    server: Server, comment: str | None
) -> None:
    metadata = {"comment": comment} if comment else None
    for path, schema in (
        (server.table, SCHEMA),
        (server.table.with_name("served_entities"), SERVED_SCHEMA),
    ):
        fields = [pa.field(field.name, field.type, metadata=metadata) for field in schema]
        days = ["request_date"] if schema is SCHEMA else []
        DeltaTable.create(path, pa.schema(fields), partition_by=days)
    served: dict[str, Any] = dict.fromkeys(SERVED_SCHEMA.names)
    server.writer.note_served([served | {"served_entity_id": "1"}])
    server.answer("a", "b")
    assert server.flush() == 2
    assert server.names() == ["a", "b"]
    table = DeltaTable(server.table.with_name("served_entities")).to_pyarrow_table()
    assert table["served_entity_id"].to_pylist() == ["1"]


def test_request_date_is_utc_day_of_request_time(server: Server) -> None:
    last, first = (
        datetime(2026, 3, day, hour, minute, second, micro, tzinfo=UTC)
        for day, hour, minute, second, micro in ((1, 23, 59, 59, 999_999), (2, 0, 0, 0, 0))
    )
    for name, when in (("last", last), ("first", first)):
        server.answer(name, request_time=round(when.timestamp() * 10**6))
    server.flush()
    table = DeltaTable(server.table).to_pandas().set_index("databricks_request_id")
    assert dict(table["request_date"]) == {"last": date(2026, 3, 1), "first": date(2026, 3, 2)}
    assert dict(table["request_time"]) == {"last": last, "first": first}
    assert {path.name for path in server.table.glob("*=*")} == {
        "request_date=2026-03-01",
        "request_date=2026-03-02",
    }


@pytest.mark.parametrize("engine", ["sail", pytest.param("spark", marks=pytest.mark.spark)])
def test_engine_reads_table_during_writes(engine: str, tmp_path: Path) -> None:
    """The engine runs in a process of its own and attaches the table as the lakehouse does."""
    home = tmp_path / "warehouse" / "marvel_characters"
    worker = run_script("spool_worker.py", tmp_path / "spool", stdout=subprocess.DEVNULL)
    writer = run_script("table_writer.py", home / "inference", tmp_path / "spool")
    with running(worker, writer):
        while not (
            DeltaTable.is_deltatable(str(home / "inference")) and names_in(home / "inference")
        ):
            assert worker.poll() is None
            assert writer.poll() is None
            time.sleep(0.05)
        done = subprocess.run(
            [sys.executable, str(SUPPORT / "engine_reads.py"), engine, str(tmp_path / "warehouse")],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    counts, kinds = done.stdout.splitlines()[-2:]
    seen = [tuple(map(int, pair.split("/"))) for pair in counts.split()]
    assert len(seen) > 3
    assert all(rows == names > 0 for rows, names in seen)
    assert seen == sorted(seen)
    assert kinds == str(list(CONTRACT.items()))
