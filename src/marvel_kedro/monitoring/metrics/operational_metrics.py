"""Operational metrics by window and served entity (`health_metrics`): traffic, errors, latency."""

from collections.abc import Sequence
from datetime import date, timedelta
from http import HTTPStatus
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from marvel_kedro.monitoring.aggregation.windows import Granularity, unit_of, window_at
from marvel_kedro.monitoring.inference_log.parsing import ANSWERED
from marvel_kedro.monitoring.tables import HEALTH_METRICS, TIME
from marvel_kedro.table.frames import AnyFrame

QUANTILES = {"latency_p50_ms": 0.5, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}

_ENTITY = ["served_entity_name", "model_version"]
_KEYS = ["unit", *_ENTITY]
_REJECTED = ("refused", "throttled", "failed", "unread")
_DAY = timedelta(days=1)

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


def count_requests(
    log: AnyFrame, rejected: AnyFrame, granularities: Sequence[Granularity]
) -> tuple[pa.Table, pa.Table]:
    """Count requests and records by time unit and served entity, on the engine.

    Args:
        log: Rows of `inference_log`, a lazy frame.
        rejected: Rows of `rejected_requests`, a lazy frame of the same engine.
        granularities: Lengths of the windows, which determine the unit.

    Returns:
        Requests by `unit`, entity, `status_code`, `unread`, `execution_duration_ms` and `day`
        (their `request_date` if the time is missing or on another day, else null); records by
        `unit` and entity with `records` and `labelled`.
    """
    unit = nw.col("request_time").dt.truncate(unit_of(granularities))
    records, refused = nw.from_native(log), nw.from_native(rejected)
    columns = ["request_time", "request_date", *_ENTITY, "execution_duration_ms"]
    answered = records.filter(nw.col("record_number") == 0).select(
        *columns, status_code=nw.lit(ANSWERED, dtype=nw.Int64), unread=nw.lit(False)
    )
    others = refused.select(
        *columns,
        "status_code",
        unread=nw.coalesce(nw.col("status_code") == ANSWERED, nw.lit(False)),
    )
    time, date = nw.col("request_time"), nw.col("request_date")
    misdated = time.is_null() | (time.dt.date() != date)
    # Concatenated here: Sail cannot combine non-nullable with nullable columns.
    requests = [
        frame.with_columns(unit=unit, day=nw.when(misdated).then(date))
        .group_by(*_KEYS, "day", "status_code", "unread", "execution_duration_ms")
        .agg(rows=nw.len().cast(nw.Int64))
        .collect("pyarrow")
        .to_native()
        for frame in (answered, others)
    ]
    scored = (
        records.with_columns(unit=unit, labelled=(~nw.col("alive").is_null()).cast(nw.Int64))
        .group_by(*_KEYS)
        .agg(records=nw.len().cast(nw.Int64), labelled=nw.col("labelled").sum())
    )
    counted = pa.concat_tables(table.cast(_COUNTED) for table in requests)
    return counted, scored.collect("pyarrow").to_native()


def days_with_rejected(health: pa.Table) -> set[date]:
    """Return the days of the shortest windows that counted rejected requests.

    Args:
        health: `HEALTH_METRICS`.
    """
    windows = {
        (row["window"]["start"], row["window"]["end"])
        for row in health.select(["window", *_REJECTED]).to_pylist()
        if any(row[name] for name in _REJECTED)
    }
    shortest = min((end - start for start, end in windows), default=timedelta())
    return {
        (start + number * _DAY).date()
        for start, end in windows
        if end - start == shortest
        for number in range(-(-shortest // _DAY))
    }


def health_metrics(
    requests: pa.Table, records: pa.Table, granularities: Sequence[Granularity]
) -> pa.Table:
    """Add the counts of `count_requests` up to windows.

    Returns:
        `HEALTH_METRICS`, one row per window and served entity with a request.
    """
    counted, scored = requests.to_pandas(), records.to_pandas()
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
            scored_records, labelled = by_key.get(key, (0, 0))
            rows.append(
                {
                    "window": {"start": window.start, "end": window.end},
                    "granularity": granularity,
                    "served_entity_name": name if isinstance(name, str) else None,
                    "model_version": version if isinstance(version, str) else None,
                    "records": scored_records,
                    "labelled": labelled,
                    **_request_metrics(some),
                }
            )
    return pa.Table.from_pylist(rows, schema=HEALTH_METRICS)


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
