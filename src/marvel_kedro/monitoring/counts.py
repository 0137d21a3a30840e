"""From records to counts: one pass on the engine, whichever that is.

Numbers are counted by a fixed number of decimals, so that engines which add in different orders
cannot differ: what leaves an engine are integers and texts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.errors import ProjectError
from marvel_kedro.monitoring.cells import (
    Baseline,
    Distribution,
    Group,
    Groups,
    Ints,
    Part,
    Scored,
    Window,
)
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.monitoring.windows import unit_of, window_at

PROBABILITY_DECIMALS = 4
BOUND = 1e12
"""Numbers beyond it are counted as if they were it: they would not fit in 64 bits otherwise."""

_KEYS = ["unit", "model_version", "slice_key", "slice_value"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Counts:
    """What has left the engine.

    Attributes:
        cells: `unit` (start), `model_version`, `slice_key`, `slice_value`, `column_name`, `text`,
            `number` (in units of the last decimal), `finite`, `rows`.
        scored: The same keys, `probability` (in ten thousandths), `predicted`, `labelled`, `alive`,
            `rows`.
    """

    cells: pa.Table
    scored: pa.Table


def count(log: Any, options: MonitoringOptions) -> Counts:  # noqa: ANN401 - a frame of an engine
    """Count records by unit of time, model version, slice, column and value.

    Args:
        log: Rows of `inference_log`, a lazy frame of DuckDB or Spark.
        options: What is counted.

    Raises:
        ProjectError: A column or slice is not there, or there are too many values.
    """
    frame = _sliced(log, options)
    _check_columns(frame, options)
    frame = frame.with_columns(
        unit=nw.col("request_time").dt.truncate(unit_of(options.granularities))
    )
    parts = [
        _part(frame, key, f"slice_{number}" if key else None)
        for number, key in enumerate([None, *options.slices], start=-1)
    ]
    cells = nw.concat(
        [_cells(part, name, options) for part in parts for name in options.columns],
        how="vertical",
    )
    scored = nw.concat([_scored(part) for part in parts], how="vertical")
    counted = Counts(_collect(cells, options.max_cells), _collect(scored, options.max_cells))
    if max(len(counted.cells), len(counted.scored)) > options.max_cells:
        _refuse(cells, options)
    _check_slices(counted, options)
    return counted


def count_baseline(baseline: Any, options: MonitoringOptions) -> Baseline:  # noqa: ANN401
    """Count the records that windows are held against.

    Args:
        baseline: Rows of `monitoring_baseline`, a lazy frame of DuckDB or Spark.
        options: What is counted.
    """
    at_once = nw.from_native(baseline).with_columns(request_time=nw.lit(_EPOCH)).to_native()
    counted = count(at_once, options.model_copy(update={"granularities": ("1 day",)}))
    return {part: group for (_, part), group in groups(counted, ("1 day",), options).items()}


def _sliced(log: Any, options: MonitoringOptions) -> nw.LazyFrame[Any]:  # noqa: ANN401
    """Add a column a slice, as text: the engine reads the expression."""
    for number, key in enumerate(options.slices):
        added = f"CAST(({key}) AS STRING) AS slice_{number}"
        try:
            log = (
                log.selectExpr("*", added)
                if hasattr(log, "selectExpr")
                else log.project(f"*, {added}")
            )
            nw.from_native(log).collect_schema()
        except Exception as error:  # each engine has its own
            raise ProjectError(
                f"monitoring.slices: the engine cannot read {key!r}: "
                f"{str(error).strip().splitlines()[0]}. Name a column of inference_log, or write "
                "an SQL condition over its columns."
            ) from error
    frame: nw.LazyFrame[Any] = nw.from_native(log)
    return frame


def _check_columns(frame: nw.LazyFrame[Any], options: MonitoringOptions) -> None:
    schema = frame.collect_schema()
    if missing := [name for name in options.columns if name not in schema.names()]:
        raise ProjectError(
            f"monitoring.columns: inference_log has no column {', '.join(missing)}. "
            f"It has {', '.join(schema.names())}."
        )
    for name, kind in options.columns.items():
        is_text = schema[name] == nw.String
        if (kind == "number") == is_text or (kind == "number" and not schema[name].is_numeric()):
            raise ProjectError(
                f"monitoring.columns: {name} is to be a {kind}, and in inference_log it is "
                f"{schema[name]}. A number is to be numeric, a category or text a string."
            )


def _part(frame: nw.LazyFrame[Any], key: str | None, column: str | None) -> nw.LazyFrame[Any]:
    value = nw.col(column) if column else nw.lit(None, dtype=nw.String)
    part = frame.with_columns(slice_key=nw.lit(key, dtype=nw.String), slice_value=value)
    return part.filter(~nw.col("slice_value").is_null()) if column else part


def _cells(part: nw.LazyFrame[Any], name: str, options: MonitoringOptions) -> nw.LazyFrame[Any]:
    column, kind = nw.col(name), options.columns[name]
    text, number, finite = nw.lit(None, dtype=nw.String), nw.lit(None, dtype=nw.Int64), nw.lit(True)
    if kind == "category":
        text = column
    elif kind == "text":
        number = column.str.len_chars().cast(nw.Int64)
    else:
        value = column.cast(nw.Float64)
        finite = column.is_null() | value.is_finite()
        number = nw.when(value.is_finite()).then(_units(value, options.decimals_of(name)))
    return (
        part.select(*_KEYS, text=text, number=number, finite=finite)
        .group_by(*_KEYS, "text", "number", "finite")
        .agg(rows=nw.len().cast(nw.Int64))
        .with_columns(column_name=nw.lit(name))
        .select(*_KEYS, "column_name", "text", "number", "finite", "rows")
    )


def _scored(part: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    return (
        part.select(
            *_KEYS,
            probability=_units(nw.col("probability"), PROBABILITY_DECIMALS),
            predicted=nw.col("prediction") == "Alive",
            labelled=~nw.col("alive").is_null(),
            alive=nw.coalesce(nw.col("alive"), nw.lit("")) == "Alive",
        )
        .group_by(*_KEYS, "probability", "predicted", "labelled", "alive")
        .agg(rows=nw.len().cast(nw.Int64))
    )


def _units(value: nw.Expr, decimals: int) -> nw.Expr:
    """A number in units of its last decimal, halves upwards, as every engine computes it."""
    bounded = (
        nw.when(value > BOUND)
        .then(nw.lit(BOUND))
        .otherwise(nw.when(value < -BOUND).then(nw.lit(-BOUND)).otherwise(value))
    )
    return (bounded * 10.0**decimals + 0.5).floor().cast(nw.Int64)


def _collect(frame: nw.LazyFrame[Any], most: int) -> pa.Table:
    table: pa.Table = frame.head(most + 1).collect("pyarrow").to_native()
    return table


def _refuse(cells: nw.LazyFrame[Any], options: MonitoringOptions) -> None:
    """Say which column has so many values."""
    sizes = cells.group_by("column_name").agg(values=nw.len()).collect("pyarrow").to_native()
    widest = max(sizes.to_pylist(), key=lambda found: (found["values"], found["column_name"]))
    raise ProjectError(
        f"More than {options.max_cells:,} distinct values (monitoring.max_cells), "
        f"{widest['values']:,} of them in the column {widest['column_name']}. Let "
        "monitoring.columns take it for text, of which only the length counts, give it fewer "
        "decimals (monitoring.decimals), measure fewer slices or longer windows, or raise the limit."
    )


def _check_slices(counted: Counts, options: MonitoringOptions) -> None:
    for key in options.slices:
        of_slice = counted.scored.filter(pc.equal(counted.scored["slice_key"], key))
        found = pc.count_distinct(of_slice["slice_value"]).as_py()
        if found > options.max_slice_values:
            raise ProjectError(
                f"monitoring.slices: {key!r} has {found:,} values, and monitoring.max_slice_values "
                f"is {options.max_slice_values}. Write a condition, such as {key} = '..'."
            )


def groups(counted: Counts, granularities: Any, options: MonitoringOptions) -> Groups:  # noqa: ANN401
    """Add units up to windows.

    Args:
        counted: What `count` found.
        granularities: Lengths of the windows.
        options: Kinds and decimals of the columns.

    Returns:
        By window and part, ascending by start; equal counts give equal arrays, in whatever order
        they came.
    """
    units, unit_of_row = _coded(counted.cells["unit"])
    parts, part_of_row = _coded_parts(counted.cells)
    scored_units, scored_unit = _coded(counted.scored["unit"])
    scored_parts, scored_part = _coded_parts(counted.scored)
    names, name_of_row = _coded(counted.cells["column_name"])
    texts, text_of_row = _coded(counted.cells["text"])
    cells = _Cells(
        number=_numbers(counted.cells["number"]),
        has_number=counted.cells["number"].is_valid().to_numpy(zero_copy_only=False),
        text=text_of_row,
        finite=counted.cells["finite"].to_numpy(zero_copy_only=False),
        rows=counted.cells["rows"].to_numpy(),
    )
    found: dict[tuple[Window, Part], Group] = {}
    for granularity in granularities:
        by_unit = [window_at(granularity, unit) for unit in units]
        windows = sorted(set(by_unit))
        places = {window: place for place, window in enumerate(windows)}
        window_of_row = np.array([places[window] for window in by_unit], dtype=np.int64)[
            unit_of_row
        ]
        of_scored = np.array(
            [places[window_at(granularity, unit)] for unit in scored_units], dtype=np.int64
        )[scored_unit]
        scored = dict(_scored_by(of_scored, scored_part, counted.scored))
        columns: dict[tuple[int, int], dict[str, Distribution]] = {}
        for key, rows in _split(window_of_row, part_of_row, name_of_row):
            name = names[key[2]]
            decimals = 0 if options.columns[name] == "text" else options.decimals_of(name)
            columns.setdefault((key[0], key[1]), {})[name] = cells.distribution(
                rows, options.columns[name], decimals, texts
            )
        for (window, part), by_name in columns.items():
            found[windows[window], parts[part]] = Group(
                {name: by_name[name] for name in options.columns if name in by_name},
                scored[window, scored_parts.index(parts[part])],
            )
    return found


@dataclass(frozen=True)
class _Cells:
    """Columns of `Counts.cells` as arrays of one length."""

    number: Ints
    has_number: Any
    text: Ints
    finite: Any
    rows: Ints

    def distribution(self, at: Ints, kind: Any, decimals: int, texts: list[Any]) -> Distribution:  # noqa: ANN401
        """What the rows `at` say of a column."""
        rows = self.rows[at]
        if kind == "category":
            known = self.text[at] >= 0
            codes, sums = _added(self.text[at][known], rows[known])
            values: Any = np.array([texts[code] for code in codes], dtype=object)
            return Distribution(kind, values, sums, nulls=int(rows[~known].sum()))
        known, finite = self.has_number[at], self.finite[at]
        numbers, sums = _added(self.number[at][known], rows[known])
        return Distribution(
            kind,
            numbers / 10.0**decimals,
            sums,
            nulls=int(rows[~known & finite].sum()),
            nans=int(rows[~finite].sum()),
        )


def _added(values: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Each value once, ascending, and its rows."""
    distinct, place = np.unique(values, return_inverse=True)
    sums = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(sums, place, rows)
    return distinct, sums


