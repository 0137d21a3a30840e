"""Baselines to compare a candidate with: the share of Alive and a logistic regression."""

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from marvel_kedro.model.metrics import Floats
from marvel_kedro.model.portable.features import NUMBER_COLUMNS
from marvel_kedro.table.description import Target

CATEGORIES = ["identity", "gender", "marital_status", "universe", "origin"]
_NUMBERS = list(NUMBER_COLUMNS)


def always_alive(train: pd.DataFrame, target: Target) -> float:
    """Return the share of the positive class, the constant probability of this baseline."""
    return float((train[target.column] == target.positive).mean())


def logistic_regression(train: pd.DataFrame, test: pd.DataFrame, target: Target) -> Floats:
    """Compute probabilities of the positive class by a logistic regression, shape (test rows,).

    - Categories are one-hot encoded, rare ones together.
    - `teams` is a flag: filled in or not.
    - Numbers are scaled; missing ones get the mean and a flag.
    """
    one_hot = OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist")
    imputer = SimpleImputer(add_indicator=True, keep_empty_features=True)
    encoder = make_column_transformer(
        (one_hot, CATEGORIES),
        ("passthrough", ["has_teams"]),
        (make_pipeline(imputer, StandardScaler()), _NUMBERS),
    )
    model = make_pipeline(encoder, LogisticRegression(max_iter=1000))
    model.fit(_inputs(train), train[target.column] == target.positive)
    return model.predict_proba(_inputs(test))[:, 1]


def _inputs(characters: pd.DataFrame) -> pd.DataFrame:
    texts = characters[CATEGORIES].fillna("").astype(object)
    return texts.assign(
        **{name: characters[name] for name in _NUMBERS}, has_teams=characters["teams"].notna()
    )
