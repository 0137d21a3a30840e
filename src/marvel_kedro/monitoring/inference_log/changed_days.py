"""Days of the inference table whose requests, served entities or labels have changed."""

import logging
from datetime import date

import narwhals as nw
import pyarrow as pa

from marvel_kedro.monitoring.aggregation import watermarks
from marvel_kedro.monitoring.aggregation.watermarks import UNREAD, ChangedDays
from marvel_kedro.monitoring.inference_log import parsing, records
from marvel_kedro.monitoring.metrics.operational_metrics import days_with_rejected
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import AnyFrame, lazily
from marvel_kedro.table.local_engine import on_engine

logger = logging.getLogger(__name__)

_YEARS = range(1900, 9000)  # windows around the first and the last day would have no dates


def find_days(  # noqa: PLR0913, PLR0917 - each of them can change
    payload: AnyFrame,
    served_entities: AnyFrame,
    labels: AnyFrame,
    log: AnyFrame,
    rejected: AnyFrame,
    health: pa.Table,
    known: pa.Table,
    options: MonitoringOptions,
    table: TableSpec,
) -> tuple[ChangedDays, pa.Table]:
    """Find the days to read and to relabel, and warn of requests and labels that do not count.

    `log`, `rejected`, `health` and `known` are `inference_log`, `rejected_requests`,
    `health_metrics` and `watermarks` of the last run; `options.recompute_from` is the first day to
    read again in any case.

    Returns:
        The days, and watermarks that mark them as unread.

    Raises:
        ProjectError: The inference table lacks a column.
    """
    # The log is new or was removed, or the classes have other names.
    if not records.versions(log) or records.has_other_classes(log, table):
        known = known.slice(0, 0)
    requests = _requests_by_day(payload)
    records.warn_of_unknown_labels(labels, table)
    served = records.read_served_entities(served_entities)
    has_rejected = lazily(on_engine(rejected)).select("reason").head(1).collect("pyarrow")
    # Days whose rejected requests are lost (health counted some), or whose entities have new names.
    altered = set() if len(has_rejected) else days_with_rejected(health)
    altered |= records.days_with_new_names(log, served)
    altered |= records.days_with_new_names(rejected, served)
    relabelled = records.relabelled_days(log, labels, table)
    before = dict(
        zip(known["request_date"].to_pylist(), known["requests"].to_pylist(), strict=True)
    )
    since = options.recompute_from or date.max
    read = {day for day, rows in requests.items() if rows > before.get(day, UNREAD) or day >= since}
    # Altered days are read if the inference table still has all of their rows.
    read |= {day for day in altered if requests.get(day, UNREAD) >= before.get(day, 0)}
    days = ChangedDays(requests, tuple(sorted(read)), tuple(sorted(relabelled - read)))
    logger.info("          %s days to read, %s to relabel", len(days.read), len(days.relabel))
    return days, watermarks.mark_unread(days, known)


def _requests_by_day(payload: AnyFrame) -> dict[date, int]:
    rows = lazily(on_engine(payload))
    parsing.check_columns(rows.collect_schema().names())
    counted = rows.group_by("request_date").agg(rows=nw.len()).collect("pyarrow").to_native()
    requests = {row["request_date"]: row["rows"] for row in counted.to_pylist()}
    dated = {day: rows for day, rows in requests.items() if day and day.year in _YEARS}
    if undated := sum(requests.values()) - sum(dated.values()):
        text = "          %s requests have no request_date from 1900 to 9000 and are ignored"
        logger.warning(text, f"{undated:,}")
    return dated
