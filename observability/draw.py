"""Draw a Grafana dashboard without Grafana, from the answers of a Prometheus server.

    python observability/draw.py monitoring --prometheus http://127.0.0.1:9090 --hours 24

It runs in the project's own environment.
"""

import argparse
import json
import math
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DASHBOARDS = Path(__file__).parent / "grafana" / "dashboards"
POINTS = 240  # per series
MAX_NAMES = 10  # a longer legend is unreadable in a panel
COLUMNS = 24  # of Grafana's grid
HOUR = 3600
Json = dict[str, Any]
Queries = Sequence[tuple[str, str]]
"""Each query with the legend format of its series."""


class Prometheus:
    """Client that runs queries over a period of time.

    Args:
        address: Base URL of the server.
        start: Start of the period, in seconds since 1970.
        end: End of the period, in seconds since 1970.
    """

    def __init__(self, address: str, start: float, end: float) -> None:
        self._address = address
        self.start, self.end = start, end

    def last(self, query: str) -> list[Json]:
        """Return the series of a query at the end of the period."""
        return self._get("query", query, {"time": self.end})

    def over_time(self, query: str) -> list[Json]:
        """Return the series of a query over the period."""
        step = max((self.end - self.start) / POINTS, 1)
        return self._get("query_range", query, {"start": self.start, "end": self.end, "step": step})

    def _get(self, endpoint: str, query: str, times: dict[str, str | float]) -> list[Json]:
        answer = requests.get(
            f"{self._address}/api/v1/{endpoint}", times | {"query": query}, timeout=30
        )
        answer.raise_for_status()
        series: list[Json] = answer.json()["data"]["result"]
        return series


def substitute(text: str, variables: dict[str, str]) -> str:
    """Replace the variables of a query with their values."""
    for name, value in variables.items():
        text = text.replace(f"${name}", value)
    return text


def select(variables: Sequence[Json], prometheus: Prometheus) -> dict[str, str]:
    """Select all values of each variable, or the first if it allows a single value."""
    selected = {"__rate_interval": "5m"}
    for variable in variables:
        match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        if match is None:
            raise SystemExit(f"{variable['name']}: the query is not label_values(metric, label)")
        series = prometheus.last(substitute(match[1], selected))
        values = sorted({one["metric"][match[2]] for one in series})
        selected[variable["name"]] = "|".join(values if variable["multi"] else values[:1])
    return selected


def format_name(series: Json, legend: str) -> str:
    """Format the name of a series by the panel's legend format."""
    return re.sub(r"\{\{(\w+)\}\}", lambda label: series["metric"].get(label[1], ""), legend)


def format_value(value: float, unit: str) -> str:
    """Format a value in the unit of its panel."""
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "s" and value >= HOUR:
        return f"{value / HOUR:.1f} h"
    return f"{value:.4g}{' s' if unit == 's' else ''}"


def draw_panel(panel: Json, axes: Axes, prometheus: Prometheus, variables: dict[str, str]) -> None:
    """Draw a panel; without data it shows "no data"."""
    axes.set_title(panel["title"], fontsize=9, loc="left")
    axes.tick_params(labelsize=6)
    queries = [
        (substitute(one["expr"], variables), one["legendFormat"]) for one in panel["targets"]
    ]
    if panel["type"] == "timeseries":
        is_empty = not draw_lines(queries, axes, prometheus)
    else:
        unit = panel["fieldConfig"]["defaults"]["unit"]
        is_empty = not write_values(
            queries, axes, prometheus, unit, is_large=panel["type"] == "stat"
        )
    if is_empty:
        axes.text(0.5, 0.5, "no data", ha="center", color="tab:red", transform=axes.transAxes)


def draw_lines(queries: Queries, axes: Axes, prometheus: Prometheus) -> int:
    """Draw series over time and return their number."""
    found = [(one, legend) for query, legend in queries for one in prometheus.over_time(query)]
    for series, legend in found:
        at = [datetime.fromtimestamp(float(moment), UTC) for moment, _ in series["values"]]
        values = [float(value) for _, value in series["values"]]
        axes.plot(at, values, linewidth=1, label=format_name(series, legend))  # type: ignore[arg-type]
    by_date = dates.ConciseDateFormatter(dates.AutoDateLocator(), show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(by_date)
    if 0 < len(found) <= MAX_NAMES:
        axes.legend(fontsize=5, frameon=False, ncols=2)
    return len(found)


def write_values(
    queries: Queries, axes: Axes, prometheus: Prometheus, unit: str, *, is_large: bool
) -> int:
    """Write the last values and return their number."""
    axes.axis("off")
    found = [one for query, _ in queries for one in prometheus.last(query)]
    lines = []
    for one in found[:MAX_NAMES]:
        labels = [] if is_large else [v for k, v in one["metric"].items() if k != "__name__"]
        lines.append("  ".join([*labels, format_value(float(one["value"][1]), unit)]))
    size = 18 if is_large else 8
    axes.text(0.5, 0.5, "\n".join(lines), fontsize=size, ha="center", va="center")
    return len(found)


def draw_dashboard(dashboard: Json, prometheus: Prometheus, path: Path) -> None:
    """Draw all panels, placed as in the dashboard, and save the picture."""
    variables = select(dashboard["templating"]["list"], prometheus)
    panels = dashboard["panels"]
    rows = 1 + max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in panels)
    figure = Figure(figsize=(16, rows * 0.36))
    figure.suptitle(dashboard["title"], y=1 - 0.3 / rows)
    for panel in panels:
        place = panel["gridPos"]
        box = (
            (place["x"] + 0.7) / COLUMNS,
            1 - (1 + place["y"] + place["h"] - 1) / rows,
            (place["w"] - 1) / COLUMNS,
            (place["h"] - 2) / rows,
        )
        draw_panel(panel, figure.add_axes(box), prometheus, variables)
    figure.savefig(path, dpi=80)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the dashboard that the command line names, and print the path of the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dashboard", choices=sorted(path.stem for path in DASHBOARDS.glob("*")))
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument(
        "--until", type=datetime.fromisoformat, help="end of the period, such as 2026-01-15T00:00Z"
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    end = options.until.timestamp() if options.until else math.floor(time.time())
    prometheus = Prometheus(options.prometheus, end - options.hours * HOUR, end)
    path = options.out or Path(f"{options.dashboard}.png")
    dashboard = json.loads((DASHBOARDS / f"{options.dashboard}.json").read_text("utf-8"))
    draw_dashboard(dashboard, prometheus, path)
    print(path)


if __name__ == "__main__":
    main()
