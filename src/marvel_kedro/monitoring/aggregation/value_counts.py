"""What every metric is arithmetic on: distinct values, and how many rows have each."""

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
the length is looked at."""


@dataclass(frozen=True)
class Distribution:
    """The values of a column in one window, model version and slice.

    Attributes:
        kind: What the column is.
        values: Distinct values that are not null, ascending, shape (values,): numbers (lengths for
            free text) as float64, categories as objects of type str.
        rows: Rows by value, all positive, shape (values,).
        nulls: Rows without a value.
        nans: Rows of a number that is not a finite one; they are not in `values`.
    """

    kind: Kind
    values: Floats | Texts
    rows: Ints
    nulls: int = 0
    nans: int = 0

    @property
    def count(self) -> int:
        """All rows, those without a value included."""
        return int(self.rows.sum()) + self.nulls + self.nans


@dataclass(frozen=True)
class Scored:
    """Scored records of one window, model version and slice, equal ones counted.

    Attributes:
        probability: Of Alive, shape (cells,).
        predicted: Whether the prediction is Alive, shape (cells,).
        labelled: Whether it is known what became of them, shape (cells,).
        alive: What became of them; false where it is not known, shape (cells,).
        rows: Records by cell, all positive, shape (cells,).
    """

    probability: Floats
    predicted: Flags
    labelled: Flags
    alive: Flags
    rows: Ints


@dataclass(frozen=True, order=True)
class Window:
    """A stretch of time in which records are counted together.

    Attributes:
        granularity: How long such windows are, in Databricks' words, such as `1 day`.
        start: Its first moment, UTC.
        end: The first moment after it, UTC.
    """

    granularity: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Part:
    """Whose records: those of a model version, or of a slice of them.

    Attributes:
        model_version: The version that scored them.
        slice_key: The column or the Boolean expression that cuts them; None: all of them.
        slice_value: Its value; `true` and `false` for a Boolean expression.
    """

    model_version: str
    slice_key: str | None = None
    slice_value: str | None = None


@dataclass(frozen=True)
class Group:
    """The records of a part, in a window or of the baseline.

    Attributes:
        columns: What there is of each column, by its name.
        scored: How they were scored.
    """

    columns: Mapping[str, Distribution]
    scored: Scored

    @property
    def records(self) -> int:
        """How many there are."""
        return int(self.scored.rows.sum())


Groups = Mapping[tuple[Window, Part], Group]
"""What was counted, by window and part; a window without records of a part is not there."""
Baseline = Mapping[Part, Group]
"""What each part is held against."""
