"""Turn raw records into the features of the model.

This file is saved with every model and imports nothing of the project. Each feature is a function
of the value of one column, so that a record has the same features alone as among a million.

Values of a field:

- Text columns: text; white space and case are ignored. Numbers and Booleans count as their text,
  `2.0` as `2`. Anything else is missing: absent, null, NaN, empty text, a list, a date, bytes, and
  the texts `MISSING_TEXTS`.
- Number columns: a finite number between `ABOVE` and `BELOW`, or such a number as text in plain
  decimals (`1.80`). Anything else is missing: null, zero, a negative number, `inf`, `1,80`, a
  Boolean.
- A category or a word that the training rows did not have is unknown.

`mlflow.pyfunc` checks records against the signature first. It rejects a column whose values all
have another type, with an error that names the column: integers or text in a number column,
numbers or Booleans in a text column. Nulls are None there, and 2 is 2.0. A text column that has
only NaN is a column of numbers; with one text in it, its NaN are missing. `pyfunc.py` rejects lists
and other values that are neither text nor a number.
"""

import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

TEXT_COLUMNS = ("name", "universe", "identity", "gender", "marital_status", "teams", "origin")
NUMBER_COLUMNS = ("height", "weight")
UNUSED_COLUMNS = ("name",)
"""Columns without a feature: features of `name` made the model worse."""

ABOVE, BELOW = 0.0, 1_000_000.0
"""Bounds of valid numbers, both exclusive; `processing` and `retraining` use them as well."""

PLAIN_NUMBER = r"-?[0-9]{1,15}(?:\.[0-9]+)?"
"""A number as text; a float cannot distinguish more digits."""

MISSING_TEXTS = frozenset(
    {"", "<na>", "none", "nan", "nat", "null", "(null)", "na", "n/a", "#n/a", "\\n", "-", "--"}
)
"""Texts that stand for a missing value, in lower case.

MLflow's server and MLServer pass on nulls as the texts `None`, `nan`, `NaT` and `<NA>`, depending
on the form of the request. The others are the default of `processing.missing_markers`: a record of
a file must score as the same record that a client sends.
"""

UNIVERSE_RATE = "universe_alive_rate"
_UNIVERSE_FEATURES = ("is_616", "is_temporary", "is_earth", "length", "number", "rows")

_REMEMBERED_VALUES = 4096  # per column, for single records
_REMEMBERED_LENGTH = 200
_PLAIN_NUMBER = re.compile(PLAIN_NUMBER)
_WORD = re.compile(r"[a-z][a-z'-]*")
_FOOTNOTE = re.compile(r"\[[^\[\]]*\]")  # no `[` inside, which would take quadratic time
_NUMBERED = re.compile(r"earth-([0-9]{1,9})")
_NUMBER_TYPES = (int, float, np.integer, np.floating)
_TEXT_TYPES = (str, *_NUMBER_TYPES, np.bool_)
_IDENTITY = {"": 0, "public": 1, "secret": 2}
_GENDER = {"": 0, "male": 1, "female": 2}
_MARITAL_STATUS = {"": 0, "single": 1, "married": 2, "engaged": 3, "widowed": 4, "widow": 4}
_OTHER = 9  # any other value; 0 is a missing one

Floats = npt.NDArray[np.float32]
TextFeatures = Callable[[str], list[float]]


@dataclass(frozen=True)
class Encoder:
    """State of the features that is learnt from the training rows."""

    alive_share: float
    universes: Mapping[str, tuple[float, float]]  # training rows and smoothed share of Alive
    origin_words: tuple[str, ...]  # the words of `origin` with a feature each
    teams: tuple[str, ...]  # the teams with a feature each


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


def number(value: Any, above: float = ABOVE, below: float = BELOW) -> float:  # noqa: ANN401 - fields may hold anything
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


def origin_words(origin: str) -> set[str]:
    """Return the words of an origin in the singular, without footnote marks."""
    words = _WORD.findall(_FOOTNOTE.sub(" ", origin))
    return {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words}  # noqa: PLR2004


def team_names(teams: str) -> list[str]:
    """Return the teams of a field, which are separated by semicolons."""
    return [team.strip() for team in teams.split(";") if team.strip()]


def universe_features(value: str, encoder: Encoder) -> list[float]:
    """Compute the kind, length, number, training rows and smoothed Alive rate of a universe."""
    rows, rate = encoder.universes.get(value, (0.0, encoder.alive_share))
    numbered = _NUMBERED.fullmatch(value)
    return [
        value == "earth-616",
        value.startswith("earth-trn"),
        value.startswith("earth-"),
        len(value),
        math.log1p(int(numbered[1])) if numbered else math.nan,
        math.log1p(rows),
        rate,
    ]


def teams_features(value: str, encoder: Encoder) -> list[float]:
    """Compute the number of teams, a flag for former ones and one for each frequent team."""
    names = team_names(value)
    return [len(names), "former" in value, *(team in names for team in encoder.teams)]


