"""Reject the rows that cannot be used, with the reason for each."""

from collections.abc import Collection, Mapping
from typing import Any

import narwhals as nw
from narwhals.typing import IntoFrameT

from marvel_kedro.table.frames import lazily


def with_reason(
    rows: nw.LazyFrame[Any], columns: Collection[str], key: nw.Expr, header: Mapping[str, str]
) -> nw.LazyFrame[Any]:
    """Add the column `reason`: why a row is rejected, null if it is usable.

    - `header line`: each column of `header` has its own name, as where files were joined.
    - `no page_id`: the `key` is empty or a missing marker.
    - `unknown alive`: the target is neither Alive nor Dead.
    - `repeated page_id`: an earlier usable row has the same key. Rows with the same key are ordered
      by their contents (`columns`), so the choice does not depend on the order of the file.
    """
    names = (nw.col(column).fill_null("") == name for column, name in header.items())
    is_header = nw.all_horizontal(*names, ignore_nulls=True)
    usable = ~is_header & ~key.is_null() & nw.col("alive").is_in(["Alive", "Dead"])
    contents = nw.concat_str(*(nw.col(name).fill_null("") for name in columns), separator="\x1f")
    # Not `cum_count`: on pandas narwhals 2.29 counts a partitioning or ordering column wrongly.
    place = nw.col("_one").cum_sum().over("_usable", order_by="_contents")
    reason = nw.coalesce(
        nw.when(nw.col("_is_header")).then(nw.lit("header line")),
        nw.when(key.is_null()).then(nw.lit("no page_id")),
        nw.when(nw.col("_usable").is_null()).then(nw.lit("unknown alive")),
        nw.when(nw.col("_place") > 1).then(nw.lit("repeated page_id")),
    )
    return (
        rows.with_columns(
            nw.when(usable).then(nw.col("page_id")).alias("_usable"),
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
