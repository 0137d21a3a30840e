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

    @property
    def running(self) -> bool:
        """Return true if the window has not ended: its figures are those so far."""
        return False


class RunningWindow(Window):
    """A window that has not ended; it equals the `Window` of the same edges."""

    __slots__ = ()

    @property
    def running(self) -> bool:
        """Return true."""
        return True


class ShownWindows(NamedTuple):
    """Length and list of the windows, oldest first, the running one last; the number omitted."""

    granularity: str
    shown: Sequence[Window]
    omitted: int


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
    complete = sorted(window for window in found if window.end <= monitoring.now)
    running = [RunningWindow(*one) for one in found if one.start <= monitoring.now < one.end]
    shown = complete[-options.max_windows :]
    return ShownWindows(granularity, [*shown, *running], len(complete) - len(shown))


def rows_in(table: pa.Table, windows: Sequence[Window]) -> list[Row]:
    """Return the rows of some windows; `window` of each is a `Window`."""
    if not len(table) or not windows:
        return []
    start = pc.struct_field(table["window"], "start")
    recent = table.filter(pc.greater_equal(start, pa.scalar(windows[0].start, start.type)))
    shown = {window: window for window in windows}  # which knows whether it is running
    rows = ((row, shown.get(Window(**row["window"]))) for row in recent.to_pylist())
    return [row | {"window": window} for row, window in rows if window is not None]
