"""The catalog type for the metrics of a managed monitor."""

from typing import Any

import pyarrow as pa

from marvel_kedro.databricks import session
from marvel_kedro.databricks.tables import quoted_name
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
        """Name the inference log (`table`) and the table that drift is measured against.

        Both are in the schema `database` of `catalog`.
        """
        super().__init__(metadata)
        self._table, self._baseline = (f"{catalog}.{database}.{name}" for name in (table, baseline))

    def load(self) -> RefreshManagedMonitor:
        """Return a function that refreshes the monitor and reads its tables."""
        return self._refresh

    def _refresh(self, options: MonitoringOptions) -> tuple[pa.Table, pa.Table]:
        from marvel_kedro.databricks import monitor, workspace  # noqa: PLC0415 - the optional SDK

        profile, drift = monitor.refresh(
            workspace.connect(),
            options.managed,
            self._table,
            self._baseline,
            granularities=options.granularities,
            slices=options.slices,
        )
        return _read(profile, tables.PROFILE_METRICS), _read(drift, tables.DRIFT_METRICS)


def _read(name: str, schema: pa.Schema) -> pa.Table:
    found = session.active().table(quoted_name(*name.split("."))).toArrow()
    return tables.sort_rows(tables.conform(found, schema))
