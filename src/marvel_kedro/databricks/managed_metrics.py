"""The metrics of a managed monitor, as a dataset."""

from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from kedro.io import AbstractDataset, DatasetError

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.options import MonitoringOptions, RefreshManagedMonitor

if TYPE_CHECKING:
    from marvel_kedro.databricks.monitored_table import MetricsTables


class ManagedMetricsDataset(AbstractDataset[None, RefreshManagedMonitor]):
    """A managed monitor over a table of a lakehouse, which is asked when its metrics are wanted."""

    def __init__(
        self,
        *,
        catalog: str,
        database: str,
        table: str,
        baseline: str,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Say what is monitored.

        Args:
            catalog: Of both tables.
            database: Of both tables.
            table: The inference log.
            baseline: What it is held against.
            metadata: Of Kedro's plugins.
        """
        self._table, self._baseline = (f"{catalog}.{database}.{name}" for name in (table, baseline))
        self.metadata = metadata

    def load(self) -> RefreshManagedMonitor:
        """Give a function that brings the monitor up to date and reads its tables."""
        return partial(_refreshed, self._table, self._baseline)

    def save(self, data: None) -> None:  # noqa: ARG002 - Kedro's signature
        """Refuse: the platform writes the metrics.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"The metrics of {self._table} are only read here.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"table": self._table}


def _refreshed(table: str, baseline: str, options: MonitoringOptions) -> tuple[pa.Table, pa.Table]:
    from marvel_kedro.databricks import monitor, workspace  # noqa: PLC0415 - needs databricks-sdk

    names: MetricsTables = monitor.refresh(
        workspace.connect(),
        options.managed,
        table,
        baseline,
        granularities=options.granularities,
        slices=options.slices,
    )
    return (
        _read(names.profile, tables.PROFILE_METRICS),
        _read(names.drift, tables.DRIFT_METRICS),
    )


def _read(name: str, schema: pa.Schema) -> pa.Table:
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where Spark is used

    found = SparkSession.builder.getOrCreate().table(name).toArrow()
    return tables.sort_rows(tables.conform(found, schema))
