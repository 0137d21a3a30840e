"""What a candidate must be seen beside: models that anybody would try first."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from marvel_kedro.model.portable.predictor import NUMBER_COLUMNS

CATEGORIES = ["identity", "gender", "marital_status", "universe", "origin"]
MEASUREMENTS = list(NUMBER_COLUMNS)
_MIN_ROWS = 20


def always_alive(train: pd.DataFrame) -> float:
    """The share of Alive, as the probability of every character."""
    return float((train["alive"] == "Alive").mean())


def logistic_regression(train: pd.DataFrame, test: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Probabilities of Alive by a plain logistic regression.

    Categories are one-hot (rare ones together), `teams` is filled in or not, measurements are
    scaled, with the mean and a flag for missing ones.

    Args:
        train: The training rows, with `alive`.
        test: The rows to score.

    Returns:
        Shape (test rows,).
    """
    encoder = make_column_transformer(
        (OneHotEncoder(min_frequency=_MIN_ROWS, handle_unknown="infrequent_if_exist"), CATEGORIES),
        ("passthrough", ["has_teams"]),
        (
            make_pipeline(
                SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler()
            ),
            MEASUREMENTS,
        ),
    )
    model = make_pipeline(encoder, LogisticRegression(max_iter=1000))
    model.fit(_plain(train), train["alive"] == "Alive")
    probabilities: npt.NDArray[np.float64] = model.predict_proba(_plain(test))[:, 1]
    return probabilities


def _plain(characters: pd.DataFrame) -> pd.DataFrame:
    texts = characters[CATEGORIES].fillna("").astype(object)
    return texts.assign(
        **{name: characters[name] for name in MEASUREMENTS}, has_teams=characters["teams"].notna()
    )
