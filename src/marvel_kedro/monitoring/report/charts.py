"""Charts as SVG inside a page: text that can be read, colours of the page's own style sheet.

Each is an image to a screen reader, with a label that says what it shows; its numbers are to be
beside it in a table. Colours are classes (`c1`, `c2`, ..), which the page defines for light and
dark; what they tell apart differs by shape or dashes, too.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Literal

import numpy as np
from markupsafe import Markup, escape

from marvel_kedro.model.metrics import Floats

Value = float | None
Marker = Literal["circle", "diamond"]
Say = Callable[[float], str]

WIDTH = 360
"""Of a chart, in its own units; the page makes it as wide as there is room."""
_HEIGHT = 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 24
_LETTER = 6.8
"""Width of a letter of the font size 12, about."""
_ABOUT_TICKS = 4
_MARKED = 40  # with more points than this, markers would hide the line


@dataclass(frozen=True)
class Line:
    """A line of a chart over time.

    Attributes:
        values: By moment; None leaves a gap.
        colour: Class of its colour.
        marker: What each of its points is.
        dashed: Whether the line is.
    """

    values: Sequence[Value]
    colour: str
    marker: Marker | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Band:
    """What lies between two lines of a chart over time.

    Attributes:
        low: By moment; None leaves a gap.
        high: Likewise.
        colour: Class of its colour.
    """

    low: Sequence[Value]
    high: Sequence[Value]
    colour: str


@dataclass(frozen=True)
class Bar:
    """A row of paired bars.

    Attributes:
        name: What is counted.
        first: Its share on this side; None is not known.
        second: Its share on the other side.
        at_most: What is known of a share that is not.
    """

    name: str
    first: Value
    second: Value
    at_most: Value = None


@dataclass(frozen=True)
class Range:
    """A row of a chart of ranges.

    Attributes:
        name: What was measured.
        low: Of the interval.
        high: Of the interval.
        dot: In the middle of it.
        diamond: What came out.
        tick: What it is held against.
    """

    name: str
    low: Value
    high: Value
    dot: Value
    diamond: Value
    tick: Value


def ticks(low: float, high: float, about: int = _ABOUT_TICKS) -> list[float]:
    """Round numbers within a range, in steps of 1, 2 or 5 times a power of ten.

    Args:
        low: End of the range.
        high: The other end; above `low`.
        about: How many are wanted.
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def shares(quantiles: Sequence[float], edges: Floats) -> Floats:
    """Shares of a distribution by bin, from its evenly spaced quantiles.

    Between neighbouring quantiles values are taken to lie evenly. Where several quantiles are one
    value, all of its share is in the bin that ends there or has it inside.

    Args:
        quantiles: Ascending, from the smallest value to the largest, at least two.
        edges: Of the bins, ascending, shape (bins + 1,). What lies outside is in the outer bins.

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


def over_time(  # noqa: PLR0913 - what there may be in one chart
    moments: Sequence[datetime],
    lines: Sequence[Line],
    *,
    label: str,
    name_moment: Callable[[datetime], str],
    say: Say,
    bands: Sequence[Band] = (),
    level: Value = None,
    from_zero: bool = False,
) -> Markup:
    """Lines over time.

    Args:
        moments: Ascending; what the values of lines and bands belong to.
        lines: What is drawn.
        label: What the chart shows, for those who do not see it.
        name_moment: Writes a moment at the axis.
        say: Writes a number at the axis.
        bands: Drawn below the lines.
        level: A dashed horizontal line.
        from_zero: Whether the axis of values begins at zero.
    """
    known = [value for line in lines for value in line.values if value is not None]
    known += [value for band in bands for value in (*band.low, *band.high) if value is not None]
    known += [] if level is None else [level]
    axis = _Axis.around(known, from_zero=from_zero, start=_HEIGHT - _BOTTOM, end=_TOP)
    x = _time_axis(moments)
    parts = [_grid(axis, say), _time_labels(moments, x, name_moment)]
    parts += [_band(band, x, axis) for band in bands]
    if level is not None:
        parts.append(_horizontal(axis.at(level), "level"))
    parts += [part for line in lines for part in _line(line, x, axis)]
    return _svg(parts, _HEIGHT, label)


def stacked(
    moments: Sequence[datetime],
    heights: Sequence[Sequence[float]],
    *,
    label: str,
    name_moment: Callable[[datetime], str],
    say: Say,
) -> Markup:
    """Bars over time, those of each series on top of the ones before.

    Args:
        moments: Ascending.
        heights: By series, by moment; the first series is at the bottom and has the colour `c1`.
        label: What the chart shows.
        name_moment: Writes a moment at the axis.
        say: Writes a number at the axis.
    """
    totals = np.asarray(heights, np.float64).reshape(len(heights), len(moments)).sum(axis=0)
    axis = _Axis.around(totals.tolist(), from_zero=True, start=_HEIGHT - _BOTTOM, end=_TOP)
    x = _time_axis(moments)
    closest = min((b - a for a, b in pairwise(x)), default=WIDTH - _LEFT - _RIGHT)
    wide = max(1.0, min(28.0, 0.7 * closest))
    parts = [_grid(axis, say), _time_labels(moments, x, name_moment)]
    for place in range(len(moments)):
        below = 0.0
        for number, series in enumerate(heights, 1):
            top, bottom = axis.at(below + series[place]), axis.at(below)
            parts.append(
                _element(
                    "rect",
                    class_=f"bar c{number}",
                    x=x[place] - wide / 2,
                    y=top,
                    width=wide,
                    height=bottom - top,
                )
            )
            below += series[place]
    return _svg(parts, _HEIGHT, label, "chart stacked")


def histograms(
    edges: Floats, first: Floats, second: Floats | None, *, label: str, say: Say
) -> Markup:
    """Two histograms over each other: the first filled, the second a dashed outline.

    Args:
        edges: Of the bins, shape (bins + 1,).
        first: Shares by bin, shape (bins,).
        second: Likewise; None if there is none.
        label: What the chart shows.
        say: Writes a value at the axis.
    """
    sides = [first] if second is None else [first, second]
    most = max(float(side.max()) for side in sides)
    axis = _Axis.around([most], from_zero=True, start=_HEIGHT - _BOTTOM, end=_TOP)
    across = _Axis(float(edges[0]), float(edges[-1]), _LEFT, WIDTH - _RIGHT)
    parts = [_grid(axis, lambda value: f"{100 * value:g}%")]
    outline = _steps(edges, first, across, axis)
    parts.append(_element("path", class_="area c1", d=f"{outline} Z"))
    parts.append(_element("path", class_="line c1", d=outline))
    if second is not None:
        parts.append(
            _element("path", class_="line dashed c2", d=_steps(edges, second, across, axis))
        )
    parts += _labels_below([(across.at(value), say(value)) for value in ticks(*across.span)])
    return _svg(parts, _HEIGHT, label)


def paired_bars(rows: Sequence[Bar], *, label: str, say: Say) -> Markup:
    """Shares on two sides, a pair of bars each: the first filled, the second an outline.

    Args:
        rows: From top to bottom; if no row has a second share, only the first ones are drawn.
        label: What the chart shows.
        say: Writes a share.
    """
    both = any(row.second is not None for row in rows)
    high, wide = 42 if both else 29, WIDTH - 62
    most = max((value for row in rows for value in (row.first, row.second) if value), default=1.0)
    parts: list[Markup] = []
    for number, row in enumerate(rows):
        top = number * high
        parts.append(_text(0, top + 11, _shortened(row.name, 46), "start", "name"))
        sides = ((row.first, "c1"), (row.second, "c2"))[: 1 + both]
        for place, (value, colour) in enumerate(sides):
            y = top + 16 + 12 * place
            if value is not None:
                kind = "bar" if place == 0 else "hollow"
                parts.append(
                    _element(
                        "rect",
                        class_=f"{kind} {colour}",
                        x=0.5,
                        y=y,
                        width=max(value / most * wide, 0.5),
                        height=8,
                    )
                )
            parts.append(_text(WIDTH, y + 8, _said(value, row.at_most, say), "end", "value"))
    return _svg(parts, max(high * len(rows), 1), label)


def _said(value: Value, at_most: Value, say: Say) -> str:
    if value is not None:
        return say(value)
    return "not known" if at_most is None else f"≤ {say(at_most)}"


def ranges(rows: Sequence[Range], *, label: str, say: Say) -> Markup:
    """Intervals below each other on one axis, with what came out and what it is held against.

    Args:
        rows: From top to bottom.
        label: What the chart shows.
        say: Writes a number at the axis.
    """
    high = 32
    height = high * len(rows) + _BOTTOM
    known = [
        value
        for row in rows
        for value in (row.low, row.high, row.dot, row.diamond, row.tick)
        if value is not None
    ]
    axis = _Axis.around(known, from_zero=False, start=8, end=WIDTH - 8)
    parts: list[Markup] = []
    for value in ticks(*axis.span):
        x = axis.at(value)
        parts.append(_element("line", class_="grid", x1=x, x2=x, y1=0, y2=height - _BOTTOM))
    for number, row in enumerate(rows):
        y = high * number + 22
        parts.append(_text(0, y - 11, _shortened(row.name, 50), "start", "name"))
        if row.low is not None and row.high is not None:
            parts.append(
                _element(
                    "line", class_="range c1", x1=axis.at(row.low), x2=axis.at(row.high), y1=y, y2=y
                )
            )
        if row.tick is not None:
            x = axis.at(row.tick)
            parts.append(_element("line", class_="tick", x1=x, x2=x, y1=y - 6, y2=y + 6))
        if row.dot is not None:
            parts.append(_marker("circle", axis.at(row.dot), y, "c1"))
        if row.diamond is not None:
            parts.append(_marker("diamond", axis.at(row.diamond), y, "c2"))
    parts += _labels_below(
        [(axis.at(value), say(value)) for value in ticks(*axis.span)], height=height
    )
    return _svg(parts, height, label)


def spark(values: Sequence[Value]) -> Markup:
    """A line without anything around it, the last point marked; an ornament beside a number."""
    known = [value for value in values if value is not None]
    if len(known) < 2:  # noqa: PLR2004 - a line has two ends
        return Markup("")
    wide, high = 120, 28
    axis = _Axis.around(known, from_zero=False, start=high - 3, end=3)
    x = [3 + place * (wide - 6) / (len(values) - 1) for place in range(len(values))]
    path = _path(x, values, axis)
    last = max(place for place, value in enumerate(values) if value is not None)
    return _element(
        "svg",
        _element("path", class_="line c1", d=path),
        _element("circle", class_="dot c1", cx=x[last], cy=axis.at(values[last] or 0.0), r=2.5),
        class_="spark",
        viewBox=f"0 0 {wide} {high}",
        width=wide,
        height=high,
        aria_hidden="true",
        focusable="false",
    )


def swatch(kind: str, colour: str = "c1") -> Markup:
    """What stands for a thing in a legend.

    Args:
        kind: `bar`, `hollow`, `band`, `level`, `tick`, `line`, `dashed`, `circle` or `diamond`.
        colour: Class of its colour.
    """
    line = {"x1": 1, "x2": 25, "y1": 7, "y2": 7}
    box = {"x": 1.5, "y": 3, "width": 23, "height": 8}
    shapes = {
        "bar": lambda: [_element("rect", class_=f"bar {colour}", **box)],
        "hollow": lambda: [_element("rect", class_=f"hollow {colour}", **box)],
        "band": lambda: [_element("rect", class_=f"area {colour}", **box)],
        "level": lambda: [_element("line", class_="level", **line)],
        "tick": lambda: [_element("line", class_="tick", x1=13, x2=13, y1=1, y2=13)],
        "line": lambda: [_element("line", class_=f"line {colour}", **line)],
        "dashed": lambda: [_element("line", class_=f"line dashed {colour}", **line)],
        "circle": lambda: [
            _element("line", class_=f"line {colour}", **line),
            _marker("circle", 13, 7, colour),
        ],
        "diamond": lambda: [
            _element("line", class_=f"line dashed {colour}", **line),
            _marker("diamond", 13, 7, colour),
        ],
    }
    return _element(
        "svg",
        *shapes[kind](),
        class_="swatch",
        viewBox="0 0 26 14",
        width=26,
        height=14,
        aria_hidden="true",
        focusable="false",
    )


@dataclass(frozen=True)
class _Axis:
    """From values to places."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(
        cls, values: Iterable[float], *, from_zero: bool, start: float, end: float
    ) -> "_Axis":
        """An axis with a little room at the ends."""
        found = list(values) or [0.0, 1.0]
        low, high = min(found), max(found)
        if from_zero:
            low, high = 0.0, high if high > 0 else 1.0
        if low == high:
            pad = abs(low) / 2 or 0.5
            low, high = low - pad, high + pad
        room = 0.06 * (high - low)
        return cls(low if from_zero else low - room, high + room, start, end)

    @property
    def span(self) -> tuple[float, float]:
        return self.low, self.high

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _time_axis(moments: Sequence[datetime]) -> list[float]:
    left, right = _LEFT + 8.0, WIDTH - _RIGHT - 8.0
    if len(moments) < 2:  # noqa: PLR2004 - one is in the middle
        return [(left + right) / 2] * len(moments)
    whole = (moments[-1] - moments[0]).total_seconds()
    return [
        left + (moment - moments[0]).total_seconds() / whole * (right - left) for moment in moments
    ]


