"""The catalog type for the metrics of a managed monitor."""

import logging
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.databricks import session
from marvel_kedro.databricks.tables import quoted_name
from marvel_kedro.datasets.base import ReadOnlyDataset
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.options import MonitoringOptions, RefreshManagedMonitor

logger = logging.getLogger(__name__)


class ManagedMetricsDataset(ReadOnlyDataset[RefreshManagedMonitor]):
    """Load a function that refreshes a managed monitor over a table of a lakehouse."""

    READ_ONLY = "the platform writes the metrics"

    def __init__(  # noqa: PLR0913 - keys of a catalog entry
        self,
        *,
        catalog: str,
        database: str,
        table: str,
        baseline: str,
        label: str,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Name the inference log (`table`) and the table that drift is measured against.

        Both are in the schema `database` of `catalog`; `label` is their column of the label.
        """
        super().__init__(metadata)
        self._label = label
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
            label=self._label,
        )
        return (
            _read(profile, tables.PROFILE_METRICS, options),
            _read(drift, tables.DRIFT_METRICS, options),
        )


def _read(name: str, schema: pa.Schema, options: MonitoringOptions) -> pa.Table:
    """Read the rows of the measured columns: the monitor also has ids, times and labels."""
    found = session.active().table(quoted_name(*name.split("."))).toArrow()
    measured = pc.field("column_name").isin([tables.TABLE, *options.columns])
    found = found.filter(measured)
    for field in schema:
        try:
            tables.conform(found.select([field.name]), pa.schema([field]))
        except KeyError:
            continue
        except pa.ArrowException:  # names and types of some columns are not documented
            logger.warning(
                "%s: the column %s has the type %s and is left out",
                name,
                field.name,
                found.schema.field(field.name).type,
            )
            found = found.drop_columns(field.name)
    return tables.sort_rows(tables.conform(found, schema))
