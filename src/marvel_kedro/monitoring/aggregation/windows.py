"""Time windows in UTC, as Databricks' data profiling defines them.

A day has 24 hours on every date. A week starts on Monday; two, three and four weeks count from
1970-01-05. Not verified on a workspace: the starts of Databricks' weeks, months and years.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from marvel_kedro.monitoring.aggregation.value_counts import Window

Granularity = Literal[
    "5 minutes",
    "30 minutes",
    "1 hour",
    "1 day",
    "1 week",
    "2 weeks",
    "3 weeks",
    "4 weeks",
    "1 month",
    "1 year",
]
_UNITS = {"5 minutes": "1m", "30 minutes": "1m", "1 hour": "1h"}
_LENGTHS = {
    "5 minutes": timedelta(minutes=5),
    "30 minutes": timedelta(minutes=30),
    "1 hour": timedelta(hours=1),
    "1 day": timedelta(days=1),
    **{f"{n} week{'s' * (n > 1)}": timedelta(weeks=n) for n in range(1, 5)},
}
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


def unit_of(granularities: Iterable[Granularity]) -> str:
    """Return the unit by which records are counted: the longest that divides all windows."""
    units = {_UNITS.get(granularity, "1d") for granularity in granularities}
    return next(unit for unit in ("1m", "1h", "1d") if unit in units)


def window_at(granularity: str, moment: datetime) -> Window:
    """Return the window that contains a moment with a time zone."""
    moment = moment.astimezone(UTC)
    if granularity in _LENGTHS:
        length = _LENGTHS[granularity]
        start = _MONDAY + (moment - _MONDAY) // length * length
        return Window(granularity, start, start + length)
    if granularity == "1 month":
        start = datetime(moment.year, moment.month, 1, tzinfo=UTC)
        return Window(granularity, start, (start + timedelta(days=32)).replace(day=1))
    start = datetime(moment.year, 1, 1, tzinfo=UTC)
    return Window(granularity, start, start.replace(year=start.year + 1))


def previous(window: Window) -> Window:
    """Return the window that ends where this one starts."""
    return window_at(window.granularity, window.start - timedelta(microseconds=1))


def following(window: Window) -> Window:
    """Return the window that starts where this one ends."""
    return window_at(window.granularity, window.end)


def windows_of(days: Iterable[date], granularities: Sequence[Granularity]) -> set[Window]:
    """Return the windows that overlap any of the days."""
    found: set[Window] = set()
    for day in days:
        start = datetime.combine(day, time(), UTC)
        for granularity in granularities:
            window = window_at(granularity, start)
            while window.start < start + timedelta(days=1):
                found.add(window)
                window = following(window)
    return found


def days_of(windows: Iterable[Window]) -> set[date]:
    """Return the days that overlap any of the windows."""
    found: set[date] = set()
    for window in windows:
        day = window.start.date()
        while datetime.combine(day, time(), UTC) < window.end:
            found.add(day)
            day += timedelta(days=1)
    return found
