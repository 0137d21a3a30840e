"""Drift statistics of pairs of distributions.

All are sums over the distinct values of the current distribution, plus closed forms of what only
the reference has: the cost does not depend on the size of the reference. `current` and `reference`
are the compared distributions by pair, all with rows, of shape (pairs,).
"""

import numpy as np
from scipy import special

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.aggregation.arrays import MISSING
from marvel_kedro.monitoring.aggregation.distributions import Distributions
from marvel_kedro.monitoring.aggregation.ragged import RaggedIndex
from marvel_kedro.monitoring.aggregation.value_counts import Ints
from marvel_kedro.monitoring.metrics.psi import population_stability_index
from marvel_kedro.monitoring.metrics.rare_categories import pooled_pvalue
from marvel_kedro.monitoring.metrics.statistical_tests import chi_squared_pvalue, ks_pvalue

Figures = dict[str, Floats]


def compare_numbers(numbers: Distributions, current: Ints, reference: Ints) -> Figures:
    """Compute the metrics of numbers by name, each of shape (pairs,)."""
    index, element = numbers.elements_of(current)
    mine, theirs = current[index.parent], reference[index.parent]
    n_mine, n_theirs = numbers.totals[mine], numbers.totals[theirs]
    at, others = numbers.find(theirs, numbers.code[element])
    below, below_theirs = numbers.rows_before(mine, element), numbers.rows_before(theirs, at)
    upto, upto_theirs = below + numbers.rows[element], below_theirs + others
    # Between two values of one side its function is constant and the other's rises: the largest
    # difference is at a value or just below one.
    gaps = (upto / n_mine - upto_theirs / n_theirs, below / n_mine - below_theirs / n_theirs)
    statistic = index.reduce(np.maximum, np.maximum(*map(np.abs, gaps)))
    ranks = (below * n_theirs, upto_theirs * n_mine, upto * n_theirs)
    transport = index.sums(_transport(numbers, element, theirs, ranks, n_mine))
    distance = np.maximum(transport, 0) / numbers.totals[reference]
    return {
        "ks_test.statistic": statistic,
        "ks_test.pvalue": ks_pvalue(statistic, numbers.totals[current], numbers.totals[reference]),
        # Rounding leaves about 1e-14 between equal distributions.
        "wasserstein_distance": np.where(statistic == 0, 0.0, distance),
        "population_stability_index": population_stability_index(numbers, current, reference),
    }


def _transport(
    numbers: Distributions, element: Ints, other: Ints, ranks: tuple[Ints, Ints, Ints], n: Ints
) -> Floats:
    """Compute the transport cost of the other side's rows to the elements.

    The distance is the mean of |A(q) - B(q)| over the quantiles q of both sides (Vallender, 1974).
    The quantiles of one element are an interval of the other side's sorted rows: those up to the
    element's value lie below it, the rest above.

    Args:
        numbers: The distributions.
        element: Shape (elements,).
        other: Distribution of the other side by element.
        ranks: Start of the element's interval, rank of its value, and end of the interval, among
            the other side's rows times `n`.
        n: Rows of the element's distribution.

    Returns:
        Fractional rows of the other side times distance, shape (elements,).
    """
    start, value, end = ranks
    middle = np.clip(value, start, end)

    def sum_upto(rank: Ints) -> Floats:
        row = np.minimum(rank // n, numbers.totals[other] - 1)
        at = numbers.element_at(other, row)
        rest = rank - n * numbers.rows_before(other, at)
        return numbers.sums_before[at] + rest / n * numbers.distances[at]

    below, above = (middle - start) / n, (end - middle) / n
    lower, split, upper = sum_upto(start), sum_upto(middle), sum_upto(end)
    from_middle = numbers.values[element] - numbers.middle[other]
    return from_middle * (below - above) - (split - lower) + (upper - split)


def compare_categories(categories: Distributions, current: Ints, reference: Ints) -> Figures:
    """Compute the metrics of categories by name, each of shape (pairs,)."""
    index, element = categories.elements_of(current)
    theirs = reference[index.parent]
    at, others = categories.find(theirs, categories.code[element])
    rows, shared = categories.rows[element], others > 0
    n_current, n_reference = categories.totals[current], categories.totals[reference]
    n_mine, n_theirs = n_current[index.parent], n_reference[index.parent]
    p, q = rows / n_mine, others / n_theirs
    missed = (n_reference - index.sums(others)) / n_reference  # share absent from `current`

    gaps = (rows * n_theirs - others * n_mine).astype(np.float64)
    statistic = index.sums(gaps**2 / (rows + others)) / (n_current * n_reference)
    statistic += n_current * missed
    lengths = categories.index.lengths
    number = lengths[current] + lengths[reference] - index.counts(shared)
    counted_twice = np.where(shared, 1 / np.maximum(others, 1), 0.0)
    reciprocals = categories.index.sums(1 / categories.rows)[reference]
    reciprocals = reciprocals + index.sums(1 / (rows + others) - counted_twice)

    pvalue = chi_squared_pvalue(statistic, n_current, n_reference, number, reciprocals)
    counted = (index.parent, rows, others)
    pooled, cells = pooled_pvalue(categories, current, reference, counted)
    twice = np.minimum(2 * np.minimum(pvalue, pooled), 1)  # Bonferroni: two tests

    middle = (p + q) / 2
    divergence = index.sums(special.xlogy(p, p / middle) + special.xlogy(q, q / middle))
    difference = np.abs(p - q)
    most_missed = _most_frequent_missed(categories, reference, index, np.where(shared, at, MISSING))
    return {
        "chi_squared_test.statistic": statistic,
        "chi_squared_test.pvalue": np.where((cells > 1) & (cells < number), twice, pvalue),
        "tv_distance": (index.sums(difference) + missed) / 2,
        "l_infinity_distance": np.maximum(
            index.reduce(np.maximum, difference), most_missed / n_reference
        ),
        "js_distance": np.sqrt(np.maximum(divergence / np.log(2) + missed, 0) / 2),
    }


def _most_frequent_missed(
    categories: Distributions, reference: Ints, index: RaggedIndex, seen: Ints
) -> Ints:
    """Return by pair the rows of the most frequent category that is not among the seen elements.

    They are 0 if all are seen. Of the m + 1 most frequent categories at least one is not among m
    elements. `index` groups `seen` by pair: elements of the reference, or `MISSING`.
    """
    rank = np.empty(len(categories.rows), np.int64)
    rank[categories.by_frequency] = categories.index.position
    present = seen != MISSING
    pair, rank_of_seen = index.parent[present], rank[seen[present]]
    candidates = RaggedIndex(np.bincount(pair, minlength=len(reference)) + 1)
    within = rank_of_seen < candidates.lengths[pair]
    taken = np.zeros(int(candidates.lengths.sum()), np.bool_)
    taken[(candidates.starts[pair] + rank_of_seen)[within]] = True
    free = np.where(taken, len(categories.rows), candidates.position)
    first_free = candidates.reduce(np.minimum, free)
    exists = first_free < categories.index.lengths[reference]
    at = np.where(exists, categories.index.starts[reference] + first_free, 0)
    return np.where(exists, categories.rows[categories.by_frequency[at]], 0)
