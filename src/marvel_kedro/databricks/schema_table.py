"""The catalog type for a managed table with an Arrow schema, whose rows are replaced in part."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from kedro.io import DatasetError

from marvel_kedro.databricks import session
from marvel_kedro.databricks.tables import quoted_name
from marvel_kedro.datasets.base import ProjectDataset
from marvel_kedro.monitoring import tables
from marvel_kedro.table.replacement import Replacement


class SchemaTableDataset(ProjectDataset[Any, Any]):
    """A table of a lakehouse that monitoring updates; it is empty until the first save.

    `ManagedTableDataset` can only overwrite a table or append to it, and has no nested types.
    """

    def __init__(  # noqa: PLR0913 - keys of a catalog entry
        self,
        *,
        table: str,
        catalog: str,
        database: str,
        schema: str,
        spec: Mapping[str, Any] | None = None,
        arrow: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the table; `database` is its schema in the catalog.

        `schema` names its Arrow schema in `monitoring.tables`, which may follow `spec`, the table
        description. With `arrow` nodes exchange the whole table as Arrow instead of a Spark frame.
        """
        self._name = quoted_name(catalog, database, table)
        self._is_sail = catalog == "sail"
        self._schema_name, self._schema = schema, tables.named(schema, spec)
        self._arrow = arrow
        super().__init__(metadata)

    def load(self) -> Any:  # noqa: ANN401 - a Spark frame or an Arrow table
        """Read the table in its current version."""
        if not self._exists():
            empty = self._schema.empty_table()
            return empty if self._arrow else _frame(empty)
        frame = session.active().table(self._name)
        if self._arrow:
            return tables.conform(frame.toArrow(), self._schema)
        self._check(frame)
        return frame

    def save(self, data: Any) -> None:  # noqa: ANN401 - a replacement or an Arrow table
        """Overwrite the table, or replace some of its rows in one transaction."""
        if not isinstance(data, Replacement):
            self._write(_frame(data.select(self._schema.names).cast(self._schema)))
        elif data.values:
            self._replace(data)

    def _replace(self, data: Replacement) -> None:
        rows = data.rows
        if isinstance(rows, pa.Table):
            rows = _frame(rows.cast(self._schema))
        condition = data.condition if self._exists() else None
        if condition:
            existing = session.active().table(self._name)
            self._check(existing)
            if self._is_sail:  # which ignores `replaceWhere` and would overwrite all rows
                rows = existing.filter(f"NOT coalesce({condition}, false)").unionByName(rows)
                condition = None
        self._write(rows, condition)

    def _check(self, frame: Any) -> None:  # noqa: ANN401 - Spark frame
        """Raise a ProjectError if the table has other columns than its schema."""
        from pyspark.sql.pandas.types import to_arrow_schema  # noqa: PLC0415 - only where Spark is used

        found = to_arrow_schema(frame.schema)
        tables.check_columns(found, self._schema_name, self._schema, self._name)

    def _write(self, rows: Any, condition: str | None = None) -> None:  # noqa: ANN401 - Spark frame
        option = ("replaceWhere", condition) if condition else ("overwriteSchema", "true")
        rows.write.format("delta").mode("overwrite").option(*option).saveAsTable(self._name)

    def _exists(self) -> bool:
        try:
            return bool(session.active().catalog.tableExists(self._name))
        except Exception as error:
            raise DatasetError(f"Cannot tell whether {self._name} exists: {error}") from error


def _frame(table: pa.Table) -> Any:  # noqa: ANN401 - a Spark frame
    """Convert an Arrow table; for one without rows Spark needs its types."""
    if len(table):
        return session.active().createDataFrame(table)
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 - only where Spark is used

    return session.active().createDataFrame([], from_arrow_schema(table.schema))
