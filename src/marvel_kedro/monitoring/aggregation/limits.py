"""Bounds on the texts of clients, so that none of them stops monitoring."""

import logging
from typing import Any

import narwhals as nw
import pyarrow as pa

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.monitoring.options import MonitoringOptions

logger = logging.getLogger(__name__)

MAX_LETTERS = 200
"""Longer categories and values of slices are cut."""
OTHERS = "(other values)"
"""Value of a slice that holds all but its most frequent values."""
NO_SLICE = "_slice_none"
"""Name of the slice that holds all records."""


def slice_column(number: int) -> str:
    """Return the column of a slice; no column of a table begins with an underscore."""
    return f"_slice_{number}"


def cut(text: nw.Expr) -> nw.Expr:
    """Cut a long text."""
    start = nw.concat_str(text.str.slice(0, MAX_LETTERS - 1), nw.lit("\N{HORIZONTAL ELLIPSIS}"))
    return nw.when(text.str.len_chars() > MAX_LETTERS).then(start).otherwise(text)


def _sent(value: nw.Expr) -> nw.Expr:
    """Quote a value that a client has sent and that would be taken for `OTHERS`."""
    return nw.when(value == OTHERS).then(nw.lit(f"'{OTHERS}'")).otherwise(value)


def bound_slices(frame: nw.LazyFrame[Any], options: MonitoringOptions) -> nw.LazyFrame[Any]:
    """Cut the values of slices, and join all but the most frequent ones of a slice into one."""
    names = {slice_column(number): key for number, key in enumerate(options.slices)}
    if not names:
        return frame
    frame = frame.with_columns(_sent(cut(nw.col(name))).alias(name) for name in names)
    distinct = frame.select(nw.col(*names).n_unique()).collect("pyarrow").to_native()
    for name, key in names.items():
        if (distinct[name][0].as_py() or 0) > options.max_slice_values:
            frame = _join_rare_values(frame, name, key, options)
    return frame


def _join_rare_values(
    frame: nw.LazyFrame[Any], name: str, key: str, options: MonitoringOptions
) -> nw.LazyFrame[Any]:
    length, period = _period(options)
    most, group = options.max_slice_values, ["_period", name]
    frame = frame.with_columns(_period=period)
    counted = frame.filter(~nw.col(name).is_null()).group_by(*group).agg(rows=nw.len())
    ordered = counted.with_columns(one=nw.lit(1), fewer=-nw.col("rows").cast(nw.Int64))
    place = nw.col("one").cum_sum().over("_period", order_by=["fewer", name])
    rare = ordered.with_columns(place=place).filter(nw.col("place") > most)
    lost = rare.select(nw.col("rows").sum()).collect("pyarrow").to_native()[0][0].as_py()
    if lost:
        logger.warning(
            "          monitoring.slices: %s has more than %s values; the most frequent of each "
            "%s are measured (monitoring.max_slice_values), and the %s records of the others as "
            "one slice, %s",
            *(key, f"{most:,}", length, f"{lost:,}", OTHERS),
        )
        frame = frame.join(rare.select(*group, _rare=nw.lit(OTHERS)), on=group, how="left")
        frame = frame.with_columns(nw.coalesce("_rare", name).alias(name)).drop("_rare")
    return frame.drop("_period")


def _period(options: MonitoringOptions) -> tuple[str, nw.Expr]:
    """Return the period whose most frequent values are measured, and its key.

    A run counts whole periods, whichever days have changed: all runs choose the same values.
    """
    time, longest = nw.col("request_time").dt, " ".join(options.granularities)
    if "year" in longest:
        return "year", time.year()
    if "month" in longest:
        return "month", time.year() * 100 + time.month()
    day = time.year() * 1000 + time.ordinal_day()
    since_monday = (time.weekday() + 6) % 7  # narwhals has Sunday as 7 on DuckDB, as 0 on Spark
    return ("week", day - since_monday) if "week" in longest else ("day", day)


def collect(frame: nw.LazyFrame[Any], options: MonitoringOptions) -> pa.Table:
    """Collect counts from the engine, without the columns or slices that have too many of them.

    Raises:
        ProjectError: There are too many even without slices.
    """
    table: pa.Table = frame.head(options.max_cells + 1).collect("pyarrow").to_native()
    if len(table) <= options.max_cells:
        return table
    name = "column_name" if "column_name" in table.column_names else "_slice"
    counted = frame.group_by(name).agg(values=nw.len()).collect("pyarrow").to_native()
    sizes: dict[str, int] = {row[name]: row["values"] for row in counted.to_pylist()}
    kept = sum(sizes.values())
    dropped: dict[str, int] = {}
    for widest in sorted(sizes.keys() - {NO_SLICE}, key=lambda one: (-sizes[one], one)):
        if kept <= options.max_cells:
            break
        dropped[widest] = sizes[widest]
        kept -= sizes[widest]
    remedy = (
        "Declare such a column as text in monitoring.columns, so that only its length counts, give "
        "it fewer decimals (monitoring.decimals), measure fewer slices or longer windows, or raise "
        "the limit."
    )
    if kept > options.max_cells:
        raise ProjectError(
            f"There are {kept:,} distinct values, more than monitoring.max_cells "
            f"({options.max_cells:,}), without any slice. {remedy}"
        )
    listed = ", ".join(f"{key} ({values:,})" for key, values in dropped.items())
    text = "          more than %s distinct values (monitoring.max_cells): not measured: %s. %s"
    kind = name.strip("_").removesuffix("_name")
    logger.warning(text, f"{options.max_cells:,}", f"{kind} {listed}", remedy)
    return frame.filter(~nw.col(name).is_in([*dropped])).collect("pyarrow").to_native()
