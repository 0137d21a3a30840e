"""Frames of any engine: wrap, collect, iterate and hash them."""

import logging
from collections.abc import Iterator
from typing import Any

import narwhals as nw
import pandas as pd
from narwhals.typing import IntoFrame

from marvel_kedro.core.errors import ProjectError

logger = logging.getLogger(__name__)

AnyFrame = Any
"""A frame of any engine that narwhals supports, eager or lazy; engines share no type."""

_BATCH_ROWS = 10_000


def lazily(frame: Any) -> nw.LazyFrame[Any]:  # noqa: ANN401 - any frame of narwhals
    """Wrap a frame of any engine, eager or lazy; its type offers only operations of lazy frames."""
    return nw.from_native(frame)


def to_pandas(frame: IntoFrame, max_rows: int | None = None) -> pd.DataFrame:
    """Collect a table with `page_id` from any engine.

    Args:
        frame: The table.
        max_rows: Maximum number of rows that this process may hold (`training.max_rows`).

    Returns:
        The rows ordered by `page_id`, since engines give them in any order; text as pandas' `str`.

    Raises:
        ProjectError: The table has more rows.
    """
    return collect(frame, max_rows, "training.max_rows").sort_values("page_id", ignore_index=True)


def collect(frame: IntoFrame, max_rows: int | None, setting: str) -> pd.DataFrame:
    """Collect a table of any engine, its rows in any order.

    Args:
        frame: The table.
        max_rows: Maximum number of rows that this process may hold; None is no limit.
        setting: The parameter that sets the maximum, for the message.

    Raises:
        ProjectError: The table has more rows.
    """
    if isinstance(frame, pd.DataFrame):
        return frame
    if max_rows is not None:
        _check_size(lazily(frame), max_rows, setting)
    # By way of Arrow, as Parquet files are read: the same types, and nulls stay nulls.
    rows: pd.DataFrame = lazily(frame).lazy().collect("pyarrow").to_native().to_pandas()
    return rows


def _check_size(frame: nw.LazyFrame[Any], max_rows: int, setting: str) -> None:
    rows = int(frame.select(nw.len()).lazy().collect().item())
    if rows > max_rows:
        raise ProjectError(
            f"A table of {rows:,} rows would leave the engine, and {setting} is {max_rows:,}. "
            "Raise it if the memory of this process allows it, or use fewer rows."
        )
    logger.info("          %s rows leave the engine", f"{rows:,}")


def rows_by(frame: IntoFrame, key: str) -> Iterator[tuple[Any, ...]]:
    """Iterate over the rows of a table in the order of its key, in bounded memory.

    Spark sorts text by its UTF-8 bytes, as pandas does, and returns a batch at a time. An eager
    frame is already in this process.

    Args:
        frame: The table.
        key: The column to sort by.

    Yields:
        The values of a row in the order of the columns; a null is None, or NaN where the engine has
        both.
    """
    ordered = lazily(frame).sort(key)
    if ordered.implementation.is_spark_like():
        native: Any = ordered.to_native()
        yield from native.toLocalIterator()
        return
    collected = ordered.lazy().collect("pyarrow").to_native()
    table = collected.select(ordered.collect_schema().names())  # without the index of pandas
    for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def digest(frame: pd.DataFrame) -> str:
    """Hash the columns and rows of a table, independent of the order of the rows.

    Returns:
        16 hexadecimal digits: the sum over rows of pandas' 64-bit row hash, modulo 2**64,
        over the columns in alphabetical order.
    """
    rows = pd.util.hash_pandas_object(frame[sorted(frame.columns)], index=False)
    return f"{int(rows.to_numpy().sum()):016x}"
