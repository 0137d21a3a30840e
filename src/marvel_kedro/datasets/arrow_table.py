"""A small table with types that pandas has not: a Parquet file of an Arrow schema."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset

from marvel_kedro.errors import ProjectError
from marvel_kedro.local_files import WholeFile
from marvel_kedro.monitoring import tables


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
        if missing := [name for name in self._schema.names if name not in table.column_names]:
            raise ProjectError(
                f"{self._filepath} lacks {', '.join(missing)}. Move it away; the pipeline that "
                "writes it makes it again."
            )
        return tables.conform(table, self._schema)

    def save(self, data: pa.Table) -> None:
        """Write the table; readers see the old one or the new one, whole."""
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        with WholeFile(self._filepath, "wb") as file:
            pq.write_table(data.select(self._schema.names).cast(self._schema), file)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
