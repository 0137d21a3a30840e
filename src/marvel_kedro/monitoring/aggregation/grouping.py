"""Counts of time units, added up to groups: the counts of a segment in a window."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import narwhals as nw
import numpy as np
import pyarrow as pa

from marvel_kedro.monitoring.aggregation import counting
from marvel_kedro.monitoring.aggregation.arrays import encode, sorted_keys
from marvel_kedro.monitoring.aggregation.limits import NO_SLICE
from marvel_kedro.monitoring.aggregation.value_counts import (
    Baseline,
    Distribution,
    Group,
    Groups,
    Ints,
    ScoreCounts,
    Segment,
    Texts,
    Window,
)
from marvel_kedro.monitoring.aggregation.windows import window_at
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.frames import AnyFrame

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def aggregate(log: AnyFrame, options: MonitoringOptions) -> Groups:
    """Count the records of `inference_log`, a lazy frame of DuckDB or Spark, by window and segment.

    Returns:
        Groups by ascending window, then segment. Equal counts give equal arrays, in whatever order
        the engine returned them.

    Raises:
        ProjectError: A column or slice does not exist, or there are too many values.
    """
    texts, numbers, scores = tables = counting.count(log, options)
    # The tables end to end, so that they share the codes of units and segments.
    keys = pa.concat_tables([table.select(counting.KEYS) for table in tables])
    ends = np.cumsum([len(texts), len(numbers)])
    unit, units = encode(keys["unit"].combine_chunks())
    segment, segments = _segments(keys, options)
    segment_of_row = np.split(segment, ends)
    values = [_Values.of(table) for table in (texts, numbers)]
    groups: dict[tuple[Window, Segment], Group] = {}
    for granularity in options.granularities:
        of_unit = [window_at(granularity, start) for start in units.to_pylist()]
        windows = list(dict.fromkeys(of_unit))
        index = {window: number for number, window in enumerate(windows)}
        window_of_row = np.split(np.array([index[one] for one in of_unit], np.int64)[unit], ends)
        columns: dict[tuple[int, ...], dict[str, Distribution]] = defaultdict(dict)
        for counted, *of_row in zip(values, window_of_row[:2], segment_of_row[:2], strict=True):
            for (*key, code), rows in _split(*of_row, counted.name):
                name = counted.names[code]
                columns[tuple(key)][name] = counted.distribution(rows, name, options)
        scored = dict(_score_counts(window_of_row[2], segment_of_row[2], scores))
        for place, found in columns.items():
            ordered = {name: found[name] for name in options.columns if name in found}
            groups[windows[place[0]], segments[place[1]]] = Group(ordered, scored[place])
    return {key: groups[key] for key in sorted_keys(groups)}


def aggregate_baseline(baseline: AnyFrame, options: MonitoringOptions) -> Baseline:
    """Count the records of `monitoring_baseline`, a lazy frame of DuckDB or Spark, by segment.

    Columns and slices that only the log has, such as the served entity, are left out.
    """
    frame = nw.from_native(baseline).with_columns(request_time=nw.lit(_EPOCH))
    names, table = frame.collect_schema().names(), frame.to_native()
    changes = {
        "granularities": ("1 day",),
        "columns": {name: kind for name, kind in options.columns.items() if name in names},
        "slices": tuple(key for key in options.slices if counting.can_evaluate(table, key)),
    }
    groups = aggregate(table, options.model_copy(update=changes))
    return {segment: group for (_, segment), group in groups.items()}


@dataclass(frozen=True)
class _Values:
    """Values of a table of counts, one element per row of the table.

    Attributes:
        names: Column names.
        name: Index in `names`.
        texts: Texts; empty for numbers.
        value: Index in `texts`, or the number.
        null: Code of null in `value`, or -1.
        rows: Number of records.
    """

    names: list[str]
    name: Ints
    texts: Texts
    value: Ints
    null: int
    rows: Ints

    @classmethod
    def of(cls, table: pa.Table) -> "_Values":
        """Encode a table of counts."""
        name, names = encode(table["column_name"].combine_chunks())
        value, null, texts = table["value"].combine_chunks(), counting.NO_NUMBER, pa.array([])
        if not pa.types.is_integer(value.type):
            value, texts = encode(value)
            null = texts.index(counting.NO_TEXT).as_py()
        plain = [text.removeprefix(counting.TEXT_PREFIX) for text in texts.to_pylist()]
        rows = table["rows"].to_numpy()
        return cls(names.to_pylist(), name, np.array(plain, object), np.asarray(value), null, rows)

    def distribution(self, at: Ints, name: str, options: MonitoringOptions) -> Distribution:
        """Return the distribution of a column over the rows `at`."""
        kind = options.columns[name]
        values, rows = _sum_by_value(self.value[at], self.rows[at])
        known = values != self.null
        nulls = int(rows[~known].sum())
        if kind == "category":
            return Distribution(kind, self.texts[values[known]], rows[known], nulls)
        finite = known & (values != counting.NOT_FINITE)
        decimals = 0 if kind == "text" else options.decimals_of(name)
        nans = int(rows[~finite].sum()) - nulls
        return Distribution(kind, values[finite] / 10.0**decimals, rows[finite], nulls, nans)


def _sum_by_value(values: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Return the distinct values, ascending, and the sum of rows of each."""
    distinct, index = np.unique(values, return_inverse=True)
    sums = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(sums, index, rows)
    return distinct, sums


def _score_counts(
    window: Ints, segment: Ints, scores: pa.Table
) -> Iterator[tuple[tuple[int, ...], ScoreCounts]]:
    code = scores["scored_probability"].to_numpy() << 3
    for bit, name in enumerate(("predicted", "labelled", "lives")):
        code = code | (scores[name].to_numpy().astype(np.int64) << bit)
    rows = scores["rows"].to_numpy()
    for key, at in _split(window, segment):
        codes, sums = _sum_by_value(code[at], rows[at])
        probability = (codes >> 3) / 10.0**counting.PROBABILITY_DECIMALS
        predicted, labelled, alive = ((codes & bit) > 0 for bit in (1, 2, 4))
        yield key, ScoreCounts(probability, predicted, labelled, alive, sums)


def _split(*keys: Ints) -> Iterator[tuple[tuple[int, ...], Ints]]:
    """Yield the rows of each combination of keys, sorted by the keys."""
    if not len(keys[0]):
        return
    order = np.lexsort(keys[::-1])
    changes = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    for rows in np.split(order, np.flatnonzero(changes) + 1):
        yield tuple(int(key[rows[0]]) for key in keys), rows


def _segments(keys: pa.Table, options: MonitoringOptions) -> tuple[Ints, list[Segment]]:
    """Return the index of each row's segment, and the segments."""
    slices = {NO_SLICE: None} | {f"slice_{n}": key for n, key in enumerate(options.slices)}
    (version, versions), (place, names), (value, values) = (
        encode(keys[name].combine_chunks()) for name in counting.KEYS[1:]
    )
    shape = len(versions), len(names), len(values)
    distinct, index = np.unique(
        np.ravel_multi_index((version, place, value), shape), return_inverse=True
    )
    segments = []
    for of_version, of_name, of_value in zip(*np.unravel_index(distinct, shape), strict=True):
        key = slices[names[of_name].as_py()]
        slice_value = values[of_value].as_py() if key else None
        segments.append(Segment(versions[of_version].as_py(), key, slice_value))
    return index, segments