def origin_features(value: str, encoder: Encoder) -> list[float]:
    """Compute the number of words, the length and a flag for each frequent word."""
    words = origin_words(value)
    return [len(words), len(value), *(word in words for word in encoder.origin_words)]


def text_features(encoder: Encoder) -> dict[str, tuple[list[str], TextFeatures]]:
    """Return the feature names and the feature function of each text column."""
    return {
        "universe": (
            [*(f"universe_{name}" for name in _UNIVERSE_FEATURES), UNIVERSE_RATE],
            lambda value: universe_features(value, encoder),
        ),
        "identity": (["identity"], lambda value: [_IDENTITY.get(value, _OTHER)]),
        "gender": (["gender"], lambda value: [_GENDER.get(value, _OTHER)]),
        "marital_status": (["marital_status"], lambda value: [_MARITAL_STATUS.get(value, _OTHER)]),
        "teams": (
            ["teams_count", "teams_former", *(f"team: {team}" for team in encoder.teams)],
            lambda value: teams_features(value, encoder),
        ),
        "origin": (
            [
                "origin_words",
                "origin_length",
                *(f"origin: {word}" for word in encoder.origin_words),
            ],
            lambda value: origin_features(value, encoder),
        ),
    }


def feature_names(encoder: Encoder) -> list[str]:
    """Return the names of the features in the order of `encode`."""
    columns = text_features(encoder).values()
    return [name for names, _ in columns for name in names] + list(NUMBER_COLUMNS)


def columns_without_feature(encoder: Encoder) -> list[str]:
    """Return the text columns that have no feature and are not declared unused."""
    return [name for name in TEXT_COLUMNS if name not in {*text_features(encoder), *UNUSED_COLUMNS}]


def encode(records: pd.DataFrame, encoder: Encoder) -> Floats:
    """Turn raw records, which have any of the input columns in any order, into features.

    Returns:
        An array of shape (records, features) in the order of `feature_names`.
    """
    blocks = [
        _by_distinct_value(_texts(records, column), function)
        for column, (_, function) in text_features(encoder).items()
    ]
    numbers = [_numbers(records, column)[:, None] for column in NUMBER_COLUMNS]
    return np.hstack([*blocks, *numbers])


def _texts(records: pd.DataFrame, column: str) -> "pd.Series[Any]":
    if column not in records:
        return pd.Series("", index=records.index, dtype=object)
    values = records[column]
    if isinstance(values.dtype, pd.StringDtype):
        return values
    # Among mixed objects 1, 1.0 and True would be one distinct value. The dtype is not `str`, which
    # rejects lone surrogates.
    known = {value: text(value) for value in {value for value in values if type(value) is str}}
    texts = [known[value] if type(value) is str else text(value) for value in values]
    return pd.Series(texts, index=records.index, dtype=object)


def _by_distinct_value(values: "pd.Series[Any]", function: TextFeatures) -> Floats:
    codes, distinct = pd.factorize(values, use_na_sentinel=True)
    # The missing value is last, where the code -1 finds it.
    block = np.array([function(text(value)) for value in [*distinct, None]], dtype=np.float32)
    return block[codes]


def _numbers(records: pd.DataFrame, column: str) -> Floats:
    if column not in records:
        return np.full(len(records), np.nan, dtype=np.float32)
    values = records[column]
    if values.dtype.kind not in "if":
        values = pd.Series([number(value) for value in values], dtype="float64")
    floats = values.to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        valid = (floats > ABOVE) & (floats < BELOW)
        return np.where(valid, floats, np.nan).astype(np.float32)


FieldEncoder = Callable[[Any], bytes]
"""A function from the value of a field to its features as 32-bit floats."""


def field_encoders(encoder: Encoder) -> list[tuple[str, FieldEncoder]]:
    """Return each column and its encoder, in the order of the features: for single records."""
    texts = [(name, _text_encoder(made)) for name, (_, made) in text_features(encoder).items()]
    return [*texts, *((name, _number_as_bytes) for name in NUMBER_COLUMNS)]


def _text_encoder(function: TextFeatures) -> FieldEncoder:
    """Make the encoder of a text column; it caches short texts."""

    def compute(value: Any) -> bytes:  # noqa: ANN401 - fields may hold anything
        return np.array(function(text(value)), dtype=np.float32).tobytes()

    cached = lru_cache(_REMEMBERED_VALUES)(compute)

    def encode_field(value: Any) -> bytes:  # noqa: ANN401 - fields may hold anything
        # Only text: as keys of a cache 1, 1.0 and True are equal.
        if value is None or (type(value) is str and len(value) <= _REMEMBERED_LENGTH):
            return cached(value)
        return compute(value)

    return encode_field


_pack_float = struct.Struct("=f").pack
_MISSING_NUMBER = _pack_float(math.nan)


def _number_as_bytes(value: Any) -> bytes:  # noqa: ANN401 - fields may hold anything
    if value is None:  # the most frequent case
        return _MISSING_NUMBER
    return _pack_float(number(value))
