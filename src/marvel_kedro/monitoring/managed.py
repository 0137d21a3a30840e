"""How the pipeline asks a managed monitor."""

from collections.abc import Callable

import pyarrow as pa

from marvel_kedro.monitoring.options import MonitoringOptions

Refresh = Callable[[MonitoringOptions], tuple[pa.Table, pa.Table]]
"""Has a managed monitor brought up to date; gives `PROFILE_METRICS` and `DRIFT_METRICS`."""
