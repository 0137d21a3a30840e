"""A small table with types that pandas has not: a Parquet file of an Arrow schema."""

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from marvel_kedro.core.atomic_files import AtomicFile
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.monitoring import tables

_LONGEST = 200
"""Letters of a cell in a preview."""


class ArrowTableDataset(AbstractDataset[pa.Table, pa.Table]):
    """A Parquet file as an Arrow table; where there is none, the table is empty."""

    def __init__(self, filepath: str, schema: str, metadata: dict[str, Any] | None = None) -> None:
        """Say where the table is.

        Args:
            filepath: The file.
            schema: Name in `monitoring.tables` of what the table is.
            metadata: Of Kedro's plugins.
        """
        self._filepath = Path(filepath)
        self._schema: pa.Schema = getattr(tables, schema)
        self.metadata = metadata

    def load(self) -> pa.Table:
        """Read the table.

        Raises:
            ProjectError: The file is none, or lacks a column.
        """
        if not self._filepath.exists():
            return self._schema.empty_table()
        try:
            table = pq.read_table(self._filepath)
        except (OSError, pa.ArrowException) as error:
            raise ProjectError(
                f"{self._filepath} cannot be read as a Parquet file: {error}. Move it away; the "
                "pipeline that writes it makes it again."
            ) from error
        wanted = [name for name in self._schema.names if name not in tables.OPTIONAL_COLUMNS]
        if missing := [name for name in wanted if name not in table.column_names]:
            raise ProjectError(
                f"{self._filepath} lacks {', '.join(missing)}. Move it away; the pipeline that "
                "writes it makes it again."
            )
        try:
            return tables.conform(table, self._schema)
        except pa.ArrowException as error:
            raise ProjectError(
                f"{self._filepath} has a column of another type than it is to have: {error}. "
                f"These are to be its columns:\n{self._schema.to_string()}"
            ) from error

    def save(self, data: pa.Table) -> None:
        """Write the table; readers see the old one or the new one, whole."""
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        with AtomicFile(self._filepath, "wb") as file:
            pq.write_table(data.select(self._schema.names).cast(self._schema), file)

    def preview(self, nrows: int = 10) -> TablePreview:
        """Show the first rows in kedro-viz; what lies within a cell is written as JSON."""
        rows = self.load().slice(0, nrows)
        return TablePreview(
            {
                "index": list(range(len(rows))),
                "columns": rows.column_names,
                "data": [[_shown(value) for value in row.values()] for row in rows.to_pylist()],
            }
        )

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _shown(value: Any) -> Any:  # noqa: ANN401 - of any type that Arrow has
    """A value that JSON can hold; a long one shortened, the others as they are."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
