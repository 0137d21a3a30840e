"""The model at work: a raw record in, a prediction and a probability out.

This file travels with every model, as it was when the model was fitted, and is what scores it:
in training, in a batch, in a server and in `mlflow.pyfunc`. It therefore imports nothing of the
project. Every feature is a function of the value of one column, applied to the distinct values of
that column, so that a record scores the same alone as among a million.

What a field may hold:

- Text columns: text; white space and case do not matter. A number or a Boolean stands for its text,
  `2.0` as `2`. Anything else is missing: absent, null, NaN, empty text, a list, a date, bytes.
- Number columns: a positive finite number below 1,000,000, or text that is one in plain decimals
  (`1.80`). Anything else is missing: null, zero, a negative number, `inf`, `1,80`, a Boolean.
- A category or a word that the training rows did not have is treated as unknown.

`mlflow.pyfunc` holds records against the signature before they come here. It refuses, with an error
that names the column, what is of another type throughout: whole numbers or text in a number column,
numbers (so NaN, too) or Booleans in a text column. Nulls are None there, and 2 is 2.0.
"""

import ctypes
import hashlib
import json
import math
import re
import struct
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd

TEXT_COLUMNS = ("name", "universe", "identity", "gender", "marital_status", "teams", "origin")
NUMBER_COLUMNS = ("height", "weight")
UNREAD = ("name",)  # a field of the records that no feature is made from: it made things worse

BOOSTER_FILE = "booster.txt"
ENCODER_FILE = "encoder.json"
CODE_FILE = "scoring.py"

ABOVE, BELOW = 0.0, 1_000_000.0
"""A number that is not between them is missing: in `processing` and `retraining` as well."""

PLAIN_NUMBER = r"-?[0-9]{1,15}(?:\.[0-9]+)?"
"""The text of a number; more digits than a float can tell apart are none."""

RATE = "universe_alive_rate"

_CHUNK_ROWS = 65_536
_REMEMBERED_VALUES = 4096  # of a column, while single records are scored
_REMEMBERED_LENGTH = 200
_PLAIN_NUMBER = re.compile(PLAIN_NUMBER)
_WORD = re.compile(r"[a-z][a-z'-]*")
_FOOTNOTE = re.compile(r"\[[^\[\]]*\]")  # without `[` inside, else time is quadratic
_NUMBERED = re.compile(r"earth-([0-9]{1,9})")
_NUMBERS = (int, float, np.integer, np.floating)
_WORDS = (str, *_NUMBERS, np.bool_)
_UNKNOWN = 0.0
_OTHER = 9.0
_IDENTITY = {"": _UNKNOWN, "public": 1.0, "secret": 2.0}
_GENDER = {"": _UNKNOWN, "male": 1.0, "female": 2.0}
_MARITAL = {
    "": _UNKNOWN,
    "single": 1.0,
    "married": 2.0,
    "engaged": 3.0,
    "widowed": 4.0,
    "widow": 4.0,
}

Floats = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Encoder:
    """What the features learnt from the training rows.

    Attributes:
        alive_share: The share of Alive among the training rows.
        universes: By universe, its training rows and its smoothed share of Alive.
        origin_words: The words of `origin` that are features of their own.
        teams: The teams that are features of their own.
    """

    alive_share: float
    universes: Mapping[str, tuple[float, float]]
    origin_words: tuple[str, ...]
    teams: tuple[str, ...]


def text(value: Any) -> str:  # noqa: ANN401 - a caller may send anything
    """The text of a field in lower case with single spaces; empty if it is missing."""
    if isinstance(value, Decimal):
        value = _to_float(value)
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return ""
        # Beside a null, a column of whole numbers becomes one of floats.
        value = int(value) if value.is_integer() else value
    # MLflow turns the nulls of a column that pyarrow holds into the text <NA>.
    if not isinstance(value, _WORDS) or value == "<NA>":
        return ""
    return " ".join(str(value).lower().split())


