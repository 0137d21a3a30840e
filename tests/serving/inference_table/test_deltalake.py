"""What the inference table's writer relies on, or works around, in deltalake."""

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake


def test_two_compactions_at_once_double_the_rows(tmp_path: Path) -> None:
    """Why servers lock each other out. If this fails deltalake is mended: the lock may go."""
    for number in range(3):
        write_deltalake(tmp_path, pa.table({"x": [number]}), mode="append")
    first, second = DeltaTable(tmp_path), DeltaTable(tmp_path)
    first.optimize.compact()
    second.optimize.compact()
    assert DeltaTable(tmp_path).count() == 6
