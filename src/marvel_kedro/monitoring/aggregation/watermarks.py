"""How far monitoring has got, and what of its tables is to be made anew.

Days are read whole. A day is read again when the inference table has more rows for it than before
or its served entities have other names. (It has fewer where old rows are deleted; their records
stay in the log.) It is measured again when its labels have changed, one of its versions has got a
baseline, or the settings have changed. While a run is at work its days are marked as unread, so a
run that is killed is repeated by the next.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.monitoring.aggregation import windows
from marvel_kedro.monitoring.aggregation.value_counts import Window
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.monitoring.tables import WATERMARKS, in_order

_UNREAD = -1
_BEGUN = "begun "
_ANEW = f"{_BEGUN}anew"


@dataclass(frozen=True)
class Days:
    """What has changed since the last run.

    Attributes:
        requests: Rows of the inference table by day.
        read: Days whose requests are to be read.
        relabel: Days that are read and whose labels have changed.
    """

    requests: Mapping[date, int]
    read: tuple[date, ...]
    relabel: tuple[date, ...]

    @property
    def changed(self) -> tuple[date, ...]:
        """Both."""
        return tuple(sorted({*self.read, *self.relabel}))


@dataclass(frozen=True)
class Scope:
    """What is measured in this run.

    Attributes:
        days: Days of the log that are counted.
        windows: Windows whose metrics are made; those of others stay as they are.
        anew: Whether nothing stays.
        settings: By day what its metrics depend on beside the tables.
    """

    days: tuple[date, ...]
    windows: frozenset[Window]
    anew: bool
    settings: Mapping[date, str]

    def merge(self, before: pa.Table, made: pa.Table) -> pa.Table:
        """Put what was made in its place.

        Args:
            before: The table as it was, with `window` and `granularity`.
            made: Rows of any windows; those of others than this run's do not count. Rows without a
                window always do.
        """
        mine = {(window.granularity, window.start) for window in self.windows}
        kept = (
            before.slice(0, 0) if self.anew else before.filter(_among(before, mine, inside=False))
        )
        return in_order(pa.concat_tables([kept, made.filter(_among(made, mine, inside=True))]))


def _among(table: pa.Table, mine: set[tuple[str, datetime]], *, inside: bool) -> pa.Array:
    """Rows whose window is one of `mine`, or is not; those without a window are made each time."""
    starts = pc.struct_field(table["window"], "start").to_pylist()
    return pa.array(
        [
            inside if start is None else ((granularity, start) in mine) == inside
            for granularity, start in zip(table["granularity"].to_pylist(), starts, strict=True)
        ],
        pa.bool_(),
    )


def find_days(
    requests: Mapping[date, int],
    other: Iterable[date],
    relabelled: Iterable[date],
    known: pa.Table,
    options: MonitoringOptions,
) -> Days:
    """See which days have changed.

    Args:
        requests: Rows of the inference table by day, as it is now.
        other: Days whose rows in the logs are not what they were: served entities have other names
            or versions now, or the rows are gone. They are read if the inference table has them
            whole.
        relabelled: Days of the log with a record whose label is another now.
        known: `WATERMARKS` of the last run.
        options: From which day on nothing is taken as known.
    """
    read_before = {row["request_date"]: row["requests"] for row in known.to_pylist()}
    since = options.recompute_from or date.max
    read = {
        day
        for day, rows in requests.items()
        if rows > read_before.get(day, _UNREAD) or day >= since
    }
    read |= {day for day in other if requests.get(day, _UNREAD) >= read_before.get(day, 0)}
    return Days(requests, tuple(sorted(read)), tuple(sorted(set(relabelled) - read)))


def begin(days: Days, known: pa.Table) -> pa.Table:
    """Mark the days that this run changes: were it killed, the next would begin with them."""
    before = {row["request_date"]: row for row in known.to_pylist()}
    for day in days.changed:
        row = before.get(day, {"requests": _UNREAD, "settings": ""})
        before[day] = {
            "request_date": day,
            "requests": _UNREAD if day in days.read else row["requests"],
            "settings": _BEGUN + row["settings"].removeprefix(_BEGUN),
        }
    return _watermarks(before.values())


def find_scope(  # noqa: PLR0913 - what is known of the days
    days: Days,
    known: pa.Table,
    versions: Mapping[date, Iterable[str]],
    baselines: Iterable[str],
    options: MonitoringOptions,
    *,
    lost: bool,
) -> Scope:
    """See which windows are to be measured.

    Args:
        days: What has changed.
        known: `WATERMARKS` of the last run.
        versions: By day of the log the versions that have answered.
        baselines: The versions that have something to be held against.
        options: Windows, slices and columns.
        lost: Whether a table of metrics is not there any more.
    """
    all_days = {*known["request_date"].to_pylist(), *days.requests}
    there = set(baselines)
    settings = {
        day: " ".join([options.settings, *sorted(there & set(versions.get(day, ())))])
        for day in all_days
    }
    made_with = {row["request_date"]: row["settings"] for row in known.to_pylist()}
    begun = {day: before.removeprefix(_BEGUN) for day, before in made_with.items()}
    anew = lost or any(
        before and before.partition(" ")[0] != options.settings for before in begun.values()
    )
    stale = {day for day, before in made_with.items() if before != settings[day]}
    touched = all_days if anew else {*days.changed, *stale}
    changed = windows.windows_of(touched, options.granularities)
    # The next one is held against the one before it.
    affected = changed | {windows.after(window) for window in changed}
    needed = windows.days_of(affected | {windows.before(window) for window in affected})
    return Scope(tuple(sorted(needed & all_days)), frozenset(affected), anew, settings)


def begin_anew(known: pa.Table, scope: Scope) -> pa.Table:
    """Mark all days if nothing stays: were this run killed, the next would make all anew."""
    if not scope.anew:
        return known
    return _watermarks([row | {"settings": _ANEW} for row in known.to_pylist()])


def finish(days: Days, known: pa.Table, scope: Scope) -> pa.Table:
    """Say that all days are read and measured."""
    rows = {row["request_date"]: row["requests"] for row in known.to_pylist()}
    rows |= {day: days.requests[day] for day in days.read}
    return _watermarks(
        [
            {"request_date": day, "requests": number, "settings": scope.settings[day]}
            for day, number in rows.items()
        ]
    )


def _watermarks(rows: Iterable[Mapping[str, object]]) -> pa.Table:
    ordered = sorted(rows, key=lambda row: str(row["request_date"]))
    return pa.Table.from_pylist(ordered, schema=WATERMARKS)
