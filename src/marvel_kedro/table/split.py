"""Which side of the split a character is on: a hash of the page id, or of the name, deals."""

from typing import Any
from zlib import crc32

import narwhals as nw

from marvel_kedro.table.frames import lazily
from marvel_kedro.table.options import SplitOptions

_BUCKETS = 10_000


def with_side(frame: nw.LazyFrame[Any], split: SplitOptions, *, into: str) -> nw.LazyFrame[Any]:
    """Add a Boolean column: whether the row belongs to the test set.

    A row's side depends on nothing but `split.by` (on the page id where there is no name), so it is
    the same on every engine, in every run and in any row order: what one run trains on, no other
    run with that split tests on.

    Args:
        frame: Rows with `page_id` and `name`.
        split: How.
        into: The name of the new column.
    """
    key = nw.coalesce(nw.col(split.by), nw.col("page_id"))
    is_test = nw.col(into) % _BUCKETS < round(split.test_share * _BUCKETS)
    return (
        _with_crc32(frame.with_columns(key.alias("_key")), "_key", into=into)
        .with_columns(is_test.alias(into))
        .drop("_key")
    )


def _with_crc32(frame: nw.LazyFrame[Any], column: str, *, into: str) -> nw.LazyFrame[Any]:
    """Add the CRC-32 of a column's UTF-8 bytes, from 0 to 2**32 - 1, as an integer column.

    The checksum is the one of zlib, Spark's `crc32` and ISO 3309, so that a row has the same value
    on every engine. Null has the checksum of the empty text. The one step of the project that
    narwhals has no expression for.

    Raises:
        TypeError: The frame is of an engine that has no branch here.
    """
    native: Any = frame.to_native()
    if frame.implementation.is_pandas():
        return lazily(
            native.assign(**{into: [_checksum(value) for value in native[column].fillna("")]})
        )
    if frame.implementation.is_polars():
        import polars as pl  # noqa: PLC0415 - no dependency of the project

        checksums = pl.col(column).map_elements(_checksum, pl.Int64, skip_nulls=False)
        return lazily(native.with_columns(checksums.alias(into)))
    if frame.implementation.is_spark_like():
        from pyspark.sql import functions as sql  # noqa: PLC0415 - only where Spark is used

        text = sql.coalesce(sql.col(column), sql.lit(""))
        return lazily(native.withColumn(into, sql.crc32(text)))
    raise TypeError(f"No CRC-32 for frames of {frame.implementation}.")


def _checksum(value: str | None) -> int:
    return crc32((value or "").encode())
