"""What each column of each window looks like: the table `profile_metrics`.

Every figure is exact, from the counts; of numbers those that were rounded to the counts' grid.

- `count`: all rows. `percent_*` are of these and run from 0 to 100.
- Numbers: `avg`, `stddev`, `min`, `max`, `median`, `quantiles` and `num_zeros` are of the finite
  ones. `num_nan` are the others that are not null, infinite ones among them.
- `stddev` is that of a sample, as Spark's `stddev`; null of a single value.
- `quantiles`: the 0th, 1st, .. 100th percentile, between neighbouring values linear, as numpy's
  default. The median is the 50th.
- `distinct_count` does not count null and NaN. `frequent_items`: the `FREQUENT_ITEMS` categories
  of the most rows, ties by name.
- Lengths are in characters. Of free text there is nothing else: its values were not counted.
- `non_null_columns` of the row `TABLE`: in order of name. NaN is not null.
- `logging_table_commit_version` is null: windows are counted from requests of a day, whatever
  commits of the inference table brought them. `monitor_version` is 0, as on a new monitor at
  Databricks: it counts re-creations there, and this monitoring has none.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.aggregation import arrays
from marvel_kedro.monitoring.aggregation.distributions import Columns, Stack, ratio
from marvel_kedro.monitoring.aggregation.value_counts import Baseline, Groups, Ints, Part, Window
from marvel_kedro.monitoring.metrics import performance
from marvel_kedro.monitoring.tables import BASELINE, INPUT, PROFILE_METRICS, TABLE

FREQUENT_ITEMS = 100
MONITOR_VERSION = 0
PERCENTILES = np.arange(101)
_MEDIAN = 50


def profile_metrics(groups: Groups, baseline: Baseline) -> pa.Table:
    """Describe the columns of every window and of the baseline, and the quality of the model.

    Args:
        groups: What was counted by window and part.
        baseline: What was counted of the baseline by part.

    Returns:
        `PROFILE_METRICS`: the baseline's rows first, then by window and part. Of each the row
        `TABLE` comes before those of its columns. A column that a window does not have has no row.
    """
    keys: list[tuple[Window | None, Part]] = [
        *((None, part) for part in sorted(baseline, key=arrays.in_order)),
        *arrays.ordered(groups),
    ]
    of = [baseline[part] if window is None else groups[window, part] for window, part in keys]
    columns = Columns.of(of)
    group, column = np.nonzero(
        np.concatenate([np.ones((len(of), 1), np.bool_), columns.entry >= 0], axis=1)
    )
    is_table = column == 0
    entry = np.append(columns.entry, np.full((len(of), 1), arrays.NOWHERE), axis=1)
    at = entry[group, column - 1]  # a table's is the last one, which is nowhere
    whose = np.where(is_table, group, arrays.NOWHERE)
    fields = {
        **_whose(keys, group),
        "column_name": pa.array([TABLE, *columns.names], pa.string()).take(pa.array(column)),
        "monitor_version": pa.array(np.full(len(group), MONITOR_VERSION)),
        **{name: arrays.taken(found, at) for name, found in _figures(columns).items()},
        "quantiles": arrays.taken(_quantiles(columns), at),
        "frequent_items": arrays.taken(_frequent_items(columns), at),
        **{
            name: arrays.taken(found, whose)
            for name, found in (_non_null(columns) | performance.columns(keys, of)).items()
        },
    }
    counts = np.append(columns.count, 0)[at]
    records = np.array([one.records for one in of], np.int64)[group]
    fields["count"] = pa.array(np.where(is_table, records, counts))
    return pa.table(
        [
            fields[field.name] if field.name in fields else pa.nulls(len(group), field.type)
            for field in PROFILE_METRICS
        ],
        schema=PROFILE_METRICS,
    )


def _whose(keys: Sequence[tuple[Window | None, Part]], group: Ints) -> dict[str, pa.Array]:
    window, granularity = arrays.windows([window for window, _ in keys])
    by_group = {
        "window": window,
        "granularity": granularity,
        "log_type": pa.array([BASELINE if window is None else INPUT for window, _ in keys]),
        **arrays.parts([part for _, part in keys]),
    }
    return {name: arrays.taken(found, group) for name, found in by_group.items()}


def _figures(columns: Columns) -> dict[str, pa.Array]:
    """The figures of one value an entry."""
    is_number, is_text = columns.kind == "number", columns.kind == "text"
    numbers = _of_numbers(columns.numbers)
    lengths = _lengths(columns.categories)
    result: dict[str, Floats] = {}
    for name in ("min", "max"):
        found = np.full(len(columns.entries), np.nan)
        found[columns.numeric] = numbers[name]
        result[name] = np.where(is_number, found, np.nan)
        found[columns.categorical] = lengths[name]
        result[f"{name}_length"] = np.where(is_number, np.nan, found)
    for name in ("stddev", "median"):
        found = np.full(len(columns.entries), np.nan)
        found[columns.numeric] = numbers[name]
        result[name] = np.where(is_text, np.nan, found)
    nans = np.where(is_number, columns.nans, np.nan)
    return {
        **{name: arrays.doubles(values) for name, values in result.items()},
        "data_type": pa.array(columns.data_type.tolist(), pa.string()),
        "num_nulls": pa.array(columns.nulls),
        "avg": arrays.doubles(np.where(is_number, columns.mean, np.nan)),
        "avg_length": arrays.doubles(np.where(is_number, np.nan, columns.mean)),
        "num_zeros": arrays.whole(columns.zeros),
        "num_nan": arrays.whole(nans),
        "distinct_count": arrays.whole(columns.distinct),
        "percent_nan": arrays.doubles(columns.percent(nans)),
        "percent_null": arrays.doubles(columns.percent(columns.nulls)),
        "percent_zeros": arrays.doubles(columns.percent(columns.zeros)),
        "percent_distinct": arrays.doubles(columns.percent(columns.distinct)),
    }


def _of_numbers(stack: Stack) -> dict[str, Floats]:
    """By run: extremes, median and standard deviation; NaN without a value."""
    some = np.flatnonzero(stack.total)
    result = {name: np.full(len(stack.total), np.nan) for name in ("min", "max", "median")}
    runs = stack.runs
    result["min"][some] = stack.values[runs.start[some]]
    result["max"][some] = stack.values[(runs.start + runs.length - 1)[some]]
    result["median"][some] = stack.quantiles(some, np.array([_MEDIAN]))[:, 0]
    mean = ratio(runs.sums(stack.values * stack.rows), stack.total)
    squares = runs.sums(stack.rows * (stack.values - mean[runs.number]) ** 2)
    return {**result, "stddev": np.sqrt(ratio(squares, stack.total - 1))}


def _lengths(stack: Stack) -> dict[str, Floats]:
    """By run the shortest and the longest text in characters; NaN without any."""
    lengths = pc.utf8_length(stack.levels).to_numpy(zero_copy_only=False).astype(np.float64)
    there = np.where(stack.total > 0, 1.0, np.nan)
    of_cell = lengths[stack.code]
    return {
        "min": stack.runs.smallest(of_cell) * there,
        "max": stack.runs.largest(of_cell) * there,
    }


def _quantiles(columns: Columns) -> pa.Array:
    """By entry the percentiles of a number."""
    numbers = columns.numbers
    some = (columns.kind == "number") & (columns.valued > 0)
    values = numbers.quantiles(columns.run[some], PERCENTILES)
    return arrays.lists(
        pa.array(values.reshape(-1)), np.where(some, len(PERCENTILES), 0), absent=~some
    )


def _frequent_items(columns: Columns) -> pa.Array:
    """By entry the most frequent categories."""
    stack, is_category = columns.categories, columns.kind == "category"
    order = stack.by_frequency[stack.runs.place < FREQUENT_ITEMS]
    items = arrays.structs(
        {
            "item": stack.levels.take(pa.array(stack.code[order])),
            "count": pa.array(stack.rows[order]),
        }
    )
    length = np.zeros(len(columns.entries), np.int64)
    length[is_category] = np.minimum(stack.runs.length, FREQUENT_ITEMS)
    return arrays.lists(items, length, absent=~is_category)


def _non_null(columns: Columns) -> dict[str, pa.Array]:
    _, column = np.nonzero(columns.filled)
    names = pa.array(columns.names, pa.string()).take(pa.array(column))
    return {"non_null_columns": arrays.lists(names, columns.filled.sum(axis=1))}
