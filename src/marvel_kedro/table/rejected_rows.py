"""Reject the rows that cannot be used, with the reason for each."""

from collections.abc import Collection
from typing import Any

import narwhals as nw
from narwhals.typing import IntoFrameT

from marvel_kedro.table import missing_markers
from marvel_kedro.table.classes import to_class
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import lazily


def with_reason(
    rows: nw.LazyFrame[Any], table: TableSpec, markers: Collection[str]
) -> nw.LazyFrame[Any]:
    """Add the column `reason`: why a row is rejected, null if it is usable.

    With the names of the key and of the target:

    - `header line`: each required column has its own name, as where files were joined.
    - `no <key>`: the key is empty or a missing marker.
    - `unknown <target>`: the target is neither of the two classes.
    - `repeated <key>`: an earlier usable row has the same key. Rows with the same key are ordered
      by their contents, so the choice does not depend on the order of the file.
    """
    names = (
        nw.col(name).fill_null("") == source
        for source, name in table.sources.items()
        if table.columns[name].required
    )
    is_header = nw.all_horizontal(*names, ignore_nulls=True)
    key = missing_markers.replace(table.key, table.columns[table.key], markers)
    usable = ~is_header & ~key.is_null() & ~to_class(table.target, markers).is_null()
    filled = (nw.col(name).fill_null("") for name in table.columns)
    contents = nw.concat_str(*filled, separator="\x1f")
    # Not `cum_count`: on pandas narwhals 2.29 counts a partitioning or ordering column wrongly.
    place = nw.col("_one").cum_sum().over("_usable", order_by="_contents")
    reason = nw.coalesce(
        nw.when(nw.col("_is_header")).then(nw.lit("header line")),
        nw.when(key.is_null()).then(nw.lit(f"no {table.key}")),
        nw.when(nw.col("_usable").is_null()).then(nw.lit(f"unknown {table.target.column}")),
        nw.when(nw.col("_place") > 1).then(nw.lit(f"repeated {table.key}")),
    )
    return (
        rows.with_columns(
            nw.when(usable).then(nw.col(table.key)).alias("_usable"),
            is_header.alias("_is_header"),
            contents.alias("_contents"),
            nw.lit(1).alias("_one"),
        )
        .with_columns(place.alias("_place"))
        .with_columns(reason.alias("reason"))
        .drop("_usable", "_is_header", "_contents", "_one", "_place")
    )


def select_rejected(source_rows: IntoFrameT) -> IntoFrameT:
    """Select the rejected rows, unchanged, with their `reason`."""
    return lazily(source_rows).filter(~nw.col("reason").is_null()).to_native()
