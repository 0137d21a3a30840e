"""Time windows of the report, and the rows of metric tables in them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.monitoring.options import MonitoringOptions, ReportingOptions

Row = dict[str, Any]


class Window(NamedTuple):
    """A window from `start` up to `end`, exclusive."""

    start: datetime
    end: datetime


class ShownWindows(NamedTuple):
    """Length and list of the windows, oldest first, the number omitted, the incomplete one."""

    granularity: str
    shown: Sequence[Window]
    omitted: int
    incomplete: Window | None


def windows_of(
    tables: Iterable[pa.Table], monitoring: MonitoringOptions, options: ReportingOptions
) -> ShownWindows:
    """Select the windows to show from tables with `window` and `granularity`."""
    granularity = options.granularity or monitoring.granularities[0]
    found = set()
    for table in tables:
        windows = table.filter(pc.field("granularity") == granularity).select(["window"]).flatten()
        edges = windows.group_by(windows.column_names).aggregate([])
        found |= {Window(row["window.start"], row["window.end"]) for row in edges.to_pylist()}
    ordered = sorted(found)
    complete = [window for window in ordered if window.end <= monitoring.now]
    shown = complete[-options.max_windows :]
    incomplete = ordered[-1] if len(ordered) > len(complete) else None
    return ShownWindows(granularity, shown, len(complete) - len(shown), incomplete)


def rows_in(table: pa.Table, windows: Sequence[Window]) -> list[Row]:
    """Return the rows of some windows; `window` of each is a `Window`."""
    if not len(table) or not windows:
        return []
    start = pc.struct_field(table["window"], "start")
    recent = table.filter(pc.greater_equal(start, pa.scalar(windows[0].start, start.type)))
    shown = set(windows)
    rows = (row | {"window": Window(**row["window"])} for row in recent.to_pylist())
    return [row for row in rows if row["window"] in shown]
