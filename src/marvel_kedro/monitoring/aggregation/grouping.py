"""Counts of time units, added up to groups: the counts of a segment in a window."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import narwhals as nw
import numpy as np
import pyarrow as pa

from marvel_kedro.core.rounding import rounded
from marvel_kedro.monitoring.aggregation import counting
from marvel_kedro.monitoring.aggregation.arrays import encode, sorted_keys
from marvel_kedro.monitoring.aggregation.counted_numbers import CountedNumbers
from marvel_kedro.monitoring.aggregation.limits import NO_SLICE, slice_column
from marvel_kedro.monitoring.aggregation.scales import SCORE, Scales, exponent_of
from marvel_kedro.monitoring.aggregation.value_counts import (
    Baseline,
    Distribution,
    Group,
    Groups,
    Ints,
    Kind,
    ScoreCounts,
    Segment,
    Texts,
    Window,
)
from marvel_kedro.monitoring.aggregation.windows import window_at
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.description import Target
from marvel_kedro.table.frames import AnyFrame

logger = logging.getLogger(__name__)

BLURRED = 0.05
"""Share of rows counted as one number, though they differ, above which the log has a warning."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def aggregate(
    log: AnyFrame, options: MonitoringOptions, target: Target, scales: Scales | None = None
) -> Groups:
    """Count the records of `inference_log`, a lazy frame of DuckDB or Spark, by window and segment.

    Only groups that were counted by equal scales are compared. A warning names the columns whose
    scale is too coarse.

    Returns:
        Groups by ascending window, then segment. Equal counts give equal arrays, in whatever order
        the engine returned them.

    Raises:
        ProjectError: A column or slice does not exist, or there are too many values.
    """
    scales = scales or {}
    texts, numbers, scores = tables = counting.count(log, options, target, scales)
    # The tables end to end, so that they share the codes of units and segments.
    keys = pa.concat_tables([table.select(counting.KEYS) for table in tables])
    ends = np.cumsum([len(texts), len(numbers)])
    unit, units = encode(keys["_unit"].combine_chunks())
    segment, segments = _segments(keys, options)
    segment_of_row = np.split(segment, ends)
    values = [_Values.of(table) for table in (texts, numbers)]
    counted_scores, blurred = CountedNumbers.of(scores), dict[str, float]()
    groups: dict[tuple[Window, Segment], Group] = {}
    for granularity in options.granularities:
        of_unit = [window_at(granularity, start) for start in units.to_pylist()]
        windows = list(dict.fromkeys(of_unit))
        index = {window: number for number, window in enumerate(windows)}
        window_of_row = np.split(np.array([index[one] for one in of_unit], np.int64)[unit], ends)
        columns: dict[tuple[int, ...], dict[str, Distribution]] = defaultdict(dict)
        for counted, *of_row in zip(values, window_of_row[:2], segment_of_row[:2], strict=True):
            for (*key, code), rows in _split(*of_row, counted.name):
                name, version = counted.names[code], segments[key[1]].model_version
                exponent = exponent_of(scales, options, name, version)
                column = counted.distribution(rows, options.columns[name], exponent)
                columns[tuple(key)][name] = column
                blurred[name] = max(blurred.get(name, 0.0), column.blurred)
        scored = {}
        for place, rows in _split(window_of_row[2], segment_of_row[2]):
            exponent = exponent_of(scales, options, SCORE, segments[place[1]].model_version)
            scored[place], share = _score_counts(scores.take(rows), counted_scores, rows, exponent)
            blurred[SCORE] = max(blurred.get(SCORE, 0.0), share)
        for place, found in columns.items():
            ordered = {name: found[name] for name in options.columns if name in found}
            groups[windows[place[0]], segments[place[1]]] = Group(ordered, scored[place])
    for name, share in blurred.items():
        if share > BLURRED:
            logger.warning(
                "          %s: up to %s of the numbers of a window differ and are counted as "
                "one: set more decimals (monitoring.decimals)",
                name,
                rounded(share, ".0%"),
            )
    return {key: groups[key] for key in sorted_keys(groups)}


def aggregate_baseline(
    baseline: AnyFrame, options: MonitoringOptions, target: Target, scales: Scales | None = None
) -> Baseline:
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
    groups = aggregate(table, options.model_copy(update=changes), target, scales)
    return {segment: group for (_, segment), group in groups.items()}


@dataclass(frozen=True)
class _Values:
    """Values of a table of counts, one element per row of the table.

    Attributes:
        names: Column names.
        name: Index in `names`.
        texts: Texts, without prefix.
        value: Index in `texts`; none for numbers.
        null: Code of null in `value`, or -1.
        rows: Number of records.
        numbers: Numbers; None for texts.
    """

    names: list[str]
    name: Ints
    texts: Texts
    value: Ints
    null: int
    rows: Ints
    numbers: CountedNumbers | None

    @classmethod
    def of(cls, table: pa.Table) -> "_Values":
        """Encode a table of counts."""
        name, names = encode(table["column_name"].combine_chunks())
        rows = table["rows"].to_numpy()
        if pa.types.is_floating(table["value"].type):
            none, numbers = np.empty(0, np.int64), CountedNumbers.of(table)
            return cls(names.to_pylist(), name, none.astype(object), none, -1, rows, numbers)
        value, texts = encode(table["value"].combine_chunks())
        null = texts.index(counting.NO_TEXT).as_py()
        plain = [text.removeprefix(counting.TEXT_PREFIX) for text in texts.to_pylist()]
        return cls(names.to_pylist(), name, np.array(plain, object), value, null, rows, None)

    def distribution(self, at: Ints, kind: Kind, exponent: int) -> Distribution:
        """Return the distribution of a column over the rows `at`."""
        if self.numbers is not None:
            return self.numbers.distribution(at, kind, 0 if kind == "text" else exponent)
        values, rows = _sum_by_value(self.value[at], self.rows[at])
        known = values != self.null
        nulls = int(rows[~known].sum())
        return Distribution(kind, self.texts[values[known]], rows[known], nulls)


def _sum_by_value(values: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Return the distinct values, ascending, and the sum of rows of each."""
    distinct, index = np.unique(values, return_inverse=True)
    sums = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(sums, index, rows)
    return distinct, sums


def _score_counts(
    scores: pa.Table, numbers: CountedNumbers, at: Ints, exponent: int
) -> tuple[ScoreCounts, float]:
    """Return the counts of a group, and the share of its rows that `Distribution.blurred` is.

    `scores` and `at` are the group's rows of the table that `numbers` are of.
    """
    above = scores["_above_half"].to_numpy()
    merged, code = numbers.merge(at, above)
    value = np.where(merged.is_finite, np.ldexp(merged.means, exponent), np.nan)
    _, place = np.unique(code, return_index=True)
    value = np.where(above[place], 1 + value, value)
    code <<= 3
    for bit, name in enumerate(counting.FLAGS):
        code |= scores[name].to_numpy().astype(np.int64) << bit
    codes, rows = _sum_by_value(code, numbers.rows[at])
    predicted, labelled, positive = ((codes & bit) > 0 for bit in (1, 2, 4))
    counts = ScoreCounts(value[codes >> 3], predicted, labelled, positive, rows)
    return counts, merged.blurred


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
    slices = {NO_SLICE: None} | {slice_column(n): key for n, key in enumerate(options.slices)}
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
