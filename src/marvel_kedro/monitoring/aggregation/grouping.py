"""Counts of time units, added up to groups: the counts of a segment in a window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa

from marvel_kedro.model.metrics import Flags
from marvel_kedro.monitoring.aggregation import counting
from marvel_kedro.monitoring.aggregation.arrays import MISSING, sorted_keys
from marvel_kedro.monitoring.aggregation.value_counts import (
    Baseline,
    Distribution,
    Group,
    Groups,
    Ints,
    ScoreCounts,
    Segment,
    Window,
)
from marvel_kedro.monitoring.aggregation.windows import Granularity, window_at
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.frames import AnyFrame

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def aggregate(log: AnyFrame, options: MonitoringOptions) -> Groups:
    """Count the records of `inference_log`, a lazy frame of DuckDB or Spark, by window and segment.

    Raises:
        ProjectError: A column or slice does not exist, or there are too many values.
    """
    return group_counts(counting.count(log, options), options.granularities, options)


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


def group_counts(
    counts: counting.Counts, granularities: Sequence[Granularity], options: MonitoringOptions
) -> Groups:
    """Add the counts of time units up to windows.

    Returns:
        Groups by ascending window, then segment. Equal counts give equal arrays, in whatever order
        the engine returned them.
    """
    numbers: dict[Segment, int] = {}
    tables = [
        _EncodedCounts.of(table, options, numbers)
        for table in (counts.texts, counts.numbers, counts.scores)
    ]
    segments = list(numbers)
    groups: dict[tuple[Window, Segment], Group] = {}
    for granularity in granularities:
        windows = sorted({window_at(granularity, unit) for table in tables for unit in table.units})
        index = {window: number for number, window in enumerate(windows)}
        window_of_row = [
            np.array([index[window_at(granularity, unit)] for unit in table.units], np.int64)[
                table.unit
            ]
            for table in tables
        ]
        columns: dict[tuple[int, int], dict[str, Distribution]] = {}
        for table, window in zip(tables[:2], window_of_row[:2], strict=True):
            for (*key, name), rows in _split(window, table.segment, table.name):
                distribution = table.distribution(rows, table.names[name], options)
                columns.setdefault((key[0], key[1]), {})[table.names[name]] = distribution
        scores = dict(_score_counts(window_of_row[2], tables[2].segment, counts.scores))
        for at, found in columns.items():
            groups[windows[at[0]], segments[at[1]]] = Group(
                {name: found[name] for name in options.columns if name in found}, scores[at]
            )
    return {key: groups[key] for key in sorted_keys(groups)}


@dataclass(frozen=True)
class _EncodedCounts:
    """A table of counts as integer arrays, one element per row of the table.

    Attributes:
        units: Starts of the time units.
        unit: Index in `units`.
        segment: Number of the segment.
        names: Column names.
        name: Index in `names`.
        values: Texts; empty for numbers.
        value: Index in `values`, or the number.
        valid: False for null.
        rows: Number of records.
    """

    units: list[datetime]
    unit: Ints
    segment: Ints
    names: list[str]
    name: Ints
    values: list[str]
    value: Ints
    valid: Flags
    rows: Ints

    @classmethod
    def of(
        cls, table: pa.Table, options: MonitoringOptions, segments: dict[Segment, int]
    ) -> "_EncodedCounts":
        """Encode a table; new segments get the next numbers in `segments`."""
        units, unit = _encode(table["unit"])
        names, name, valid = [""], unit, unit >= 0
        values: list[str] = []
        value = unit
        if "column_name" in table.column_names:
            names, name = _encode(table["column_name"])
            if pa.types.is_integer(table["value"].type):
                value = _integers(table["value"])
                valid = value != counting.NO_NUMBER
            else:
                values, value = _encode(table["value"])
                valid = np.array([text != counting.NO_TEXT for text in values], bool)[value]
                values = [text.removeprefix(counting.TEXT_PREFIX) for text in values]
        segment = _number_segments(table, options, segments)
        rows = table["rows"].to_numpy()
        return cls(units, unit, segment, names, name, values, value, valid, rows)

    def distribution(self, at: Ints, name: str, options: MonitoringOptions) -> Distribution:
        """Return the distribution of a column over the rows `at`."""
        kind, rows, valid = options.columns[name], self.rows[at], self.valid[at]
        nulls = int(rows[~valid].sum())
        values, sums = _sum_by_value(self.value[at][valid], rows[valid])
        if kind == "category":
            texts = np.array([self.values[code] for code in values], dtype=object)
            return Distribution(kind, texts, sums, nulls)
        finite = values != counting.NOT_FINITE
        decimals = 0 if kind == "text" else options.decimals_of(name)
        nans = int(sums[~finite].sum())
        return Distribution(kind, values[finite] / 10.0**decimals, sums[finite], nulls, nans)


def _sum_by_value(values: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Return the distinct values, ascending, and the sum of rows of each."""
    distinct, index = np.unique(values, return_inverse=True)
    sums = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(sums, index, rows)
    return distinct, sums


def _score_counts(
    window: Ints, segment: Ints, scores: pa.Table
) -> Iterator[tuple[tuple[int, ...], ScoreCounts]]:
    code = _integers(scores["scored_probability"]) * 8
    for bit, name in enumerate(("predicted", "labelled", "lives")):
        flag = scores[name].to_numpy(zero_copy_only=False)
        code = code + (flag.astype(np.int64) << bit)
    rows = scores["rows"].to_numpy()
    for key, at in _split(window, segment):
        codes, sums = _sum_by_value(code[at], rows[at])
        yield (
            key,
            ScoreCounts(
                probability=(codes >> 3) / 10.0**counting.PROBABILITY_DECIMALS,
                predicted=(codes & 1) > 0,
                labelled=(codes & 2) > 0,
                alive=(codes & 4) > 0,
                rows=sums,
            ),
        )


def _split(*keys: Ints) -> Iterator[tuple[tuple[int, ...], Ints]]:
    """Yield the rows of each combination of keys, sorted by the keys."""
    if not len(keys[0]):
        return
    order = np.lexsort(keys[::-1])
    changes = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    for rows in np.split(order, np.flatnonzero(changes) + 1):
        yield tuple(int(key[rows[0]]) for key in keys), rows


def _encode(column: pa.ChunkedArray) -> tuple[list[Any], Ints]:
    """Return the distinct values, ascending, and each row's index; `MISSING` for null."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=lambda place: values[place])
    rank = np.empty(len(values) + 1, dtype=np.int64)
    rank[order] = np.arange(len(values))
    rank[-1] = MISSING
    codes = encoded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False).astype(np.int64)
    return [values[place] for place in order], rank[codes]


def _number_segments(
    table: pa.Table, options: MonitoringOptions, segments: dict[Segment, int]
) -> Ints:
    """Return the number of each row's segment; new segments get the next numbers."""
    keys = {counting.NO_SLICE: None} | {f"slice_{n}": key for n, key in enumerate(options.slices)}
    (versions, version), (slices, place), (values, value) = (
        _encode(table[name]) for name in counting.KEYS[1:]
    )
    width, length = len(slices), len(values)
    codes, row = np.unique((version * width + place) * length + value, return_inverse=True)
    numbers = []
    for code in codes.tolist():
        key = keys[slices[code // length % width]]
        slice_value = values[code % length] if key else None
        segment = Segment(versions[code // length // width], key, slice_value)
        numbers.append(segments.setdefault(segment, len(segments)))
    return np.array(numbers, np.int64)[row]


def _integers(column: pa.ChunkedArray) -> Ints:
    numbers: Ints = column.fill_null(0).to_numpy().astype(np.int64)
    return numbers
