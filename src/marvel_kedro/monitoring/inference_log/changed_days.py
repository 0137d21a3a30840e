"""Days of the inference table whose requests, served entities or labels have changed."""

import logging
from datetime import date

import narwhals as nw
import pyarrow as pa

from marvel_kedro.monitoring.aggregation import watermarks
from marvel_kedro.monitoring.aggregation.watermarks import ChangedDays
from marvel_kedro.monitoring.inference_log import parsing, records
from marvel_kedro.monitoring.metrics.operational_metrics import days_with_rejected
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.frames import AnyFrame, lazily
from marvel_kedro.table.local_engine import on_engine

logger = logging.getLogger(__name__)


def find_changed_days(  # noqa: PLR0913, PLR0917 - each of them can change
    payload: AnyFrame,
    served_entities: AnyFrame,
    labels: AnyFrame,
    log: AnyFrame,
    rejected: AnyFrame,
    health: pa.Table,
    known: pa.Table,
    options: MonitoringOptions,
) -> ChangedDays:
    """Find the days to read and to relabel, and warn of requests and labels that do not count.

    `log`, `rejected`, `health` and `known` are `inference_log`, `rejected_requests`,
    `health_metrics` and `watermarks` of the last run.

    Raises:
        ProjectError: The inference table lacks a column.
    """
    requests = _requests_by_day(payload)
    if unknown := records.unknown_labels(labels):
        logger.warning(
            "          %s labels are neither Alive nor Dead and are ignored: %s",
            f"{sum(unknown.values()):,}",
            ", ".join(unknown),
        )
    served = records.read_served_entities(served_entities)
    has_rejected = lazily(on_engine(rejected)).select("reason").head(1).collect("pyarrow")
    lost = set() if len(has_rejected) else days_with_rejected(health)
    renamed = records.days_with_new_names(log, served)
    renamed |= records.days_with_new_names(rejected, served)
    relabelled = lazily(records.count_relabelled(log, labels)).collect("pyarrow").to_native()
    days = watermarks.find_changed_days(
        requests, renamed | lost, relabelled["request_date"].to_pylist(), known, options
    )
    logger.info("          %s days to read, %s to relabel", len(days.read), len(days.relabel))
    return days


def _requests_by_day(payload: AnyFrame) -> dict[date, int]:
    rows = lazily(on_engine(payload))
    parsing.check_columns(rows.collect_schema().names())
    counted = rows.group_by("request_date").agg(rows=nw.len()).collect("pyarrow").to_native()
    requests = {row["request_date"]: row["rows"] for row in counted.to_pylist()}
    if undated := requests.pop(None, 0):
        logger.warning("          %s requests have no request_date and are ignored", f"{undated:,}")
    return requests
