"""A small table with nested types: a Parquet file of an Arrow schema."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from kedro_datasets._typing import TablePreview

from marvel_kedro.core.atomic_files import AtomicFile
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.datasets.base import Metadata, ProjectDataset, table_preview
from marvel_kedro.monitoring import tables

_MAX_CELL_LENGTH = 200  # characters of a cell in a preview
_MOVE_AWAY = "Move it away; the pipeline that writes it makes it again."


class ArrowTableDataset(ProjectDataset[pa.Table, pa.Table]):
    """A Parquet file as an Arrow table, which is empty while there is no file.

    `schema` is the name of its Arrow schema in `monitoring.tables`, `spec` the table description,
    which some of the schemas follow.
    """

    def __init__(
        self,
        filepath: str,
        schema: str,
        spec: Mapping[str, Any] | None = None,
        metadata: Metadata = None,
    ) -> None:
        self._filepath = Path(filepath)
        self._name, self._schema = schema, tables.named(schema, spec)
        super().__init__(metadata)

    def load(self) -> pa.Table:
        """Read the table; raise a ProjectError if the file is not one of the schema."""
        if not self._filepath.exists():
            return self._schema.empty_table()
        try:
            table = pq.read_table(self._filepath)
        except (OSError, pa.ArrowException) as error:
            raise ProjectError(
                f"{self._filepath} cannot be read as a Parquet file: {error}. {_MOVE_AWAY}"
            ) from error
        required = [name for name in self._schema.names if name not in tables.OPTIONAL_COLUMNS]
        if self._name == "LABELS":
            tables.check_columns(table.schema, self._name, self._schema, str(self._filepath))
        if missing := [name for name in required if name not in table.column_names]:
            raise ProjectError(f"{self._filepath} lacks {', '.join(missing)}. {_MOVE_AWAY}")
        try:
            return tables.conform(table, self._schema)
        except pa.ArrowException as error:
            raise ProjectError(
                f"{self._filepath} has a column of the wrong type: "
                f"{str(error).partition('. ')[0]}. It needs these "
                f"columns:\n{self._schema.to_string()}"
            ) from error

    def save(self, data: pa.Table) -> None:
        """Write the table; readers see the whole old file or the whole new one."""
        with AtomicFile(self._filepath, "wb") as file:
            pq.write_table(data.select(self._schema.names).cast(self._schema), file)

    def preview(self, nrows: int = 10) -> TablePreview:
        """Return the first rows for kedro-viz, with nested values as JSON."""
        rows = self.load().slice(0, nrows)
        data = [[_cell(value) for value in row.values()] for row in rows.to_pylist()]
        return table_preview(rows.column_names, data)

    def _exists(self) -> bool:
        return self._filepath.exists()


def _cell(value: Any) -> Any:  # noqa: ANN401 - any Arrow type
    """Convert a value to one that JSON can hold, and shorten long text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _MAX_CELL_LENGTH else f"{text[:_MAX_CELL_LENGTH]}…"
