"""Tables of metrics in which one can say only what a test is about."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.export import Exported, Sample, export
from marvel_kedro.monitoring.options import ExportingOptions

DAY = timedelta(days=1)
START = datetime(2026, 1, 5, tzinfo=UTC)
NOW = START + 3 * DAY + timedelta(hours=5)
"""Three days are complete, and a fourth has begun."""

OPTIONS = ExportingOptions(min_labelled=100)
SCHEMAS = {
    "health": tables.HEALTH_METRICS,
    "profile": tables.PROFILE_METRICS,
    "drift": tables.DRIFT_METRICS,
    "estimates": tables.QUALITY_ESTIMATES,
    "alerts": tables.ALERTS,
}


def window(day: float, length: timedelta = DAY) -> dict[str, datetime]:
    start = START + day * DAY
    return {"start": start, "end": start + length}


def row(day: float, **fields: Any) -> dict[str, Any]:
    """A row of any table of metrics."""
    return {"window": window(day), "granularity": "1 day", "model_version": "3"} | fields


def labelled(day: float | None, right: int, wrong: int, **fields: Any) -> dict[str, Any]:
    """The row `TABLE` of a window, or of a baseline, of which so many labels are known."""
    cells = [("Alive", "Alive", right), ("Alive", "Dead", wrong)]
    quality = {
        "column_name": tables.TABLE,
        "log_type": tables.INPUT if day is not None else tables.BASELINE,
        "accuracy_score": right / (right + wrong),
        "confusion_matrix": [
            dict(zip(("prediction", "label", "count"), cell, strict=True)) for cell in cells
        ],
    }
    if day is None:
        return {"model_version": "3"} | quality | fields
    return row(day, **quality) | fields


def tell(
    now: datetime = NOW, options: ExportingOptions = OPTIONS, **rows: list[dict[str, Any]]
) -> Exported:
    """Export tables of these rows; of those that are not named there are none."""
    made = {
        name: pa.Table.from_pylist(rows.pop(name, []), schema=schema)
        for name, schema in SCHEMAS.items()
    }
    assert not rows
    return export(**made, options=options, now=now)


def values(exported: Exported, name: str) -> dict[tuple[str, ...], float]:
    """By labels what there is of `marvel_monitoring_<name>`."""
    return {
        sample.labels: sample.value
        for sample in exported.samples
        if sample.family.name == f"marvel_monitoring_{name}"
    }


def key(sample: Sample) -> tuple[str, frozenset[tuple[str, str]]]:
    """What makes a series."""
    pairs = zip(sample.family.labels, sample.labels, strict=True)
    return sample.family.name, frozenset(pairs)
