"""The catalog type for the metrics of a managed monitor."""

from functools import partial
from typing import Any

import pyarrow as pa

from marvel_kedro.datasets.base import ReadOnlyDataset
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.options import MonitoringOptions, RefreshManagedMonitor


class ManagedMetricsDataset(ReadOnlyDataset[RefreshManagedMonitor]):
    """Load a function that refreshes a managed monitor over a table of a lakehouse."""

    READ_ONLY = "the platform writes the metrics"

    def __init__(
        self,
        *,
        catalog: str,
        database: str,
        table: str,
        baseline: str,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the tables.

        Args:
            catalog: Catalog of both tables.
            database: Schema of both tables.
            table: The inference log.
            baseline: The table that drift is measured against.
            metadata: Metadata for Kedro's plugins.
        """
        super().__init__(metadata)
        self._table, self._baseline = (f"{catalog}.{database}.{name}" for name in (table, baseline))

    def load(self) -> RefreshManagedMonitor:
        """Return a function that refreshes the monitor and reads its tables."""
        return partial(_refresh, self._table, self._baseline)


def _refresh(table: str, baseline: str, options: MonitoringOptions) -> tuple[pa.Table, pa.Table]:
    from pyspark.sql import SparkSession  # noqa: PLC0415 - the optional dependencies of a lakehouse

    from marvel_kedro.databricks import monitor, workspace  # noqa: PLC0415

    names = monitor.refresh(
        workspace.connect(),
        options.managed,
        table,
        baseline,
        granularities=options.granularities,
        slices=options.slices,
    )

    def read(name: str, schema: pa.Schema) -> pa.Table:
        found = SparkSession.builder.getOrCreate().table(name).toArrow()
        return tables.sort_rows(tables.conform(found, schema))

    return (
        read(names.profile, tables.PROFILE_METRICS),
        read(names.drift, tables.DRIFT_METRICS),
    )
