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


def lazily(frame: Any) -> nw.LazyFrame[Any]:  # noqa: ANN401 - any frame of narwhals
    """Wrap a frame of any engine, eager or lazy; its type offers only operations of lazy frames."""
    return nw.from_native(frame)


def with_safe_names(frame: nw.LazyFrame[Any]) -> tuple[nw.LazyFrame[Any], dict[str, str]]:
    """Rename the columns of a Spark frame by their place; return the new names by the old ones.

    Spark reads `a.b` as a field of a structure, takes `Age` and `age` for the same column, and has
    no way around either in expressions of narwhals. Frames of other engines stay as they are.
    """
    names = frame.collect_schema().names()
    if not frame.implementation.is_spark_like():
        return frame, {name: name for name in names}
    native: Any = frame.to_native()
    safe = [f"column_{place}" for place in range(len(names))]
    return lazily(native.toDF(*safe)), dict(zip(names, safe, strict=True))


def to_pandas(frame: IntoFrame, key: str, max_rows: int | None = None) -> pd.DataFrame:
    """Collect a table from any engine, ordered by its key, its text as pandas' `str`.

    Raises:
        ProjectError: The table has more than `max_rows` rows (`training.max_rows`).
    """
    return collect(frame, max_rows, "training.max_rows").sort_values(key, ignore_index=True)


def collect(frame: IntoFrame, max_rows: int | None, setting: str) -> pd.DataFrame:
    """Collect a table of any engine, its rows in any order.

    Raises:
        ProjectError: The table has more than `max_rows` rows, a limit that the parameter `setting`
            sets; None is no limit.
    """
    if isinstance(frame, pd.DataFrame):
        return frame
    table = lazily(frame)
    if max_rows is not None:
        rows = int(table.select(nw.len()).lazy().collect().item())
        if rows > max_rows:
            raise ProjectError(
                f"A table of {rows:,} rows would leave the engine, and {setting} is {max_rows:,}. "
                "Raise it if the memory of this process allows it, or use fewer rows."
            )
        logger.info("          %s rows leave the engine", f"{rows:,}")
    # By way of Arrow, as Parquet files are read: the same types, and nulls stay nulls.
    return table.lazy().collect("pyarrow").to_native().to_pandas()


def rows_by(frame: IntoFrame, key: str) -> Iterator[tuple[Any, ...]]:
    """Iterate over the rows of a table in the order of its key, in bounded memory.

    Spark sorts text by its UTF-8 bytes, as pandas does, and returns a batch at a time. An eager
    frame is already in this process.

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
    for batch in table.to_batches(max_chunksize=10_000):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def digest(frame: pd.DataFrame) -> str:
    """Hash the columns and rows of a table to 16 hexadecimal digits, in any order of the rows.

    It is the sum of pandas' 64-bit row hashes over the columns in alphabetical order, modulo 2**64.
    """
    rows = pd.util.hash_pandas_object(frame[sorted(frame.columns)], index=False)
    return f"{int(rows.to_numpy().sum()):016x}"
