"""Chi-squared test after rare categories are pooled.

With thousands of rare categories Pearson's statistic is mostly theirs. Rows that move from them to
frequent ones lower it, so a window with a single value can have less than chance gives.
"""

import numpy as np

from marvel_kedro.model.metrics import Flags, Floats
from marvel_kedro.monitoring.aggregation.distributions import Distributions
from marvel_kedro.monitoring.aggregation.ragged import RaggedIndex
from marvel_kedro.monitoring.aggregation.value_counts import Ints
from marvel_kedro.monitoring.metrics.statistical_tests import chi_squared_pvalue

Counted = tuple[Ints, ...]
"""Pair, rows in `current` and rows in `reference` of each category or cell."""
_LEAST_EXPECTED = 5  # rows of a cell in the smaller sample


def pooled_pvalue(
    categories: Distributions, current: Ints, reference: Ints, counted: Counted
) -> tuple[Floats, Ints]:
    """Compute the p-value after pooling and the number of cells, each by pair.

    Args:
        categories: The distributions.
        current: Distribution of one side by pair.
        reference: Distribution of the other side by pair.
        counted: The categories of `current`.
    """
    n_rows, n_others = categories.totals[current], categories.totals[reference]
    pair, rows, others = _pooled(categories, current, reference, counted)
    gaps = (rows * n_others[pair] - others * n_rows[pair]).astype(np.float64)

    def sums(values: Floats) -> Floats:
        return np.bincount(pair, values, len(current)).astype(np.float64)

    cells = np.bincount(pair, minlength=len(current))
    statistic = sums(gaps**2 / (rows + others)) / (n_rows * n_others)
    reciprocals = sums(1 / (rows + others))
    return chi_squared_pvalue(statistic, n_rows, n_others, cells, reciprocals), cells


def _pooled(categories: Distributions, current: Ints, reference: Ints, counted: Counted) -> Counted:
    """Return the cells of the pooled test.

    A category with five rows or more to expect in the smaller sample is a cell of its own (Cochran,
    1954, "Some methods for strengthening the common chi-squared tests", Biometrics 10). The others
    are pooled by the binary order of magnitude of their rows in both samples: values seen once, or
    new, are not pooled with those seen often. Ascending orders share a cell if they begin in the
    same five rows to expect. Rows of both samples together decide, so that the moments over
    permutations hold. Where the values of `reference` hardly repeat, as titles do, all rare ones
    are one cell: their order would only tell that a row has come back.
    """
    pair, rows, others = _with_missed(categories, current, reference, counted)
    n_rows, n_others = categories.totals[current], categories.totals[reference]
    smaller, least = np.minimum(n_rows, n_others), _LEAST_EXPECTED * (n_rows + n_others)
    rare = (rows + others) * smaller[pair] < least[pair]
    width = int(categories.rows.max(initial=0)).bit_length() + 2

    def by_cell(rows: Ints, cell: Ints, parent: Ints, lists: int) -> Ints:
        found = np.bincount(parent * width + cell, rows, lists * width)
        return found.astype(np.int64).reshape(lists, width)

    def by_magnitude(rows: Ints, total: Ints, parent: Ints, lists: int = len(current)) -> Ints:
        return by_cell(rows, np.frexp(total)[1], parent, lists)

    all_others = by_magnitude(
        categories.rows, categories.rows, categories.index.parent, len(categories.totals)
    )
    total = (rows + others)[rare]
    mine = by_magnitude(rows[rare], total, pair[rare])
    theirs = by_magnitude(others[rare], total, pair[rare])
    # The rest of the reference has no rows in `current`.
    theirs += all_others[reference] - by_magnitude(others, others, pair)

    before = np.cumsum(mine + theirs, axis=1) - mine - theirs
    fives = before * smaller[:, None] // least[:, None]
    begins = np.diff(fives, axis=1, prepend=0) > 0
    begins &= ~_hardly_repeats(categories)[reference][:, None]
    cell = np.cumsum(begins, axis=1, dtype=np.int64).ravel()
    parent = np.repeat(np.arange(len(current)), width)
    pooled = [by_cell(side.ravel(), cell, parent, len(current)).ravel() for side in (mine, theirs)]
    filled = pooled[0] + pooled[1] > 0
    return (
        np.concatenate([pair[~rare], parent[filled]]),
        np.concatenate([rows[~rare], pooled[0][filled]]),
        np.concatenate([others[~rare], pooled[1][filled]]),
    )


def _hardly_repeats(categories: Distributions) -> Flags:
    return 2 * categories.index.lengths > categories.totals


def _with_missed(
    categories: Distributions, current: Ints, reference: Ints, counted: Counted
) -> Counted:
    """Append the frequent categories that only `reference` has.

    A frequent one is among the n / 5 most frequent ones, where n is the size of `current`.
    """
    most = categories.totals[current] // _LEAST_EXPECTED
    top = RaggedIndex(np.minimum(categories.index.lengths[reference], most))
    start = categories.index.starts[reference][top.parent]
    element = categories.by_frequency[start + top.position]
    _, shared = categories.find(current[top.parent], categories.code[element])
    pair, missed = top.parent[shared == 0], categories.rows[element[shared == 0]]
    found = (pair, np.zeros_like(missed), missed)
    return tuple(np.concatenate(each) for each in zip(counted, found, strict=True))
