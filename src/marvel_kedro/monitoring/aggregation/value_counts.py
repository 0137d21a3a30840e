"""Distinct values with their numbers of rows, the input of every metric."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from marvel_kedro.model.metrics import Flags, Floats

Ints = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]
Kind = Literal["category", "number", "text"]
"""`category`: text whose values are counted. `number`: a measurement. `text`: free text, of which
only the length is counted."""


@dataclass(frozen=True)
class Distribution:
    """Value counts of a column in one group.

    Attributes:
        values: Distinct non-null values, ascending, shape (values,): numbers (lengths of free text)
            as float64, categories as objects of type str. A number is the mean of those that were
            counted together.
        rows: Rows by value, all positive, shape (values,).
        nans: Rows of a non-finite number, which are not in `values`.
        counted: Values as they were counted, by which numbers of two groups are compared; None if
            each is the value.
        ends: Least and greatest number; None if these are the first and the last of `values`.
        blurred: Largest share of rows that were counted together though they differ.
    """

    kind: Kind
    values: Floats | Texts
    rows: Ints
    nulls: int = 0
    nans: int = 0
    counted: Floats | None = None
    ends: tuple[float, float] | None = None
    blurred: float = 0.0


@dataclass(frozen=True)
class ScoreCounts:
    """Counts of the scored records of one group, one element per distinct combination.

    Attributes:
        probability: Probability of the positive class, NaN if it is missing, shape (elements,). It
            is the mean of those of the group that were counted together.
        predicted: True if the prediction is the positive class, shape (elements,).
        labelled: True if the label is known, shape (elements,).
        positive: True if the label is the positive class, false if unknown, shape (elements,).
        rows: Records by element, all positive, shape (elements,).
    """

    probability: Floats
    predicted: Flags
    labelled: Flags
    positive: Flags
    rows: Ints


@dataclass(frozen=True, order=True)
class Window:
    """A time window from `start`, inclusive, to `end`, exclusive, in UTC.

    `granularity` is its length in Databricks' notation, such as `1 day`.
    """

    granularity: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Segment:
    """A model version, or a slice of its records.

    Attributes:
        slice_key: Column or Boolean expression that defines the slice; None for all records.
        slice_value: Value of the slice key; `true` or `false` for a Boolean expression.
    """

    model_version: str
    slice_key: str | None = None
    slice_value: str | None = None

    @property
    def sort_key(self) -> tuple[str, bool, str, str]:
        """Return a key that sorts by version, all of its records before their slices."""
        key, value = self.slice_key, self.slice_value
        return self.model_version, key is not None, key or "", value or ""


@dataclass(frozen=True)
class Group:
    """Counts of the records of a segment, in a window or in the baseline."""

    columns: Mapping[str, Distribution]
    scored: ScoreCounts

    @property
    def records(self) -> int:
        """Return the number of records."""
        return int(self.scored.rows.sum())


Groups = Mapping[tuple[Window, Segment], Group]
"""Groups by window and segment; only groups with records are present."""
Baseline = Mapping[Segment, Group]
"""Reference groups by segment."""
