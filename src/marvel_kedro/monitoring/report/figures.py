"""The figures of the report, each with its numbers as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from markupsafe import Markup

from marvel_kedro.monitoring.metrics.profile import FREQUENT_ITEMS
from marvel_kedro.monitoring.report import charts, formatting
from marvel_kedro.monitoring.report.charts import Band, Bar, Line, Range
from marvel_kedro.monitoring.report.data import (
    FAIRNESS,
    QUALITY,
    Cell,
    Column,
    Facts,
    Quality,
    Row,
    Slice,
    Version,
)
from marvel_kedro.monitoring.report.formatting import NAMES, UNKNOWN, Grid

STEPS = (0.05, 0.1, 0.2, 0.4)
"""Where the next of the five colours of the drift map begins."""
_BINS = 24
_SHOWN_PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
_TAIL = 1  # percentile from which on, at either end, a value is drawn in the outer bin
_MOST_ENTITIES = 5  # so many colours can be told apart
_OTHERS, _NO_VALUE = "all others", "no value"


@dataclass(frozen=True)
class Figure:
    """A drawing with what it says.

    Attributes:
        title: Above it.
        note: Beside the title: the figures that matter most.
        chart: The drawing; empty if there is nothing to draw.
        grid: Its numbers.
    """

    title: str
    note: str
    chart: Markup
    grid: Grid


@dataclass(frozen=True)
class MapCell:
    """A cell of the drift map.

    Attributes:
        text: The strength.
        level: 0: not filled; 1 to 5: how strong.
        alert: Severity of an alert.
        hint: All that is known, for who points at it.
    """

    text: str
    level: int
    alert: str | None
    hint: str


def drift_map(version: Version, facts: Facts) -> list[tuple[str, list[MapCell], str]]:
    """By column its name, a cell a window, and the p-value of the version's newest window."""
    newest = facts.windows.index(version.newest)
    return [
        (
            column.name,
            [
                _map_cell(column.name, formatting.window(span), cell)
                for span, cell in zip(facts.windows, column.cells, strict=True)
            ],
            formatting.p_value(_pvalue(column.cells[newest])),
        )
        for column in version.columns
    ]


def level(cell: Cell | None) -> int:
    """How strong a drift is, from 0 (none, or it may be chance) to 5."""
    if cell is None or cell.strength is None or not cell.clear:
        return 0
    return 1 + sum(cell.strength >= step for step in STEPS)


def distributions(version: Version, facts: Facts) -> list[Figure]:
    """How each column is distributed in the version's newest window and in the baseline."""
    newest = facts.windows.index(version.newest)
    return [
        _distribution(version.name, column, column.cells[newest], facts)
        for column in version.columns
        if column.profile is not None
    ]


def quality(version: Version, facts: Facts) -> list[Figure]:
    """Each metric over time: estimates, what the labels say, and the baseline."""
    return [_quality(metric, version, facts) for metric in QUALITY if any(version.quality[metric])]


def slices(version: Version, metric: str = "roc_auc") -> Figure | None:
    """How good each slice is in the version's newest window; None if there is none."""
    if not version.slices:
        return None
    name = NAMES[metric]
    shown = [one for one in version.slices if one.quality[metric] != Quality()]
    rows = [
        Range(f"{one.name} ({formatting.number_of(one.records, 'record')})", *_ranged(one, metric))
        for one in shown
        if any(value is not None for value in _ranged(one, metric))
    ]
    chart = (
        charts.ranges(
            rows,
            label=f"{name} of each slice of version {version.name}, "
            f"window {formatting.window(version.newest)}: the estimate with its interval, what the "
            "labels say, and the slice in the baseline. The numbers are in the table.",
            say=lambda value: f"{value:g}",
        )
        if rows
        else Markup("")
    )
    grid = Grid(
        f"{name} by slice, version {version.name}, window {formatting.window(version.newest)}",
        ["Slice", "Records", "Estimated", "From labels", "Labels", "Baseline", "Strongest drift"],
        [
            [
                one.name,
                formatting.whole(one.records),
                formatting.interval(one.quality[metric]),
                formatting.figure(one.quality[metric].realised),
                formatting.whole(one.quality[metric].labelled),
                formatting.figure(one.quality[metric].baseline),
                UNKNOWN if one.drifted is None else f"{one.drifted[0]} {one.drifted[1]:.2f}",
            ]
            for one in version.slices
        ],
        texts=frozenset({6}),
    )
    return Figure(
        f"Version {version.name}",
        f"{name}, window {formatting.window(version.newest)}",
        chart,
        grid,
    )


