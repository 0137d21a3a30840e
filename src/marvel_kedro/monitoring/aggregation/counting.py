"""From records to counts: one pass on the engine, whichever that is.

Numbers are counted by a fixed number of decimals, so that engines which add in different orders
cannot differ: what leaves an engine are integers and texts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, get_args

import narwhals as nw
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.metrics import Flags
from marvel_kedro.monitoring.aggregation.value_counts import (
    Baseline,
    Distribution,
    Group,
    Groups,
    Ints,
    Kind,
    Part,
    Scored,
    Window,
)
from marvel_kedro.monitoring.aggregation.windows import Granularity, unit_of, window_at
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.frames import AnyFrame

PROBABILITY_DECIMALS = 4
BOUND = 1e12
"""Numbers beyond it are counted as if they were it: they would not fit in 64 bits otherwise."""

NOT_FINITE, NO_NUMBER = -(2**62), -(2**62) + 1
"""What stands for a number that is none, such as infinity, and for no value: DuckDB drops nulls
when columns become rows."""
NO_TEXT, TEXT = "", "="
"""What stands for no value among texts, and what all others begin with."""

_ALL = "slice_none"
_NOTHING = nw.col("model_version").str.slice(0, 0)
"""An empty text that could be null, as slices can: else Sail does not make rows of them."""
_KEYS = ["unit", "model_version", "slice", "slice_value"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Counts:
    """What has left the engine.

    Attributes:
        texts: Categories: `unit` (start), `model_version`, `slice`, `slice_value`, `column_name`,
            `value`, `rows`.
        numbers: Numbers, in units of the last decimal, and lengths; the same columns.
        scored: The same keys, `scored_probability` (in ten thousandths), `predicted`, `labelled`,
            `lives`, `rows`.
    """

    texts: pa.Table
    numbers: pa.Table
    scored: pa.Table


def count(log: AnyFrame, options: MonitoringOptions) -> Counts:
    """Count records by unit of time, model version, slice, column and value.

    Args:
        log: Rows of `inference_log`, a lazy frame of DuckDB or Spark.
        options: What is counted.

    Raises:
        ProjectError: A column or slice is not there, or there are too many values.
    """
    frame = _sliced(log, options)
    _check_columns(frame, options)
    unit = nw.col("request_time").dt.truncate(unit_of(options.granularities))
    names = _names_by_kind(options)
    slices = [_ALL, *(f"slice_{number}" for number in range(len(options.slices)))]
    # A row for each part that a record belongs to: engines read once, and add up as they read.
    parts = (
        frame.select(
            "model_version",
            *slices[1:],
            *map(_marked, names["category"]),
            *(_length(name) for name in names["text"]),
            *(_in_units(name, options.decimals_of(name)).alias(name) for name in names["number"]),
            unit=unit,
            slice_none=_NOTHING,
            scored_probability=_in_units("probability", PROBABILITY_DECIMALS),
            predicted=nw.col("prediction") == "Alive",
            labelled=~nw.col("alive").is_null(),
            lives=nw.coalesce(nw.col("alive"), nw.lit("")) == "Alive",
        )
        .unpivot(
            on=slices,
            index=[*_KEYS[:2], *options.columns, *_SCORED],
            variable_name="slice",
            value_name="slice_value",
        )
        .filter(~nw.col("slice_value").is_null())
    )
    scored = parts.group_by(*_KEYS, *_SCORED).agg(rows=nw.len().cast(nw.Int64))
    counted = Counts(
        _collect(_cells(parts, names["category"], nw.String), options),
        _collect(_cells(parts, [*names["number"], *names["text"]], nw.Int64), options),
        _collect(scored, options),
    )
    _check_slices(counted, options)
    return counted


_SCORED = ["scored_probability", "predicted", "labelled", "lives"]


def _names_by_kind(options: MonitoringOptions) -> dict[Kind, list[str]]:
    return {
        kind: [name for name, of_it in options.columns.items() if of_it == kind]
        for kind in get_args(Kind)
    }


def _cells(parts: nw.LazyFrame[Any], names: list[str], kind: Any) -> nw.LazyFrame[Any]:  # noqa: ANN401
    if not names:  # no engine makes rows of no columns
        nothing = {"column_name": nw.lit(""), "value": nw.lit(None, dtype=kind)}
        none = parts.select(*_KEYS, **nothing, rows=nw.lit(0, dtype=nw.Int64))
        return none.filter(nw.col("column_name") != nw.lit(""))
    return (
        parts.unpivot(on=names, index=_KEYS, variable_name="column_name", value_name="value")
        .group_by(*_KEYS, "column_name", "value")
        .agg(rows=nw.len().cast(nw.Int64))
    )


def count_baseline(baseline: AnyFrame, options: MonitoringOptions) -> Baseline:
    """Count the records that windows are held against.

    Args:
        baseline: Rows of `monitoring_baseline`, a lazy frame of DuckDB or Spark.
        options: What is counted.
    """
    at_once = nw.from_native(baseline).with_columns(request_time=nw.lit(_EPOCH))
    there = at_once.collect_schema().names()
    # What the log alone has, such as who answered, has nothing to be held against.
    own = options.model_copy(
        update={
            "granularities": ("1 day",),
            "columns": {name: kind for name, kind in options.columns.items() if name in there},
            "slices": tuple(key for key in options.slices if _reads(at_once.to_native(), key)),
        }
    )
    counted = count(at_once.to_native(), own)
    return {part: group for (_, part), group in groups(counted, ("1 day",), own).items()}


def _reads(table: AnyFrame, key: str) -> bool:
    """Whether an engine can read an expression over a table."""
    try:
        nw.from_native(_with_slice(table, key, 0)).collect_schema()
    except Exception:  # noqa: BLE001 - each engine has its own
        return False
    return True


def _with_slice(table: AnyFrame, key: str, number: int) -> AnyFrame:
    """Add the column of a slice, as text: the engine reads the expression."""
    added = f"CAST(({key}) AS STRING) AS slice_{number}"
    if hasattr(table, "selectExpr"):
        return table.selectExpr("*", added)
    return table.project(f"*, {added}")


def _sliced(log: AnyFrame, options: MonitoringOptions) -> nw.LazyFrame[Any]:
    """Add a column a slice."""
    for number, key in enumerate(options.slices):
        try:
            log = _with_slice(log, key, number)
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


def _marked(name: str) -> nw.Expr:
    marked = nw.concat_str(nw.lit(TEXT), nw.col(name))
    return nw.coalesce(marked, nw.lit(NO_TEXT)).alias(name)


def _length(name: str) -> nw.Expr:
    text = nw.col(name)
    length = text.str.len_chars().cast(nw.Int64)
    # No `coalesce`: Sail makes rows of columns only if all of them could be null, or none.
    return nw.when(~text.is_null()).then(length).otherwise(_constant(NO_NUMBER)).alias(name)


def _constant(number: int) -> nw.Expr:
    return nw.lit(number, dtype=nw.Int64)


def _in_units(name: str, decimals: int) -> nw.Expr:
    """A number in units of its last decimal, halves upwards, as every engine computes it."""
    value = nw.col(name).cast(nw.Float64)
    bounded = (
        nw.when(value > BOUND)
        .then(nw.lit(BOUND))
        .otherwise(nw.when(value < -BOUND).then(nw.lit(-BOUND)).otherwise(value))
    )
    units = (bounded * 10.0**decimals + 0.5).floor().cast(nw.Int64)
    return (
        nw.when(value.is_finite())
        .then(units)
        .otherwise(
            nw.when(value.is_null()).then(_constant(NO_NUMBER)).otherwise(_constant(NOT_FINITE))
        )
    )


def _collect(frame: nw.LazyFrame[Any], options: MonitoringOptions) -> pa.Table:
    """Take a table of counts off the engine.

    Raises:
        ProjectError: It is too long; the message says which column has so many values.
    """
    table: pa.Table = frame.head(options.max_cells + 1).collect("pyarrow").to_native()
    if len(table) <= options.max_cells:
        return table
    name = "column_name" if "column_name" in table.column_names else "slice"
    sizes = frame.group_by(name).agg(values=nw.len()).collect("pyarrow").to_native().to_pylist()
    widest = max(sizes, key=lambda found: (found["values"], found[name]))
    raise ProjectError(
        f"More than {options.max_cells:,} distinct values (monitoring.max_cells), "
        f"{widest['values']:,} of them in the {name.replace('_name', '')} {widest[name]}. Let "
        "monitoring.columns take it for text, of which only the length counts, give it fewer "
        "decimals (monitoring.decimals), measure fewer slices or longer windows, or raise the "
        "limit."
    )


def _check_slices(counted: Counts, options: MonitoringOptions) -> None:
    for number, key in enumerate(options.slices):
        of_slice = counted.scored.filter(pc.equal(counted.scored["slice"], f"slice_{number}"))
        found = pc.count_distinct(of_slice["slice_value"]).as_py()
        if found > options.max_slice_values:
            raise ProjectError(
                f"monitoring.slices: {key!r} has {found:,} values, and monitoring.max_slice_values "
                f"is {options.max_slice_values}. Write a condition, such as {key} = '..'."
            )


def groups(
    counted: Counts, granularities: Sequence[Granularity], options: MonitoringOptions
) -> Groups:
    """Add units up to windows.

    Args:
        counted: What `count` found.
        granularities: Lengths of the windows.
        options: Kinds and decimals of the columns.

    Returns:
        By window and part, ascending by start; equal counts give equal arrays, in whatever order
        they came.
    """
    parts: dict[Part, int] = {}
    tables = [
        _Coded.of(table, options, parts)
        for table in (counted.texts, counted.numbers, counted.scored)
    ]
    named = list(parts)
    found: dict[tuple[Window, Part], Group] = {}
    for granularity in granularities:
        windows = sorted({window_at(granularity, unit) for coded in tables for unit in coded.units})
        places = {window: place for place, window in enumerate(windows)}
        by_window = [
            np.array([places[window_at(granularity, unit)] for unit in coded.units], np.int64)[
                coded.unit
            ]
            for coded in tables
        ]
        columns: dict[tuple[int, int], dict[str, Distribution]] = {}
        for coded, window_of_row in zip(tables[:2], by_window[:2], strict=True):
            for (window, part, name), rows in _split(window_of_row, coded.part, coded.name):
                columns.setdefault((window, part), {})[coded.names[name]] = coded.distribution(
                    rows, coded.names[name], options
                )
        scored = dict(_scored_by(by_window[2], tables[2].part, counted.scored))
        for key in sorted(columns):
            found[windows[key[0]], named[key[1]]] = Group(
                {name: columns[key][name] for name in options.columns if name in columns[key]},
                scored[key],
            )
    return dict(sorted(found.items(), key=_window_and_part))


def _window_and_part(item: tuple[tuple[Window, Part], Group]) -> tuple[Any, ...]:
    (window, part), _ = item
    return window, part.model_version, part.slice_key or "", part.slice_value or ""


@dataclass(frozen=True)
class _Coded:
    """A table of counts as arrays of one length.

    Attributes:
        units: Starts of units.
        unit: By row the place in it.
        part: By row the number of its part.
        names: Columns.
        name: By row the place in it.
        values: Texts; none for numbers.
        value: By row the place in it, or the number.
        valid: By row whether there is a value.
        rows: Records by row.
    """

    units: list[datetime]
    unit: Ints
    part: Ints
    names: list[str]
    name: Ints
    values: list[str]
    value: Ints
    valid: Flags
    rows: Ints

    @classmethod
    def of(cls, table: pa.Table, options: MonitoringOptions, parts: dict[Part, int]) -> "_Coded":
        """Code a table; parts that are new get the next numbers."""
        units, unit = _coded(table["unit"])
        names, name, valid = [""], unit, unit >= 0
        values: list[str] = []
        value = unit
        if "column_name" in table.column_names:
            names, name = _coded(table["column_name"])
            if pa.types.is_integer(table["value"].type):
                value = _numbers(table["value"])
                valid = value != NO_NUMBER
            else:
                values, value = _coded(table["value"])
                valid = np.array([text != NO_TEXT for text in values], bool)[value]
                values = [text.removeprefix(TEXT) for text in values]
        return cls(
            units=units,
            unit=unit,
            part=_parts(table, options, parts),
            names=names,
            name=name,
            values=values,
            value=value,
            valid=valid,
            rows=table["rows"].to_numpy(),
        )

    def distribution(self, at: Ints, name: str, options: MonitoringOptions) -> Distribution:
        """What the rows `at` say of a column."""
        kind, rows, valid = options.columns[name], self.rows[at], self.valid[at]
        nulls = int(rows[~valid].sum())
        values, sums = _added(self.value[at][valid], rows[valid])
        if kind == "category":
            texts = np.array([self.values[code] for code in values], dtype=object)
            return Distribution(kind, texts, sums, nulls=nulls)
        finite = values != NOT_FINITE
        decimals = 0 if kind == "text" else options.decimals_of(name)
        return Distribution(
            kind,
            values[finite] / 10.0**decimals,
            sums[finite],
            nulls=nulls,
            nans=int(sums[~finite].sum()),
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
        scored[name].to_numpy(zero_copy_only=False) for name in ("predicted", "labelled", "lives")
    ]
    cell = _numbers(scored["scored_probability"]) * 8
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


def _parts(table: pa.Table, options: MonitoringOptions, parts: dict[Part, int]) -> Ints:
    """By row the number of its part; parts that are new get the next numbers."""
    keys = {_ALL: None} | {f"slice_{n}": key for n, key in enumerate(options.slices)}
    (versions, version), (slices, place), (values, value) = (
        _coded(table[name]) for name in _KEYS[1:]
    )
    width, length = len(slices), len(values)
    codes, row = np.unique((version * width + place) * length + value, return_inverse=True)
    numbers = []
    for code in codes.tolist():
        key = keys[slices[code // length % width]]
        part = Part(versions[code // length // width], key, values[code % length] if key else None)
        numbers.append(parts.setdefault(part, len(parts)))
    return np.array(numbers, np.int64)[row]


def _numbers(column: pa.ChunkedArray) -> Ints:
    numbers: Ints = column.fill_null(0).to_numpy().astype(np.int64)
    return numbers