def _scored_by(
    window: Ints, part: Ints, scored: pa.Table
) -> Iterator[tuple[tuple[int, int], Scored]]:
    flags = [
        scored[name].to_numpy(zero_copy_only=False) for name in ("predicted", "labelled", "alive")
    ]
    cell = _numbers(scored["probability"]) * 8
    for bit, flag in enumerate(flags):
        cell = cell + (flag.astype(np.int64) << bit)
    rows = scored["rows"].to_numpy()
    for (at_window, at_part, _), at in _split(window, part, np.zeros(len(part), dtype=np.int64)):
        cells, sums = _added(cell[at], rows[at])
        yield (
            (at_window, at_part),
            Scored(
                probability=(cells >> 3) / 10.0**PROBABILITY_DECIMALS,
                predicted=(cells & 1) > 0,
                labelled=(cells & 2) > 0,
                alive=(cells & 4) > 0,
                rows=sums,
            ),
        )


def _split(*keys: Ints) -> Iterator[tuple[tuple[int, ...], Ints]]:
    """The rows of each combination of keys, in the order of the keys."""
    if not len(keys[0]):
        return
    order = np.lexsort(keys[::-1])
    changes = np.any([key[order][1:] != key[order][:-1] for key in keys], axis=0)
    for rows in np.split(order, np.flatnonzero(changes) + 1):
        yield tuple(int(key[rows[0]]) for key in keys), rows