def fairness(version: Version) -> Grid | None:
    """The measures of Boolean slices; None if there is none that is known."""
    rows = [
        [
            one.name,
            formatting.whole(one.records),
            *(formatting.figure(one.fairness[name]) for name in FAIRNESS),
        ]
        for one in version.slices
        if any(value is not None for value in one.fairness.values())
    ]
    if not rows:
        return None
    return Grid(
        f"Fairness of version {version.name}, window {formatting.window(version.newest)}",
        ["Slice", "Records", *(name.replace("_", " ").capitalize() for name in FAIRNESS)],
        rows,
    )


def entities(facts: Facts) -> list[str]:
    """Who answered, the most requests first."""
    requests: dict[str, int] = {}
    for row in _health(facts):
        requests[formatting.entity(row)] = requests.get(formatting.entity(row), 0) + row["requests"]
    return sorted(requests, key=lambda name: (-requests[name], name))


def traffic(facts: Facts) -> list[Figure]:
    """Requests, errors and latency over time, by served entity."""
    named = entities(facts)
    if not named:
        return []
    shown = named[:_MOST_ENTITIES]
    by_window = {
        (span, formatting.entity(row)): row for span, rows in facts.health.items() for row in rows
    }
    others = [
        sum(
            row["requests"]
            for (at, name), row in by_window.items()
            if at == span and name not in shown
        )
        for span in facts.windows
    ]

    def of(name: str, key: str) -> list[float | None]:
        rows = (by_window.get((span, name)) for span in facts.windows)
        return [None if row is None else row[key] for row in rows]

    def failed(name: str) -> list[float | None]:
        return [
            None if not asked else (lost or 0) / asked
            for lost, asked in zip(of(name, "failed"), of(name, "requests"), strict=True)
        ]

    counts = [[value or 0 for value in of(name, "requests")] for name in shown]
    starts = [span.start for span in facts.windows]
    told = f"each window of {facts.granularity}, by served entity. The numbers are in the table."
    left_out = [_OTHERS] if any(others) else []
    return [
        Figure(
            "Requests",
            "",
            charts.stacked(
                starts,
                [*counts, others] if any(others) else counts,
                label=f"Requests in {told}",
                name_moment=formatting.day,
                say=_short,
            ),
            _by_window(
                facts,
                "Requests",
                [*shown, *left_out],
                [[formatting.whole(value) for value in values] for values in [*counts, others]],
            ),
        ),
        Figure(
            "Failed requests",
            "status 5xx or none",
            _entity_lines(
                starts,
                [failed(name) for name in shown],
                f"Share of failed requests in {told}",
                _percent,
            ),
            _by_window(
                facts,
                "Share of failed requests",
                shown,
                [[formatting.share(value) for value in failed(name)] for name in shown],
            ),
        ),
        Figure(
            "Latency, 95th percentile",
            "of answered requests",
            _entity_lines(
                starts,
                [of(name, "latency_p95_ms") for name in shown],
                f"95th percentile of the latency in {told}",
                formatting.millis,
            ),
            _by_window(
                facts,
                "95th percentile of the latency",
                shown,
                [
                    [formatting.millis(value) for value in of(name, "latency_p95_ms")]
                    for name in shown
                ],
            ),
        ),
    ]


def legend(*pairs: tuple[str, str, str]) -> list[tuple[Markup, str]]:
    """What kinds and colours of `charts.swatch` stand for."""
    return [(charts.swatch(kind, colour), text) for kind, colour, text in pairs]


def entity_legend(facts: Facts) -> list[tuple[Markup, str]]:
    """The colours of the served entities."""
    named = entities(facts)
    shown = [*named[:_MOST_ENTITIES], *([_OTHERS] if len(named) > _MOST_ENTITIES else [])]
    markers = ("circle", "diamond")
    return [
        (
            Markup("{} {}").format(
                *(charts.swatch(kind, f"c{number}") for kind in ("bar", marker))
            ),
            name,
        )
        for number, name in enumerate(shown, 1)
        for marker in [markers[(number - 1) % 2]]
    ]


def _map_cell(column: str, window: str, cell: Cell | None) -> MapCell:
    if cell is None:
        return MapCell(UNKNOWN, 0, None, f"{column}, {window}: not there")
    alert = f"; alert: {cell.alert}" if cell.alert else ""
    known = formatting.figure(cell.strength)
    text = UNKNOWN if cell.strength is None else f"{cell.strength:.2f}".removeprefix("0")
    hint = f"{column}, {window}: {known}, p {formatting.p_value(cell.pvalue)}{alert}"
    return MapCell(text, level(cell), cell.alert, hint)


