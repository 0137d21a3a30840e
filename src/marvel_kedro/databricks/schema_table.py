"""A managed table of an Arrow schema, parts of which are replaced."""

from typing import Any

import pyarrow as pa
from kedro.io import AbstractDataset, DatasetError

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.monitoring import tables
from marvel_kedro.table.replacement import Replacement

SAIL = "sail"


class SchemaTableDataset(AbstractDataset[Any, Any]):
    """A table of a lakehouse that a run of monitoring brings up to date.

    Where it is not there yet, it is empty. `ManagedTableDataset` can overwrite a table or append to
    it, and knows no types inside of types.
    """

    def __init__(  # noqa: PLR0913 - keys of a catalog entry
        self,
        *,
        table: str,
        catalog: str,
        database: str,
        schema: str,
        arrow: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Say which table it is.

        Args:
            table: Its name.
            catalog: Where it is.
            database: Where it is.
            schema: Name in `monitoring.tables` of what it is.
            arrow: Whether nodes take and give an Arrow table, all of it, instead of Spark's frames.
            metadata: Of Kedro's plugins.
        """
        self._name = f"{catalog}.{database}.{table}"
        self._catalog = catalog
        self._schema: pa.Schema = getattr(tables, schema)
        self._arrow = arrow
        self.metadata = metadata

    def load(self) -> Any:  # noqa: ANN401 - a Spark frame or an Arrow table
        """Read the table as it is now."""
        if not self._exists():
            empty = self._schema.empty_table()
            return empty if self._arrow else _frame(empty)
        frame = _spark().table(self._name)
        return tables.conform(frame.toArrow(), self._schema) if self._arrow else frame

    def save(self, data: Any) -> None:  # noqa: ANN401 - a replacement or an Arrow table
        """Overwrite the table, or replace rows of it: all of them, or nothing."""
        if not isinstance(data, Replacement):
            rows = data.select(self._schema.names).cast(self._schema)
            self._write(_frame(rows), None)
        elif data.values:
            self._replace(data)

    def _replace(self, data: Replacement) -> None:
        rows = data.rows
        if isinstance(rows, pa.Table):
            rows = _frame(rows.cast(self._schema))
        if not self._exists():
            self._write(rows, None)
            return
        there = _spark().table(self._name).columns
        if set(there) != set(self._schema.names):
            raise ProjectError(
                f"The table {self._name} has other columns than this version of the project gives "
                "it. Rename it (ALTER TABLE .. RENAME TO ..): it is made again from the inference "
                "table."
            )
        if self._catalog == SAIL:  # which takes `replaceWhere` for nothing, and overwrites all
            kept = _spark().table(self._name).filter(f"NOT coalesce({data.condition}, false)")
            self._write(kept.unionByName(rows), None)
        else:
            self._write(rows, data.condition)

    def _write(self, rows: Any, condition: str | None) -> None:  # noqa: ANN401 - a Spark frame
        writer = rows.write.format("delta").mode("overwrite")
        if condition is None:
            writer = writer.option("overwriteSchema", "true")
        else:
            writer = writer.option("replaceWhere", condition)
        writer.saveAsTable(self._name)

    def _exists(self) -> bool:
        try:
            return bool(_spark().catalog.tableExists(self._name))
        except Exception as error:
            raise DatasetError(f"Nobody can say whether {self._name} exists: {error}") from error

    def _describe(self) -> dict[str, Any]:
        return {"table": self._name}


def _frame(table: pa.Table) -> Any:  # noqa: ANN401 - a Spark frame
    """Show an Arrow table to Spark, which asks of one without rows what its types are."""
    if len(table):
        return _spark().createDataFrame(table)
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 - only with Spark

    return _spark().createDataFrame([], from_arrow_schema(table.schema))


def _spark() -> Any:  # noqa: ANN401 - a session, classic or remote
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where Spark is used

    return SparkSession.builder.getOrCreate()
