"""Chi-squared test after rare categories are pooled.

With thousands of rare categories Pearson's statistic is mostly theirs. Rows that move from them to
frequent ones lower it, so a window with a single value can have less than chance gives.
"""

import numpy as np

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.aggregation.distributions import Distributions
from marvel_kedro.monitoring.aggregation.ragged import RaggedIndex
from marvel_kedro.monitoring.aggregation.value_counts import Ints
from marvel_kedro.monitoring.metrics.statistical_tests import chi_squared_pvalue

_LEAST_EXPECTED = 5  # rows of a cell in the smaller sample


def either_pvalue(
    plain: Floats, number: Ints, categories: Distributions, current: Ints, reference: Ints
) -> Floats:
    """Combine the p-values of all categories and of pooled ones: twice the smaller (Bonferroni).

    Pooling detects shares that move between frequent and rare categories, `plain` those that move
    among the rare ones. Without a category to pool, or with one cell only, it is `plain`.

    Args:
        plain: P-values by pair, of all categories.
        number: Categories by pair.
        categories: The distributions.
        current: Distribution of one side by pair.
        reference: Distribution of the other side by pair.
    """
    pair, rows, others = _pooled(categories, current, reference)
    n_rows, n_others = categories.totals[current], categories.totals[reference]
    gaps = (rows * n_others[pair] - others * n_rows[pair]).astype(np.float64)

    def sums(values: Floats) -> Floats:
        return np.bincount(pair, values, len(current))

    cells = np.bincount(pair, minlength=len(current))
    statistic = sums(gaps**2 / (rows + others)) / (n_rows * n_others)
    pooled = chi_squared_pvalue(statistic, n_rows, n_others, cells, sums(1 / (rows + others)))
    twice = np.minimum(2 * np.minimum(plain, pooled), 1.0)
    return np.where((cells > 1) & (cells < number), twice, plain)


def _pooled(categories: Distributions, current: Ints, reference: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the cells of the pooled test: pair, rows of `current` and of `reference`.

    A category with five rows or more to expect in the smaller sample is a cell of its own (Cochran,
    1954, "Some methods for strengthening the common chi-squared tests", Biometrics 10). The others
    are pooled by the binary order of magnitude of their rows in both samples, ascending, until a
    cell has five rows to expect: values seen once, or new, are not pooled with those seen often.
    Rows of both samples together decide, so that the moments over permutations hold.
    """
    pair, rows, others = _elements(categories, current, reference)
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
    cell = np.cumsum(np.diff(fives, axis=1, prepend=0) > 0, axis=1).ravel()
    parent = np.repeat(np.arange(len(current)), width)
    pooled = [by_cell(side.ravel(), cell, parent, len(current)).ravel() for side in (mine, theirs)]
    filled = pooled[0] + pooled[1] > 0
    return (
        np.concatenate([pair[~rare], parent[filled]]),
        np.concatenate([rows[~rare], pooled[0][filled]]),
        np.concatenate([others[~rare], pooled[1][filled]]),
    )


def _elements(categories: Distributions, current: Ints, reference: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the categories of `current`, then frequent ones that only `reference` has.

    Of each: pair, rows of `current` and of `reference`. Each of n / 5 or fewer is frequent, where n
    is the size of `current`.
    """
    index, element = categories.elements_of(current)
    _, others = categories.find(reference[index.parent], categories.code[element])
    most = categories.totals[current] // _LEAST_EXPECTED
    top = RaggedIndex(np.minimum(categories.index.lengths[reference], most))
    start = categories.index.starts[reference][top.parent]
    frequent = categories.by_frequency[start + top.position]
    _, shared = categories.find(current[top.parent], categories.code[frequent])
    pair, missed = top.parent[shared == 0], categories.rows[frequent[shared == 0]]
    return (
        np.concatenate([index.parent, pair]),
        np.concatenate([categories.rows[element], np.zeros_like(missed)]),
        np.concatenate([others, missed]),
    )
