"""Time windows in UTC, as Databricks' data profiling defines them.

A day has 24 hours on every date. A week starts on Monday; two, three and four weeks count from
1970-01-05. Not verified on a workspace: the starts of Databricks' weeks, months and years.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, get_args

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
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)

Unit = Literal["1m", "1h", "1d"]
"""Time unit by which records are counted; every window consists of whole units."""

_UNITS: dict[str, Unit] = {"5 minutes": "1m", "30 minutes": "1m", "1 hour": "1h"}
_LENGTHS = {
    "5 minutes": timedelta(minutes=5),
    "30 minutes": timedelta(minutes=30),
    "1 hour": timedelta(hours=1),
    "1 day": timedelta(days=1),
    **{f"{n} week{'s' * (n > 1)}": timedelta(weeks=n) for n in range(1, 5)},
}
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


def unit_of(granularities: Iterable[Granularity]) -> Unit:
    """Return the longest unit that divides the windows of all granularities."""
    units: list[Unit] = [_UNITS.get(granularity, "1d") for granularity in granularities]
    return "1m" if "1m" in units else "1h" if "1h" in units else "1d"


def window_at(granularity: str, moment: datetime) -> Window:
    """Return the window that contains a moment.

    Args:
        granularity: One of `GRANULARITIES`.
        moment: A time with a time zone.
    """
    moment = moment.astimezone(UTC)
    if granularity in _LENGTHS:
        length = _LENGTHS[granularity]
        start = _MONDAY + (moment - _MONDAY) // length * length
        return Window(granularity, start, start + length)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if granularity == "1 month":
        start = midnight.replace(day=1)
        return Window(granularity, start, (start + timedelta(days=32)).replace(day=1))
    start = midnight.replace(month=1, day=1)
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
    for day in set(days):
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