def _grid(axis: _Axis, say: Say) -> Markup:
    parts = []
    for value in ticks(*axis.span):
        y = axis.at(value)
        parts += [_horizontal(y, "grid"), _text(_LEFT - 6, y + 4, say(value), "end")]
    return Markup("").join(parts)


def _horizontal(y: float, kind: str) -> Markup:
    return _element("line", class_=kind, x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y)


def _time_labels(
    moments: Sequence[datetime], x: Sequence[float], name: Callable[[datetime], str]
) -> Markup:
    """The last, and every so many before it as there is room for."""
    if not moments:
        return Markup("")
    wide = max(len(name(moment)) for moment in (moments[0], moments[-1])) * _LETTER + 14
    step = math.ceil(len(moments) / max(1, int((WIDTH - _LEFT) // wide)))
    places = range(len(moments) - 1, -1, -step)
    labels = [(x[place], name(moments[place])) for place in reversed(places)]
    return Markup("").join(_labels_below(labels))


def _labels_below(labels: Sequence[tuple[float, str]], height: float = _HEIGHT) -> list[Markup]:
    """Text below the chart, kept inside of it; one that would touch the one before is left out."""
    parts, free = [], -math.inf
    for x, text in labels:
        half = len(text) * _LETTER / 2
        middle = min(max(x, half), WIDTH - half)
        if middle - half > free:
            parts.append(_text(middle, height - 7, text, "middle"))
            free = middle + half + 4
    return parts


def _line(line: Line, x: Sequence[float], axis: _Axis) -> list[Markup]:
    kind = f"line {'dashed ' if line.dashed else ''}{line.colour}"
    parts = [_element("path", class_=kind, d=_path(x, line.values, axis))]
    shown = [(place, value) for place, value in enumerate(line.values) if value is not None]
    marker = line.marker or "circle"
    if len(shown) > _MARKED:
        # A point without neighbours has no line and would not be seen.
        lonely = {place for place, _ in shown}
        shown = [(p, v) for p, v in shown if not lonely & {p - 1, p + 1}]
    elif line.marker is None and len(shown) > 1:
        shown = []
    return parts + [
        _marker(marker, x[place], axis.at(value), line.colour) for place, value in shown
    ]


def _band(band: Band, x: Sequence[float], axis: _Axis) -> Markup:
    """One area a stretch without a gap."""
    parts, stretch = [], []
    pairs = [*zip(x, band.low, band.high, strict=True), (0.0, None, None)]
    for place, low, high in pairs:
        if low is not None and high is not None:
            stretch.append((place, axis.at(low), axis.at(high)))
            continue
        if len(stretch) == 1:  # alone it would have no width
            ((only, below, above),) = stretch
            stretch = [(only - 3, below, above), (only + 3, below, above)]
        if stretch:
            upper = [(p, y) for p, _, y in stretch]
            lower = [(p, y) for p, y, _ in reversed(stretch)]
            points = " ".join(f"{_n(p)},{_n(y)}" for p, y in upper + lower)
            parts.append(_element("polygon", class_=f"area {band.colour}", points=points))
        stretch = []
    return Markup("").join(parts)


def _path(x: Sequence[float], values: Sequence[Value], axis: _Axis) -> str:
    words, pen_up = [], True
    for place, value in zip(x, values, strict=True):
        if value is None:
            pen_up = True
            continue
        words.append(f"{'M' if pen_up else 'L'}{_n(place)} {_n(axis.at(value))}")
        pen_up = False
    return " ".join(words)


def _steps(edges: Floats, heights: Floats, across: _Axis, axis: _Axis) -> str:
    words = [f"M{_n(across.at(edges[0]))} {_n(axis.at(0))}"]
    for right, height in zip(edges[1:], heights, strict=True):
        words += [f"V{_n(axis.at(height))}", f"H{_n(across.at(right))}"]
    return " ".join([*words, f"V{_n(axis.at(0))}"])


def _marker(kind: Marker, x: float, y: float, colour: str) -> Markup:
    if kind == "circle":
        return _element("circle", class_=f"dot {colour}", cx=x, cy=y, r=3)
    points = " ".join(
        f"{_n(x + across)},{_n(y + down)}"
        for across, down in ((0, -4.5), (4.5, 0), (0, 4.5), (-4.5, 0))
    )
    return _element("polygon", class_=f"dot {colour}", points=points)


def _shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _text(x: float, y: float, said: str, anchor: str, kind: str | None = None) -> Markup:
    return _element("text", said, class_=kind, x=x, y=y, text_anchor=anchor)


def _svg(parts: Iterable[Markup], height: float, label: str, kind: str = "chart") -> Markup:
    return _element(
        "svg",
        *parts,
        class_=kind,
        viewBox=f"0 0 {WIDTH} {_n(height)}",
        role="img",
        aria_label=label,
        focusable="false",
    )


def _element(tag: str, *children: str, **attributes: str | float | None) -> Markup:
    """An element; texts and attributes are escaped, those that are None left out."""
    said = Markup("").join(
        Markup(' {}="{}"').format(
            name.rstrip("_").replace("_", "-"), _n(value) if isinstance(value, float) else value
        )
        for name, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{tag}{said}>{inside}</{tag}>").format(
        tag=Markup(tag),  # noqa: S704 - names in this file
        said=said,
        inside=inside,
    )


def _n(value: float) -> str:
    """A place, to a tenth of a unit or better."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
