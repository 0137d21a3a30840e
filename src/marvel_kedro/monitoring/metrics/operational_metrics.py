"""Operational metrics by window and served entity (`health_metrics`): traffic, errors, latency."""

from collections.abc import Sequence
from datetime import date, timedelta
from http import HTTPStatus
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from marvel_kedro.monitoring.aggregation.value_counts import Window
from marvel_kedro.monitoring.aggregation.windows import Granularity, days_of, unit_of, window_at
from marvel_kedro.monitoring.inference_log.parsing import ANSWERED
from marvel_kedro.monitoring.tables import HEALTH_METRICS, NO_RECORDS, TIME
from marvel_kedro.table.frames import AnyFrame, lazily

QUANTILES = {"latency_p50_ms": 0.5, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}

_ENTITY = ["served_entity_name", "model_version"]
_REJECTED = ("refused", "throttled", "failed", "unread")

_COUNTED = pa.schema(
    [
        ("unit", TIME),
        *((name, pa.string()) for name in _ENTITY),
        ("day", pa.date32()),
        ("status_code", pa.int64()),
        ("unread", pa.bool_()),
        ("execution_duration_ms", pa.int64()),
        ("rows", pa.int64()),
    ]
)


def health_metrics(
    log: AnyFrame, rejected: AnyFrame, granularities: Sequence[Granularity], label: str
) -> pa.Table:
    """Count requests and records on the engine, by time unit, and add them up to windows.

    `log` and `rejected` are rows of `inference_log` and `rejected_requests`: lazy frames of one
    engine. `label` is the column of the label.

    Returns:
        `HEALTH_METRICS`, one row per window and served entity with a request.
    """
    tables = _count(lazily(log), lazily(rejected), unit_of(granularities), label)
    counted, scored = (table.to_pandas() for table in tables)
    # A request without a time, or with that of another day, belongs to its request_date.
    counted["unit"] = pd.to_datetime(counted.pop("day"), utc=True).fillna(counted["unit"])
    rows: list[dict[str, Any]] = []
    for granularity in granularities:
        for frame in (counted, scored):
            frame["window"] = [window_at(granularity, unit) for unit in frame["unit"]]
        by_key = {
            key: (int(some["records"].sum()), int(some["labelled"].sum()))
            for key, some in scored.groupby(["window", *_ENTITY], dropna=False, sort=False)
        }
        for key, some in counted.groupby(["window", *_ENTITY], dropna=False, sort=False):
            window, name, version = key
            records, labelled = by_key.get(key, (0, 0))
            rows.append(
                {
                    "window": {"start": window.start, "end": window.end},
                    "granularity": granularity,
                    "served_entity_name": name if isinstance(name, str) else None,
                    "model_version": version if isinstance(version, str) else None,
                    "records": records,
                    "labelled": labelled,
                    **_request_metrics(some),
                }
            )
    return pa.Table.from_pylist(rows, schema=HEALTH_METRICS)


def _count(
    log: nw.LazyFrame[Any], rejected: nw.LazyFrame[Any], length: str, label: str
) -> tuple[pa.Table, pa.Table]:
    """Count by served entity and time unit; `length` is that of a unit, such as `1d`.

    Returns:
        Requests: `_COUNTED`; `day` is their `request_date` if the time is missing or on another
        day, else null. Records: by `unit` and entity, with `records` and `labelled`.
    """
    time, date = nw.col("request_time"), nw.col("request_date")
    columns = ["request_time", "request_date", *_ENTITY, "execution_duration_ms"]
    answered = log.filter(nw.col("record_number") == 0).select(
        *columns, status_code=nw.lit(ANSWERED, dtype=nw.Int64), unread=nw.lit(False)
    )
    unread = nw.coalesce(
        (nw.col("status_code") == ANSWERED) & (nw.col("reason") != NO_RECORDS), nw.lit(False)
    )
    others = rejected.select(*columns, "status_code", unread=unread)
    unit, misdated = time.dt.truncate(length), time.is_null() | (time.dt.date() != date)
    # Concatenated here: Sail cannot combine non-nullable with nullable columns.
    requests = pa.concat_tables(
        frame.with_columns(unit=unit, day=nw.when(misdated).then(date))
        .group_by(*_COUNTED.names[:-1])
        .agg(rows=nw.len().cast(nw.Int64))
        .collect("pyarrow")
        .to_native()
        .cast(_COUNTED)
        for frame in (answered, others)
    )
    scored = (
        log.select(*_ENTITY, unit=unit, labelled=(~nw.col(label).is_null()).cast(nw.Int64))
        .group_by("unit", *_ENTITY)
        .agg(records=nw.len().cast(nw.Int64), labelled=nw.col("labelled").sum())
    )
    return requests, scored.collect("pyarrow").to_native()


def days_with_rejected(health: pa.Table) -> set[date]:
    """Return the days of the shortest windows of `HEALTH_METRICS` with rejected requests."""
    windows = {
        Window(row["granularity"], **row["window"])
        for row in health.select(["granularity", "window", *_REJECTED]).to_pylist()
        if any(row[name] for name in _REJECTED)
    }
    shortest = min((window.end - window.start for window in windows), default=timedelta())
    return days_of(window for window in windows if window.end - window.start == shortest)


def _request_metrics(requests: pd.DataFrame) -> dict[str, Any]:
    status, rows = requests["status_code"].to_numpy(np.float64), requests["rows"]
    answered, throttled = status == ANSWERED, status == HTTPStatus.TOO_MANY_REQUESTS
    failed = ~(status < HTTPStatus.INTERNAL_SERVER_ERROR)  # a missing status counts as failed
    read = requests[answered & ~requests["unread"].to_numpy(bool)]
    return {
        "requests": int(rows.sum()),
        "answered": int(rows[answered].sum()),
        "throttled": int(rows[throttled].sum()),
        "failed": int(rows[failed].sum()),
        "refused": int(rows[~answered & ~throttled & ~failed].sum()),
        "unread": int(rows[answered].sum()) - int(read["rows"].sum()),
        **_latencies(read.dropna(subset=["execution_duration_ms"])),
    }


def _latencies(requests: pd.DataFrame) -> dict[str, float | None]:
    """Return the shortest duration that covers each share of the requests."""
    ordered = requests.sort_values("execution_duration_ms")
    cumulative = ordered["rows"].cumsum().to_numpy()
    if not len(cumulative):
        return dict.fromkeys(QUANTILES)
    times = ordered["execution_duration_ms"].to_numpy(np.float64)
    return {
        name: float(times[np.searchsorted(cumulative, share * cumulative[-1])])
        for name, share in QUANTILES.items()
    }
