"""Synthetic raw rows, and shares of their values."""

from typing import Any

import pandas as pd

from marvel_kedro.characters.synthetic import make_characters
from marvel_kedro.simulation.world import SyntheticOptions

ROWS = 40_000


def generate(**options: Any) -> pd.DataFrame:
    """Generate a raw file in one frame."""
    return pd.concat(make_characters(SyntheticOptions(**options)), ignore_index=True)


def share(raw: pd.DataFrame, column: str, value: str) -> float:
    """Return the share of the rows that have a value."""
    return float((raw[column] == value).mean())
