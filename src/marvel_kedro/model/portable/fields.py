"""Read the fields of raw records: texts, numbers, words, items and dates.

This file is saved with every model and imports nothing of the project.

Values of a field:

- Text (every kind but `number`): white space and case are ignored. Numbers and Booleans count as
  their text, `2.0` as `2`. Anything else is missing: absent, null, NaN, empty text, a list, a date,
  bytes, and the texts `MISSING_TEXTS`.
- Numbers: a finite number between the bounds of the column, or such a number as text (`1.80`,
  `2e-05`). Anything else is missing: null, a number out of bounds, `inf`, `1,80`, a Boolean.
- A value, word or item that the training rows did not have is unknown.

`mlflow.pyfunc` checks records against the signature first. It rejects a column whose values all
have another type, with an error that names the column: integers or text in a number column,
numbers or Booleans in a text column. Nulls are None there, and 2 is 2.0. A text column that has
only NaN is a column of numbers; with one text in it, its NaN are missing. `pyfunc.py` rejects lists
and other values that are neither text nor a number.
"""

import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np

PLAIN_NUMBER = r"-?[0-9]{1,15}(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?"
"""A number as text; a float cannot distinguish more digits."""

MISSING_TEXTS = frozenset(
    {"", "<na>", "none", "nan", "nat", "null", "(null)", "na", "n/a", "#n/a", "\\n", "-", "--"}
)
"""Texts that stand for a missing value, in lower case.

MLflow's server and MLServer pass on nulls as the texts `None`, `nan`, `NaT` and `<NA>`, depending
on the form of the request. The others are the default of `processing.missing_markers`: a record of
a file must score as the same record that a client sends.
"""

TRUE_WORDS = frozenset({"true", "yes", "y", "t", "1", "on"})
FALSE_WORDS = frozenset({"false", "no", "n", "f", "0", "off"})
"""Texts of a Boolean in lower case; others are missing."""

_PLAIN_NUMBER = re.compile(PLAIN_NUMBER)
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|['-])*")
_NUMBER_TYPES = (int, float, np.integer, np.floating)
_TEXT_TYPES = (str, *_NUMBER_TYPES, np.bool_)


def text(value: Any) -> str:  # noqa: ANN401 - fields may hold anything
    """Return a field as text in lower case with single spaces; empty if it is missing."""
    if isinstance(value, Decimal):
        value = _to_float(value)
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return ""
        # pandas makes floats of a column of integers that has a null.
        value = int(value) if value.is_integer() else value
    if not isinstance(value, _TEXT_TYPES):
        return ""
    found = " ".join(str(value).lower().split())
    return "" if found in MISSING_TEXTS else found


def number(value: Any, above: float = -math.inf, below: float = math.inf) -> float:  # noqa: ANN401 - fields may hold anything
    """Return a field as a number; NaN if it is missing or not between the exclusive bounds."""
    if isinstance(value, str):
        value = float(value) if _PLAIN_NUMBER.fullmatch(value.strip()) else math.nan
    if isinstance(value, Decimal):
        value = _to_float(value)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, _NUMBER_TYPES):
        return math.nan
    return float(value) if above < value < below else math.nan


def _to_float(value: Decimal) -> float:
    return float(value) if value.is_finite() else math.nan


def words(value: str) -> list[str]:
    """Return the words of a text in lower case, without an `s` at the end, in its order."""
    found = _WORD.findall(value)
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in found]  # noqa: PLR2004


def items(value: str, separator: str) -> list[str]:
    """Return the items of a set, in its order."""
    return [item for part in value.split(separator) if (item := part.strip())]


def date(value: str, format: str | None = None) -> datetime | None:  # noqa: A002 - strptime's word
    """Return a text in lower case as a time in UTC; None if it is no date of the format."""
    try:
        if format:
            found = datetime.strptime(value, format)  # noqa: DTZ007 - which UTC is added to
        else:
            found = datetime.fromisoformat(value.upper())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
