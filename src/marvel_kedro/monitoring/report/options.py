"""The section `reporting` of the parameters."""

from pydantic import Field

from marvel_kedro.core.options import Options
from marvel_kedro.monitoring.aggregation.windows import Granularity


class ReportingOptions(Options):
    """Limits of the report.

    Attributes:
        granularity: Length of the windows; null is the first granularity of monitoring.
        max_windows: Number of newest windows.
        max_versions: Number of model versions, those with the most records first.
        max_columns: Columns of a version, those with the most drift first.
        max_items: Categories of a column.
        max_slices: Slices of a version, those with the most records first.
        max_alerts: Number of alerts, open ones first.
        chance: Drift with a p-value of at least this is shown as possibly due to chance.
    """

    granularity: Granularity | None = None
    max_windows: int = Field(30, ge=1)
    max_versions: int = Field(3, ge=1)
    max_columns: int = Field(20, ge=1)
    max_items: int = Field(6, ge=1)
    max_slices: int = Field(20, ge=1)
    max_alerts: int = Field(50, ge=1)
    chance: float = Field(0.05, gt=0, lt=1)
