"""The drift map, and the distributions of columns compared with the baseline."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from marvel_kedro.monitoring.names import shown
from marvel_kedro.monitoring.report import axes, charts
from marvel_kedro.monitoring.report import formatting as fmt
from marvel_kedro.monitoring.report.charts import Bar
from marvel_kedro.monitoring.report.data import Column, ColumnDrift, ModelVersion, ReportData
from marvel_kedro.monitoring.report.windows import Row

STEPS = (0.05, 0.1, 0.2, 0.4)
"""Distances beyond chance at which the second to fifth colour of the drift map begins."""
_BINS = 24
_PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
_TAIL = 0.01  # share at either end that is drawn in the outer bins
_DISTANCES = (
    ("Population stability index", "population_stability_index", fmt.decimal),
    ("Wasserstein distance", "wasserstein_distance", fmt.measure),
    ("Total variation distance", "tv_distance", fmt.decimal),
    ("Largest difference of a share", "l_infinity_distance", fmt.decimal),
)


@dataclass(frozen=True)
class DriftMapCell:
    """A cell of the drift map: distance beyond chance, `level` of its colour, alert, tooltip."""

    text: str
    level: int
    severity: str | None
    hint: str


def drift_map(version: ModelVersion, data: ReportData) -> list[tuple[str, list[DriftMapCell], str]]:
    """Return each column's name, a cell a window, and the p-value of the newest window."""
    rows = []
    for column in version.columns:
        cells = [
            _cell(f"{column.name}, {fmt.window(span)}", drift)
            for span, drift in zip(data.windows, column.drifts, strict=True)
        ]
        pvalue = column.newest.pvalue if column.newest else None
        rows.append((column.name, cells, fmt.p_value(pvalue)))
    return rows


def level(drift: ColumnDrift | None) -> int:
    """Return the colour of a drift, from 0 (none beyond chance, or not in a rule) to 5."""
    if drift is None or not drift.significant or drift.excess is None:
        return 0
    return 1 + sum(drift.excess >= step for step in STEPS)


def distributions(version: ModelVersion, data: ReportData) -> list[fmt.Figure]:
    """Draw each column in the version's newest window and in the baseline."""
    return [
        _distribution(version.name, column, column.profile, data.options.max_items)
        for column in version.columns
        if column.profile is not None
    ]


def _cell(name: str, drift: ColumnDrift | None) -> DriftMapCell:
    if drift is None:
        return DriftMapCell(fmt.UNKNOWN, 0, None, f"{name}: absent")
    alert = f"; alert: {drift.severity}" if drift.severity else ""
    text = fmt.UNKNOWN if drift.excess is None else f"{drift.excess:.2f}".removeprefix("0")
    hint = f"{name}: {_finding(drift)}{alert}"
    return DriftMapCell(text, level(drift), drift.severity, hint)


def _distribution(version: str, column: Column, now: Row, max_items: int) -> fmt.Figure:
    name, before = column.name, column.baseline or dict.fromkeys(now)

    def compared(figure: str, key: str, form: fmt.Form = fmt.measure) -> list[str]:
        return [figure, form(now[key]), form(before[key])]

    if now["quantiles"]:
        chart = _histogram(name, now["quantiles"], before["quantiles"])
        head = "Percentile"
        rows = [
            [
                str(place),
                *(fmt.measure(_percentile(side["quantiles"], place)) for side in (now, before)),
            ]
            for place in _PERCENTILES
        ]
        rows += [compared("Mean", "avg"), compared("Standard deviation", "stddev")]
        rows.append(compared("Not a number", "percent_nan", fmt.percent))
    elif now["frequent_items"] is not None:
        bars = _bars(now, column.baseline, max_items)
        label = f"Shares of {name}: this window and the baseline. The numbers are in the table."
        chart = charts.paired_bars(bars, label=label, form=fmt.share) if bars else Markup("")
        head = name
        rows = [
            [bar.name, *(bar.text(s, fmt.share, fmt.UNKNOWN) for s in (bar.first, bar.second))]
            for bar in bars
        ]
    else:
        length = f"{fmt.measure(before['avg_length'])} in the baseline"
        chart = Markup(
            "<p>Free text, measured by its length: {} letters on average, {}.</p>"
        ).format(fmt.measure(now["avg_length"]), length if column.baseline else "no baseline")
        head = "Length in letters"
        lengths = {"Shortest": "min_length", "Mean": "avg_length", "Longest": "max_length"}
        rows = [compared(figure, key) for figure, key in lengths.items()]
    rows.append(compared("Rows", "count", fmt.whole))
    rows.append(compared("Nulls", "percent_null", fmt.percent))
    distances = column.drift or {}
    known = [(figure, form(distances.get(key))) for figure, key, form in _DISTANCES]
    rows += [[figure, value, ""] for figure, value in known if value != fmt.UNKNOWN]
    caption = f"{name}, version {version}"
    table = fmt.HtmlTable(caption, [head, "This window", "Baseline"], rows)
    return fmt.Figure(name, _finding(column.newest), chart, table)


