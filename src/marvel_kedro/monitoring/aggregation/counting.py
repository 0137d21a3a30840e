"""Value counts of the records, computed by the engine in one pass.

Numbers are rounded to a fixed number of decimals and counted as integers: engines that add floats
in different orders would differ. Only integers and texts leave the engine.
"""

from typing import Any, get_args

import narwhals as nw
import pyarrow as pa

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.monitoring.aggregation.limits import NO_SLICE, bound_slices, collect, cut
from marvel_kedro.monitoring.aggregation.value_counts import Kind
from marvel_kedro.monitoring.aggregation.windows import unit_of
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.frames import AnyFrame, lazily

PROBABILITY_DECIMALS = 4
BOUND = 1e12
"""Numbers are clipped to +-BOUND, so that their units fit in 64 bits."""

NOT_FINITE, NO_NUMBER = -(2**62), -(2**62) + 1
"""Codes of NaN or infinity, and of null: DuckDB drops nulls when it unpivots columns."""
NO_TEXT, TEXT_PREFIX = "", "="
"""Code of null, and prefix of all other texts."""

KEYS = ["unit", "model_version", "slice", "slice_value"]
"""`unit` is the start of a time unit."""
_SCORES = ["scored_probability", "predicted", "labelled", "lives"]
# An empty text that is nullable, as the slices are: otherwise Sail cannot unpivot them together.
_EMPTY = nw.col("model_version").str.slice(0, 0)


def count(log: AnyFrame, options: MonitoringOptions) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Count the records of `inference_log`, a lazy frame of DuckDB or Spark, in three tables.

    Returns:
        - Categories: `KEYS`, `column_name`, `value`, `rows`.
        - Numbers, in units of the last decimal, and lengths: the same columns.
        - `KEYS`, `scored_probability` (in 1e-4), `predicted`, `labelled`, `lives`, `rows`.

    Raises:
        ProjectError: A column or slice does not exist, or there are too many values.
    """
    frame = bound_slices(_add_slices(log, options), options)
    _check_columns(frame, options)
    names: dict[Kind, list[str]] = {
        kind: [name for name, given in options.columns.items() if given == kind]
        for kind in get_args(Kind)
    }
    slices = [NO_SLICE, *(f"slice_{number}" for number in range(len(options.slices)))]
    # One row per slice that a record belongs to: engines scan once and aggregate as they read.
    records = (
        frame.select(
            "model_version",
            *slices[1:],
            *map(_text_code, names["category"]),
            *map(_length, names["text"]),
            *(_units(name, options.decimals_of(name)).alias(name) for name in names["number"]),
            unit=nw.col("request_time").dt.truncate(unit_of(options.granularities)),
            slice_none=_EMPTY,
            scored_probability=_units("probability", PROBABILITY_DECIMALS),
            predicted=nw.col("prediction") == "Alive",
            labelled=~nw.col("alive").is_null(),
            lives=nw.coalesce(nw.col("alive"), nw.lit("")) == "Alive",
        )
        .unpivot(
            on=slices,
            index=[*KEYS[:2], *options.columns, *_SCORES],
            variable_name="slice",
            value_name="slice_value",
        )
        .filter(~nw.col("slice_value").is_null(), ~nw.col("model_version").is_null())
    )
    by_score = records.group_by(*KEYS, *_SCORES).agg(rows=nw.len().cast(nw.Int64))
    scores = collect(by_score, options)
    measured = set(scores["slice"].unique().to_pylist())
    if len(scores) and measured < set(slices):  # a slice may be left out
        records = records.filter(nw.col("slice").is_in(sorted(measured)))
    texts = _value_counts(records, names["category"], nw.String)
    numbers = _value_counts(records, [*names["number"], *names["text"]], nw.Int64)
    return collect(texts, options), collect(numbers, options), scores


def can_evaluate(table: AnyFrame, expression: str) -> bool:
    """Return true if the engine can evaluate an SQL expression over a table."""
    try:
        lazily(_add_slice(table, expression, 0)).collect_schema()
    except Exception:  # noqa: BLE001 - each engine has its own
        return False
    return True


def _value_counts(
    records: nw.LazyFrame[Any],
    names: list[str],
    dtype: Any,  # noqa: ANN401
) -> nw.LazyFrame[Any]:
    if not names:  # engines cannot unpivot no columns
        empty = {"column_name": nw.lit(""), "value": nw.lit(None, dtype=dtype)}
        none = records.select(*KEYS, **empty, rows=nw.lit(0, dtype=nw.Int64))
        return none.filter(nw.col("column_name") != nw.lit(""))
    return (
        records.unpivot(on=names, index=KEYS, variable_name="column_name", value_name="value")
        .group_by(*KEYS, "column_name", "value")
        .agg(rows=nw.len().cast(nw.Int64))
    )


def _add_slice(table: AnyFrame, expression: str, number: int) -> AnyFrame:
    """Add the column of a slice, as text; the engine parses the expression."""
    column = f"CAST(({expression}) AS STRING) AS slice_{number}"
    if hasattr(table, "selectExpr"):
        return table.selectExpr("*", column)
    return table.project(f"*, {column}")


def _add_slices(log: AnyFrame, options: MonitoringOptions) -> nw.LazyFrame[Any]:
    for number, expression in enumerate(options.slices):
        try:
            log = _add_slice(log, expression, number)
            lazily(log).collect_schema()
        except Exception as error:  # each engine has its own
            raise ProjectError(
                f"monitoring.slices: the engine cannot read {expression!r}: "
                f"{str(error).strip().splitlines()[0]}. Name a column of inference_log, or write "
                "an SQL condition over its columns."
            ) from error
    return lazily(log)


def _check_columns(frame: nw.LazyFrame[Any], options: MonitoringOptions) -> None:
    schema = frame.collect_schema()
    if missing := [name for name in options.columns if name not in schema.names()]:
        raise ProjectError(
            f"monitoring.columns: inference_log has no column {', '.join(missing)}. "
            f"It has {', '.join(schema.names())}."
        )
    for name, kind in options.columns.items():
        fits = schema[name].is_numeric() if kind == "number" else schema[name] == nw.String
        if not fits:
            raise ProjectError(
                f"monitoring.columns: {name} is declared as {kind}, but its type in inference_log "
                f"is {schema[name]}. A number must be numeric, a category or text a string."
            )


def _text_code(name: str) -> nw.Expr:
    prefixed = nw.concat_str(nw.lit(TEXT_PREFIX), cut(nw.col(name)))
    return nw.coalesce(prefixed, nw.lit(NO_TEXT)).alias(name)


def _length(name: str) -> nw.Expr:
    text = nw.col(name)
    length = text.str.len_chars().cast(nw.Int64)
    # No `coalesce`: Sail unpivots columns only if all of them are nullable, or none.
    return nw.when(~text.is_null()).then(length).otherwise(_code(NO_NUMBER)).alias(name)


def _code(number: int) -> nw.Expr:
    return nw.lit(number, dtype=nw.Int64)


def _units(name: str, decimals: int) -> nw.Expr:
    """Round a number to units of its last decimal, halves upwards, equally on every engine."""
    value = nw.col(name).cast(nw.Float64)
    # NaN, above all numbers for engines, becomes BOUND: a cast of NaN could fail.
    units = (value.clip(-BOUND, BOUND) * 10.0**decimals + 0.5).floor().cast(nw.Int64)
    missing = nw.when(value.is_null()).then(_code(NO_NUMBER)).otherwise(_code(NOT_FINITE))
    return nw.when(value.is_finite()).then(units).otherwise(missing)
