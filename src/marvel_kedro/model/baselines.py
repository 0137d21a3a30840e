"""Baselines to compare a candidate with: a constant and a logistic regression."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from marvel_kedro.model.metrics import Floats
from marvel_kedro.table.description import Column, TableSpec

_RARE_ROWS = 20
_MOST_CATEGORIES = 500  # of a column; the next frequent ones are rare as well
_EPOCH = pd.Timestamp("1970-01-01", tz="UTC")
_LARGEST = 1e100  # whose squares are finite


def constant(train: pd.DataFrame, table: TableSpec) -> float:
    """Return the share of the positive class, the probability that this baseline always gives."""
    return float(_labels(train, table).mean())


def logistic_regression(train: pd.DataFrame, test: pd.DataFrame, table: TableSpec) -> Floats:
    """Compute probabilities of the positive class by a logistic regression, shape (test rows,).

    The columns are those with features:

    - Numbers, and dates as days, are scaled; missing ones get the mean and a flag. A column without
      any number or date is left out.
    - Categories and other text are one-hot encoded, rare values together.
    - A set is a flag: filled in or not.
    """
    columns = {name: each for name, each in table.inputs.items() if each.feature}
    inputs = _inputs(train, columns)
    of_kind = {name: each.kind for name, each in columns.items() if inputs[name].notna().any()}
    if not of_kind:
        return np.full(len(test), constant(train, table))
    numbers = [name for name, kind in of_kind.items() if kind in {"number", "date"}]
    flags = [name for name, kind in of_kind.items() if kind == "set"]
    one_hot = OneHotEncoder(
        min_frequency=_RARE_ROWS,
        max_categories=_MOST_CATEGORIES,
        handle_unknown="infrequent_if_exist",
    )
    scaled = make_pipeline(
        MinMaxScaler(clip=True),  # a number beyond those of training has no larger effect
        SimpleImputer(add_indicator=True),
        StandardScaler(),
    )
    encoder = make_column_transformer(
        (one_hot, [name for name in of_kind if name not in {*numbers, *flags}]),
        ("passthrough", flags),
        (scaled, numbers),
    )
    model = make_pipeline(encoder, LogisticRegression(max_iter=1000))
    model.fit(inputs, _labels(train, table))
    return model.predict_proba(_inputs(test, columns))[:, 1]


def _labels(rows: pd.DataFrame, table: TableSpec) -> "pd.Series[bool]":
    return rows[table.target.column] == table.target.positive


def _inputs(rows: pd.DataFrame, columns: dict[str, Column]) -> pd.DataFrame:
    return pd.DataFrame({name: _values(rows[name], each) for name, each in columns.items()})


def _values(values: "pd.Series[Any]", column: Column) -> "pd.Series[Any]":
    if column.kind == "set":
        return values.notna()
    if column.kind == "number":
        return values.clip(-_LARGEST, _LARGEST)
    if column.kind == "date":
        dates = pd.to_datetime(values, format=column.format or "ISO8601", errors="coerce", utc=True)
        return (dates - _EPOCH) / pd.Timedelta(days=1)
    return values.fillna("").astype(object)
