"""A small table in a file, exactly of a schema."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset

from marvel_kedro.local_files import WholeFile
from marvel_kedro.monitoring import tables


class ArrowTableDataset(AbstractDataset[pa.Table, pa.Table]):
    """An Arrow table in a Parquet file; one that is not there yet has no rows."""

    def __init__(self, filepath: str, schema: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = filepath
        self._schema: pa.Schema = getattr(tables, schema)
        self.metadata = metadata

    def load(self) -> pa.Table:
        """Read the table."""
        path = Path(self._filepath)
        if not path.exists():
            return self._schema.empty_table()
        return pq.read_table(path, schema=self._schema)

    def save(self, data: pa.Table) -> None:
        """Write the table; the file appears whole."""
        with WholeFile(Path(self._filepath), "wb") as file:
            pq.write_table(data.cast(self._schema), file)

    def _exists(self) -> bool:
        return Path(self._filepath).exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "schema": self._schema.names}
