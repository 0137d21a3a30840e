"""The drift map, and the distributions of columns compared with the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from marvel_kedro.monitoring.metrics.profile import FREQUENT_ITEMS
from marvel_kedro.monitoring.report import axes, charts
from marvel_kedro.monitoring.report import formatting as fmt
from marvel_kedro.monitoring.report.charts import Bar
from marvel_kedro.monitoring.report.data import Column, ColumnDrift, ModelVersion, ReportData
from marvel_kedro.monitoring.report.figure import Figure
from marvel_kedro.monitoring.report.windows import Row

STEPS = (0.05, 0.1, 0.2, 0.4)
"""Distances at which the second to fifth colour of the drift map begins."""
_BINS = 24
_PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
_TAIL = 1  # percentiles at either end that are drawn in the outer bins
_OTHERS, _NO_VALUE = "all others", "no value"
_DISTANCES = (
    ("Population stability index", "population_stability_index", fmt.decimal),
    ("Wasserstein distance", "wasserstein_distance", fmt.measure),
    ("Total variation distance", "tv_distance", fmt.decimal),
    ("Largest difference of a share", "l_infinity_distance", fmt.decimal),
)


@dataclass(frozen=True)
class DriftMapCell:
    """A cell of the drift map: the distance, `level` of its colour, an alert and a tooltip."""

    text: str
    level: int
    severity: str | None
    hint: str


def drift_map(version: ModelVersion, data: ReportData) -> list[tuple[str, list[DriftMapCell], str]]:
    """Return each column's name, a cell a window, and the p-value of the newest window."""
    newest = data.windows.index(version.newest)
    rows = []
    for column in version.columns:
        last = column.drifts[newest]
        cells = [
            _cell(f"{column.name}, {fmt.window(span)}", drift)
            for span, drift in zip(data.windows, column.drifts, strict=True)
        ]
        rows.append((column.name, cells, fmt.p_value(last.pvalue if last else None)))
    return rows


def level(drift: ColumnDrift | None) -> int:
    """Return the colour of a drift, from 0 (none, or possibly due to chance) to 5."""
    if drift is None or drift.distance is None or not drift.significant:
        return 0
    return 1 + sum(drift.distance >= step for step in STEPS)


def distributions(version: ModelVersion, data: ReportData) -> list[Figure]:
    """Draw each column in the version's newest window and in the baseline."""
    newest = data.windows.index(version.newest)
    return [
        _distribution(version.name, column, column.profile, column.drifts[newest], data)
        for column in version.columns
        if column.profile is not None
    ]


def _cell(name: str, drift: ColumnDrift | None) -> DriftMapCell:
    if drift is None:
        return DriftMapCell(fmt.UNKNOWN, 0, None, f"{name}: absent")
    alert = f"; alert: {drift.severity}" if drift.severity else ""
    text = fmt.UNKNOWN if drift.distance is None else f"{drift.distance:.2f}".removeprefix("0")
    hint = f"{name}: {fmt.decimal(drift.distance)}, p {fmt.p_value(drift.pvalue)}{alert}"
    return DriftMapCell(text, level(drift), drift.severity, hint)


