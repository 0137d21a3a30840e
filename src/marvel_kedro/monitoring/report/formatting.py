"""Figures and tables of the report, and the formatting of their numbers, times and names."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from markupsafe import Markup

from marvel_kedro.core.rounding import rounded
from marvel_kedro.monitoring.names import shown
from marvel_kedro.monitoring.report.windows import Row, Window

UNKNOWN = "\N{EN DASH}"
SO_FAR = " (so far)"
"""The mark of a window that has not ended."""
NAMES = {"roc_auc": "ROC AUC", "accuracy": "Accuracy", "log_loss": "Log loss"}
_SMALLEST_P = 0.001
_SMALL = 0.01
_THOUSAND = 1000
_FINE = 9.5  # milliseconds below which fractions are shown
_EXPONENTIAL = 1e15

Form = Callable[[float | None], str]


@dataclass(frozen=True)
class HtmlTable:
    """A table of texts; the first cell of a row is its heading.

    The columns at the positions `text_columns` hold words, the others numbers.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Figure:
    """A chart (empty if there is nothing to draw) with its numbers, a title and a note."""

    title: str
    note: str
    chart: Markup
    table: HtmlTable


def number(value: float | None, form: str) -> str:
    """Format a number by a format specification; None and NaN are a dash."""
    return UNKNOWN if value is None or not math.isfinite(value) else rounded(value, form)


whole = partial(number, form=",.0f")
share = partial(number, form=".1%")


def decimal(value: float | None) -> str:
    """Format a metric: three decimals, or two digits of a small one."""
    return number(value, ".2g" if value and abs(value) < _SMALL else ".3f")


def percent(value: float | None) -> str:
    """Format a value that is already in percent."""
    return UNKNOWN if value is None else share(value / 100)


def signed(value: float | None, form: str = ".3f") -> str:
    """Format a difference with its sign."""
    if value is None:
        return UNKNOWN
    text = format(abs(value), form)
    sign = "" if not text.strip("0.%") else "+" if value > 0 else "\N{MINUS SIGN}"
    return f"{sign}{text}"


def measure(value: float | None) -> str:
    """Format a value of a column: four digits, and all digits before the point."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if _THOUSAND <= abs(value) < _EXPONENTIAL else rounded(value, ".4g")


def millis(value: float | None) -> str:
    """Format a duration in milliseconds; 0 is one of less, since tables have whole ones."""
    if value is None:
        return UNKNOWN
    if value == 0:
        return "<1 ms"
    if value >= _THOUSAND:
        return f"{value / _THOUSAND:,.1f} s"
    return f"{value:.2g} ms" if value < _FINE else f"{value:.0f} ms"


def p_value(value: float | None) -> str:
    """Format a p-value."""
    if value is None:
        return UNKNOWN
    return f"<{_SMALLEST_P}" if value < _SMALLEST_P else f"{value:.3f}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """Format a metric with its interval."""
    if value is None or low is None or high is None:
        return decimal(value)
    return f"{decimal(value)} ({decimal(low)}{UNKNOWN}{decimal(high)})"


def day(moment: datetime, running: Window | None = None) -> str:
    """Format a day, with the time unless it is midnight; mark the start of the running window."""
    text = f"{moment.day} {moment:%b}"
    text = text if moment.time() == datetime.min.time() else f"{text} {moment:%H:%M}"
    return text + SO_FAR if running and moment == running.start else text


def timestamp(time: datetime | str) -> str:
    """Format a time in full; text is in ISO 8601."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time).astimezone(UTC)
    return f"{time:%Y-%m-%d %H:%M} UTC"


def window(span: Window) -> str:
    """Format a window in full, or its day if it is one day; mark a running one."""
    mark = SO_FAR if span.running else ""
    whole_days = all(edge.time() == datetime.min.time() for edge in span)
    if whole_days and span.end - span.start == timedelta(days=1):
        return f"{span.start:%Y-%m-%d}{mark}"
    form = "%Y-%m-%d" if whole_days else "%Y-%m-%d %H:%M"
    return f"{span.start:{form}} to {span.end:{form}}{mark}"


def entity(row: Row) -> str:
    """Format the served entity of a row of `health_metrics`."""
    if row["served_entity_name"] is None and row["model_version"] is None:
        return "no entity"
    name, version = row["served_entity_name"] or "unnamed", row["model_version"]
    return f"{shown(name)} (version {shown(version)})"


def listed(things: Sequence[str]) -> str:
    """Join names as a list in a sentence."""
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def number_of(count: int, thing: str) -> str:
    """Format a count with its noun."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def ratio(part: float, whole: float) -> float | None:
    """Divide; None if the whole is zero."""
    return part / whole if whole else None
