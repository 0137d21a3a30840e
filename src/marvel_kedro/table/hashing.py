"""Checksums of texts that are equal on every engine; narwhals has no expression for them."""

import hashlib
from collections.abc import Callable, Collection
from typing import Any
from zlib import crc32

import narwhals as nw

from marvel_kedro.table.frames import lazily


def with_crc32(frame: nw.LazyFrame[Any], column: str) -> nw.LazyFrame[Any]:
    """Replace a text column by the CRC-32 of its UTF-8 bytes, an integer from 0 to 2**32 - 1.

    It is the checksum of zlib, Spark's `crc32` and ISO 3309. Null has that of the empty text.
    """
    return _hashed(frame, column, "crc32", lambda text: crc32(text.encode()))


def with_md5(frame: nw.LazyFrame[Any], columns: Collection[str], *, into: str) -> nw.LazyFrame[Any]:
    """Add a column with the MD5, in hexadecimal digits, of text columns; a null is empty text."""
    texts = (nw.col(name).fill_null("") for name in columns)
    joined = frame.with_columns(nw.concat_str(*texts, separator="\x1f").alias(into))
    return _hashed(joined, into, "md5", _md5)


def _hashed(
    frame: nw.LazyFrame[Any], column: str, name: str, hashed: Callable[[str], int | str]
) -> nw.LazyFrame[Any]:
    """Hash a text column; `name` is Spark's function."""
    native: Any = frame.to_native()
    if frame.implementation.is_pandas():
        values = [hashed(value) for value in native[column].fillna("")]
        return lazily(native.assign(**{column: values}))
    if frame.implementation.is_polars():
        import polars as pl  # noqa: PLC0415 - no dependency of the project

        kind = pl.Int64 if isinstance(hashed(""), int) else pl.String
        expression = pl.col(column).fill_null("").map_elements(hashed, kind)
        return lazily(native.with_columns(expression))
    if frame.implementation.is_spark_like():
        from pyspark.sql import functions as sql  # noqa: PLC0415 - only where Spark is used

        text = sql.coalesce(sql.col(column), sql.lit(""))
        return lazily(native.withColumn(column, getattr(sql, name)(text)))
    raise TypeError(f"No {name} for frames of {frame.implementation}.")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