def number(value: Any) -> float:  # noqa: ANN401 - a caller may send anything
    """The number in a field; NaN if it is missing or no positive finite number."""
    if isinstance(value, str):
        value = float(value) if _PLAIN_NUMBER.fullmatch(value.strip()) else math.nan
    if isinstance(value, Decimal):
        value = _to_float(value)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, _NUMBERS):
        return math.nan
    return float(value) if ABOVE < value < BELOW else math.nan


def _to_float(value: Decimal) -> float:
    return float(value) if value.is_finite() else math.nan


def origin_words(origin: str) -> set[str]:
    """The words of an origin, without footnote marks, in the singular."""
    words = _WORD.findall(_FOOTNOTE.sub(" ", origin))
    return {word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words}  # noqa: PLR2004


def team_names(teams: str) -> list[str]:
    """The teams of a field, which are parted by semicolons."""
    return [team.strip() for team in teams.split(";") if team.strip()]


def _universe(value: str, encoder: Encoder) -> list[float]:
    rows, rate = encoder.universes.get(value, (0.0, encoder.alive_share))
    numbered = _NUMBERED.fullmatch(value)
    return [
        float(value == "earth-616"),
        float(value.startswith("earth-trn")),
        float(value.startswith("earth-")),
        float(len(value)),
        math.log1p(int(numbered[1])) if numbered else math.nan,
        math.log1p(rows),
        rate,
    ]


def _teams(value: str, encoder: Encoder) -> list[float]:
    names = team_names(value)
    return [
        float(len(names)),
        float("former" in value),
        *(float(team in names) for team in encoder.teams),
    ]


def _origin(value: str, encoder: Encoder) -> list[float]:
    words = origin_words(value)
    return [
        float(len(words)),
        float(len(value)),
        *(float(word in words) for word in encoder.origin_words),
    ]


def _feature_names(encoder: Encoder) -> dict[str, list[str]]:
    """Names of the features by the text column that they are made from."""
    return {
        "universe": [
            "universe_is_616",
            "universe_is_temporary",
            "universe_is_earth",
            "universe_length",
            "universe_number",
            "universe_rows",
            RATE,
        ],
        "identity": ["identity"],
        "gender": ["gender"],
        "marital_status": ["marital_status"],
        "teams": ["teams_count", "teams_former", *(f"team: {team}" for team in encoder.teams)],
        "origin": [
            "origin_words",
            "origin_length",
            *(f"origin: {word}" for word in encoder.origin_words),
        ],
    }


def _functions(encoder: Encoder) -> dict[str, Callable[[str], list[float]]]:
    """The feature function of each text column but those in `UNREAD`."""
    return {
        "universe": lambda value: _universe(value, encoder),
        "identity": lambda value: [_IDENTITY.get(value, _OTHER)],
        "gender": lambda value: [_GENDER.get(value, _OTHER)],
        "marital_status": lambda value: [_MARITAL.get(value, _OTHER)],
        "teams": lambda value: _teams(value, encoder),
        "origin": lambda value: _origin(value, encoder),
    }


def columns_without_feature(encoder: Encoder) -> list[str]:
    """The text columns that the model takes and, for want of a function, does not see."""
    return [name for name in TEXT_COLUMNS if name not in {*_functions(encoder), *UNREAD}]


def encode(records: pd.DataFrame, encoder: Encoder) -> Floats:
    """Turn raw records into features.

    Args:
        records: Any of the input columns, in any order; others are ignored.
        encoder: What was learnt from the training rows.

    Returns:
        An array of shape (records, features), in the order of `feature_names`.
    """
    blocks = [
        _by_distinct_value(_texts(records, column), function)
        for column, function in _functions(encoder).items()
    ]
    numbers = [_numbers(records, column)[:, None] for column in NUMBER_COLUMNS]
    return np.hstack([*blocks, *numbers])


def feature_names(encoder: Encoder) -> list[str]:
    """Names of the features, in the order of `encode`."""
    names = _feature_names(encoder)
    return [name for column in _functions(encoder) for name in names[column]] + list(NUMBER_COLUMNS)


