"""Charts of the report as SVG; `label` is the description of a chart for screen readers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, pairwise

import numpy as np
from markupsafe import Markup

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.names import shown
from marvel_kedro.monitoring.report import axes, svg
from marvel_kedro.monitoring.report.axes import Axis, Format, FormatTime
from marvel_kedro.monitoring.report.data import Performance
from marvel_kedro.monitoring.report.svg import WIDTH, Marker, coordinate, element

Value = float | None

_MAX_MARKED = 40  # with more points, markers would hide the line


@dataclass(frozen=True)
class Line:
    """A line of a chart over time; None leaves a gap."""

    values: Sequence[Value]
    colour: str
    marker: Marker
    dashed: bool = False


@dataclass(frozen=True)
class Band:
    """The area between two lines of a chart over time; None leaves a gap."""

    low: Sequence[Value]
    high: Sequence[Value]
    colour: str


@dataclass(frozen=True)
class Bar:
    """A pair of bars: the shares of a category on two sides, and the limit of unknown ones."""

    name: str
    first: Value
    second: Value
    at_most: Value = None

    def text(self, share: Value, form: Format, unknown: str = "not known") -> str:
        """Format one of the shares."""
        if share is not None:
            return form(share)
        return unknown if self.at_most is None else f"≤ {form(self.at_most)}"


def histogram_shares(quantiles: Sequence[float], edges: Floats) -> Floats:
    """Compute the shares of a distribution by bin from its evenly spaced quantiles.

    Values are assumed to lie evenly between neighbouring quantiles. Where several quantiles are one
    value, all of its share is in the bin that ends there or contains it.

    Args:
        quantiles: Ascending, from the smallest value to the largest, at least two.
        edges: Of the bins, ascending, shape (bins + 1,). The outer bins include what lies outside.

    Returns:
        Shares that add up to 1, shape (bins,).
    """
    values = np.asarray(quantiles, np.float64)
    steps = len(values) - 1
    inner = edges[1:-1]
    below = np.searchsorted(values, inner, side="right")
    left = values[np.clip(below - 1, 0, steps)]
    right = values[np.clip(below, 0, steps)]
    with np.errstate(invalid="ignore", divide="ignore"):
        way = np.where(right > left, (inner - left) / (right - left), 0.0)
    reached = np.clip((below - 1 + np.where(below > steps, 0.0, way)) / steps, 0.0, 1.0)
    return np.diff(np.concatenate([[0.0], reached, [1.0]]))


def over_time(  # noqa: PLR0913 - the parts of one chart
    moments: Sequence[datetime],
    lines: Sequence[Line],
    *,
    label: str,
    form_time: FormatTime,
    form: Format,
    bands: Sequence[Band] = (),
    level: Value = None,
    from_zero: bool = False,
    running: bool = False,
) -> Markup:
    """Draw lines over ascending times, above bands and a dashed horizontal line at `level`.

    The last time is on a shaded ground if its window is still `running`.
    """
    curves = [line.values for line in lines]
    curves += [edge for band in bands for edge in (band.low, band.high)]
    y = Axis.vertical(chain([level], *curves), from_zero=from_zero)
    x = axes.time_axis(moments)
    parts = [axes.grid(y, form), axes.time_labels(moments, x, form_time)]
    parts += [axes.running(x)] if running else []
    parts += [_band(band, x, y) for band in bands]
    if level is not None:
        parts.append(axes.horizontal(y.at(level), "level"))
    parts += [_line(line, x, y) for line in lines]
    return svg.chart(parts, axes.HEIGHT, label)


def stacked(  # noqa: PLR0913 - the parts of one chart
    moments: Sequence[datetime],
    heights: Sequence[Sequence[float]],
    *,
    label: str,
    form_time: FormatTime,
    form: Format,
    running: bool = False,
) -> Markup:
    """Draw stacked counts over time: by series (bottom first, colours from `c1`), by time.

    The last bar is on a shaded ground if its window is still `running`.
    """
    tops = np.cumsum(np.asarray(heights, np.float64).reshape(len(heights), len(moments)), axis=0)
    y = Axis.vertical(tops[-1].tolist(), from_zero=True)
    x = axes.time_axis(moments)
    closest = min((b - a for a, b in pairwise(x)), default=WIDTH - axes.LEFT - axes.RIGHT)
    wide = max(1.0, min(28.0, 0.7 * closest))
    parts = [axes.grid(y, form, least_step=1), axes.time_labels(moments, x, form_time)]
    parts += [axes.running(x)] if running else []
    for place, middle in enumerate(x):
        edges = [y.at(value) for value in (0.0, *tops[:, place])]
        for number, (bottom, top) in enumerate(pairwise(edges), 1):
            parts.append(_bar(f"bar c{number}", middle - wide / 2, top, wide, bottom - top))
    return svg.chart(parts, axes.HEIGHT, label, "chart stacked")


def histograms(
    edges: Floats, first: Floats, second: Floats | None = None, *, label: str, form: Format
) -> Markup:
    """Draw two histograms over each other: the first filled, the second a dashed outline.

    Edges have the shape (bins + 1,), shares by bin (bins,).
    """
    y = Axis.vertical([np.max([first] if second is None else [first, second])], from_zero=True)
    x = Axis(float(edges[0]), float(edges[-1]), axes.LEFT, WIDTH - axes.RIGHT)
    outline = _steps(edges, first, x, y)
    parts = [
        axes.grid(y, lambda value: f"{100 * value:g}%"),
        element("path", class_="area c1", d=f"{outline} Z"),
        element("path", class_="line c1", d=outline),
    ]
    if second is not None:
        parts.append(element("path", class_="line dashed c2", d=_steps(edges, second, x, y)))
    parts.append(axes.labels_below((x.at(value), form(value)) for value in x.ticks))
    return svg.chart(parts, axes.HEIGHT, label)


def paired_bars(rows: Sequence[Bar], *, label: str, form: Format) -> Markup:
    """Draw a pair of bars a row, the first filled and the second an outline.

    If no row has a second share, only the first bars are drawn.
    """
    both = any(row.second is not None for row in rows)
    high, wide = 42 if both else 29, WIDTH - 62
    most = max((value for row in rows for value in (row.first, row.second) if value), default=1.0)
    parts: list[Markup] = []
    for number, row in enumerate(rows):
        top = number * high
        parts.append(svg.text(0, top + 11, shown(row.name, 46), "start", "name"))
        sides = ((row.first, "bar c1"), (row.second, "hollow c2"))[: 1 + both]
        for place, (value, kind) in enumerate(sides):
            y = top + 16 + 12 * place
            if value is not None:
                parts.append(_bar(kind, 0.5, y, max(value / most * wide, 0.5), 8))
            parts.append(svg.text(WIDTH, y + 8, row.text(value, form), "end", "value"))
    return svg.chart(parts, max(high * len(rows), 1), label)


def ranges(rows: Sequence[tuple[str, Performance]], *, label: str, form: Format) -> Markup:
    """Draw a row for each name: estimate, interval, realised value and baseline, on one axis."""
    high = 32
    height = high * len(rows) + axes.BOTTOM
    axis = Axis.around((value for _, row in rows for value in row.known), start=8, end=WIDTH - 8)
    parts = [
        element("line", class_="grid", x1=x, x2=x, y1=0, y2=height - axes.BOTTOM)
        for x in map(axis.at, axis.ticks)
    ]
    for number, (name, row) in enumerate(rows):
        y = high * number + 22
        parts.append(svg.text(0, y - 11, shown(name, 50), "start", "name"))
        if row.low is not None and row.high is not None:
            low, top = axis.at(row.low), axis.at(row.high)
            parts.append(element("line", class_="range c1", x1=low, x2=top, y1=y, y2=y))
        if row.baseline is not None:
            x = axis.at(row.baseline)
            parts.append(element("line", class_="tick", x1=x, x2=x, y1=y - 6, y2=y + 6))
        if row.estimate is not None:
            parts.append(svg.marker("circle", axis.at(row.estimate), y, "c1"))
        if row.realised is not None:
            parts.append(svg.marker("diamond", axis.at(row.realised), y, "c2"))
    labels = ((axis.at(value), form(value)) for value in axis.ticks)
    return svg.chart([*parts, axes.labels_below(labels, height)], height, label)


def sparkline(values: Sequence[Value]) -> Markup:
    """Draw a small line without axes, its last point marked, as an ornament of a number."""
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if len(known) < 2:  # noqa: PLR2004 - a line has two ends
        return Markup("")
    wide, high = 120, 28
    axis = Axis.around(values, start=high - 3, end=3)
    x = [3 + place * (wide - 6) / (len(values) - 1) for place in range(len(values))]
    last, value = known[-1]
    line = element("path", class_="line c1", d=_path(x, values, axis))
    dot = element("circle", class_="dot c1", cx=x[last], cy=axis.at(value), r=2.5)
    return svg.ornament(line, dot, kind="spark", width=wide, height=high)


def _bar(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    return element("rect", class_=kind, x=x, y=y, width=width, height=height)


def _line(line: Line, x: Sequence[float], y: Axis) -> Markup:
    kind = f"line {'dashed ' if line.dashed else ''}{line.colour}"
    shown = {place: value for place, value in enumerate(line.values) if value is not None}
    marked = shown
    if len(marked) > _MAX_MARKED:
        # A point without neighbours has no line and needs a marker.
        marked = {p: v for p, v in shown.items() if not shown.keys() & {p - 1, p + 1}}
    markers = (svg.marker(line.marker, x[p], y.at(v), line.colour) for p, v in marked.items())
    path = element("path", class_=kind, d=_path(x, line.values, y))
    return Markup("").join([path, *markers])


def _band(band: Band, x: Sequence[float], y: Axis) -> Markup:
    """Draw one area for each run without a gap."""
    parts, run = [], []
    for place, low, high in [*zip(x, band.low, band.high, strict=True), (0.0, None, None)]:
        if low is not None and high is not None:
            run.append((place, y.at(low), y.at(high)))
            continue
        if len(run) == 1:  # a single point would have no width
            ((only, lower, upper),) = run
            run = [(only - 3, lower, upper), (only + 3, lower, upper)]
        if run:
            corners = [(p, upper) for p, _, upper in run]
            corners += [(p, lower) for p, lower, _ in reversed(run)]
            area = f"area {band.colour}"
            parts.append(element("polygon", class_=area, points=svg.points(corners)))
        run = []
    return Markup("").join(parts)


def _path(x: Sequence[float], values: Sequence[Value], y: Axis) -> str:
    steps, command = [], "M"
    for place, value in zip(x, values, strict=True):
        if value is None:
            command = "M"
            continue
        steps.append(f"{command}{coordinate(place)} {coordinate(y.at(value))}")
        command = "L"
    return " ".join(steps)


def _steps(edges: Floats, heights: Floats, x: Axis, y: Axis) -> str:
    steps = [f"M{coordinate(x.at(edges[0]))} {coordinate(y.at(0))}"]
    for right, height in zip(edges[1:], heights, strict=True):
        steps += [f"V{coordinate(y.at(height))}", f"H{coordinate(x.at(right))}"]
    return " ".join([*steps, f"V{coordinate(y.at(0))}"])
