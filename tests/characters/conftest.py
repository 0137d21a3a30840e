"""One synthetic file and one model of it, for the tests that only read them."""

import pandas as pd
import pytest
from support.synthetic_rows import ROWS, generate
from support.table import TABLE

from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.table.cleaning import read_source, select_usable


@pytest.fixture(scope="session")
def raw() -> pd.DataFrame:
    """40,000 synthetic rows without drift."""
    return generate(rows=ROWS)


@pytest.fixture(scope="session")
def fitted(raw: pd.DataFrame) -> TabularModel:
    """A model of the world without drift."""
    return fit(select_usable(read_source(raw, TABLE), TABLE), TABLE, FitOptions())
