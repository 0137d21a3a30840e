"""How the report writes numbers, times and names."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from marvel_kedro.monitoring.report.data import Quality, Row, Span

UNKNOWN = "\N{EN DASH}"
NAMES = {"roc_auc": "ROC AUC", "accuracy": "Accuracy", "log_loss": "Log loss"}
_SMALLEST_P = 0.001
_THOUSAND = 1000


@dataclass(frozen=True)
class Grid:
    """A table of the page; the first cell of each row is its heading.

    Attributes:
        caption: What it is.
        head: Headings of the columns.
        rows: Texts by row and column.
        texts: Columns that hold text rather than numbers, by place.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: frozenset[int] = frozenset()


def whole(value: float | None) -> str:
    """A count."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    """A part of one, in percent."""
    return UNKNOWN if value is None else f"{value:.1%}"


def percent(value: float | None) -> str:
    """What is in percent already."""
    return UNKNOWN if value is None else f"{value:.1f}%"


def figure(value: float | None) -> str:
    """A metric."""
    return UNKNOWN if value is None else f"{value:.3f}"


def signed(value: float | None, form: str = ".3f") -> str:
    """A difference."""
    if value is None:
        return UNKNOWN
    said = format(abs(value), form)
    if not said.strip("0.%"):
        return said
    return f"{'+' if value > 0 else chr(0x2212)}{said}"


def measure(value: float | None) -> str:
    """A value of a column, in its unit."""
    return UNKNOWN if value is None else f"{value:,.4g}" if abs(value) >= 1 else f"{value:.4g}"


def millis(value: float | None) -> str:
    """A time in milliseconds."""
    if value is None:
        return UNKNOWN
    return f"{value / _THOUSAND:,.1f} s" if value >= _THOUSAND else f"{value:.0f} ms"


def p_value(value: float | None) -> str:
    """A p-value."""
    if value is None:
        return UNKNOWN
    return f"<{_SMALLEST_P}" if value < _SMALLEST_P else f"{value:.3f}"


def interval(quality: Quality | None) -> str:
    """An estimate with its interval."""
    if quality is None or quality.estimate is None:
        return UNKNOWN
    if quality.low is None or quality.high is None:
        return figure(quality.estimate)
    return f"{quality.estimate:.3f} ({quality.low:.3f}{UNKNOWN}{quality.high:.3f})"


def day(moment: datetime) -> str:
    """A day, with the time where it is not midnight."""
    said = f"{moment.day} {moment:%b}"
    return said if moment.time() == datetime.min.time() else f"{said} {moment:%H:%M}"


def moment(time: datetime) -> str:
    """A time in full."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def read_moment(text: str) -> str:
    """A time in full, from ISO 8601."""
    return moment(datetime.fromisoformat(text).astimezone(UTC))


def window(span: Span) -> str:
    """A window in full: its day where it is one."""
    whole_days = all(edge.time() == datetime.min.time() for edge in span)
    if whole_days and (span.end - span.start).days == 1:
        return f"{span.start:%Y-%m-%d}"
    form = "%Y-%m-%d" if whole_days else "%Y-%m-%d %H:%M"
    return f"{span.start:{form}} to {span.end:{form}}"


def entity(row: Row) -> str:
    """Who answered."""
    if row["served_entity_name"] is None and row["model_version"] is None:
        return "no entity"
    name = row["served_entity_name"] or "unnamed"
    return f"{name} (version {row['model_version']})"


def listed(things: Sequence[str]) -> str:
    """A list in a sentence."""
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def number_of(count: int, thing: str) -> str:
    """A count of things."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
