"""Distributions laid end to end, so that one operation on arrays does what a loop would.

Thousands of windows times parts times columns are as many distributions. Whatever is summed as a
float is summed by distribution, in ascending order of its values: a figure has the same bits
whichever other distributions it is computed with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.model.metrics import Flags, Floats
from marvel_kedro.monitoring.aggregation.value_counts import Distribution, Group, Ints

Numbers = Ints | Floats
Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True)
class Runs:
    """Stretches of an array, one after the other, which make up all of it; some may be empty.

    Attributes:
        length: Shape (runs,).
    """

    length: Ints

    @classmethod
    def of(cls, parts: Sequence[npt.NDArray[Any]]) -> "Runs":
        """The runs of what these arrays are concatenated to."""
        return cls(np.fromiter(map(len, parts), np.int64, len(parts)))

    @cached_property
    def start(self) -> Ints:
        """Where each begins, shape (runs,)."""
        return np.cumsum(self.length) - self.length

    @cached_property
    def number(self) -> Ints:
        """The run of each element, shape (elements,)."""
        return np.repeat(np.arange(len(self.length)), self.length)

    @cached_property
    def place(self) -> Ints:
        """Where in its run each element is, from 0 on, shape (elements,)."""
        return np.arange(int(self.length.sum())) - self.start[self.number]

    def sums(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """The sum of each run, 0 of an empty one."""
        return self._reduced(np.add, values)

    def counts(self, flags: Flags) -> Ints:
        """How many of each run are true."""
        return self.sums(flags.astype(np.int64))

    def largest(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """The largest of each run, 0 of an empty one."""
        return self._reduced(np.maximum, values)

    def smallest(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """The smallest of each run, 0 of an empty one."""
        return self._reduced(np.minimum, values)

    def running(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """The sum of what is before each element in its run; shape (elements,)."""
        before = np.zeros_like(values)
        some = self.length > 0
        # One sum through all runs would carry the rounding of others into each.
        for start, stop in zip(self.start[some], (self.start + self.length)[some], strict=True):
            np.cumsum(values[start : stop - 1], out=before[start + 1 : stop])
        return before

    def _reduced(self, ufunc: np.ufunc, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        found = np.zeros(len(self.length), dtype=values.dtype)
        some = self.length > 0
        if some.any():
            found[some] = ufunc.reduceat(values, self.start[some])
        return found


@dataclass(frozen=True)
class Stack:
    """Distributions of numbers, or of categories, one after the other.

    Attributes:
        runs: Which cells are whose.
        code: The place of each cell's value among `levels`, ascending in a run, shape (cells,).
        levels: Every value that is anywhere, ascending: float64, or Arrow's text.
        rows: Rows by cell, shape (cells,).
    """

    runs: Runs
    code: Ints
    levels: Floats | pa.StringArray
    rows: Ints

    @classmethod
    def of_numbers(cls, of: Sequence[Distribution]) -> "Stack":
        """Lay numbers, or lengths, end to end."""
        values = _joined([one.values for one in of], np.float64)
        levels, code = np.unique(values, return_inverse=True)
        return cls(_runs(of), code.reshape(-1), levels, _rows(of))

    @classmethod
    def of_categories(cls, of: Sequence[Distribution]) -> "Stack":
        """Lay categories end to end; they ascend by code point, as Python's text."""
        values = pa.array(_joined([one.values for one in of], np.object_), pa.string())
        coded = values.dictionary_encode()
        order = pc.array_sort_indices(coded.dictionary)
        rank = np.empty(len(order), np.int64)
        rank[order.to_numpy()] = np.arange(len(order))
        code = rank[coded.indices.to_numpy()]
        return cls(_runs(of), code, coded.dictionary.take(order), _rows(of))

    @cached_property
    def total(self) -> Ints:
        """Rows with a value by run, shape (runs,)."""
        return self.runs.sums(self.rows)

    @cached_property
    def below(self) -> Ints:
        """Rows of all the cells before each cell, and of all; shape (cells + 1,)."""
        return np.concatenate([[0], np.cumsum(self.rows)])

    @cached_property
    def before(self) -> Ints:
        """Rows of all the runs before each run, shape (runs,)."""
        return self.below[self.runs.start]

    @cached_property
    def values(self) -> Floats:
        """The number of each cell, shape (cells,)."""
        return np.asarray(self.levels)[self.code]

    @cached_property
    def by_frequency(self) -> Ints:
        """The cells of each run from the one of most rows on, ties by value; shape (cells,)."""
        most = int(self.rows.max(initial=0)) + 1
        return np.argsort((self.runs.number + 1) * most - self.rows, kind="stable")

    @cached_property
    def running(self) -> Floats:
        """The sum of all rows of smaller values of each cell's run, shape (cells,)."""
        return self.runs.running(self.values * self.rows)

    def cells_of(self, run: Ints) -> tuple[Runs, Ints]:
        """The cells of some runs, one after the other."""
        runs = Runs(self.runs.length[run])
        return runs, runs.place + self.runs.start[run][runs.number]

    def first_from(self, run: Ints, code: Ints) -> Ints:
        """The first cell of a run whose value is at least that of a code, else the end of it."""
        return np.searchsorted(self._keys, run * self._levels + code)

    def found(self, cell: Ints, run: Ints, code: Ints) -> Flags:
        """Whether a cell from `first_from` has the very value."""
        keys = np.append(self._keys, -1)
        return keys[cell] == run * self._levels + code

    def rows_under(self, run: Ints, code: Ints) -> Ints:
        """Rows of a run with a smaller value than that of a code."""
        return self.below[self.first_from(run, code)] - self.before[run]

    def quantiles(self, run: Ints, percent: Ints) -> Floats:
        """Quantiles, between neighbouring values linear, as numpy's default.

        With n values in order the quantile of p % lies at p (n - 1) / 100, counted from 0.

        Args:
            run: Runs that have rows, shape (some,).
            percent: Shape (quantiles,).

        Returns:
            Shape (some, quantiles).
        """
        hundredths = percent[None, :] * (self.total[run] - 1)[:, None]
        place, part = np.divmod(hundredths, 100)
        last = (self.total[run] - 1)[:, None]
        low = self._at_row(run, place)
        high = self._at_row(run, np.minimum(place + 1, last))
        return low + (high - low) * (part / 100)

    def cell_at_row(self, run: Ints, row: Ints) -> Ints:
        """The cell that a row of a run is in, rows counted from 0 in ascending order."""
        return np.searchsorted(self.below, self.before[run] + row, side="right") - 1

    def _at_row(self, run: Ints, row: Ints) -> Floats:
        return self.values[self.cell_at_row(run[:, None], row)]

    @cached_property
    def _levels(self) -> int:
        return len(self.levels) + 1

    @cached_property
    def _keys(self) -> Ints:
        return self.runs.number * self._levels + self.code


