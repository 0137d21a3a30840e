"""Features by kind of column, and what the training rows teach about a column.

This file is saved with every model and imports nothing of the project.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .fields import FALSE_WORDS, TRUE_WORDS, date, items, words

_DATE_PARTS = ("days", "month", "day", "weekday", "hour")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_SECONDS = 86_400

TextFeatures = Callable[[str], list[float]]


@dataclass(frozen=True)
class ColumnEncoder:
    """A column of the model: its description, and what the training rows taught about it.

    Attributes:
        kind: The kind of the description.
        above: Exclusive lower bound of a number.
        below: Exclusive upper bound of a number.
        separator: What separates the items of a set.
        format: The format of a date; None: ISO 8601.
        parts: The values of a category that has few, or the frequent words of a text or items of a
            set.
        rates: By value of an id, or of a category that has many, its training rows and its smoothed
            share of the positive class.
    """

    kind: str
    above: float | None = None
    below: float | None = None
    separator: str = ";"
    format: str | None = None
    parts: tuple[str, ...] = ()
    rates: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def bounds(self) -> tuple[float, float]:
        """The exclusive bounds of a number, infinite where there is none."""
        return (
            -math.inf if self.above is None else self.above,
            math.inf if self.below is None else self.below,
        )


@dataclass(frozen=True)
class Encoder:
    """State of the features that is learnt from the training rows."""

    positive_share: float
    columns: Mapping[str, ColumnEncoder]


def _category(name: str, column: ColumnEncoder, share: float) -> tuple[list[str], TextFeatures]:
    """Rank few values by their frequency; describe one of many by what its training rows show."""
    if column.rates:
        return _rates(name, column, share)
    level = {value: rank for rank, value in enumerate(["", *column.parts])}
    return [name], lambda value: [level.get(value, len(level))]


def _rates(name: str, column: ColumnEncoder, share: float) -> tuple[list[str], TextFeatures]:
    def features(value: str) -> list[float]:
        rows, rate = column.rates.get(value, (0.0, share))
        return [math.log1p(rows), rate]

    return [f"{name}_rows", f"{name}_rate"], features


def _boolean(name: str, column: ColumnEncoder, share: float) -> tuple[list[str], TextFeatures]:  # noqa: ARG001 - as the others
    known = dict.fromkeys(TRUE_WORDS, 1.0) | dict.fromkeys(FALSE_WORDS, 0.0)
    return [name], lambda value: [known.get(value, math.nan)]


def _text(name: str, column: ColumnEncoder, share: float) -> tuple[list[str], TextFeatures]:  # noqa: ARG001 - as the others
    def features(value: str) -> list[float]:
        found = set(words(value))
        return [len(found), len(value), *(word in found for word in column.parts)]

    return [f"{name}_words", f"{name}_length", *_part_names(name, column)], features


def _set(name: str, column: ColumnEncoder, share: float) -> tuple[list[str], TextFeatures]:  # noqa: ARG001 - as the others
    def features(value: str) -> list[float]:
        found = items(value, column.separator)
        return [len(found), *(item in found for item in column.parts)]

    return [f"{name}_count", *_part_names(name, column)], features


def _part_names(name: str, column: ColumnEncoder) -> list[str]:
    return [f"{name}: {part}" for part in column.parts]


def _date(name: str, column: ColumnEncoder, share: float) -> tuple[list[str], TextFeatures]:  # noqa: ARG001 - as the others
    def features(value: str) -> list[float]:
        found = date(value, column.format)
        if found is None:
            return [math.nan] * len(_DATE_PARTS)
        days = (found - _EPOCH).total_seconds() / _DAY_SECONDS
        return [days, found.month, found.day, found.weekday(), found.hour]

    return [f"{name}_{part}" for part in _DATE_PARTS], features


KINDS: dict[str, Callable[[str, ColumnEncoder, float], tuple[list[str], TextFeatures]]] = {
    "boolean": _boolean,
    "category": _category,
    "date": _date,
    "id": _rates,
    "set": _set,
    "text": _text,
}
"""By kind of text column, the names of its features and the function that computes them."""
