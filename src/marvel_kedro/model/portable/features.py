"""Turn raw records into the features of the model.

This file is saved with every model and imports nothing of the project. Each feature is a function
of the values of one record, so that a record has the same features alone as among a million.
"""

import inspect
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from .fields import number, text
from .kinds import KINDS, ColumnEncoder, Encoder, TextFeatures

_REMEMBERED_VALUES = 4096  # per column, for single records
_REMEMBERED_LENGTH = 200
_MISSING_ERRORS = (ArithmeticError, ValueError, LookupError, AttributeError)

Floats = npt.NDArray[np.float32]
OwnFeature = Callable[..., Any]
"""A feature of one's own: its parameters are columns, its result a number or numbers by name."""


def own_features(module: ModuleType) -> list[OwnFeature]:
    """Return the public functions that a module defines, in its order."""
    return [
        function
        for name, function in vars(module).items()
        if inspect.isfunction(inspect.unwrap(function))
        and function.__module__ == module.__name__
        and not name.startswith("_")
    ]


@dataclass(frozen=True)
class _Block:
    """Features of the same columns: their names, and the function of the values."""

    columns: tuple[str, ...]
    names: list[str]
    compute: Callable[..., list[float]]


class Features:
    """The features of a model.

    A function of one's own gets texts as `text` returns them, and numbers, NaN if missing. Where it
    divides by zero or meets a value of another form, its features are missing: `_MISSING_ERRORS`.

    Attributes:
        names: The names of the features.
        rates: By column with a rate of the positive class, the number of that feature.
    """

    def __init__(self, encoder: Encoder, own: list[OwnFeature]) -> None:
        self._columns = encoder.columns
        self._share = encoder.positive_share
        added = [_own_block(function, encoder.columns) for function in own]
        self._blocks = [
            _joined(self._of_kind(name), [one for one in added if one.columns == (name,)])
            for name in encoder.columns
        ]
        # The features of a column are remembered by its value; those of several columns are not.
        alone = {(name,) for name in encoder.columns}
        self._blocks += [block for block in added if block.columns not in alone]
        self.names = [name for block in self._blocks for name in block.names]
        self.rates = dict(self._find_rates())

    def _of_kind(self, name: str) -> _Block:
        column = self._columns[name]
        if column.kind == "number":
            return _Block((name,), [name], lambda value: [value])
        return _Block((name,), *KINDS[column.kind](name, column, self._share))

    def _find_rates(self) -> Iterator[tuple[str, int]]:
        start = 0
        for block in self._blocks:
            name = block.columns[0]
            if len(block.columns) == 1 and self._columns[name].rates:
                yield name, start + block.names.index(f"{name}_rate")
            start += len(block.names)

    def encode(self, records: pd.DataFrame) -> Floats:
        """Turn raw records, which have any of the columns in any order, into features.

        Returns:
            An array of shape (records, features) in the order of `names`.
        """
        blocks = [self._encode_block(block, records) for block in self._blocks]
        return np.hstack([np.empty((len(records), 0), dtype=np.float32), *blocks])

    def _encode_block(self, block: _Block, records: pd.DataFrame) -> Floats:
        if len(block.columns) == 1 and not self._is_number(block.columns[0]):
            return _by_distinct_value(_texts(records, block.columns[0]), block.compute)
        values: list[npt.NDArray[Any]] = [
            _numbers(records, name, self._columns[name])
            if self._is_number(name)
            else _by_distinct_text(_texts(records, name))
            for name in block.columns
        ]
        if len(block.columns) == 1 and block.names == list(block.columns):
            return _to_float32(values[0])[:, None]
        rows = zip(*(column.tolist() for column in values), strict=True)
        found = np.array([block.compute(*row) for row in rows], dtype=np.float64)
        return _to_float32(found).reshape(len(records), len(block.names))

    def _is_number(self, name: str) -> bool:
        return self._columns[name].kind == "number"

    def field_encoders(self) -> "list[FieldEncoder]":
        """Return functions from a record to the bytes of its features, in their order."""
        return [self._field_encoder(block) for block in self._blocks]

    def _field_encoder(self, block: _Block) -> "FieldEncoder":
        readers: list[Callable[[Any], Any]] = [
            _number_reader(self._columns[name]) if self._is_number(name) else text
            for name in block.columns
        ]
        if len(readers) > 1:
            return _several_fields_encoder(block, readers)
        name, reader = block.columns[0], readers[0]
        if block.names == [name] and self._is_number(name):
            return _number_encoder(name, reader)
        return _one_field_encoder(block, name, reader)


