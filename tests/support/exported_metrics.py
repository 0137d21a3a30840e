"""Metrics tables in which a test states only the relevant fields, and their export."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from prometheus_client.parser import text_string_to_metric_families

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.export import Exported, Sample, export
from marvel_kedro.monitoring.options import ExportingOptions

DAY = timedelta(days=1)
START = datetime(2026, 1, 5, tzinfo=UTC)
NOW = START + 3 * DAY + timedelta(hours=5)
"""Three days are complete, the fourth is not."""

OPTIONS = ExportingOptions(min_labelled=100)
SCHEMAS = {
    "health": tables.HEALTH_METRICS,
    "profile": tables.PROFILE_METRICS,
    "drift": tables.DRIFT_METRICS,
    "estimates": tables.QUALITY_ESTIMATES,
    "alerts": tables.ALERTS,
}
HEALTH = {
    "served_entity_name": "champion",
    "requests": 100,
    "answered": 90,
    "refused": 5,
    "throttled": 3,
    "failed": 2,
    "unread": 1,
    "records": 150,
    "labelled": 40,
    "latency_p50_ms": 4.0,
    "latency_p95_ms": 12.5,
    "latency_p99_ms": 250.0,
}
ESTIMATE = {"metric": "roc_auc", "estimate": 0.8, "low": 0.75, "high": 0.85}


def window(day: float, length: timedelta = DAY) -> dict[str, datetime]:
    start = START + day * DAY
    return {"start": start, "end": start + length}


def row(day: float, **fields: Any) -> dict[str, Any]:
    """Make a row of any metrics table."""
    return {"window": window(day), "granularity": "1 day", "model_version": "3"} | fields


def drift(day: float, **fields: Any) -> dict[str, Any]:
    number = {
        "column_name": "height",
        "population_stability_index": 0.3,
        "ks_test": {"statistic": 0.2, "pvalue": 0.01},
    }
    return row(day, drift_type="BASELINE", **number) | fields


def profile(day: float, **fields: Any) -> dict[str, Any]:
    return row(day, log_type="INPUT", column_name="height") | fields


def labelled(day: float | None, right: int, wrong: int, **fields: Any) -> dict[str, Any]:
    """Make the row `TABLE` of a window, or of a baseline, with right and wrong predictions."""
    cells = [("Alive", "Alive", right), ("Alive", "Dead", wrong)]
    performance = {
        "column_name": tables.TABLE,
        "log_type": tables.INPUT if day is not None else tables.BASELINE,
        "accuracy_score": right / (right + wrong),
        "confusion_matrix": [
            dict(zip(("prediction", "label", "count"), cell, strict=True)) for cell in cells
        ],
    }
    if day is None:
        return {"model_version": "3"} | performance | fields
    return row(day, **performance) | fields


def export_rows(
    now: datetime = NOW, options: ExportingOptions = OPTIONS, **rows: list[dict[str, Any]]
) -> Exported:
    """Export tables of these rows; tables that are not given are empty."""
    made = {
        name: pa.Table.from_pylist(rows.pop(name, []), schema=schema)
        for name, schema in SCHEMAS.items()
    }
    assert not rows
    return export(**made, options=options, now=now)


def every_family() -> Exported:
    """Export samples of every family."""
    return export_rows(
        health=[row(2, **HEALTH)],
        profile=[
            profile(2, percent_null=12.5, avg=1.8, distinct_count=7),
            labelled(2, 80, 40),
            labelled(None, 90, 10),
        ],
        drift=[drift(2), drift(2, drift_type="CONSECUTIVE")],
        estimates=[row(2, **ESTIMATE)],
        alerts=[{"rule": "input_drift", "severity": "warning", "state": "open"}],
    )


def values(exported: Exported, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of `marvel_monitoring_<name>` by labels."""
    return {
        sample.labels: sample.value
        for sample in exported.samples
        if sample.family.name == f"marvel_monitoring_{name}"
    }


def key(sample: Sample) -> tuple[str, frozenset[tuple[str, str]]]:
    """Return the identity of a series."""
    pairs = zip(sample.family.labels, sample.labels, strict=True)
    return sample.family.name, frozenset(pairs)


def parse_text(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Parse the Prometheus text format with Prometheus' own client."""
    found = [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(dict(found)) == len(found), "a series is repeated"
    return dict(found)
