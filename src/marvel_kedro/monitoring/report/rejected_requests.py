"""Rejected requests in the windows of the report."""

from collections.abc import Sequence
from datetime import timedelta

import narwhals as nw
from narwhals.typing import IntoFrame

from marvel_kedro.monitoring.report.windows import Window
from marvel_kedro.table.frames import lazily


def count_by_reason(rejected_requests: IntoFrame, windows: Sequence[Window]) -> dict[str, int]:
    """Count the requests without a readable record by reason, the most frequent first.

    The engine counts the rows, one a rejected request. `windows` are those shown, oldest first.
    """
    if not windows:
        return {}
    first, last = windows[0].start, windows[-1].end
    time, day, moment = nw.col("request_time"), nw.col("request_date"), timedelta(microseconds=1)
    # As in `health_metrics`, a request without a time counts at the start of its day.
    inside = (time >= first) & (time < last)
    midnight = day.is_between((first - moment + timedelta(days=1)).date(), (last - moment).date())
    counted = (
        lazily(rejected_requests)
        .filter(inside | (time.is_null() & midnight))
        .group_by("reason")
        .agg(requests=nw.len())
        .collect("pyarrow")
        .to_native()
    )
    rows = sorted(counted.to_pylist(), key=lambda row: (-row["requests"], str(row["reason"])))
    return {str(row["reason"]): row["requests"] for row in rows}