def _own_block(function: OwnFeature, columns: Mapping[str, ColumnEncoder]) -> _Block:
    """Learn the names of a function's features from what it returns for a record without fields.

    Raises:
        ValueError: It reads something that is no column.
    """
    read = tuple(inspect.signature(function).parameters)
    unknown = [name for name in read if name not in columns]
    if unknown or not read:
        raise ValueError(
            f"{function.__name__} reads {', '.join(unknown) or 'no column'}; the model has the "
            f"columns {', '.join(columns)}"
        )
    try:
        found = function(*(math.nan if columns[name].kind == "number" else "" for name in read))
    except _MISSING_ERRORS:
        found = None
    keys = list(found) if isinstance(found, dict) else None
    names = [function.__name__] if keys is None else [str(key) for key in keys]
    missing = [math.nan] * len(names)

    def compute(*values: Any) -> list[float]:  # noqa: ANN401 - text or numbers
        try:
            found = function(*values)
        except _MISSING_ERRORS:
            return missing
        try:
            many = [found] if keys is None else [found[key] for key in keys]
            return [math.nan if one is None else float(one) for one in many]
        except (TypeError, ValueError, LookupError) as error:
            raise TypeError(
                f"{function.__name__} must return a number or {names}: {error}"
            ) from None

    return _Block(read, names, compute)


def _joined(block: _Block, others: list[_Block]) -> _Block:
    if not others:
        return block
    functions = [block.compute, *(other.compute for other in others)]
    names = [*block.names, *(name for other in others for name in other.names)]
    return _Block(
        block.columns, names, lambda value: [one for made in functions for one in made(value)]
    )


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
    block = np.array([function(text(value)) for value in [*distinct, None]], dtype=np.float64)
    return _to_float32(block)[codes]


def _by_distinct_text(values: "pd.Series[Any]") -> npt.NDArray[np.object_]:
    codes, distinct = pd.factorize(values, use_na_sentinel=True)
    return np.array([*map(text, distinct), ""], dtype=object)[codes]


def _numbers(records: pd.DataFrame, name: str, column: ColumnEncoder) -> npt.NDArray[np.float64]:
    if name not in records:
        return np.full(len(records), np.nan)
    values, (above, below) = records[name], column.bounds
    if values.dtype.kind not in "if":
        return np.array([number(value, above, below) for value in values], dtype=np.float64)
    floats = values.to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        return np.where((floats > above) & (floats < below), floats, np.nan)


def _to_float32(values: npt.NDArray[np.float64]) -> Floats:
    with np.errstate(over="ignore"):  # beyond its range a number is infinite
        return values.astype(np.float32)


Record = Mapping[str, Any]
FieldEncoder = Callable[[Record], bytes]
"""A function from a record to some of its features as 32-bit floats."""


def _as_bytes(features: list[float]) -> bytes:
    return _to_float32(np.array(features, dtype=np.float64)).tobytes()


def _one_field_encoder(block: _Block, name: str, reader: Callable[[Any], Any]) -> FieldEncoder:
    """Make the encoder of a column; it caches short texts."""

    def compute(value: Any) -> bytes:  # noqa: ANN401 - fields may hold anything
        return _as_bytes(block.compute(reader(value)))

    cached = lru_cache(_REMEMBERED_VALUES)(compute)

    def encode_field(record: Record) -> bytes:
        value = record.get(name)
        # Only text: as keys of a cache 1, 1.0 and True are equal.
        if value is None or (type(value) is str and len(value) <= _REMEMBERED_LENGTH):
            return cached(value)
        return compute(value)

    return encode_field


def _several_fields_encoder(block: _Block, readers: list[Callable[[Any], Any]]) -> FieldEncoder:
    read = list(zip(block.columns, readers, strict=True))
    return lambda record: _as_bytes(
        block.compute(*(reader(record.get(name)) for name, reader in read))
    )


_pack_float = struct.Struct("=f").pack
_MISSING_NUMBER = _pack_float(math.nan)


def _number_reader(column: ColumnEncoder) -> Callable[[Any], float]:
    above, below = column.bounds
    return lambda value: number(value, above, below)


def _number_encoder(name: str, reader: Callable[[Any], float]) -> FieldEncoder:
    def encode_field(record: Record) -> bytes:
        value = record.get(name)
        if value is None:  # the most frequent case
            return _MISSING_NUMBER
        try:
            return _pack_float(reader(value))
        except OverflowError:  # beyond the range of 32 bits
            return _as_bytes([reader(value)])

    return encode_field
