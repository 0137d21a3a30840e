"""Many distributions in flat arrays, for vectorised metrics.

Windows times segments times columns make thousands of distributions. Floats are summed within one
distribution, in ascending order of its values, so a figure has the same bits whichever other
distributions are computed with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.model.metrics import Flags, Floats
from marvel_kedro.monitoring.aggregation.arrays import MISSING, encode
from marvel_kedro.monitoring.aggregation.ragged import RaggedIndex
from marvel_kedro.monitoring.aggregation.value_counts import Distribution, Group, Ints

Numbers = Ints | Floats


@dataclass(frozen=True)
class Distributions:
    """Distributions of numbers, or of categories, end to end.

    An element is one distinct value of one distribution.

    Attributes:
        index: Elements by distribution.
        code: Index of each element's value in `levels`, ascending in a distribution, shape
            (elements,).
        levels: Values of all distributions as counted, ascending: float64, or Arrow text.
        rows: Rows by element, shape (elements,).
        values: Number of each element, shape (elements,); none for categories.
    """

    index: RaggedIndex
    code: Ints
    levels: Floats | pa.StringArray
    rows: Ints
    values: Floats = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(cls, distributions: Sequence[Distribution], *, categories: bool) -> "Distributions":
        """Concatenate distributions of categories, or of numbers and lengths."""
        values, rows = [one.values for one in distributions], [one.rows for one in distributions]
        index, all_rows = RaggedIndex.of(rows), concatenate(rows, np.int64)
        if categories:
            code, levels = encode(pa.array(concatenate(values, np.object_), pa.string()))
            return cls(index, code, levels, all_rows)
        counted = [one.values if one.counted is None else one.counted for one in distributions]
        levels, code = np.unique(concatenate(counted, np.float64), return_inverse=True)
        return cls(index, code, levels, all_rows, concatenate(values, np.float64))

    @cached_property
    def totals(self) -> Ints:
        """Rows with a value by distribution, shape (distributions,)."""
        return self.index.sums(self.rows)

    @cached_property
    def cumulative_rows(self) -> Ints:
        """Rows of all elements before each element, then of all; shape (elements + 1,)."""
        return np.concatenate([[0], np.cumsum(self.rows)])

    @cached_property
    def first_row(self) -> Ints:
        """Rows of all distributions before each distribution, shape (distributions,)."""
        return self.cumulative_rows[self.index.starts]

    @cached_property
    def by_frequency(self) -> Ints:
        """Elements of each distribution by descending rows, ties by value; shape (elements,)."""
        above_all = int(self.rows.max(initial=0)) + 1
        return np.argsort((self.index.parent + 1) * above_all - self.rows, kind="stable")

    @cached_property
    def middle(self) -> Floats:
        """A number near the median, by distribution: sums of distances from it lose few digits."""
        filled = np.flatnonzero(self.totals)
        found = np.zeros(len(self.totals))
        found[filled] = self.values[self.element_at(filled, self.totals[filled] // 2)]
        return found

    @cached_property
    def distances(self) -> Floats:
        """Number of each element minus the `middle` of its distribution, shape (elements,)."""
        return self.values - self.middle[self.index.parent]

    @cached_property
    def means(self) -> Floats:
        """Mean by distribution; NaN without a value."""
        return self.middle + ratio(self.index.sums(self.distances * self.rows), self.totals)

    @cached_property
    def sums_before(self) -> Floats:
        """Sum of the `distances` of all rows before each element in its distribution."""
        return self.index.sums_before(self.distances * self.rows)

    def elements_of(self, distribution: Ints) -> tuple[RaggedIndex, Ints]:
        """Return the elements of some distributions, end to end, with their index."""
        index = RaggedIndex(self.index.lengths[distribution])
        return index, index.position + self.index.starts[distribution][index.parent]

    def find(self, distribution: Ints, code: Ints) -> tuple[Ints, Ints]:
        """Return a distribution's first element not below a code, or its end.

        Also return the rows of the code, 0 if it is absent.
        """
        key = distribution * (len(self.levels) + 1) + code
        element = np.searchsorted(self._keys, key)
        found = np.append(self._keys, -1)[element] == key
        return element, np.where(found, np.append(self.rows, 0)[element], 0)

    def rows_before(self, distribution: Ints, element: Ints) -> Ints:
        """Count the rows of a distribution before an element."""
        return self.cumulative_rows[element] - self.first_row[distribution]

    def quantiles(self, distribution: Ints, percent: Ints, values: Floats) -> Floats:
        """Compute quantiles with linear interpolation, the default of `numpy.quantile`.

        The p % quantile of n ascending values has the zero-based rank p (n - 1) / 100. `values` are
        numbers by element, ascending in a distribution. All distributions must have rows; the
        result has the shape (distributions, quantiles).
        """
        last = (self.totals[distribution] - 1)[:, None]
        rank, part = np.divmod(percent[None, :] * last, 100)
        low, high = (
            values[self.element_at(distribution[:, None], row)]
            for row in (rank, np.minimum(rank + 1, last))
        )
        return low + (high - low) * (part / 100)

    def element_at(self, distribution: Ints, rank: Ints) -> Ints:
        """Return the element that holds the row of a zero-based rank in a distribution."""
        row = self.first_row[distribution] + rank
        return np.searchsorted(self.cumulative_rows, row, side="right") - 1

    @cached_property
    def _keys(self) -> Ints:
        return self.index.parent * (len(self.levels) + 1) + self.code


@dataclass(frozen=True)
class Columns:
    """Distributions of all columns of many groups; an entry is one column of one group.

    Attributes:
        names: All column names, sorted.
        entry: Entry by group and column, `MISSING` if the group lacks the column; shape
            (groups, columns).
        entries: Distributions by group, then by name.
    """

    names: list[str]
    entry: Ints
    entries: list[Distribution] = field(repr=False)

    @classmethod
    def of(cls, groups: Sequence[Group]) -> "Columns":
        """Collect the columns of groups."""
        names = sorted({name for group in groups for name in group.columns})
        found = [group.columns.get(name) for group in groups for name in names]
        present = np.array([one is not None for one in found], np.bool_)
        entry = np.where(present, np.cumsum(present) - 1, MISSING)
        entries = [one for one in found if one is not None]
        return cls(names, entry.reshape(len(groups), len(names)), entries)

    @cached_property
    def kind(self) -> npt.NDArray[np.str_]:
        """Kind by entry."""
        return np.array([one.kind for one in self.entries], "U8")

    @cached_property
    def is_category(self) -> Flags:
        """True for categories, by entry."""
        return self.kind == "category"

    @cached_property
    def numbers(self) -> Distributions:
        """Distributions of the numbers and text lengths."""
        numbers = [one for one in self.entries if one.kind != "category"]
        return Distributions.of(numbers, categories=False)

    @cached_property
    def categories(self) -> Distributions:
        """Distributions of the categories."""
        categories = [one for one in self.entries if one.kind == "category"]
        return Distributions.of(categories, categories=True)

    @cached_property
    def distribution(self) -> Ints:
        """Index in `numbers` or `categories` by entry."""
        before = np.cumsum(self.is_category)
        return np.where(self.is_category, before - 1, np.arange(len(self.entries)) - before)

    @cached_property
    def nulls(self) -> Ints:
        """Rows without a value by entry."""
        return np.fromiter((one.nulls for one in self.entries), np.int64, len(self.entries))

    @cached_property
    def nans(self) -> Ints:
        """Rows of non-finite numbers by entry."""
        return np.fromiter((one.nans for one in self.entries), np.int64, len(self.entries))

    @cached_property
    def ends(self) -> Floats:
        """Least and greatest number by entry, shape (entries, 2); NaN without one."""
        found = np.full((len(self.entries), 2), np.nan)
        for at, one in enumerate(self.entries):
            if one.kind != "category" and len(one.values):
                found[at] = one.ends or one.values[[0, -1]]
        return found

    @cached_property
    def valued(self) -> Ints:
        """Rows with a value by entry."""
        return self.by_entry(self.numbers.totals, self.categories.totals).astype(np.int64)

    @cached_property
    def count(self) -> Ints:
        """All rows by entry."""
        return self.valued + self.nulls + self.nans

    @cached_property
    def mean(self) -> Floats:
        """Mean of numbers, mean length of texts and categories, by entry; NaN without a value."""
        numbers, categories = self.numbers, self.categories
        lengths = pc.utf8_length(categories.levels).to_numpy(zero_copy_only=False)
        sums = categories.index.sums(lengths.astype(np.int64)[categories.code] * categories.rows)
        return self.by_entry(numbers.means, ratio(sums, categories.totals))

    @cached_property
    def zeros(self) -> Floats:
        """Rows of the number 0 by entry; NaN for texts and categories."""
        numbers = self.numbers
        zeros = numbers.index.sums(np.where(numbers.values == 0, numbers.rows, 0))
        return np.where(self.kind == "number", self.by_entry(zeros), np.nan)

    @cached_property
    def distinct(self) -> Floats:
        """Distinct values by entry; NaN for free text, whose values are not counted."""
        found = self.by_entry(self.numbers.index.lengths, self.categories.index.lengths)
        return np.where(self.kind == "text", np.nan, found)

    def percent(self, rows: Numbers) -> Floats:
        """Return rows by entry as a percentage of all its rows; NaN without rows."""
        return 100 * ratio(rows, self.count)

    @cached_property
    def filled(self) -> Flags:
        """True where a column has a value, NaN included; shape (groups, columns)."""
        return np.append(self.valued + self.nans > 0, False)[self.entry]

    @cached_property
    def data_type(self) -> pa.Array:
        """Spark type by entry."""
        return pa.array(np.where(self.kind == "number", "double", "string").tolist(), pa.string())

    def by_entry(self, numbers: Numbers | float, categories: Numbers | float = np.nan) -> Floats:
        """Merge values of `numbers` and of `categories` to the order of the entries."""
        found = np.empty(len(self.entries))
        found[~self.is_category], found[self.is_category] = numbers, categories
        return found


def ratio(above: Numbers, below: Numbers) -> Floats:
    """Divide; NaN where the divisor is not positive."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def concatenate(arrays: Iterable[npt.NDArray[Any]], dtype: type) -> npt.NDArray[Any]:
    """Join arrays of a type, possibly none."""
    return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype, copy=False)
