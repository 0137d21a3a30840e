"""Time windows around a change of clocks."""

from datetime import UTC, date, datetime, timedelta
from typing import get_args

from marvel_kedro.monitoring.aggregation import windows
from marvel_kedro.monitoring.aggregation.value_counts import Window

MOMENT = datetime(2026, 3, 29, 23, 59, tzinfo=UTC)  # a Sunday
WINDOWS = {name: windows.window_at(name, MOMENT) for name in get_args(windows.Granularity)}


def test_window_at_a_moment_has_the_bounds_of_its_granularity() -> None:
    assert WINDOWS["5 minutes"].start == datetime(2026, 3, 29, 23, 55, tzinfo=UTC)
    assert WINDOWS["1 day"].end == datetime(2026, 3, 30, tzinfo=UTC)
    assert WINDOWS["1 week"].start == datetime(2026, 3, 23, tzinfo=UTC)
    assert WINDOWS["1 month"] == Window(
        "1 month", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    )
    assert WINDOWS["1 year"].end == datetime(2027, 1, 1, tzinfo=UTC)


def test_windows_of_every_granularity_are_adjacent() -> None:
    for window in WINDOWS.values():
        assert window.start <= MOMENT < window.end
        assert windows.previous(windows.following(window)) == window
        assert windows.previous(window).end == window.start


def test_windows_overlap_the_days_that_they_are_found_by() -> None:
    week = windows.windows_of([date(2026, 3, 29)], ["1 week"])
    assert windows.days_of(week) == {date(2026, 3, 23) + timedelta(days=n) for n in range(7)}
    assert len(windows.windows_of([date(2026, 3, 29)], ["1 hour"])) == 24
