"""Numbers as an engine counted them, merged over time units."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from marvel_kedro.model.metrics import Flags, Floats
from marvel_kedro.monitoring.aggregation.counting import NO_NUMBER, NOT_FINITE
from marvel_kedro.monitoring.aggregation.scales import EXCESS
from marvel_kedro.monitoring.aggregation.value_counts import Distribution, Ints, Kind

_MANY = 20
"""Rows of one number from which it can be `blurred`."""


@dataclass(frozen=True)
class CountedNumbers:
    """Numbers in units of their scale, one element per rounded one, as in `counting`."""

    value: Floats
    rows: Ints
    least: Floats
    greatest: Floats
    excess: Ints

    @classmethod
    def of(cls, table: pa.Table) -> "CountedNumbers":
        """Read the columns of a table of counts."""
        names = ("value", "rows", "least", "greatest", "excess")
        return cls(*(table[name].to_numpy() for name in names))

    def merge(self, at: Ints, *keys: npt.NDArray[Any]) -> tuple["CountedNumbers", Ints]:
        """Merge the elements `at` whose value and keys are equal, ascending by keys, then value.

        Also return which merged element each is in. `keys` are arrays of the shape of `at`.
        """
        value = self.value[at]
        order = np.lexsort((value, *keys))
        changes = [one[order][1:] != one[order][:-1] for one in (value, *keys)]
        first = np.r_[np.ones(min(1, len(at)), np.bool_), np.any(changes, axis=0)]
        index = np.empty(len(at), np.int64)
        index[order] = np.cumsum(first) - 1
        ordered, starts = at[order], np.flatnonzero(first)
        merged = CountedNumbers(
            value[order][first],
            np.add.reduceat(self.rows[ordered], starts),
            np.minimum.reduceat(self.least[ordered], starts),
            np.maximum.reduceat(self.greatest[ordered], starts),
            np.add.reduceat(self.excess[ordered], starts),
        )
        return merged, index

    def distribution(self, at: Ints, kind: Kind, exponent: int) -> Distribution:
        """Return the distribution of the elements `at`, in units of 2**`exponent`."""
        merged, _ = self.merge(at)
        nulls = int(merged.rows[merged.value == NO_NUMBER].sum())
        nans = int(merged.rows[merged.value == NOT_FINITE].sum())
        finite = merged.is_finite
        values, counted, least, greatest = (
            np.ldexp(found[finite], exponent)
            for found in (merged.means, merged.value, merged.least, merged.greatest)
        )
        ends = (float(least[0]), float(greatest[-1])) if len(values) else None
        rows = merged.rows[finite]
        return Distribution(kind, values, rows, nulls, nans, counted, ends, merged.blurred)

    @cached_property
    def is_finite(self) -> Flags:
        """False for codes of a missing number."""
        return (self.value != NO_NUMBER) & (self.value != NOT_FINITE)

    @cached_property
    def means(self) -> Floats:
        """Mean of the numbers of each element, shape (elements,)."""
        mean = self.value + self.excess / self.rows / EXCESS
        return np.clip(mean, self.least, self.greatest)  # the number itself, if all are equal

    @cached_property
    def blurred(self) -> float:
        """Largest share of rows that were counted as one number, though they differ."""
        differ = (self.least < self.greatest) & (self.rows >= _MANY)
        return float(self.rows[differ].max(initial=0) / max(1, self.rows.sum()))