def _distribution(version: str, column: Column, cell: Cell | None, facts: Facts) -> Figure:
    now, before = column.profile or {}, column.baseline
    drift = column.drift or {}
    if now["frequent_items"] is not None:
        chart, rows = _category(column.name, now, before, facts.options.max_items)
        head = [column.name, "This window", "Baseline"]
    elif now["quantiles"]:
        chart = _number(column.name, now, before)
        rows, head = _number_rows(now, before), ["Percentile", "This window", "Baseline"]
    else:
        chart = Markup(
            "<p>Free text, of which the length is measured: {} characters on average, {}.</p>"
        ).format(
            formatting.measure(now["avg_length"]),
            f"{formatting.measure(before['avg_length'])} in the baseline"
            if before
            else "no baseline",
        )
        rows, head = _length_rows(now, before), ["Length in characters", "This window", "Baseline"]
    rows += [
        ["Rows", formatting.whole(now["count"]), formatting.whole(_get(before, "count"))],
        [
            "Nulls",
            formatting.percent(now["percent_null"]),
            formatting.percent(_get(before, "percent_null")),
        ],
        *(
            [name, said, ""]
            for name, said in (
                (
                    "Population stability index",
                    formatting.figure(drift.get("population_stability_index")),
                ),
                ("Wasserstein distance", formatting.measure(drift.get("wasserstein_distance"))),
                ("Total variation distance", formatting.figure(drift.get("tv_distance"))),
                (
                    "Largest difference of a share",
                    formatting.figure(drift.get("l_infinity_distance")),
                ),
            )
            if said != UNKNOWN
        ),
    ]
    return Figure(
        column.name, _finding(cell), chart, Grid(f"{column.name}, version {version}", head, rows)
    )


def _finding(cell: Cell | None) -> str:
    if cell is None or cell.strength is None:
        return "nothing to compare it with"
    said = f"drift {cell.strength:.2f}, p {formatting.p_value(cell.pvalue)}"
    return said if cell.clear else f"{said}: may be chance"


def _number(name: str, now: Row, before: Row | None) -> Markup:
    sides = [now["quantiles"], *([before["quantiles"]] if before and before["quantiles"] else [])]
    low = min(side[_TAIL] for side in sides)
    high = max(side[-1 - _TAIL] for side in sides)
    if low == high:
        pad = abs(low) / 2 or 0.5
        low, high = low - pad, high + pad
    edges = np.linspace(low, high, _BINS + 1)
    first, *second = (charts.shares(side, edges) for side in sides)
    return charts.histograms(
        edges,
        first,
        second[0] if second else None,
        label=f"Histogram of {name}: this window"
        f"{' over the baseline' if second else ', without a baseline'}. "
        "Percentiles of both are in the table.",
        say=formatting.measure,
    )


def _number_rows(now: Row, before: Row | None) -> list[list[str]]:
    other = _get(before, "quantiles") or [None] * 101
    return [
        *(
            [
                f"{place}",
                formatting.measure(now["quantiles"][place]),
                formatting.measure(other[place]),
            ]
            for place in _SHOWN_PERCENTILES
        ),
        ["Mean", formatting.measure(now["avg"]), formatting.measure(_get(before, "avg"))],
        [
            "Standard deviation",
            formatting.measure(now["stddev"]),
            formatting.measure(_get(before, "stddev")),
        ],
        [
            "Not a number",
            formatting.percent(now["percent_nan"]),
            formatting.percent(_get(before, "percent_nan")),
        ],
    ]


def _length_rows(now: Row, before: Row | None) -> list[list[str]]:
    return [
        [name, formatting.measure(now[key]), formatting.measure(_get(before, key))]
        for name, key in (
            ("Shortest", "min_length"),
            ("Mean", "avg_length"),
            ("Longest", "max_length"),
        )
    ]


def _category(name: str, now: Row, before: Row | None, most: int) -> tuple[Markup, list[list[str]]]:
    """Pairs of bars of the categories with the largest share on either side."""
    here, there = _item_shares(now), _item_shares(before)
    listed = {**there, **here}
    ordered = sorted(
        listed, key=lambda item: (-max(here.get(item, 0.0), there.get(item, 0.0)), item)
    )
    bars = [
        Bar(
            item,
            _known(here, item, now),
            _known(there, item, before),
            min((there if item in here else here).values(), default=None),
        )
        for item in ordered[:most]
    ]
    nulls = Bar(_NO_VALUE, _null_share(now), _null_share(before))
    rest = Bar(_OTHERS, *(_rest(side, bars, place) for place, side in enumerate((now, before))))
    bars += [bar for bar in (rest, nulls) if bar.first or bar.second]
    chart = (
        charts.paired_bars(
            bars,
            label=f"Shares of {name}: this window beside the baseline. "
            "The numbers are in the table.",
            say=formatting.share,
        )
        if bars
        else Markup("")
    )
    return chart, [
        [bar.name, *(_cell(value, bar) for value in (bar.first, bar.second))] for bar in bars
    ]


