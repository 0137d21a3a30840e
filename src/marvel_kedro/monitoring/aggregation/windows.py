"""Windows of time, as Databricks' data profiling cuts them; all of it is UTC.

A day has 24 hours whatever clocks do in the summer. A week starts on Monday, and two, three and
four weeks are counted from 1970-01-05. From memory and not verified on a workspace: where
Databricks starts its weeks, and its months and years.
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
"""Stretches by which records are counted; every window is made of whole ones."""

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
    """The longest stretch that windows of all granularities are made of."""
    units: list[Unit] = [_UNITS.get(granularity, "1d") for granularity in granularities]
    return "1m" if "1m" in units else "1h" if "1h" in units else "1d"


def window_at(granularity: Granularity, moment: datetime) -> Window:
    """The window that a moment is in.

    Args:
        granularity: How long it is.
        moment: With a time zone.
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


def before(window: Window) -> Window:
    """The window before."""
    return window_at(_named(window), window.start - timedelta(microseconds=1))


def after(window: Window) -> Window:
    """The window after."""
    return window_at(_named(window), window.end)


def windows_of(days: Iterable[date], granularities: Sequence[Granularity]) -> set[Window]:
    """The windows that have a part in one of the days."""
    found: set[Window] = set()
    for day in set(days):
        start = datetime.combine(day, time(), UTC)
        for granularity in granularities:
            window = window_at(granularity, start)
            while window.start < start + timedelta(days=1):
                found.add(window)
                window = after(window)
    return found


def days_of(windows: Iterable[Window]) -> set[date]:
    """The days that have a part in one of the windows."""
    found: set[date] = set()
    for window in windows:
        day = window.start.date()
        while datetime.combine(day, time(), UTC) < window.end:
            found.add(day)
            day += timedelta(days=1)
    return found


def _named(window: Window) -> Granularity:
    return next(name for name in GRANULARITIES if name == window.granularity)