def _texts(records: pd.DataFrame, column: str) -> "pd.Series[Any]":
    if column not in records:
        return pd.Series("", index=records.index, dtype=object)
    values = records[column]
    if isinstance(values.dtype, pd.StringDtype):
        return values
    # Mixed objects: 1, 1.0 and True would be one distinct value. Not of the dtype `str`, which
    # refuses text that UTF-8 cannot say.
    known = {value: text(value) for value in {value for value in values if type(value) is str}}
    texts = [known[value] if type(value) is str else text(value) for value in values]
    return pd.Series(texts, index=records.index, dtype=object)


def _by_distinct_value(values: "pd.Series[Any]", function: Callable[[str], list[float]]) -> Floats:
    codes, distinct = pd.factorize(values, use_na_sentinel=True)
    # The missing value comes last, where the code -1 finds it.
    block = np.array([function(text(value)) for value in [*distinct, None]], dtype=np.float32)
    return block[codes]


def _numbers(records: pd.DataFrame, column: str) -> Floats:
    if column not in records:
        return np.full(len(records), np.nan, dtype=np.float32)
    values = records[column]
    if values.dtype.kind not in "if":
        values = pd.Series([number(value) for value in values], dtype="float64")
    plain = values.to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        return np.where((plain > ABOVE) & (plain < BELOW), plain, np.nan).astype(np.float32)


def _as_bytes(function: Callable[[str], list[float]]) -> Callable[[Any], bytes]:
    """A feature function from any value to 32-bit floats; short texts are remembered."""

    def made(value: Any) -> bytes:  # noqa: ANN401 - a caller may send anything
        return np.array(function(text(value)), dtype=np.float32).tobytes()

    remembered = lru_cache(_REMEMBERED_VALUES)(made)

    def block(value: Any) -> bytes:  # noqa: ANN401 - a caller may send anything
        # By the type: 1, 1.0 and True would be one key.
        if value is None or (type(value) is str and len(value) <= _REMEMBERED_LENGTH):
            return remembered(value)
        return made(value)

    return block


_pack_float = struct.Struct("=f").pack


_MISSING_NUMBER = _pack_float(math.nan)


def _number_as_bytes(value: Any) -> bytes:  # noqa: ANN401 - a caller may send anything
    if value is None:  # which most are
        return _MISSING_NUMBER
    return _pack_float(number(value))


def _single_row(booster: lightgbm.Booster, features: int) -> Callable[[bytes], float]:
    """The quick way for one row, from features as bytes: LightGBM has it in its C interface only.

    `Booster.predict` takes three times as long, most of it to look at what it was given.
    """
    library: Any = lightgbm.basic._LIB  # type: ignore[attr-defined] # noqa: SLF001 - see above
    handle = ctypes.c_void_p()
    # C_API_PREDICT_NORMAL 0 and C_API_DTYPE_FLOAT32 0, as in LightGBM's c_api.h.
    start = library.LGBM_BoosterPredictForMatSingleRowFastInit(
        booster._handle,  # noqa: SLF001
        ctypes.c_int(0),
        ctypes.c_int(0),
        ctypes.c_int(booster.best_iteration),
        ctypes.c_int(0),
        ctypes.c_int32(features),
        ctypes.c_char_p(b""),
        ctypes.byref(handle),
    )
    if start:
        raise RuntimeError(f"LightGBM says: {library.LGBM_GetLastError()}")
    weakref.finalize(booster, library.LGBM_FastConfigFree, handle)
    predict = library.LGBM_BoosterPredictForMatSingleRowFast
    length, answer, turn = ctypes.c_int64(), ctypes.c_double(), threading.Lock()
    length_at, answer_at = ctypes.byref(length), ctypes.byref(answer)

    def probability(row: bytes) -> float:
        with turn:
            if predict(handle, row, length_at, answer_at):
                raise RuntimeError(f"LightGBM says: {library.LGBM_GetLastError()}")
            return answer.value

    return probability


