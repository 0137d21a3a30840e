"""Raw rows in the columns of the source file."""

import pandas as pd
from support.table import TABLE

from marvel_kedro.table import cleaning

ROW = {
    "PageID": "A_(Earth-1)",
    "Name": "A",
    "Universe": "Earth-1",
    "Identity": "Public",
    "Gender": "Male",
    "Alive": "Alive",
    "Marital Status": "",
    "Teams": "",
    "Height (m)": "",
    "Weight (kg)": "",
    "Origin": "Human",
}


def raw_rows(*changes: dict[str, str]) -> pd.DataFrame:
    """Return a raw file whose rows are `ROW` with changes."""
    return pd.DataFrame([ROW | change for change in changes], dtype="str")


def many_raw_rows(rows: int) -> pd.DataFrame:
    """Return a raw file with distinct page ids, and 50 names."""
    return raw_rows(*({"PageID": f"Pagé_{i}", "Name": f"N{i % 50}"} for i in range(rows)))


def usable(raw: pd.DataFrame) -> pd.DataFrame:
    """Clean a raw file."""
    return cleaning.select_usable(cleaning.read_source(raw, TABLE), TABLE)
