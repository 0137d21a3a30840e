"""Draw a dashboard without Grafana: each panel's queries, as Prometheus answers them.

    python observability/draw.py monitoring --prometheus http://127.0.0.1:9090 --hours 24

Runs in the project's environment.
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
POINTS = 240
LEGEND = 10  # more names than that say nothing in a panel
COLUMNS = 24  # of Grafana's grid
HOUR = 3600
Json = dict[str, Any]
Queries = Sequence[tuple[str, str]]
"""Each with the legend of its series."""


class Prometheus:
    """Queries of a dashboard over a range of time."""

    def __init__(self, address: str, start: float, end: float) -> None:
        """Take the address and the range of time, in seconds since 1970."""
        self._address = address
        self.start, self.end = start, end

    def last(self, query: str) -> list[Json]:
        """Return the series of a query at the end."""
        return self._ask("query", query, {"time": self.end})

    def over_time(self, query: str) -> list[Json]:
        """Return the series of a query over time."""
        step = max((self.end - self.start) / POINTS, 1)
        return self._ask("query_range", query, {"start": self.start, "end": self.end, "step": step})

    def _ask(self, what: str, query: str, times: dict[str, str | float]) -> list[Json]:
        answer = requests.get(
            f"{self._address}/api/v1/{what}", times | {"query": query}, timeout=30
        )
        answer.raise_for_status()
        found: list[Json] = answer.json()["data"]["result"]
        return found


def fill(text: str, chosen: dict[str, str]) -> str:
    """Put the values of variables into a query."""
    for name, value in chosen.items():
        text = text.replace(f"${name}", value)
    return text


def choose(variables: Sequence[Json], asked: Prometheus) -> dict[str, str]:
    """All values of a dashboard's variables; of one that has only one value, the first."""
    chosen = {"__rate_interval": "5m"}
    for variable in variables:
        said = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        if said is None:
            raise SystemExit(f"{variable['name']}: not a list of a label's values")
        found = sorted({one["metric"][said[2]] for one in asked.last(fill(said[1], chosen))})
        chosen[variable["name"]] = "|".join(found if variable["multi"] else found[:1])
    return chosen


def name_of(series: Json, legend: str) -> str:
    """Return the name of a series by its panel's legend."""
    return re.sub(r"\{\{(\w+)\}\}", lambda label: series["metric"].get(label[1], ""), legend)


def shown(value: float, unit: str) -> str:
    """Format a number in the unit of its panel."""
    if unit == "percentunit":
        return f"{value:.1%}"
    if unit == "s" and value >= HOUR:
        return f"{value / HOUR:.1f} h"
    return f"{value:.4g}{' s' if unit == 's' else ''}"


def draw(panel: Json, axes: Axes, asked: Prometheus, chosen: dict[str, str]) -> None:
    """Draw a panel; one that nothing is known of says so."""
    axes.set_title(panel["title"], fontsize=9, loc="left")
    axes.tick_params(labelsize=6)
    queries = [(fill(one["expr"], chosen), one["legendFormat"]) for one in panel["targets"]]
    if panel["type"] == "timeseries":
        is_empty = not draw_lines(queries, axes, asked)
    else:
        unit = panel["fieldConfig"]["defaults"]["unit"]
        is_empty = not write_values(queries, axes, asked, unit, is_large=panel["type"] == "stat")
    if is_empty:
        axes.text(0.5, 0.5, "nothing", ha="center", color="tab:red", transform=axes.transAxes)


def draw_lines(queries: Queries, axes: Axes, asked: Prometheus) -> int:
    """Draw series over time; how many there are."""
    found = [(one, legend) for query, legend in queries for one in asked.over_time(query)]
    for series, legend in found:
        at = [datetime.fromtimestamp(float(moment), UTC) for moment, _ in series["values"]]
        values = [float(value) for _, value in series["values"]]
        axes.plot(at, values, linewidth=1, label=name_of(series, legend))  # type: ignore[arg-type]
    by_date = dates.ConciseDateFormatter(dates.AutoDateLocator(), show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(by_date)
    if 0 < len(found) <= LEGEND:
        axes.legend(fontsize=5, frameon=False, ncols=2)
    return len(found)


def write_values(
    queries: Queries, axes: Axes, asked: Prometheus, unit: str, *, is_large: bool
) -> int:
    """Write the last values; how many there are."""
    axes.axis("off")
    found = [one for query, _ in queries for one in asked.last(query)]
    lines = []
    for one in found[:LEGEND]:
        labels = [] if is_large else [v for k, v in one["metric"].items() if k != "__name__"]
        lines.append("  ".join([*labels, shown(float(one["value"][1]), unit)]))
    size = 18 if is_large else 8
    axes.text(0.5, 0.5, "\n".join(lines), fontsize=size, ha="center", va="center")
    return len(found)


def picture(dashboard: Json, asked: Prometheus, path: Path) -> None:
    """Draw all panels where the dashboard has them."""
    chosen = choose(dashboard["templating"]["list"], asked)
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
        draw(panel, figure.add_axes(box), asked, chosen)
    figure.savefig(path, dpi=80)


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dashboard", choices=sorted(path.stem for path in DASHBOARDS.glob("*")))
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--until", type=datetime.fromisoformat, help="such as 2026-01-15T00:00Z")
    parser.add_argument("--out", type=Path)
    said = parser.parse_args(words)
    end = said.until.timestamp() if said.until else math.floor(time.time())
    asked = Prometheus(said.prometheus, end - said.hours * HOUR, end)
    path = said.out or Path(f"{said.dashboard}.png")
    dashboard = json.loads((DASHBOARDS / f"{said.dashboard}.json").read_text("utf-8"))
    picture(dashboard, asked, path)
    print(path)


if __name__ == "__main__":
    main()