def _cell(value: float | None, bar: Bar) -> str:
    return (
        formatting.share(value)
        if value is not None or bar.at_most is None
        else f"≤ {formatting.share(bar.at_most)}"
    )


def _item_shares(side: Row | None) -> dict[str, float]:
    if side is None or not side["count"]:
        return {}
    return {item["item"]: item["count"] / side["count"] for item in side["frequent_items"] or ()}


def _known(shares: dict[str, float], item: str, side: Row | None) -> float | None:
    """A category that is not among the most frequent has a share only if all of them are."""
    if side is None or side["frequent_items"] is None:
        return None
    absent = 0.0 if len(side["frequent_items"]) < FREQUENT_ITEMS else None
    return shares.get(item, absent)


def _null_share(side: Row | None) -> float | None:
    return None if side is None or side["percent_null"] is None else side["percent_null"] / 100


def _rest(side: Row | None, bars: Sequence[Bar], place: int) -> float | None:
    if side is None or side["percent_null"] is None:
        return None
    drawn = sum((bar.first, bar.second)[place] or 0.0 for bar in bars)
    left = 1 - side["percent_null"] / 100 - drawn
    return left if left * side["count"] > 0.5 else 0.0  # noqa: PLR2004 - half of a row is rounding


def _quality(metric: str, version: Version, facts: Facts) -> Figure:
    found = [one or Quality() for one in version.quality[metric]]
    name = NAMES[metric]
    baseline = next((one.baseline for one in reversed(found) if one.baseline is not None), None)
    chart = charts.over_time(
        [span.start for span in facts.windows],
        [
            Line([one.estimate for one in found], "c1", "circle"),
            Line([one.realised for one in found], "c2", "diamond", dashed=True),
        ],
        bands=[Band([one.low for one in found], [one.high for one in found], "c1")],
        level=baseline,
        label=f"{name} of version {version.name} over time: the estimate with its interval, what "
        "the labels say, and the baseline. The numbers are in the table.",
        name_moment=formatting.day,
        say=lambda value: f"{value:g}",
    )
    grid = Grid(
        f"{name} of version {version.name}",
        ["Window", "Records", "Labels", "Estimated", "From labels", "Baseline"],
        [
            [
                formatting.window(span),
                formatting.whole(one.records),
                formatting.whole(one.labelled),
                formatting.interval(one),
                formatting.figure(one.realised),
                formatting.figure(one.baseline),
            ]
            for span, one in zip(facts.windows, found, strict=True)
            if one != Quality()
        ],
    )
    better = "lower is better" if metric == "log_loss" else "higher is better"
    return Figure(name, better, chart, grid)


def _ranged(one: Slice, metric: str) -> tuple[float | None, ...]:
    found = one.quality[metric]
    return (found.low, found.high, found.estimate, found.realised, found.baseline)


def _entity_lines(
    starts: Sequence[datetime],
    values: Sequence[Sequence[float | None]],
    label: str,
    say: charts.Say,
) -> Markup:
    markers: tuple[charts.Marker, ...] = ("circle", "diamond")
    return charts.over_time(
        starts,
        [
            Line(line, f"c{number}", markers[(number - 1) % 2], dashed=number % 2 == 0)
            for number, line in enumerate(values, 1)
        ],
        label=label,
        name_moment=formatting.day,
        say=say,
        from_zero=True,
    )


def _by_window(
    facts: Facts, caption: str, names: Sequence[str], texts: Sequence[Sequence[str]]
) -> Grid:
    return Grid(
        caption,
        ["Window", *names],
        [
            [formatting.window(span), *(column[place] for column in texts[: len(names)])]
            for place, span in enumerate(facts.windows)
        ],
    )


def _health(facts: Facts) -> list[Row]:
    return [row for rows in facts.health.values() for row in rows]


def _pvalue(cell: Cell | None) -> float | None:
    return None if cell is None else cell.pvalue


def _get(row: Row | None, key: str) -> Any:  # noqa: ANN401 - a cell
    return None if row is None else row[key]


def _percent(value: float) -> str:
    return f"{100 * value:g}%"


def _short(value: float) -> str:
    """A count at an axis."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {name}"
    return f"{value:g}"
