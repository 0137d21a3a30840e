"""Axes of the charts: scales, round ticks, grid lines and labels."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from marvel_kedro.monitoring.report import svg
from marvel_kedro.monitoring.report.svg import WIDTH

Format = Callable[[float], str]
FormatTime = Callable[[datetime], str]

HEIGHT = 190
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 24
"""Margins of the plot area."""
_LETTER = 6.8  # approximate width of a letter at font size 12


@dataclass(frozen=True)
class Axis:
    """A linear scale from values to coordinates."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(
        cls, values: Iterable[float | None], *, start: float, end: float, from_zero: bool = False
    ) -> "Axis":
        """Make an axis that contains the known values, with a margin at the ends."""
        found = [value for value in values if value is not None] or [0.0, 1.0]
        low, high = min(found), max(found)
        if from_zero:
            low, high = 0.0, high if high > 0 else 1.0
        low, high = widened(low, high)
        room = 0.06 * (high - low)
        return cls(low if from_zero else low - room, high + room, start, end)

    @classmethod
    def vertical(cls, values: Iterable[float | None], *, from_zero: bool) -> "Axis":
        """Make the vertical axis of a chart."""
        return cls.around(values, from_zero=from_zero, start=HEIGHT - BOTTOM, end=TOP)

    @property
    def ticks(self) -> list[float]:
        """Return round values within the axis."""
        return ticks(self.low, self.high)

    def at(self, value: float) -> float:
        """Return the coordinate of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def widened(low: float, high: float) -> tuple[float, float]:
    """Widen a range of one value."""
    pad = (abs(low) / 2 or 0.5) if low == high else 0.0
    return low - pad, high + pad


def ticks(low: float, high: float, about: int = 4, *, least: float = 0.0) -> list[float]:
    """Return roughly `about` round numbers from `low` to a higher `high`.

    Their steps are 1, 2 or 5 times a power of ten, and at least `least`: 1 for counts.
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    step = max(step, least)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def time_axis(moments: Sequence[datetime]) -> list[float]:
    """Return the x coordinates of times; a single one is in the middle."""
    left, right = LEFT + 8.0, WIDTH - RIGHT - 8.0
    if len(moments) < 2:  # noqa: PLR2004 - a range has two ends
        return [(left + right) / 2] * len(moments)
    first, whole = moments[0], (moments[-1] - moments[0]).total_seconds()
    return [left + (moment - first).total_seconds() / whole * (right - left) for moment in moments]


def grid(axis: Axis, form: Format, *, least_step: float = 0.0) -> Markup:
    """Draw horizontal grid lines with their values."""
    parts = []
    for value in ticks(axis.low, axis.high, least=least_step):
        y = axis.at(value)
        parts += [horizontal(y, "grid"), svg.text(LEFT - 6, y + 4, form(value), "end")]
    return Markup("").join(parts)


def horizontal(y: float, kind: str) -> Markup:
    """Draw a line across the plot area."""
    return svg.element("line", class_=kind, x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y)


def running(x: Sequence[float]) -> Markup:
    """Shade the ground of the last time, which is at the last of `x`."""
    left, right = sum(x[-2:]) / 2 if len(x) > 1 else LEFT, WIDTH - RIGHT
    high = HEIGHT - BOTTOM - TOP
    return svg.element("rect", class_="running", x=left, y=TOP, width=right - left, height=high)


def time_labels(moments: Sequence[datetime], x: Sequence[float], form: FormatTime) -> Markup:
    """Label the last time, and evenly spaced ones before it as room permits."""
    if not moments:
        return Markup("")
    wide = max(len(form(moment)) for moment in (moments[0], moments[-1])) * _LETTER + 14
    step = math.ceil(len(moments) / max(1, int((WIDTH - LEFT) // wide)))
    places = range(len(moments) - 1, -1, -step)
    return labels_below((x[place], form(moments[place])) for place in reversed(places))


def labels_below(labels: Iterable[tuple[float, str]], height: float = HEIGHT) -> Markup:
    """Draw labels within the width of the chart; one that would overlap is left out."""
    parts, free = [], -math.inf
    for x, content in labels:
        half = len(content) * _LETTER / 2
        middle = min(max(x, half), WIDTH - half)
        if middle - half > free:
            parts.append(svg.text(middle, height - 7, content, "middle"))
            free = middle + half + 4
    return Markup("").join(parts)
