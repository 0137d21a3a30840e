"""Watermarks: which days are processed, and what a run has to compute again.

- A day is read as a whole. It is read again when the inference table has more rows for it, or its
  served entities have new names. Rows deleted from the inference table stay in the log.
- A day is measured again when its labels change, one of its versions gets a baseline, or the
  settings change.
- A run marks its days as unread before it starts, so the next run repeats a killed one.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.monitoring.aggregation import windows
from marvel_kedro.monitoring.aggregation.value_counts import Groups, Window
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.monitoring.tables import WATERMARKS, sort_rows
from marvel_kedro.table.description import Target

logger = logging.getLogger(__name__)

UNREAD = -1
"""`requests` of a day that must be read."""
# The table `watermarks` of earlier releases holds these texts, so they stay.
_STARTED = "begun "
_RECOMPUTE = f"{_STARTED}anew"


@dataclass(frozen=True)
class ChangedDays:
    """Days that changed since the last run.

    Attributes:
        requests: Rows of the inference table by day.
        read: Days whose requests must be read.
        relabel: Other days whose labels have changed.
    """

    requests: Mapping[date, int]
    read: tuple[date, ...]
    relabel: tuple[date, ...]

    @property
    def changed(self) -> tuple[date, ...]:
        """Return all changed days."""
        return tuple(sorted({*self.read, *self.relabel}))


@dataclass(frozen=True)
class RunScope:
    """Days and windows that a run measures.

    Attributes:
        days: Days of the log to count.
        windows: Windows to measure; other windows keep their metrics.
        recompute_all: No window keeps its metrics.
        settings: Watermark `settings` by day.
    """

    days: tuple[date, ...]
    windows: frozenset[Window]
    recompute_all: bool
    settings: Mapping[date, str]

    def merge(self, previous: pa.Table, computed: pa.Table) -> pa.Table:
        """Replace the rows of this run's windows, and all rows without a window, by computed ones.

        Both tables have `window` and `granularity`; rows of other windows in `computed` are
        ignored.
        """
        kept = previous.filter(pc.invert(self._covers(previous)))
        if self.recompute_all:
            kept = previous.slice(0, 0)
        return sort_rows(pa.concat_tables([kept, computed.filter(self._covers(computed))]))

    def select(self, groups: Groups) -> Groups:
        """Select the groups of this run's windows."""
        return {key: group for key, group in groups.items() if key[0] in self.windows}

    def _covers(self, table: pa.Table) -> pa.Array:
        """Return true for rows of this run's windows and for rows without a window."""
        mine = {(window.granularity, window.start) for window in self.windows}
        starts = pc.struct_field(table["window"], "start").to_pylist()
        rows = zip(table["granularity"].to_pylist(), starts, strict=True)
        return pa.array([row[1] is None or row in mine for row in rows], pa.bool_())


def mark_unread(days: ChangedDays, watermarks: pa.Table) -> pa.Table:
    """Mark the changed days, so that the next run starts with them if this one is killed."""
    rows = {row["request_date"]: row for row in watermarks.to_pylist()}
    for day in days.changed:
        row = rows.get(day, {"requests": UNREAD, "settings": ""})
        rows[day] = {
            "request_date": day,
            "requests": UNREAD if day in days.read else row["requests"],
            "settings": _STARTED + row["settings"].removeprefix(_STARTED),
        }
    return _to_table(rows.values())


def find_scope(  # noqa: PLR0913, PLR0917 - inputs of the decision
    days: ChangedDays,
    watermarks: pa.Table,
    versions: Mapping[date, Iterable[str]],
    baselines: set[str],
    options: MonitoringOptions,
    target: Target,
    *,
    lost: bool,
) -> tuple[RunScope, pa.Table]:
    """Select the windows to measure.

    `watermarks` are those of the last run, `versions` the model versions by day of the log,
    `baselines` those with a baseline; `lost` is true if a table of metrics is missing.

    Returns:
        The scope, and watermarks that mark all days if all are recomputed, so that the next run
        does so if this one is killed.
    """
    now = options.settings(target)
    known = {row["request_date"]: row["settings"] for row in watermarks.to_pylist()}
    all_days = {*known, *days.requests}
    settings = {
        day: " ".join([now, *sorted(baselines.intersection(versions.get(day, ())))])
        for day in all_days
    }
    digests = {text.removeprefix(_STARTED).partition(" ")[0] for text in known.values()}
    recompute_all = lost or bool(digests - {"", now})
    if recompute_all:
        logger.info(
            "          all metrics are computed again: a table of them is empty"
            if lost
            else "          all metrics are computed again: the settings of monitoring changed, or "
            "an earlier release counted in another way"
        )
    outdated = {day for day, text in known.items() if text != settings[day]}
    touched = all_days if recompute_all else {*days.changed, *outdated}
    changed = windows.windows_of(touched, options.granularities)
    # Consecutive drift compares the following window with this one.
    affected = changed | {windows.following(window) for window in changed}
    needed = windows.days_of(affected | {windows.previous(window) for window in affected})
    scope = RunScope(tuple(sorted(needed & all_days)), frozenset(affected), recompute_all, settings)
    if recompute_all:
        watermarks = _to_table(row | {"settings": _RECOMPUTE} for row in watermarks.to_pylist())
    return scope, watermarks


def complete(days: ChangedDays, watermarks: pa.Table, scope: RunScope) -> pa.Table:
    """Mark all days as read and measured."""
    rows = {row["request_date"]: row["requests"] for row in watermarks.to_pylist()}
    rows |= {day: days.requests[day] for day in days.read}
    return _to_table(
        {"request_date": day, "requests": number, "settings": scope.settings[day]}
        for day, number in rows.items()
    )


def _to_table(rows: Iterable[Mapping[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=WATERMARKS).sort_by("request_date")
