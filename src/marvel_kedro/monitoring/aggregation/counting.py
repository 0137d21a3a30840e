"""Value counts of the records, computed by the engine in one pass.

Numbers are counted in rounded units, see `scales`. Beside each count are the least and the greatest
number and what rounding took from the sum, as an integer: engines that add floats in different
orders would differ.

Columns that are made here begin with an underscore, which no column of a table does.
"""

import re
from typing import Any, get_args

import narwhals as nw
import pyarrow as pa

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.monitoring.aggregation import scales as scaling
from marvel_kedro.monitoring.aggregation.limits import (
    NO_SLICE,
    bound_slices,
    collect,
    cut,
    slice_column,
)
from marvel_kedro.monitoring.aggregation.scales import SCORE, Scales
from marvel_kedro.monitoring.aggregation.value_counts import Kind
from marvel_kedro.monitoring.aggregation.windows import unit_of
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.description import Target
from marvel_kedro.table.frames import AnyFrame, lazily

NOT_FINITE, NO_NUMBER = 2.0**1023, -(2.0**1023)
"""Codes of NaN or infinity, and of null: DuckDB drops nulls when it unpivots columns."""
NO_TEXT, TEXT_PREFIX = "", "="
"""Code of null, and prefix of all other texts."""

KEYS = ["_unit", "model_version", "_slice", "_slice_value"]
"""`_unit` is the start of a time unit."""
FLAGS = ["_predicted", "_labelled", "_positive"]
"""The prediction is the positive class, the label is known, and it is the positive class."""
_SCORES = ["value", "_above_half", *FLAGS]
_LEADING_NAME = re.compile(r"[a-z][a-z0-9_]*(?=\s*(?:=|$))")
# An empty text that is nullable, as the slices are: otherwise Sail cannot unpivot them together.
_EMPTY = nw.col("model_version").str.slice(0, 0)


