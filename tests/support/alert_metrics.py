"""Tables of metrics for alert rules, and their evaluation."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from support.table import TABLE, configuration

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import evaluation
from marvel_kedro.monitoring.alerting.rules import SCHEMAS, AlertingOptions, Table
from marvel_kedro.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + 100 * DAY
NONE = tables.ALERTS.empty_table()

DRIFT: dict[str, Any] = {"table": "drift_metrics", "metric": "js_distance", "threshold": 0.1}
TESTED: dict[str, Any] = DRIFT | {"test": "first(ks_test.pvalue, chi_squared_test.pvalue)"}
SLOW: dict[str, Any] = {
    "table": "health_metrics",
    "by": "entity",
    "metric": "latency_p95_ms",
    "threshold": 100,
}


def options(**rules: Any) -> AlertingOptions:
    return AlertingOptions.model_validate({"now": NOW, "rules": rules})


def window(day: int, days: int = 1) -> dict[str, Any]:
    return {"start": START + day * DAY, "end": START + (day + days) * DAY}


def drift(day: int, column: str, distance: float | None, **other: Any) -> dict[str, Any]:
    return {
        "window": window(day),
        "granularity": "1 day",
        "column_name": column,
        "drift_type": "BASELINE",
        "js_distance": distance,
        "model_version": "1",
    } | other


def health(day: int, **other: Any) -> dict[str, Any]:
    return {
        "window": window(day),
        "granularity": "1 day",
        "served_entity_name": "champion",
        "model_version": "1",
        "requests": 100,
        "answered": 100,
        "failed": 0,
    } | other


def performance(day: int, **other: Any) -> dict[str, Any]:
    return {
        "window": window(day),
        "granularity": "1 day",
        "model_version": "1",
        "metric": "roc_auc",
        "estimate": 0.7,
        "high": 0.72,
        "realised_error": 0.02,
        "baseline": 0.7,
        "baseline_error": 0.015,
        "records": 1000,
        "labelled": 0,
    } | other


def table(name: Table, *rows: dict[str, Any]) -> dict[Table, pa.Table]:
    return {name: pa.Table.from_pylist(list(rows), SCHEMAS[name])}


def drifts(*rows: dict[str, Any]) -> dict[Table, pa.Table]:
    return table("drift_metrics", *rows)


def evaluated(metrics: Any, rules: AlertingOptions, now: datetime = NOW) -> list[dict[str, Any]]:
    return evaluation.evaluate(metrics, rules, NONE, now, label=TABLE.target.column).to_pylist()


def states(rows: pa.Table | list[dict[str, Any]]) -> list[str]:
    return [row["state"] for row in (rows if isinstance(rows, list) else rows.to_pylist())]


def actions(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), tables.ALERT_ACTIONS)


def shipped() -> AlertingOptions:
    loader = CONFIG_LOADER_CLASS(str(configuration()), **CONFIG_LOADER_ARGS)
    return AlertingOptions.model_validate(loader["parameters"]["alerting"] | {"now": NOW})
