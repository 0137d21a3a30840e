"""Frames of any engine: how nodes take them, and how they leave the engine."""

import logging
from collections.abc import Iterator
from typing import Any

import narwhals as nw
import pandas as pd
from narwhals.typing import IntoFrame

from marvel_kedro.core.errors import ProjectError

logger = logging.getLogger(__name__)

AnyFrame = Any
"""A frame of any engine, eager or lazy, that narwhals knows; engines share no type."""

_PIECE = 10_000


def lazily(frame: Any) -> nw.LazyFrame[Any]:  # noqa: ANN401 - whatever narwhals knows
    """Wrap a frame of any engine, eager or lazy; by its type only what lazy frames can do."""
    return nw.from_native(frame)


def to_pandas(frame: IntoFrame, most: int | None = None) -> pd.DataFrame:
    """Collect a table of pages from any engine.

    Args:
        frame: The table.
        most: How many rows this process is to hold at the most.

    Returns:
        The rows in the order of `page_id`, since engines give them in any; text as pandas' `str`.
    """
    return collect(frame, most, "training.max_rows").sort_values("page_id", ignore_index=True)


def collect(frame: IntoFrame, most: int | None, setting: str) -> pd.DataFrame:
    """Collect a table of any engine, its rows in any order.

    Args:
        frame: The table.
        most: How many rows this process is to hold at the most.
        setting: The parameter that says so.
    """
    if isinstance(frame, pd.DataFrame):
        return frame
    _refuse_more(lazily(frame), most, setting)
    # By way of Arrow, as Parquet files are read: the same types, and nulls stay nulls.
    rows: pd.DataFrame = lazily(frame).lazy().collect("pyarrow").to_native().to_pandas()
    return rows


def _refuse_more(frame: nw.LazyFrame[Any], most: int | None, setting: str) -> None:
    if most is None:
        return
    rows = int(frame.select(nw.len()).lazy().collect().item())
    if rows > most:
        raise ProjectError(
            f"A table of {rows:,} rows would leave the engine, and {setting} is {most:,}. "
            "Raise it if the memory of this process allows it, or use fewer rows."
        )
    logger.info("          %s rows leave the engine", f"{rows:,}")


def rows_by(frame: IntoFrame, key: str) -> Iterator[tuple[Any, ...]]:
    """Walk through a table of any engine in the order of its key, without holding it.

    Spark sorts by the bytes of a text, as UTF-8 and pandas do, and hands on a piece at a time; an
    eager frame is in this process already.

    Args:
        frame: The table.
        key: The column to sort by.

    Yields:
        A row, its values in the order of the columns; a null is None, or NaN where the engine has
        both.
    """
    ordered = lazily(frame).sort(key)
    if ordered.implementation.is_spark_like():
        native: Any = ordered.to_native()
        yield from native.toLocalIterator()
        return
    collected = ordered.lazy().collect("pyarrow").to_native()
    table = collected.select(ordered.collect_schema().names())  # pandas leaves its index in it
    for batch in table.to_batches(max_chunksize=_PIECE):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def digest(frame: pd.DataFrame) -> str:
    """Hash a table's columns and rows, whatever the order of the rows.

    Returns:
        16 hexadecimal digits: the sum over rows of pandas' 64-bit row hash, modulo 2**64,
        over the columns in alphabetical order.
    """
    columns = sorted(frame.columns)
    rows = pd.util.hash_pandas_object(frame[columns], index=False)
    return f"{int(rows.to_numpy().sum()):016x}"