def _coded(column: pa.ChunkedArray) -> tuple[list[Any], Ints]:
    """Distinct values, ascending, and by row the place of its value; -1 where there is none."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=lambda place: values[place])
    rank = np.empty(len(values) + 1, dtype=np.int64)
    rank[order] = np.arange(len(values))
    rank[-1] = -1
    codes = encoded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False).astype(np.int64)
    return [values[place] for place in order], rank[codes]


def _coded_parts(table: pa.Table) -> tuple[list[Part], Ints]:
    """The parts, and by row the place of its part."""
    (versions, version), (keys, key), (values, value) = (
        _coded(table[name]) for name in ("model_version", "slice_key", "slice_value")
    )
    width, length = len(keys) + 1, len(values) + 1  # with a place for none
    codes, place = np.unique((version * width + key + 1) * length + value + 1, return_inverse=True)
    return [
        Part(
            versions[code // length // width],
            _at(keys, code // length % width - 1),
            _at(values, code % length - 1),
        )
        for code in codes.tolist()
    ], place


def _at(values: list[Any], place: int) -> Any:  # noqa: ANN401 - a value or None
    return values[place] if place >= 0 else None


def _numbers(column: pa.ChunkedArray) -> Ints:
    numbers: Ints = column.fill_null(0).to_numpy().astype(np.int64)
    return numbers
