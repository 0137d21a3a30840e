"""How far each window is from the one before, and from the baseline: the table `drift_metrics`.

Deltas are this window's figure minus the other side's. Nulls and NaN are no values: tests compare
the values that there are, and `percent_null_delta` tells of the rest. Where one side has no value
a test has none either: null, never zero. A column that only one side has keeps its row, in which
all figures are null; `non_null_columns_delta` counts it.

Numbers, and free text by its length in characters:

- `ks_test`: two-sided two-sample Kolmogorov-Smirnov test, see `ks_pvalue`.
- `wasserstein_distance`: of order 1, the area between the two distribution functions.
- `population_stability_index`: over bins by the deciles of the other side, see `_psi`.

Categories:

- `chi_squared_test`: of homogeneity, without continuity correction; its p-value is right for rare
  categories, too, see `chi_squared_pvalue`.
- `tv_distance`: half of the sum of differences of shares. `l_infinity_distance`: the largest.
- `js_distance`: Jensen-Shannon distance with base 2, the square root of the divergence: 0 to 1.

All are sums over the cells of this window, and closed forms of what only the other side has: a
small window is soon compared with a large baseline.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from scipy import special

from marvel_kedro.model.metrics import Flags, Floats
from marvel_kedro.monitoring.aggregation import arrays
from marvel_kedro.monitoring.aggregation.arrays import NOWHERE
from marvel_kedro.monitoring.aggregation.distributions import Columns, Numbers, Runs, Stack
from marvel_kedro.monitoring.aggregation.value_counts import (
    Baseline,
    Group,
    Groups,
    Ints,
    Part,
    Window,
)
from marvel_kedro.monitoring.metrics.profile import MONITOR_VERSION
from marvel_kedro.monitoring.tables import BASELINE, CONSECUTIVE, DRIFT_METRICS, TABLE

DECILES = np.arange(10, 100, 10)
EMPTY_BIN = 1e-4
"""What the share of an empty bin is taken for in the population stability index."""

Figures = dict[str, Floats]


def drift_metrics(groups: Groups, baseline: Baseline) -> pa.Table:
    """Compare every window with the one before it and with the baseline.

    Args:
        groups: What was counted by window and part.
        baseline: What was counted of the baseline by part.

    Returns:
        `DRIFT_METRICS`, by window and part: against the baseline, if the part has one, then
        against the window of the same part and granularity that ends where this one starts, if
        there is one. Of each the row `TABLE` comes before those of its columns.
    """
    keys = arrays.ordered(groups)
    of = [*(groups[key] for key in keys), *baseline.values()]
    this, other = _pairs(keys, list(baseline))
    columns = Columns.of(of)
    ours, theirs = columns.entry[this], columns.entry[other]
    pair, column = np.nonzero(
        np.concatenate([np.ones((len(this), 1), np.bool_), (ours >= 0) | (theirs >= 0)], axis=1)
    )
    is_table = column == 0
    a, b = (
        np.where(is_table, NOWHERE, side[pair, column - 1] if len(columns.names) else NOWHERE)
        for side in (ours, theirs)
    )
    fields = {
        **_whose(keys, this, other, pair),
        "column_name": pa.array([TABLE, *columns.names], pa.string()).take(pa.array(column)),
        "data_type": arrays.taken(
            pa.array(columns.data_type.tolist(), pa.string()), np.where(a == NOWHERE, b, a)
        ),
        "monitor_version": pa.array(np.full(len(pair), MONITOR_VERSION)),
        "non_null_columns_delta": arrays.taken(
            _non_null_delta(columns, this, other), np.where(is_table, pair, NOWHERE)
        ),
        **_deltas(columns, a, b, np.where(is_table, _records_delta(of, this, other)[pair], np.nan)),
        **_tests(columns, a, b),
    }
    return pa.table([fields[field.name] for field in DRIFT_METRICS], schema=DRIFT_METRICS)


def ks_pvalue(statistic: Floats, first: Numbers, second: Numbers) -> Floats:
    """How often two samples of one continuous distribution are at least that far apart.

    The limiting distribution (Kolmogorov, 1933) of sqrt(n) D with n = first * second /
    (first + second), rounded, after the correction for finite n of Vrbik (2018, "Small-sample
    corrections to Kolmogorov-Smirnov test statistic"). `scipy.stats.ks_2samp(method="asymp")`, and
    Databricks by the rows it was seen to write, take the exact distribution for n instead, which
    takes up to 50 ms a value; with n of 20 or more this one is within 0.001 of it.

    Args:
        statistic: D, the largest difference of the distribution functions.
        first: Number of values of one sample.
        second: Number of the other's.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    size = np.maximum(np.round(first * second / (first + second)), 1.0)
    root = np.sqrt(size)
    scaled = statistic * root
    corrected = scaled + 1 / (6 * root) + (scaled - 1) / (4 * size)
    return np.where(statistic > 0, special.kolmogorov(corrected), 1.0)


def chi_squared_pvalue(
    statistic: Floats, first: Numbers, second: Numbers, categories: Numbers, reciprocals: Floats
) -> Floats:
    """How often two samples of one distribution are at least that far apart.

    If the rows of both are dealt to two sides anew, the statistic has the mean and the variance
    given by Dawson (1954, "A simplified expression for the variance of the chi-squared function on
    a contingency table", Biometrika 41). The p-value is that of the gamma distribution with these
    two. Where categories are frequent it is the chi-squared distribution. Where many have few rows
    and one side is larger, as with universes in a window against a baseline, the variance is a
    multiple of that one's, which would find drift on most calm days.
    `scipy.stats.chi2_contingency`, and thereby presumably Databricks, take the latter throughout.

    Args:
        statistic: Pearson's, without continuity correction.
        first: Number of values of one sample.
        second: Number of the other's.
        categories: How many there are in both.
        reciprocals: The sum, over the categories, of 1 by the rows in both samples.

    Returns:
        1 where nothing can be told: with one category only, with each of them once, or with fewer
        than four rows.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    categories = np.asarray(categories, np.float64)
    rows = first + second
    few = rows < 4  # noqa: PLR2004 - the variance is 0 / 0
    some = np.where(few, 4.0, rows)
    by_side = (some - 2) / (some - 1)
    by_category = (categories - 1) * (some - categories) / (some - 1)
    uneven_sides = (some / first + some / second - 4) / (some - 2)
    uneven_categories = (some * reciprocals - categories**2) / (some - 2)
    mean = some * (categories - 1) / (some - 1)
    variance = (
        2 * some / (some - 3) * (by_side - uneven_sides) * (by_category - uneven_categories)
        + some**2 / (some - 1) * uneven_sides * uneven_categories
    )
    varies = ~few & (variance > 1e-9 * mean**2)  # sums of floats leave some 1e-15
    spread = np.where(varies, variance, 1.0)
    pvalue = special.gammaincc(np.where(varies, mean, 1.0) ** 2 / spread, statistic * mean / spread)
    return np.where(varies, pvalue, 1.0)


def _pairs(keys: list[tuple[Window, Part]], baseline: list[Part]) -> tuple[Ints, Ints]:
    """Which groups are compared: places among the windows' groups and then the baseline's."""
    parts = {part: len(keys) + number for number, part in enumerate(baseline)}
    ending = {(window.granularity, window.end, part): at for at, (window, part) in enumerate(keys)}
    found = [
        (this, other)
        for this, (window, part) in enumerate(keys)
        for other in (parts.get(part), ending.get((window.granularity, window.start, part)))
        if other is not None
    ]
    this, other = np.array(found, np.int64).reshape(-1, 2).T
    return this, other


def _whose(
    keys: list[tuple[Window, Part]], this: Ints, other: Ints, pair: Ints
) -> dict[str, pa.Array]:
    window, granularity = arrays.windows([window for window, _ in keys])
    to_baseline = other >= len(keys)
    by_pair = {
        "window": window.take(pa.array(this)),
        "granularity": granularity.take(pa.array(this)),
        "window_cmp": arrays.taken(window, np.where(to_baseline, NOWHERE, other)),
        "drift_type": pa.array(np.where(to_baseline, BASELINE, CONSECUTIVE).tolist(), pa.string()),
        **{
            name: found.take(pa.array(this))
            for name, found in arrays.parts([part for _, part in keys]).items()
        },
    }
    return {name: found.take(pa.array(pair)) for name, found in by_pair.items()}


def _records_delta(of: list[Group], this: Ints, other: Ints) -> Floats:
    records = np.array([one.records for one in of], np.float64)
    return records[this] - records[other]


def _non_null_delta(columns: Columns, this: Ints, other: Ints) -> pa.Array:
    ours, theirs = columns.filled[this], columns.filled[other]
    return arrays.structs(
        {
            "added": pa.array((ours & ~theirs).sum(axis=1), pa.int32()),
            "missing": pa.array((theirs & ~ours).sum(axis=1), pa.int32()),
        }
    )


def _deltas(columns: Columns, a: Ints, b: Ints, records_delta: Floats) -> dict[str, pa.Array]:
    def delta(by_entry: Numbers) -> Floats:
        known = np.append(np.asarray(by_entry, np.float64), np.nan)  # of `NOWHERE`, the last
        return known[a] - known[b]

    counts = delta(columns.count)
    means = np.where(columns.kind == "category", np.nan, columns.mean)
    return {
        "count_delta": arrays.whole(np.where(np.isnan(records_delta), counts, records_delta)),
        "avg_delta": arrays.doubles(delta(means)),
        "percent_null_delta": arrays.doubles(delta(columns.percent(columns.nulls))),
        "percent_zeros_delta": arrays.doubles(delta(columns.percent(columns.zeros))),
        "percent_distinct_delta": arrays.doubles(delta(columns.percent(columns.distinct))),
    }


def _tests(columns: Columns, a: Ints, b: Ints) -> dict[str, pa.Array]:
    valued, kind = np.append(columns.valued, 0), np.append(columns.kind, "")
    comparable = (valued[a] > 0) & (valued[b] > 0) & (kind[a] == kind[b])
    is_category = kind[a] == "category"

    def where(which: Flags, compare: Callable[..., Figures], stack: Stack) -> Figures:
        found = compare(stack, columns.run[a[which]], columns.run[b[which]])
        result = {name: np.full(len(a), np.nan) for name in found}
        for name, values in found.items():
            result[name][which] = values
        return result

    figures = {
        **where(comparable & ~is_category, compare_numbers, columns.numbers),
        **where(comparable & is_category, compare_categories, columns.categories),
    }
    tests = {
        name: arrays.structs(
            {
                "statistic": arrays.doubles(figures.pop(f"{name}.statistic")),
                "pvalue": arrays.doubles(figures[f"{name}.pvalue"]),
            },
            absent=np.isnan(figures.pop(f"{name}.pvalue")),
        )
        for name in ("ks_test", "chi_squared_test")
    }
    return tests | {name: arrays.doubles(values) for name, values in figures.items()}


def compare_numbers(stack: Stack, a: Ints, b: Ints) -> Figures:
    """Compare runs of numbers, which have rows, pair by pair.

    Args:
        stack: The numbers.
        a: A run of it by pair, shape (pairs,).
        b: The run that it is held against.

    Returns:
        By name of the metric, of shape (pairs,).
    """
    runs, cell = stack.cells_of(a)
    mine, theirs = a[runs.number], b[runs.number]
    n_a, n_b = stack.total[mine], stack.total[theirs]
    at = stack.first_from(theirs, stack.code[cell])
    less_a = stack.below[cell] - stack.before[mine]
    less_b = stack.below[at] - stack.before[theirs]
    upto_a = less_a + stack.rows[cell]
    upto_b = less_b + np.where(
        stack.found(at, theirs, stack.code[cell]), np.append(stack.rows, 0)[at], 0
    )
    # Between two values of one side its function is level and the other's rises: the largest
    # difference is right at a value or right below one.
    statistic = runs.largest(
        np.maximum(
            np.abs(upto_a / n_a - upto_b / n_b),
            np.abs(less_a / n_a - less_b / n_b),
        )
    )
    moved = _moved(stack, cell, theirs, (less_a * n_b, upto_b * n_a, upto_a * n_b), n_a)
    distance = np.maximum(runs.sums(moved), 0) / stack.total[b]
    return {
        "ks_test.statistic": statistic,
        "ks_test.pvalue": ks_pvalue(statistic, stack.total[a], stack.total[b]),
        # Sums of floats leave some 1e-14 of two equal distributions.
        "wasserstein_distance": np.where(statistic == 0, 0.0, distance),
        "population_stability_index": _psi(stack, a, b),
    }


def _moved(
    stack: Stack, cell: Ints, other: Ints, ranks: tuple[Ints, Ints, Ints], n: Ints
) -> Floats:
    """How far the other side's rows are from the value of a cell whose rows they stand for.

    The distance is the mean of |A(q) - B(q)| over the quantiles q of both sides (Vallender, 1974).
    The quantiles of one cell are a stretch of the other side's rows in order, of which those up to
    the cell's value are below it and the rest above.

    Args:
        stack: The numbers.
        cell: Shape (cells,).
        other: The run of the other side by cell.
        ranks: Of the other side's rows, times `n`: where the cell's stretch starts, where its value
            lies, and where the stretch ends.
        n: Rows of the cell's run.

    Returns:
        Rows of the other side, in parts, times distance; shape (cells,).
    """
    start, value, end = ranks
    middle = np.clip(value, start, end)

    def total(rank: Ints) -> Floats:
        """Sum of the other side's values up to a rank."""
        row = np.minimum(rank // n, stack.total[other] - 1)
        at = stack.cell_at_row(other, row)
        rest = rank - n * (stack.below[at] - stack.before[other])
        return stack.running[at] + rest / n * stack.values[at]

    below, above = (middle - start) / n, (end - middle) / n
    lower, split, upper = total(start), total(middle), total(end)
    return stack.values[cell] * (below - above) - (split - lower) + (upper - split)


def _psi(stack: Stack, a: Ints, b: Ints) -> Floats:
    """Population stability index over the ten bins between the deciles of `b`.

    The sum of (p - q) ln(p / q) over the shares p of `a` and q of `b`. The outer bins are open, and
    a bin holds its upper end. A decile that comes twice or more is a bin of its own (otherwise a
    window in which all values left the most frequent one might be found unchanged); the bins that
    this leaves without width are empty on both sides and add nothing. The share of another empty
    bin is taken for `EMPTY_BIN`.

    Args:
        stack: The numbers.
        a: A run by pair, shape (pairs,).
        b: The run that it is held against.
    """
    edges = stack.quantiles(b, DECILES)
    again = edges[:, 1:] == edges[:, :-1]
    none = np.zeros((len(b), 1), np.bool_)
    first_of_many = np.hstack([again, none]) & ~np.hstack([none, again])
    code = np.where(
        first_of_many,
        np.searchsorted(stack.levels, edges, side="left"),
        np.searchsorted(stack.levels, edges, side="right"),
    )

    def shares(run: Ints) -> Floats:
        total = stack.total[run][:, None]
        upto = np.hstack([0 * total, stack.rows_under(run[:, None], code), total])
        share = np.diff(upto, axis=1) / total
        return np.where(share > 0, share, EMPTY_BIN)

    p, q = shares(a), shares(b)
    return np.sum((p - q) * np.log(p / q), axis=1)


def compare_categories(stack: Stack, a: Ints, b: Ints) -> Figures:
    """Compare runs of categories, which have rows, pair by pair.

    Args:
        stack: The categories.
        a: A run of it by pair, shape (pairs,).
        b: The run that it is held against.

    Returns:
        By name of the metric, of shape (pairs,).
    """
    runs, cell = stack.cells_of(a)
    theirs = b[runs.number]
    at = stack.first_from(theirs, stack.code[cell])
    shared = stack.found(at, theirs, stack.code[cell])
    mine, others = stack.rows[cell], np.where(shared, np.append(stack.rows, 0)[at], 0)
    n_a, n_b = stack.total[a], stack.total[b]
    of_a, of_b = n_a[runs.number], n_b[runs.number]
    p, q = mine / of_a, others / of_b
    only_b = (n_b - runs.sums(others)) / n_b  # share of the categories that `a` lacks

    gaps = (mine * of_b - others * of_a).astype(np.float64)
    statistic = runs.sums(gaps**2 / (mine + others)) / (n_a * n_b) + n_a * only_b
    categories = stack.runs.length[a] + stack.runs.length[b] - runs.counts(shared)
    alone = np.where(shared, 1 / np.maximum(others, 1), 0.0)
    reciprocals = stack.runs.sums(1 / stack.rows)[b] + runs.sums(1 / (mine + others) - alone)
    pvalue = chi_squared_pvalue(statistic, n_a, n_b, categories, reciprocals)

    middle = (p + q) / 2
    divergence = runs.sums(special.xlogy(p, p / middle) + special.xlogy(q, q / middle))
    difference = np.abs(p - q)
    most_missed = _most_frequent_missed(stack, b, Runs(runs.length), np.where(shared, at, NOWHERE))
    return {
        "chi_squared_test.statistic": statistic,
        "chi_squared_test.pvalue": pvalue,
        "tv_distance": (runs.sums(difference) + only_b) / 2,
        "l_infinity_distance": np.maximum(runs.largest(difference), most_missed / n_b),
        "js_distance": np.sqrt(np.maximum(divergence / np.log(2) + only_b, 0) / 2),
    }


def _most_frequent_missed(stack: Stack, b: Ints, runs: Runs, seen: Ints) -> Ints:
    """Rows of the most frequent category of a run that is not among some of its cells.

    Among the first m + 1 categories by rows there is one that m cells leave out.

    Args:
        stack: The categories.
        b: The run by pair, shape (pairs,).
        runs: Which of `seen` are whose.
        seen: Cells of the run, or `NOWHERE`; shape (seen,).

    Returns:
        By pair; 0 if all of its cells are among them.
    """
    rank = np.empty(len(stack.rows), np.int64)
    rank[stack.by_frequency] = stack.runs.place
    there = seen != NOWHERE
    pair, place = runs.number[there], rank[seen[there]]
    places = Runs(np.bincount(pair, minlength=len(b)) + 1)
    within = place < places.length[pair]
    taken = np.zeros(int(places.length.sum()), np.bool_)
    taken[(places.start[pair] + place)[within]] = True
    free = places.smallest(np.where(taken, len(stack.rows), places.place))
    exists = free < stack.runs.length[b]
    at = np.where(exists, stack.runs.start[b] + free, 0)
    return np.where(exists, stack.rows[stack.by_frequency[at]], 0)
