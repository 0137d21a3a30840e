"""A defect of deltalake that the inference table's writer works around."""

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake


def test_concurrent_compactions_duplicate_rows(tmp_path: Path) -> None:
    """The reason for the table's lock. If this fails, deltalake is fixed and the lock can go."""
    for number in range(3):
        write_deltalake(tmp_path, pa.table({"x": [number]}), mode="append")
    first, second = DeltaTable(tmp_path), DeltaTable(tmp_path)
    first.optimize.compact()
    second.optimize.compact()
    assert DeltaTable(tmp_path).count() == 6
