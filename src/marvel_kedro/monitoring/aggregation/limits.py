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
NO_SLICE = "slice_none"
"""Name of the slice that holds all records."""


def cut(text: nw.Expr) -> nw.Expr:
    """Cut a long text."""
    start = nw.concat_str(text.str.slice(0, MAX_LETTERS - 1), nw.lit("\N{HORIZONTAL ELLIPSIS}"))
    return nw.when(text.str.len_chars() > MAX_LETTERS).then(start).otherwise(text)


def bound_slices(frame: nw.LazyFrame[Any], options: MonitoringOptions) -> nw.LazyFrame[Any]:
    """Cut the values of slices, and join all but the most frequent ones of a slice into one."""
    names = {f"slice_{number}": key for number, key in enumerate(options.slices)}
    if not names:
        return frame
    frame = frame.with_columns(cut(nw.col(name)).alias(name) for name in names)
    distinct = frame.select(nw.col(*names).n_unique()).collect("pyarrow").to_native()
    for name, key in names.items():
        if (distinct[name][0].as_py() or 0) > options.max_slice_values:
            frame = _join_rare_values(frame, name, key, options.max_slice_values)
    return frame


def _join_rare_values(
    frame: nw.LazyFrame[Any], name: str, key: str, most: int
) -> nw.LazyFrame[Any]:
    value = nw.col(name)
    counted = frame.filter(~value.is_null()).group_by(name).agg(rows=nw.len())
    frequent = counted.sort("rows", name, descending=[True, False]).head(most)
    kept = frequent.collect("pyarrow").to_native()[name].to_pylist()
    is_kept = value.is_null() | value.is_in(kept)
    rest = counted.filter(~value.is_in(kept)).select(nw.len(), nw.col("rows").sum())
    values, rows = (column[0].as_py() for column in rest.collect("pyarrow").to_native().columns)
    if not values:  # null was counted as a value
        return frame
    logger.warning(
        "          monitoring.slices: %s has %s values; the %s most frequent are measured "
        "(monitoring.max_slice_values), and the other %s, with %s records, as one slice, %s",
        *(key, f"{len(kept) + values:,}", f"{most:,}", f"{values:,}", f"{rows:,}", OTHERS),
    )
    return frame.with_columns(nw.when(is_kept).then(value).otherwise(nw.lit(OTHERS)).alias(name))


def collect(frame: nw.LazyFrame[Any], options: MonitoringOptions) -> pa.Table:
    """Collect counts from the engine, without the columns or slices that have too many of them.

    Raises:
        ProjectError: There are too many even without slices.
    """
    table: pa.Table = frame.head(options.max_cells + 1).collect("pyarrow").to_native()
    if len(table) <= options.max_cells:
        return table
    name = "column_name" if "column_name" in table.column_names else "slice"
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
    logger.warning(text, f"{options.max_cells:,}", f"{name.removesuffix('_name')} {listed}", remedy)
    return frame.filter(~nw.col(name).is_in([*dropped])).collect("pyarrow").to_native()
