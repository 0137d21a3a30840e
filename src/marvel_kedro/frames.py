"""Frames that leave their engine."""

import narwhals as nw
import pandas as pd
from narwhals.typing import IntoFrame


def to_pandas(frame: IntoFrame) -> pd.DataFrame:
    """Collect a frame of any engine; a pandas frame is handed back as it is."""
    if isinstance(frame, pd.DataFrame):
        return frame
    return nw.from_native(frame).lazy().collect("pandas").to_native()


def digest(frame: pd.DataFrame) -> str:
    """Hash a table's columns and rows, whatever the order of the rows.

    Returns:
        16 hexadecimal digits: the sum over rows of pandas' 64-bit row hash, modulo 2**64,
        over the columns in alphabetical order.
    """
    columns = sorted(frame.columns)
    rows = pd.util.hash_pandas_object(frame[columns], index=False)
    return f"{int(rows.to_numpy().sum()):016x}"