@dataclass(frozen=True)
class CharacterModel:
    """A fitted model.

    Attributes:
        booster_text: The trees in LightGBM's text format.
        encoder: What the features learnt.
        threshold: From which probability on the prediction is Alive.
        code: The source of this file as it was when the model was fitted.
    """

    booster_text: str
    encoder: Encoder
    threshold: float
    code: str

    def predict(self, records: pd.DataFrame) -> pd.DataFrame:
        """Score raw records.

        Returns:
            One row a record, under the records' index: `prediction` (`Alive` or `Dead`) and
            `probability` (of Alive).
        """
        probability = self.probabilities(records)
        prediction = np.where(probability >= self.threshold, "Alive", "Dead")
        return pd.DataFrame(
            {
                "prediction": pd.Series(prediction, index=records.index, dtype="str"),
                "probability": pd.Series(probability, index=records.index, dtype="float64"),
            }
        )

    def score(self, records: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
        """Score raw records one after the other, without pandas: for servers.

        Args:
            records: Fields by name; those that the model does not know do not matter.

        Returns:
            Prediction and probability (of Alive), one pair a record; the same, to the last bit, as
            those of `predict`.
        """
        if not records:
            return []
        blocks = self._blocks
        rows = b"".join(
            [block(record.get(column)) for record in records for column, block in blocks]
        )
        if len(records) == 1:
            probabilities = [self._single_row(rows)]
        else:
            features = np.frombuffer(rows, dtype=np.float32).reshape(len(records), -1)
            probabilities = np.asarray(self.booster.predict(features)).tolist()
        threshold = self.threshold
        return [("Alive" if value >= threshold else "Dead", value) for value in probabilities]

    @cached_property
    def _blocks(self) -> list[tuple[str, Callable[[Any], bytes]]]:
        """By column, in the order of the features: from its value to its features as bytes."""
        texts = [(name, _as_bytes(made)) for name, made in _functions(self.encoder).items()]
        return [*texts, *((name, _number_as_bytes) for name in NUMBER_COLUMNS)]

    @cached_property
    def _single_row(self) -> Callable[[bytes], float]:
        return _single_row(self.booster, len(feature_names(self.encoder)))

    def probabilities(self, records: pd.DataFrame) -> Probabilities:
        """The probability of Alive, one a record; chunks bound the memory."""
        if not len(records):  # `empty` is true of rows without columns as well
            return np.empty(0)
        return np.concatenate(
            [
                np.asarray(self.booster.predict(encode(chunk, self.encoder)), dtype=np.float64)
                for start in range(0, len(records), _CHUNK_ROWS)
                for chunk in [records.iloc[start : start + _CHUNK_ROWS]]
            ]
        )

    def importances(self) -> "pd.Series[float]":
        """The gain in log loss by feature, largest first."""
        gains = self.booster.feature_importance("gain")
        return pd.Series(gains, index=feature_names(self.encoder)).sort_values(ascending=False)

    @cached_property
    def booster(self) -> lightgbm.Booster:
        """The trees, ready to score."""
        return lightgbm.Booster(model_str=self.booster_text)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the saved files, in hexadecimal: equal models have equal digests."""
        files = sorted(self._files().items())
        return hashlib.sha256(
            "\0".join(part for file in files for part in file).encode()
        ).hexdigest()

    def save(self, folder: Path) -> None:
        """Write the model to a folder: text and JSON, nothing pickled."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self._files().items():
            (folder / name).write_bytes(content.encode())

    @classmethod
    def load(cls, folder: Path) -> "CharacterModel":
        """Read the model that `save` wrote."""
        saved = json.loads((folder / ENCODER_FILE).read_bytes())
        threshold = saved.pop("threshold")
        return cls(
            booster_text=(folder / BOOSTER_FILE).read_bytes().decode(),
            encoder=Encoder(
                alive_share=saved["alive_share"],
                universes={name: tuple(value) for name, value in saved["universes"].items()},
                origin_words=tuple(saved["origin_words"]),
                teams=tuple(saved["teams"]),
            ),
            threshold=threshold,
            code=(folder / CODE_FILE).read_bytes().decode(),
        )

    def _files(self) -> dict[str, str]:
        settings = asdict(self.encoder) | {"threshold": self.threshold}
        return {
            BOOSTER_FILE: self.booster_text,
            ENCODER_FILE: json.dumps(settings, sort_keys=True, ensure_ascii=False, indent=1),
            CODE_FILE: self.code,
        }
