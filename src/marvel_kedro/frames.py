"""Frames of any engine: how nodes take them, and how they leave the engine."""

from typing import Any

import narwhals as nw
import pandas as pd
from narwhals.typing import IntoFrame


def lazily(frame: Any) -> nw.LazyFrame[Any]:  # noqa: ANN401 - whatever narwhals knows
    """Wrap a frame of any engine, eager or lazy; by its type only what lazy frames can do."""
    return nw.from_native(frame)


def to_pandas(frame: IntoFrame) -> pd.DataFrame:
    """Collect a frame of any engine; a pandas frame is handed back as it is."""
    if isinstance(frame, pd.DataFrame):
        return frame
    return lazily(frame).lazy().collect("pandas").to_native()


def digest(frame: pd.DataFrame) -> str:
    """Hash a table's columns and rows, whatever the order of the rows.

    Returns:
        16 hexadecimal digits: the sum over rows of pandas' 64-bit row hash, modulo 2**64,
        over the columns in alphabetical order.
    """
    columns = sorted(frame.columns)
    rows = pd.util.hash_pandas_object(frame[columns], index=False)
    return f"{int(rows.to_numpy().sum()):016x}"
