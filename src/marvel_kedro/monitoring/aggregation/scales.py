"""Scales of numbers: how finely an engine counts them, by column and model version.

A number is counted in units, a power of two, which follow from the baseline of its version: at
least `STEPS` of them fit between any two neighbouring deciles of the baseline's distinct values.
Numbers of fewer than 2**`BITS` units are rounded to `BITS` significant bits instead: small ones
never become zero. Numbers of 2**52 units or more are not rounded. All of it is exact arithmetic of
IEEE 754, which is the same on every engine.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import narwhals as nw

from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.frames import AnyFrame, lazily

Scales = Mapping[tuple[str, str], int]
"""Binary exponent of the unit by column and model version."""

SCORE = "probability"
STEPS = 256
_DECILES = 10
BITS = 10
MOST_STEPS = 2**16
"""Units between the first and the last decile, at most."""
EXACT = 2.0**52
LARGEST = 2.0**1022
_LIMIT = 1000  # of the exponent: a number in units must not overflow
_SPLIT = 2.0 ** (53 - BITS) + 1
EXCESS = 2.0**32
"""Parts of a unit in which `excess` counts."""


def fit_scales(baseline: AnyFrame, options: MonitoringOptions) -> Scales:
    """Find the units of each number of `monitoring_baseline`, a lazy frame of DuckDB or Spark.

    A column whose decimals are set, or with fewer than two values, is left out.
    """
    frame = lazily(baseline)
    schema = frame.collect_schema()
    wanted = {name for name, kind in options.columns.items() if kind == "number"} | {SCORE}
    names = sorted(
        name
        for name in wanted - set(options.decimals)
        if name in schema.names() and schema[name].is_numeric()
    )
    if not names:
        return {}
    key, value = ("model_version", "_column"), nw.col("_value")
    deciles = (
        frame.select("model_version", *map(_finite, names))
        .unpivot(on=names, index=key[0], variable_name=key[1], value_name="_value")
        .filter(~value.is_null())
        .group_by(*key, "_value")
        .agg(rows=nw.len())
        .with_columns(
            rank=value.rank("ordinal").over(*key).cast(nw.Int64) - 1,
            number=nw.len().over(*key).cast(nw.Int64),
        )
        .filter((nw.col("rank") * _DECILES) % nw.col("number") < _DECILES)
        .select(*key, "_value")
        .collect("pyarrow")
        .to_native()
    )
    found: dict[tuple[str, str], list[float]] = {}
    for row in deciles.to_pylist():
        found.setdefault((row["_column"], row["model_version"]), []).append(row["_value"])
    return {at: _exponent(sorted(some)) for at, some in found.items() if len(some) > 1}


def default_exponent(options: MonitoringOptions, column: str) -> int:
    """Return the exponent of the unit by the column's decimals, without a baseline."""
    return _floor_log2(10.0 ** -options.decimals_of(column))


def exponent_of(scales: Scales, options: MonitoringOptions, column: str, version: str) -> int:
    """Return the exponent of the unit of a column's numbers."""
    return scales.get((column, version), default_exponent(options, column))


def in_units(number: nw.Expr, scales: Scales, options: MonitoringOptions, column: str) -> nw.Expr:
    """Divide a number by the unit of its column and version."""
    versions: dict[int, list[str]] = {}
    for (name, version), exponent in sorted(scales.items()):
        if name == column:
            versions.setdefault(exponent, []).append(version)
    factor: nw.Expr = nw.lit(2.0 ** -default_exponent(options, column))
    for exponent, some in versions.items():
        is_one = nw.col("model_version").is_in(some)
        factor = nw.when(is_one).then(nw.lit(2.0**-exponent)).otherwise(factor)
    units = (number * factor).clip(-LARGEST, LARGEST)
    return nw.when(number == 0).then(nw.lit(0.0)).otherwise(units)  # -0.0 is another group key


def rounded(units: nw.Expr) -> nw.Expr:
    """Round a number of units, to `BITS` significant bits if it is small, else to an integer."""
    size = units.abs()
    small = units.clip(-EXACT, EXACT)
    # Veltkamp (1968): the high bits of a number, by rounding of a product with 2**n + 1.
    high = small * _SPLIT - (small * _SPLIT - small)
    whole = (small + 0.5).floor().cast(nw.Float64)
    large = nw.when(size < EXACT).then(whole).otherwise(units)
    return nw.when(size < 2.0**BITS).then(high).otherwise(large)


def excess(units: nw.Expr, counted: nw.Expr) -> nw.Expr:
    """Return what rounding took from a number of units, as an integer: sums of it are exact."""
    return ((units - counted) * EXCESS + 0.5).floor().cast(nw.Int64)


def _finite(name: str) -> nw.Expr:
    value = nw.col(name).cast(nw.Float64)
    return nw.when(value.is_finite()).then(value).alias(name)


def _exponent(deciles: Sequence[float]) -> int:
    """Return the exponent of the unit, from the minimum and the deciles below the maximum."""
    unit = min(second - first for first, second in pairwise(deciles)) / STEPS
    # Fewer are all values that there are, not some of very many.
    first, most = (1, MOST_STEPS) if len(deciles) == _DECILES else (0, EXACT)
    unit = max(unit, deciles[-1] / most - deciles[first] / most)
    return max(-_LIMIT, min(_LIMIT, _floor_log2(unit)))


def _floor_log2(number: float) -> int:
    return math.frexp(number)[1] - 1
