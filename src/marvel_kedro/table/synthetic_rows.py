"""Synthetic rows, which their keys identify in every table."""

import narwhals as nw
from narwhals.typing import IntoFrame

from marvel_kedro.table.frames import lazily

KEY_PREFIX = "synthetic-"
"""Beginning of the key of every synthetic row."""


def count(rows: IntoFrame, key: str) -> tuple[int, int]:
    """Count rows, and those that are synthetic; `key` is the column of the keys."""
    synthetic = nw.col(key).cast(nw.String).fill_null("").str.starts_with(KEY_PREFIX).cast(nw.Int64)
    counts = lazily(rows).select(nw.len().alias("rows"), synthetic.sum().alias("synthetic"))
    ((found, made),) = counts.lazy().collect().iter_rows()
    return found, made or 0
