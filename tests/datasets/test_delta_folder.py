"""A table of monitoring as a folder: replaced in part, while others write."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from kedro.io import DatasetError
from support.table import TABLE

from marvel_kedro.datasets.delta_folder import DeltaFolderDataset
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.tables import monitoring_baseline
from marvel_kedro.table.replacement import Replacement

SPEC = TABLE.model_dump()


def baseline(version: str, *pages: str) -> pa.Table:
    rows = [{"model_version": version, "page_id": page, "probability": 0.5} for page in pages]
    return pa.Table.from_pylist(rows, monitoring_baseline(TABLE))


def pages(folder: Path) -> list[str]:
    found: list[str] = DeltaTable(folder).to_pyarrow_table()["page_id"].to_pylist()
    return sorted(found)


@pytest.mark.parametrize("rows", [baseline("1", "new"), baseline("1")], ids=["replace", "delete"])
def test_rows_that_another_writer_appends_meanwhile_are_neither_kept_beside_nor_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: pa.Table
) -> None:
    """In deltalake 1.6.6 an overwrite without a predicate would keep them beside its own rows."""
    table = DeltaFolderDataset(str(tmp_path / "t"), "MONITORING_BASELINE", SPEC)
    table.save(Replacement("model_version", ["1"], baseline("1", "old")))
    opened: Any = table._table

    def append_after_opening() -> DeltaTable:
        found: DeltaTable = opened()
        write_deltalake(tmp_path / "t", baseline("1", "other"), mode="append")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(table, "_table", append_after_opening)
        with pytest.raises(DatasetError, match="concurrent transaction"):
            table.save(Replacement("model_version", ["1"], rows))
    assert pages(tmp_path / "t") == ["old", "other"]
    table.save(Replacement("model_version", ["1"], rows))
    assert pages(tmp_path / "t") == rows["page_id"].to_pylist()


@pytest.mark.parametrize(
    ("column", "change", "words"),
    [
        ("height", None, "it lacks height. Move inference_log and monitoring_baseline away"),
        ("eyes", {"kind": "text"}, "it also has eyes. Move"),
        ("height", {"kind": "category"}, "it has height as double, not string. Move"),
    ],
)
def test_table_of_another_description_is_refused_with_what_differs_and_the_remedy(
    tmp_path: Path, column: str, change: dict[str, Any] | None, words: str
) -> None:
    folder, columns = str(tmp_path / "t"), dict(SPEC["columns"])
    if change is None or column not in columns:  # the table was written with fewer, or more
        written = {name: one for name, one in columns.items() if name != column}
        written |= {column: change} if change else {}
        stored, now = SPEC | {"columns": written}, SPEC
    else:
        stored, now = SPEC, SPEC | {"columns": columns | {column: change}}
    rows = tables.named("MONITORING_BASELINE", stored).empty_table()
    save = Replacement("model_version", ["1"], rows)
    DeltaFolderDataset(folder, "MONITORING_BASELINE", stored).save(save)
    changed = DeltaFolderDataset(folder, "MONITORING_BASELINE", now)
    with pytest.raises(DatasetError, match=re.escape(words)):
        changed.load()
    with pytest.raises(DatasetError, match=re.escape(words)):
        changed.save(save)


def test_order_of_the_described_columns_may_change(tmp_path: Path) -> None:
    reordered = SPEC | {"columns": dict(reversed(SPEC["columns"].items()))}
    folder = str(tmp_path / "t")
    for spec, version in ((SPEC, "1"), (reordered, "2")):
        rows = baseline(version, "page").select(tables.named("MONITORING_BASELINE", spec).names)
        save = Replacement("model_version", [version], rows)
        DeltaFolderDataset(folder, "MONITORING_BASELINE", spec).save(save)
    found = DeltaFolderDataset(folder, "MONITORING_BASELINE", reordered).load().fetchall()
    assert len(found) == 2


READ_AND_END = """
import json, sys
from marvel_kedro.datasets.delta_folder import DeltaFolderDataset
relation = DeltaFolderDataset(sys.argv[1], "MONITORING_BASELINE", json.loads(sys.argv[2])).load()
assert len(relation.limit(1).fetchall()) == 1
"""


@pytest.mark.slow
def test_process_that_ends_while_files_are_read_ends_well(tmp_path: Path) -> None:
    """With deltalake's own access to files, some of such processes abort with status 134."""
    rows = pa.concat_tables([baseline(str(number), "page") for number in range(60)])
    write_deltalake(tmp_path / "t", rows, partition_by=["model_version"])
    words = [sys.executable, "-c", READ_AND_END, str(tmp_path / "t"), json.dumps(SPEC)]
    for _ in range(20):
        assert subprocess.run(words, check=False, timeout=60).returncode == 0
