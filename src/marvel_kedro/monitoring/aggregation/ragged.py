"""Consecutive lists in one flat array."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from marvel_kedro.model.metrics import Flags
from marvel_kedro.monitoring.aggregation.value_counts import Ints

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True)
class RaggedIndex:
    """Index of a ragged array: consecutive lists of `lengths`, some 0, of a flat array."""

    lengths: Ints

    @classmethod
    def of(cls, arrays: Sequence[npt.NDArray[Any]]) -> "RaggedIndex":
        """Return the index of the concatenation of arrays."""
        return cls(np.fromiter(map(len, arrays), np.int64, len(arrays)))

    @cached_property
    def starts(self) -> Ints:
        """First element of each list, shape (lists,)."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def parent(self) -> Ints:
        """List of each element, shape (elements,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @cached_property
    def position(self) -> Ints:
        """Zero-based position of each element in its list, shape (elements,)."""
        return np.arange(int(self.lengths.sum())) - self.starts[self.parent]

    def reduce(self, ufunc: np.ufunc, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Reduce each list, to 0 if it is empty."""
        found = np.zeros(len(self.lengths), dtype=values.dtype)
        filled = self.lengths > 0
        if filled.any():
            found[filled] = ufunc.reduceat(values, self.starts[filled])
        return found

    def sums(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Sum each list, 0 for an empty one."""
        return self.reduce(np.add, values)

    def counts(self, flags: Flags) -> Ints:
        """Count the true elements of each list."""
        return self.sums(flags.astype(np.int64))

    def sums_before(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Sum the preceding elements of each element's list; shape (elements,)."""
        before = np.zeros_like(values)
        filled = self.lengths > 0
        # One sum over all lists would carry the rounding of one list into the next.
        ends = (self.starts + self.lengths)[filled]
        for start, end in zip(self.starts[filled], ends, strict=True):
            np.cumsum(values[start : end - 1], out=before[start + 1 : end])
        return before