def _finding(drift: ColumnDrift | None) -> str:
    if drift is None or drift.distance is None:
        return "no baseline to compare with"
    beyond = f"{drift.excess:.2f} of it beyond chance" if drift.excess else "may be chance"
    rules = "" if drift.watched else "; no rule tests this column"
    return f"distance {drift.distance:.2f}, {beyond}, p {fmt.p_value(drift.pvalue)}{rules}"


def _histogram(name: str, now: Sequence[float], before: Sequence[float] | None) -> Markup:
    sides = [now, before] if before else [now]
    ends = [np.interp((_TAIL, 1 - _TAIL), np.linspace(0, 1, len(side)), side) for side in sides]
    low, high = np.min(ends), np.max(ends)
    edges = np.linspace(*axes.widened(low, high), _BINS + 1)
    shares = [charts.histogram_shares(side, edges) for side in sides]
    subject = f"{name}: this window{' over the baseline' if before else ', without a baseline'}"
    label = f"Histogram of {subject}. Percentiles of both are in the table."
    return charts.histograms(edges, *shares, label=label, form=fmt.measure)


def _percentile(quantiles: Sequence[float] | None, place: int) -> float | None:
    """Return a percentile from evenly spaced quantiles: 101 of them here, 1,000 of Databricks."""
    if not quantiles:
        return None
    return float(np.interp(place / 100, np.linspace(0, 1, len(quantiles)), quantiles))


def _bars(now: Row, before: Row | None, max_items: int) -> list[Bar]:
    """Make a pair of bars for each of the categories with the largest share on either side."""
    here, there = _item_shares(now), _item_shares(before)
    items = sorted(
        here | there, key=lambda item: (-max(here.get(item, 0.0), there.get(item, 0.0)), item)
    )[:max_items]
    shares = _shares(now, here, items), _shares(before, there, items)
    limits = [min((there if item in here else here).values(), default=None) for item in items]
    names = [*map(shown, items), "all others", "no value"]
    columns = zip(names, *shares, [*limits, None, None], strict=True)
    bars = [Bar(*values) for values in columns]
    return bars[:-2] + [bar for bar in bars[-2:] if bar.first or bar.second]


def _item_shares(side: Row | None) -> dict[str, float]:
    if side is None or not side["count"]:
        return {}
    items = (item for item in side["frequent_items"] or () if item and item["item"] is not None)
    return {item["item"]: item["count"] / side["count"] for item in items}


def _shares(side: Row | None, known: dict[str, float], items: list[str]) -> list[float | None]:
    """Return the shares of categories, of all others and of nulls; None where unknown.

    An unlisted category is 0 only where all categories are listed.
    """
    if side is None:
        return [None] * (len(items) + 2)
    if side["percent_null"] is None:
        return [*(known.get(item) for item in items), None, None]
    nulls = side["percent_null"] / 100
    # A list, whose length is the writer's choice, is complete if only rounding is left.
    complete = (1 - nulls - sum(known.values())) * side["count"] <= 0.5  # noqa: PLR2004
    found = [known.get(item, 0.0 if complete else None) for item in items]
    rest = 1 - nulls - sum(share or 0.0 for share in found)
    others = rest if rest * side["count"] > 0.5 else 0.0  # noqa: PLR2004 - less than a row is rounding
    return [*found, others, nulls]
