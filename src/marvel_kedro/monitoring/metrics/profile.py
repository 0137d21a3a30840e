"""Column profiles by window and segment: the table `profile_metrics`.

All figures are computed from the counts. `avg`, `min`, `max` and `num_zeros` are exact. In `stddev`
and `quantiles` numbers that were counted together are their mean, in `distinct_count` one.

- `count`: all rows; `percent_*` are percentages of them.
- Numbers: `avg`, `stddev`, `min`, `max`, `median`, `quantiles` and `num_zeros` cover the finite
  ones. `num_nan` counts NaN and infinite ones.
- `stddev` is the sample standard deviation, as Spark's `stddev`; null for a single value.
- `quantiles`: the percentiles 0 to 100 with linear interpolation, the default of `numpy.quantile`.
- `distinct_count` excludes null and NaN. `frequent_items`: the `FREQUENT_ITEMS` categories with
  the most rows, ties by name.
- Lengths are in letters. Free text has lengths only: its values are not counted.
- `non_null_columns` of the row `TABLE`: sorted by name. NaN is not null.
- `logging_table_commit_version` is null: windows cover the requests of days, not commits of the
  inference table.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.aggregation import arrays
from marvel_kedro.monitoring.aggregation.distributions import Columns, Distributions, Numbers, ratio
from marvel_kedro.monitoring.aggregation.value_counts import Baseline, Groups
from marvel_kedro.monitoring.metrics import performance
from marvel_kedro.monitoring.metrics.performance import Classes

FREQUENT_ITEMS = 100
PERCENTILES = np.arange(101)
_MEDIAN = 50


@np.errstate(over="ignore", invalid="ignore")
def profile_metrics(groups: Groups, baseline: Baseline, classes: Classes) -> pa.Table:
    """Profile the columns and compute the performance of every window and of the baseline.

    `classes` are the positive class and the other.

    Returns:
        `PROFILE_METRICS`: first the baseline, then by window and segment. The row `TABLE` of a
        group precedes those of its columns. A column that a group lacks has no row.
    """
    keys: list[arrays.GroupKey] = [
        *((None, segment) for segment in sorted(baseline, key=lambda one: one.sort_key)),
        *arrays.sorted_keys(groups),
    ]
    counted = [
        baseline[segment] if window is None else groups[window, segment] for window, segment in keys
    ]
    columns = Columns.of(counted)
    entry = np.insert(columns.entry, 0, arrays.MISSING, axis=1)  # column 0 is the row `TABLE`
    group, column = np.nonzero((entry != arrays.MISSING) | (np.arange(entry.shape[1]) == 0))
    is_table, entry_of_row = column == 0, entry[group, column]
    table_group = np.where(is_table, group, arrays.MISSING)
    records = np.array([one.records for one in counted], np.int64)[group]
    log_type = [tables.BASELINE if window is None else tables.INPUT for window, _ in keys]
    by_group = arrays.key_columns(keys) | {"log_type": pa.array(log_type, pa.string())}
    by_entry = _column_figures(columns)
    names = pa.array(columns.names, pa.string())
    non_null = names.take(pa.array(np.nonzero(columns.filled)[1]))
    on_table_rows = {
        "non_null_columns": arrays.lists(non_null, columns.filled.sum(axis=1)),
        **performance.performance_columns(keys, counted, classes),
    }
    fields = {
        "column_name": pa.array([tables.TABLE, *columns.names], pa.string()).take(pa.array(column)),
        "monitor_version": pa.array(np.full(len(group), tables.MONITOR_VERSION)),
        "count": pa.array(np.where(is_table, records, np.append(columns.count, 0)[entry_of_row])),
        **{name: arrays.take(found, group) for name, found in by_group.items()},
        **{name: arrays.take(found, entry_of_row) for name, found in by_entry.items()},
        **{name: arrays.take(found, table_group) for name, found in on_table_rows.items()},
    }
    return tables.conform(pa.table(fields), tables.PROFILE_METRICS)


def _column_figures(columns: Columns) -> dict[str, pa.Array]:
    """Compute the figures by entry."""
    is_number, is_text = columns.kind == "number", columns.kind == "text"
    numbers = _number_figures(columns.numbers)
    for name, side in (("min", 0), ("max", 1)):
        numbers[name] = columns.ends[~columns.is_category, side]
    lengths = _category_lengths(columns.categories)
    result: dict[str, Floats] = {}
    for name in ("min", "max"):
        found = columns.by_entry(numbers[name], lengths[name])
        result[name] = np.where(is_number, found, np.nan)
        result[f"{name}_length"] = np.where(is_number, np.nan, found)
    for name in ("stddev", "median"):
        result[name] = np.where(is_text, np.nan, columns.by_entry(numbers[name]))
    nans = np.where(is_number, columns.nans, np.nan)
    rows: dict[str, Numbers] = {"nan": nans, "null": columns.nulls, "zeros": columns.zeros}
    rows["distinct"] = columns.distinct
    return {
        **{name: arrays.doubles(values) for name, values in result.items()},
        "data_type": columns.data_type,
        "num_nulls": pa.array(columns.nulls),
        "avg": arrays.doubles(np.where(is_number, columns.mean, np.nan)),
        "avg_length": arrays.doubles(np.where(is_number, np.nan, columns.mean)),
        "num_zeros": arrays.integers(columns.zeros),
        "num_nan": arrays.integers(nans),
        "distinct_count": arrays.integers(columns.distinct),
        **{
            f"percent_{name}": arrays.doubles(columns.percent(found))
            for name, found in rows.items()
        },
        "quantiles": _quantiles(columns),
        "frequent_items": _frequent_items(columns),
    }


def _number_figures(numbers: Distributions) -> dict[str, Floats]:
    """Compute median and standard deviation by distribution; NaN without a value."""
    filled = np.flatnonzero(numbers.totals)
    index, median = numbers.index, np.full(len(numbers.totals), np.nan)
    median[filled] = numbers.quantiles(filled, np.array([_MEDIAN]), numbers.values)[:, 0]
    squares = index.sums(numbers.rows * (numbers.values - numbers.means[index.parent]) ** 2)
    return {"median": median, "stddev": np.sqrt(ratio(squares, numbers.totals - 1))}


def _category_lengths(categories: Distributions) -> dict[str, Floats]:
    """Compute minimum and maximum length by distribution; NaN without a value."""
    lengths = pc.utf8_length(categories.levels).to_numpy(zero_copy_only=False).astype(np.float64)
    by_element = lengths[categories.code]
    nan_if_empty = np.where(categories.totals > 0, 1.0, np.nan)
    return {
        "min": categories.index.reduce(np.minimum, by_element) * nan_if_empty,
        "max": categories.index.reduce(np.maximum, by_element) * nan_if_empty,
    }


def _quantiles(columns: Columns) -> pa.Array:
    """Return the percentiles of numbers by entry."""
    filled = (columns.kind == "number") & (columns.valued > 0)
    numbers = columns.numbers
    values = numbers.quantiles(columns.distribution[filled], PERCENTILES, numbers.values)
    values[:, [0, -1]] = columns.ends[filled]
    lengths = np.where(filled, len(PERCENTILES), 0)
    return arrays.lists(pa.array(values.reshape(-1)), lengths, missing=~filled)


def _frequent_items(columns: Columns) -> pa.Array:
    """Return the most frequent categories by entry."""
    categories = columns.categories
    order = categories.by_frequency[categories.index.position < FREQUENT_ITEMS]
    items = arrays.structs(
        {
            "item": categories.levels.take(pa.array(categories.code[order])),
            "count": pa.array(categories.rows[order]),
        }
    )
    lengths = columns.by_entry(0, np.minimum(categories.index.lengths, FREQUENT_ITEMS))
    return arrays.lists(items, lengths.astype(np.int64), missing=~columns.is_category)