@dataclass(frozen=True)
class Columns:
    """The columns of many groups; what there is of one column in one group is an entry.

    Attributes:
        names: Every column that is anywhere, in order.
        entry: By group and column the number of its entry, -1 where the group has none; shape
            (groups, columns).
        entries: All of them, by group, then by name.
    """

    names: list[str]
    entry: Ints
    entries: list[Distribution] = field(repr=False)

    @classmethod
    def of(cls, groups: Sequence[Group]) -> "Columns":
        """Collect the columns of groups."""
        names = sorted(set(chain.from_iterable(group.columns for group in groups)))
        there = np.array(
            [[name in group.columns for name in names] for group in groups], np.bool_
        ).reshape(len(groups), len(names))
        entry = np.full(there.shape, -1)
        entry[there] = np.arange(int(there.sum()))
        return cls(
            names,
            entry,
            [group.columns[name] for group in groups for name in names if name in group.columns],
        )

    @cached_property
    def kind(self) -> npt.NDArray[np.str_]:
        """Kind by entry."""
        return np.array([one.kind for one in self.entries], "U8")

    @cached_property
    def numeric(self) -> Ints:
        """The entries of `numbers`, in its order."""
        return np.flatnonzero(self.kind != "category")

    @cached_property
    def categorical(self) -> Ints:
        """The entries of `categories`, in its order."""
        return np.flatnonzero(self.kind == "category")

    @cached_property
    def numbers(self) -> Stack:
        """Numbers, and lengths of text."""
        return Stack.of_numbers([self.entries[place] for place in self.numeric])

    @cached_property
    def categories(self) -> Stack:
        """Categories."""
        return Stack.of_categories([self.entries[place] for place in self.categorical])

    @cached_property
    def run(self) -> Ints:
        """By entry its run in `numbers` or `categories`."""
        run = np.empty(len(self.entries), np.int64)
        run[self.numeric] = np.arange(len(self.numeric))
        run[self.categorical] = np.arange(len(self.categorical))
        return run

    @cached_property
    def nulls(self) -> Ints:
        """Rows without a value by entry."""
        return np.fromiter((one.nulls for one in self.entries), np.int64, len(self.entries))

    @cached_property
    def nans(self) -> Ints:
        """Rows of no finite number by entry."""
        return np.fromiter((one.nans for one in self.entries), np.int64, len(self.entries))

    @cached_property
    def valued(self) -> Ints:
        """Rows with a value by entry."""
        return self._by_entry(self.numbers.total, self.categories.total).astype(np.int64)

    @cached_property
    def count(self) -> Ints:
        """All rows by entry."""
        return self.valued + self.nulls + self.nans

    @cached_property
    def mean(self) -> Floats:
        """Mean of numbers, mean length of text of either kind, by entry; NaN without a value."""
        numbers, categories = self.numbers, self.categories
        lengths = pc.utf8_length(categories.levels).to_numpy(zero_copy_only=False)
        sums = self._by_entry(
            numbers.runs.sums(numbers.values * numbers.rows),
            categories.runs.sums(lengths.astype(np.int64)[categories.code] * categories.rows),
        )
        return ratio(sums, self.valued)

    @cached_property
    def zeros(self) -> Floats:
        """Rows of the number 0 by entry; NaN for text."""
        stack = self.numbers
        return self._numbers_only(stack.runs.sums(np.where(stack.values == 0, stack.rows, 0)))

    @cached_property
    def distinct(self) -> Floats:
        """Distinct values by entry; NaN for free text, whose values were not counted."""
        found = self._by_entry(self.numbers.runs.length, self.categories.runs.length)
        return np.where(self.kind == "text", np.nan, found)

    def percent(self, rows: Numbers) -> Floats:
        """Rows by entry in percent of all of its rows; NaN without a row."""
        return 100 * ratio(rows, self.count)

    @cached_property
    def filled(self) -> Flags:
        """By group and column whether there is any value, NaN being one; (groups, columns)."""
        there = np.append(self.valued + self.nans > 0, False)
        return there[self.entry]

    @cached_property
    def data_type(self) -> npt.NDArray[np.str_]:
        """By entry its type in Spark's words."""
        return np.where(self.kind == "number", "double", "string")

    def _by_entry(self, numbers: Numbers, categories: Numbers) -> Floats:
        found = np.empty(len(self.entries))
        found[self.numeric], found[self.categorical] = numbers, categories
        return found

    def _numbers_only(self, numbers: Numbers) -> Floats:
        found = self._by_entry(numbers, np.full(len(self.categorical), np.nan))
        return np.where(self.kind == "number", found, np.nan)


def ratio(above: Numbers, below: Numbers) -> Floats:
    """Divide; NaN where there is nothing to divide by."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def _joined(parts: Sequence[npt.NDArray[Any]], kind: type) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *parts]).astype(kind, copy=False)


def _runs(of: Sequence[Distribution]) -> Runs:
    return Runs.of([one.rows for one in of])


def _rows(of: Sequence[Distribution]) -> Ints:
    return _joined([one.rows for one in of], np.int64)