def count(
    log: AnyFrame, options: MonitoringOptions, target: Target, scales: Scales | None = None
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Count the records of `inference_log`, a lazy frame of DuckDB or Spark, in three tables.

    Returns:
        - Categories: `KEYS`, `column_name`, `value`, `rows`.
        - Numbers, in rounded units, and lengths: the same columns, and those of `_sums`.
        - Scores: `KEYS`, the probability or, `_above_half`, the probability minus 1 as `value` in
          rounded units, `FLAGS`, `rows`, and those of `_sums`.

    Raises:
        ProjectError: A column or slice does not exist, or there are too many values.
    """
    frame = bound_slices(_add_slices(log, options), options)
    _check_columns(frame, options)
    names: dict[Kind, list[str]] = {
        kind: [name for name, given in options.columns.items() if given == kind]
        for kind in get_args(Kind)
    }
    slices = [NO_SLICE, *(slice_column(number) for number in range(len(options.slices)))]
    score, label = nw.col(SCORE).cast(nw.Float64), nw.col(target.column)
    is_above = score.is_finite() & (score > 0.5)  # noqa: PLR2004 - half
    above = nw.when(is_above).then(nw.lit(value=True)).otherwise(nw.lit(value=False))
    # Scores near 1 are as far apart as those near 0.
    distance = nw.when(above).then(score - 1).otherwise(score)
    # One row per slice that a record belongs to: engines scan once and aggregate as they read.
    records = (
        frame.select(
            "model_version",
            *slices[1:],
            *map(_text_code, names["category"]),
            *map(_length, names["text"]),
            *(_units(nw.col(name), name, options, scales).alias(name) for name in names["number"]),
            _unit=nw.col("request_time").dt.truncate(unit_of(options.granularities)),
            _slice_none=_EMPTY,
            _score_units=_units(distance, SCORE, options, scales),
            _above_half=above,
            _predicted=nw.col("prediction") == target.positive,
            _labelled=~label.is_null(),
            _positive=nw.coalesce(label, nw.lit("")) == target.positive,
        )
        .unpivot(
            on=slices,
            index=[*KEYS[:2], *options.columns, "_score_units", *_SCORES[1:]],
            variable_name="_slice",
            value_name="_slice_value",
        )
        .filter(~nw.col("_slice_value").is_null(), ~nw.col("model_version").is_null())
    )
    # The scores first, since a slice may be left out.
    scored = records.select(*KEYS, *_SCORES[1:], units=nw.col("_score_units"))
    scores = collect(_sums(scored, *KEYS, *_SCORES), options)
    measured = set(scores["_slice"].unique().to_pylist())
    if len(scores) and measured < set(slices):
        records = records.filter(nw.col("_slice").is_in(sorted(measured)))
    texts = _text_counts(records, names["category"])
    numbers = _number_counts(records, [*names["number"], *names["text"]])
    return collect(texts, options), collect(numbers, options), scores


def can_evaluate(table: AnyFrame, expression: str) -> bool:
    """Return true if the engine can evaluate an SQL expression over a table."""
    try:
        lazily(_add_slice(table, expression, 0)).collect_schema()
    except Exception:  # noqa: BLE001 - each engine has its own
        return False
    return True


def _text_counts(records: nw.LazyFrame[Any], names: list[str]) -> nw.LazyFrame[Any]:
    values = _unpivot(records, names, "value", nw.lit(None, dtype=nw.String))
    return values.group_by(*KEYS, "column_name", "value").agg(rows=nw.len().cast(nw.Int64))


def _number_counts(records: nw.LazyFrame[Any], names: list[str]) -> nw.LazyFrame[Any]:
    values = _unpivot(records, names, "units", nw.lit(None, dtype=nw.Float64))
    return _sums(values, *KEYS, "column_name", "value")


def _unpivot(
    records: nw.LazyFrame[Any], names: list[str], value: str, nothing: nw.Expr
) -> nw.LazyFrame[Any]:
    if not names:  # engines cannot unpivot no columns
        none = records.select(*KEYS, nothing.alias(value), column_name=nw.lit(""))
        return none.filter(nw.col("column_name") != nw.lit(""))
    values = records.unpivot(on=names, index=KEYS, variable_name="_column", value_name="_value")
    return values.rename({"_column": "column_name", "_value": value})


def _sums(records: nw.LazyFrame[Any], *keys: str) -> nw.LazyFrame[Any]:
    """Count numbers by keys and rounded `units`.

    Beside the rows are the `least` and the `greatest` number of units, and the sum of `excess`.
    """
    units = nw.col("units")
    return (
        records.with_columns(value=scaling.rounded(units))
        .with_columns(excess=scaling.excess(units, nw.col("value")))
        .group_by(*keys)
        .agg(
            rows=nw.len().cast(nw.Int64),
            least=units.min(),
            greatest=units.max(),
            excess=nw.col("excess").sum().cast(nw.Int64),
        )
    )


def _add_slice(table: AnyFrame, expression: str, number: int) -> AnyFrame:
    """Add the column of a slice, as text; the engine parses the expression."""
    is_spark = hasattr(table, "selectExpr")
    quote = "`" if is_spark else '"'  # a column may be called `order`
    expression = _LEADING_NAME.sub(rf"{quote}\g<0>{quote}", expression.strip(), count=1)
    column = f"CAST(({expression}) AS STRING) AS {slice_column(number)}"
    return table.selectExpr("*", column) if is_spark else table.project(f"*, {column}")


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
    length = text.str.len_chars().cast(nw.Float64)
    # No `coalesce`: Sail unpivots columns only if all of them are nullable, or none.
    return nw.when(~text.is_null()).then(length).otherwise(nw.lit(NO_NUMBER)).alias(name)


def _units(
    number: nw.Expr, column: str, options: MonitoringOptions, scales: Scales | None
) -> nw.Expr:
    """Return a number in units of its column, or a code."""
    number = number.cast(nw.Float64)
    units = scaling.in_units(number, scales or {}, options, column)
    missing = nw.when(number.is_null()).then(nw.lit(NO_NUMBER)).otherwise(nw.lit(NOT_FINITE))
    return nw.when(number.is_finite()).then(units).otherwise(missing)
