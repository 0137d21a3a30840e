"""A Delta table in a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from kedro.io import DatasetError
from pyarrow import fs

from marvel_kedro.core import odd_paths
from marvel_kedro.datasets.base import Metadata, ProjectDataset
from marvel_kedro.monitoring import tables
from marvel_kedro.table import local_engine
from marvel_kedro.table.replacement import Replacement

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from duckdb import DuckDBPyRelation


class DeltaFolderDataset(ProjectDataset[Replacement, "DuckDBPyRelation"]):
    """The newest version of a Delta table as a lazy frame, which may be larger than memory.

    `pandas.DeltaTableDataset` opens the table when the catalog is created, so that every command
    would fail without deltalake or with an unreadable table. It also loads the whole table, and
    cannot tell whether it exists.

    `schema` is the name of an Arrow schema in `monitoring.tables`, which may follow `spec`, the
    table description: the table is one that the project writes, and empty until the first save.
    Without a schema the table is only read.
    """

    def __init__(
        self,
        filepath: str,
        schema: str | None = None,
        spec: Mapping[str, Any] | None = None,
        metadata: Metadata = None,
    ) -> None:
        self._filepath, self._name = filepath, schema
        self._schema = tables.named(schema, spec) if schema else None
        super().__init__(metadata)

    def load(self) -> "DuckDBPyRelation":
        """Read the table in its current version; raise a ProjectError if it has other columns."""
        if (table := self._table()) is not None:
            self._check(table)
            # Arrow's own access to files: threads that still read through deltalake's, which is
            # in Python, crash or block a process that ends.
            files = fs.SubTreeFileSystem(self._filepath, fs.LocalFileSystem())
            return local_engine.relation(table.to_pyarrow_dataset(filesystem=files))
        if self._schema is None:
            raise DatasetError(f"There is no Delta table in {self._filepath}.")
        return local_engine.relation(self._schema.empty_table())

    def save(self, data: Replacement) -> None:
        """Replace rows in one transaction; raise a ProjectError if the table has other columns."""
        if self._schema is None:
            raise DatasetError(f"The table {self._filepath} is only read: its entry has no schema.")
        if not data.values:
            return
        from deltalake import write_deltalake  # noqa: PLC0415 - an optional dependency

        table = self._table()
        names = self._check(table) if table else self._schema.names
        rows = pa.table(data.rows).cast(self._schema).select(names)  # a frame of any engine
        if table is None:
            Path(self._filepath).mkdir(parents=True, exist_ok=True)
            write_deltalake(self._filepath, rows, partition_by=[data.column])
            return
        if len(rows):
            write_deltalake(table, rows, mode="overwrite", predicate=data.condition)
        else:
            table.delete(data.condition)
        table.vacuum(dry_run=False)  # removes files that were replaced a week ago

    def _check(self, table: "DeltaTable") -> list[str]:
        """Return the columns of the table, which must be those of the schema in any order."""
        found = pa.schema(table.schema())
        if self._schema is not None:
            tables.check_columns(found, str(self._name), self._schema, self._filepath)
        return list(found.names)

    def _table(self) -> "DeltaTable | None":
        from deltalake import DeltaTable  # noqa: PLC0415 - an optional dependency

        odd_paths.check_delta(Path(self._filepath).absolute())
        return DeltaTable(self._filepath) if DeltaTable.is_deltatable(self._filepath) else None

    def _exists(self) -> bool:
        return self._table() is not None
