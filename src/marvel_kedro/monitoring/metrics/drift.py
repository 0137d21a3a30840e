"""Drift of each window from the previous one and from the baseline: the table `drift_metrics`.

Deltas are this window's figure minus the other's. Tests compare non-null values only;
`percent_null_delta` covers nulls. Where one side has no value, a test is null, never zero. A column
that only one side has keeps a row without figures and counts in `non_null_columns_delta`.

Numbers, and free text by its length:

- `ks_test`: two-sided two-sample Kolmogorov-Smirnov test, see `statistical_tests.ks_pvalue`.
- `wasserstein_distance`: of order 1, the area between the two distribution functions.
- `population_stability_index`: over bins by the deciles of the other side, see `psi`.

Categories:

- `chi_squared_test`: Pearson's statistic of homogeneity without continuity correction. The p-value
  is valid for rare categories, see `statistical_tests.chi_squared_pvalue`. If any can be pooled it
  is twice the smaller of two, of all categories and of pooled ones, see `rare_categories`.
- `tv_distance`: half of the sum of the differences of shares. `l_infinity_distance`: the largest.
- `js_distance`: Jensen-Shannon distance with base 2, the square root of the divergence: 0 to 1.
"""

import numpy as np
import pyarrow as pa

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.aggregation import arrays
from marvel_kedro.monitoring.aggregation.arrays import MISSING
from marvel_kedro.monitoring.aggregation.distributions import Columns, Numbers
from marvel_kedro.monitoring.aggregation.value_counts import Baseline, Groups, Ints, Segment, Window
from marvel_kedro.monitoring.metrics.distances import Figures, compare_categories, compare_numbers


@np.errstate(over="ignore", invalid="ignore")
def drift_metrics(groups: Groups, baseline: Baseline) -> pa.Table:
    """Compare every window with the previous one and with the baseline.

    Returns:
        `DRIFT_METRICS`, by window and segment: first against the segment's baseline, then against
        its previous window of the same granularity, where these exist. The row `TABLE` of a
        comparison precedes those of its columns.
    """
    keys = arrays.sorted_keys(groups)
    counted = [*(groups[key] for key in keys), *baseline.values()]
    this, other = _pairs(keys, list(baseline))
    columns = Columns.of(counted)
    # Column 0 is the row `TABLE`.
    ours, theirs = (np.insert(columns.entry[at], 0, MISSING, axis=1) for at in (this, other))
    pair, column = np.nonzero(
        (np.maximum(ours, theirs) != MISSING) | (np.arange(ours.shape[1]) == 0)
    )
    is_table, a, b = column == 0, ours[pair, column], theirs[pair, column]
    records = np.array([one.records for one in counted], np.float64)
    records_delta = np.where(is_table, (records[this] - records[other])[pair], np.nan)
    filled, filled_before = columns.filled[this], columns.filled[other]
    non_null_delta = arrays.structs(
        {
            "added": pa.array((filled & ~filled_before).sum(axis=1), pa.int32()),
            "missing": pa.array((filled_before & ~filled).sum(axis=1), pa.int32()),
        }
    )
    fields = {
        **_key_columns(keys, this, other, pair),
        "column_name": pa.array([tables.TABLE, *columns.names], pa.string()).take(pa.array(column)),
        "data_type": arrays.take(columns.data_type, np.where(a == MISSING, b, a)),
        "monitor_version": pa.array(np.full(len(pair), tables.MONITOR_VERSION)),
        "non_null_columns_delta": arrays.take(non_null_delta, np.where(is_table, pair, MISSING)),
        **_deltas(columns, a, b, records_delta),
        **_tests(columns, a, b),
    }
    return pa.table(fields, schema=tables.DRIFT_METRICS)


def _pairs(keys: list[tuple[Window, Segment]], baseline: list[Segment]) -> tuple[Ints, Ints]:
    """Return the compared groups, as indices of the windows' groups followed by the baseline's."""
    references = {segment: len(keys) + number for number, segment in enumerate(baseline)}
    ending = {
        (window.granularity, window.end, segment): at for at, (window, segment) in enumerate(keys)
    }
    found = [
        (this, other)
        for this, (window, segment) in enumerate(keys)
        for other in (
            references.get(segment),
            ending.get((window.granularity, window.start, segment)),
        )
        if other is not None
    ]
    this, other = np.array(found, np.int64).reshape(-1, 2).T
    return this, other


def _key_columns(
    keys: list[tuple[Window, Segment]], this: Ints, other: Ints, pair: Ints
) -> dict[str, pa.Array]:
    by_key = arrays.key_columns(keys)
    is_baseline = other >= len(keys)
    drift_type = np.where(is_baseline, tables.BASELINE, tables.CONSECUTIVE).tolist()
    compared = arrays.take(by_key["window"], np.where(is_baseline, MISSING, other))
    return {
        **{name: found.take(pa.array(this[pair])) for name, found in by_key.items()},
        "window_cmp": compared.take(pa.array(pair)),
        "drift_type": pa.array(drift_type, pa.string()).take(pa.array(pair)),
    }


def _deltas(columns: Columns, a: Ints, b: Ints, records_delta: Floats) -> dict[str, pa.Array]:
    def delta(by_entry: Numbers) -> Floats:
        known = np.append(np.asarray(by_entry, np.float64), np.nan)  # -1 is the last: MISSING
        return known[a] - known[b]

    counts = delta(columns.count)
    means = np.where(columns.is_category, np.nan, columns.mean)
    return {
        "count_delta": arrays.integers(np.where(np.isnan(records_delta), counts, records_delta)),
        "avg_delta": arrays.doubles(delta(means)),
        "percent_null_delta": arrays.doubles(delta(columns.percent(columns.nulls))),
        "percent_zeros_delta": arrays.doubles(delta(columns.percent(columns.zeros))),
        "percent_distinct_delta": arrays.doubles(delta(columns.percent(columns.distinct))),
    }


def _tests(columns: Columns, a: Ints, b: Ints) -> dict[str, pa.Array]:
    valued, kind = np.append(columns.valued, 0), np.append(columns.kind, "")
    comparable = (valued[a] > 0) & (valued[b] > 0) & (kind[a] == kind[b])
    is_category = kind[a] == "category"
    figures: Figures = {}
    for which, compare, distributions in (
        (comparable & ~is_category, compare_numbers, columns.numbers),
        (comparable & is_category, compare_categories, columns.categories),
    ):
        pairs = (columns.distribution[side[which]] for side in (a, b))
        for name, values in compare(distributions, *pairs).items():
            figures[name] = np.full(len(a), np.nan)
            figures[name][which] = values
    tests: dict[str, pa.Array] = {}
    for name in ("ks_test", "chi_squared_test"):
        statistic, pvalue = figures.pop(f"{name}.statistic"), figures.pop(f"{name}.pvalue")
        members = {"statistic": arrays.doubles(statistic), "pvalue": arrays.doubles(pvalue)}
        tests[name] = arrays.structs(members, missing=np.isnan(pvalue))
    return tests | {name: arrays.doubles(values) for name, values in figures.items()}
