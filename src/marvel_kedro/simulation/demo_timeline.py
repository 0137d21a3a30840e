"""The timeline of the demo: events, traffic and performance by day."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table


@dataclass
class Timeline:
    """Events and requests by day, counted from 1.

    Attributes:
        start: The first day.
        events: Texts by day.
        requests: By day, the number of requests by served entity.
    """

    start: date
    events: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    requests: dict[int, Mapping[str, int]] = field(default_factory=dict)

    def add(self, day: int, event: str) -> None:
        """Add an event."""
        self.events[day].append(event)

    def line(self, day: int) -> str:
        """Format a day for the terminal."""
        events = "; ".join(self._events(day))
        return f"day {day:2}  {self._date(day)}  {self._traffic(day)}  {events}"

    def table(self, performance: pd.DataFrame) -> Table:
        """Format all days, with the results of `DemoProject.performance_by_day`."""
        table = Table(title="Ten days", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for name in ("day", "traffic", "ROC AUC", "estimated", "events"):
            table.add_column(name, no_wrap=name != "events")
        for day in self.requests:
            rows = performance[performance["date"] == self._date(day)]
            figures = (_figures(rows, column) for column in ("realised", "estimate"))
            table.add_row(str(day), self._traffic(day), *figures, "\n".join(self._events(day)))
        return table

    def _date(self, day: int) -> date:
        return self.start + timedelta(days=day - 1)

    def _events(self, day: int) -> list[str]:
        return self.events.get(day, ["calm"])

    def _traffic(self, day: int) -> str:
        requests = self.requests[day]
        total = sum(requests.values()) or 1
        shares = (f"{name} {100 * n / total:.0f} %" for name, n in sorted(requests.items()))
        return ", ".join(shares)


def _figures(rows: pd.DataFrame, column: str) -> str:
    return "\n".join(
        f"v{version} " + ("-" if pd.isna(value) else f"{value:.2f}")
        for version, value in zip(rows["model_version"], rows[column], strict=True)
    )