def _distribution(
    version: str, column: Column, now: Row, drift: ColumnDrift | None, data: ReportData
) -> Figure:
    before = column.baseline or dict.fromkeys(now)
    if now["frequent_items"] is not None:
        bars = _bars(now, column.baseline, data.options.max_items)
        label = (
            f"Shares of {column.name}: this window and the baseline. The numbers are in the table."
        )
        chart = charts.paired_bars(bars, label=label, form=fmt.share) if bars else Markup("")
        head = column.name
        rows = [[bar.name, _share(bar.first, bar), _share(bar.second, bar)] for bar in bars]
    elif now["quantiles"]:
        chart = _histogram(column.name, now["quantiles"], before["quantiles"])
        head = "Percentile"
        sides = now["quantiles"], before["quantiles"] or [None] * 101
        rows = [
            [str(place), *(fmt.measure(side[place]) for side in sides)] for place in _PERCENTILES
        ]
        rows += [
            ["Mean", fmt.measure(now["avg"]), fmt.measure(before["avg"])],
            ["Standard deviation", fmt.measure(now["stddev"]), fmt.measure(before["stddev"])],
            ["Not a number", fmt.percent(now["percent_nan"]), fmt.percent(before["percent_nan"])],
        ]
    else:
        chart = Markup(
            "<p>Free text, measured by its length: {} characters on average, {}.</p>"
        ).format(
            fmt.measure(now["avg_length"]),
            f"{fmt.measure(before['avg_length'])} in the baseline"
            if column.baseline
            else "no baseline",
        )
        head = "Length in characters"
        names = {"Shortest": "min_length", "Mean": "avg_length", "Longest": "max_length"}
        rows = [
            [name, fmt.measure(now[key]), fmt.measure(before[key])] for name, key in names.items()
        ]
    rows += [
        ["Rows", fmt.whole(now["count"]), fmt.whole(before["count"])],
        ["Nulls", fmt.percent(now["percent_null"]), fmt.percent(before["percent_null"])],
    ]
    distances = column.drift or {}
    texts = [(name, form(distances.get(key))) for name, key, form in _DISTANCES]
    rows += [[name, text, ""] for name, text in texts if text != fmt.UNKNOWN]
    caption = f"{column.name}, version {version}"
    table = fmt.HtmlTable(caption, [head, "This window", "Baseline"], rows)
    return Figure(column.name, _finding(drift), chart, table)


def _finding(drift: ColumnDrift | None) -> str:
    if drift is None or drift.distance is None:
        return "no baseline to compare with"
    text = f"drift {drift.distance:.2f}, p {fmt.p_value(drift.pvalue)}"
    return text if drift.significant else f"{text}: may be chance"


def _histogram(name: str, now: Sequence[float], before: Sequence[float] | None) -> Markup:
    sides = [now, before] if before else [now]
    low = min(side[_TAIL] for side in sides)
    high = max(side[-1 - _TAIL] for side in sides)
    edges = np.linspace(*axes.widened(low, high), _BINS + 1)
    return charts.histograms(
        edges,
        charts.histogram_shares(now, edges),
        charts.histogram_shares(before, edges) if before else None,
        label=f"Histogram of {name}: this window"
        f"{' over the baseline' if before else ', without a baseline'}. "
        "Percentiles of both are in the table.",
        form=fmt.measure,
    )


def _bars(now: Row, before: Row | None, max_items: int) -> list[Bar]:
    """Make a pair of bars for each of the categories with the largest share on either side."""
    here, there = _item_shares(now), _item_shares(before)
    largest = sorted(
        here | there, key=lambda item: (-max(here.get(item, 0.0), there.get(item, 0.0)), item)
    )
    bars = [
        Bar(
            item,
            _item_share(here, item, now),
            _item_share(there, item, before),
            min((there if item in here else here).values(), default=None),
        )
        for item in largest[:max_items]
    ]
    rest = Bar(
        _OTHERS,
        _rest(now, [bar.first for bar in bars]),
        _rest(before, [bar.second for bar in bars]),
    )
    nulls = Bar(_NO_VALUE, _null_share(now), _null_share(before))
    return bars + [bar for bar in (rest, nulls) if bar.first or bar.second]


def _share(value: float | None, bar: Bar) -> str:
    if value is None and bar.at_most is not None:
        return f"≤ {fmt.share(bar.at_most)}"
    return fmt.share(value)


def _item_shares(side: Row | None) -> dict[str, float]:
    if side is None or not side["count"]:
        return {}
    return {item["item"]: item["count"] / side["count"] for item in side["frequent_items"] or ()}


def _item_share(shares: dict[str, float], item: str, side: Row | None) -> float | None:
    """Return the share of a category; an unlisted one is 0 only where all categories are listed."""
    if side is None or side["frequent_items"] is None:
        return None
    return shares.get(item, 0.0 if len(side["frequent_items"]) < FREQUENT_ITEMS else None)


def _null_share(side: Row | None) -> float | None:
    return None if side is None or side["percent_null"] is None else side["percent_null"] / 100


def _rest(side: Row | None, shares: Sequence[float | None]) -> float | None:
    nulls = _null_share(side)
    if side is None or nulls is None:
        return None
    left = 1 - nulls - sum(value or 0.0 for value in shares)
    return left if left * side["count"] > 0.5 else 0.0  # noqa: PLR2004 - less than a row is rounding
