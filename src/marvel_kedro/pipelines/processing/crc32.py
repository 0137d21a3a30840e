"""CRC-32 of a text column: the one step that narwhals has no expression for."""

from typing import Any
from zlib import crc32

import narwhals as nw

from marvel_kedro.frames import lazily


def with_crc32(frame: nw.LazyFrame[Any], column: str, *, into: str) -> nw.LazyFrame[Any]:
    """Add the CRC-32 of a column's UTF-8 bytes, from 0 to 2**32 - 1, as an integer column.

    The checksum is the one of zlib, Spark's `crc32` and ISO 3309, so that a row has the same value
    on every engine. Null has the checksum of the empty text.

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
    raise TypeError(f"No CRC-32 for frames of {frame.implementation}.")


def _checksum(value: str | None) -> int:
    return crc32((value or "").encode())
