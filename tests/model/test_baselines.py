"""The baselines of a training."""

import numpy as np
import pandas as pd
from support.table import TABLE

from marvel_kedro.model import baselines


def test_always_alive_is_share_of_alive(characters: pd.DataFrame) -> None:
    assert (
        baselines.always_alive(characters, TABLE.target) == (characters["alive"] == "Alive").mean()
    )


def test_logistic_regression_accepts_empty_columns(characters: pd.DataFrame) -> None:
    bare = characters.assign(height=np.nan, weight=np.nan, teams=None, origin=None)
    found = baselines.logistic_regression(bare.iloc[:500], bare.iloc[500:600], TABLE.target)
    assert found.shape == (100,)
    assert ((found > 0) & (found < 1)).all()
