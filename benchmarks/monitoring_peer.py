"""Run this project's monitoring on two files, for `monitoring.py`."""

import json
import sys
import time
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
from table import TABLE

from marvel_kedro.monitoring.aggregation.grouping import aggregate, aggregate_baseline
from marvel_kedro.monitoring.aggregation.scales import fit_scales
from marvel_kedro.monitoring.metrics.drift import drift_metrics
from marvel_kedro.monitoring.metrics.profile import profile_metrics
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.local_engine import relation

START = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    """Read `REFERENCE CURRENT ROUNDS`, run, print JSON."""
    reference, current = map(_log, sys.argv[1:3])
    text = {field.name for field in current.schema if pa.types.is_string(field.type)}
    columns = [name for name in current.column_names if name not in _KEYS]
    options = MonitoringOptions(
        now=START,
        columns={name: "category" if name in text else "number" for name in columns},
    )
    seconds, found = [], 0
    for _ in range(int(sys.argv[3])):
        begin = time.perf_counter()
        scales = fit_scales(relation(reference), options)
        groups = aggregate(relation(current), options, TABLE.target, scales)
        baseline = aggregate_baseline(relation(reference), options, TABLE.target, scales)
        profile = profile_metrics(groups, baseline, TABLE.target.classes)
        tables = [profile, drift_metrics(groups, baseline)]
        seconds.append(time.perf_counter() - begin)
        found = sum(
            len(table) - table[name].null_count
            for table in tables
            for name in set(table.column_names) - _ABOUT
        )
    print(json.dumps({"seconds": seconds, "metrics": found}))


_ABOUT = {
    *("window", "window_cmp", "log_type", "drift_type", "granularity", "slice_key", "slice_value"),
    *("column_name", "data_type", "model_version", "monitor_version"),
}
_KEYS = ("request_time", "model_version", "prediction", TABLE.target.column)


def _log(path: str) -> pa.Table:
    """Read rows as unlabelled records of one window."""
    rows = pq.read_table(path)
    rows = pa.table({name: _plain(rows[name]) for name in rows.column_names})
    for name, value in zip(
        _KEYS, (pa.scalar(START), "1", TABLE.target.positive, None), strict=True
    ):
        kind = None if name == "request_time" else pa.string()
        rows = rows.append_column(name, pa.array([value] * len(rows), kind))
    return rows


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) else column


if __name__ == "__main__":
    main()
