"""The baselines of a training, for tables of any kinds of columns."""

import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from support.churn import CHURN, customers
from support.table import TABLE

from marvel_kedro.model import baselines
from marvel_kedro.table.description import Column, TableSpec


def table_of(**kinds: Any) -> TableSpec:
    """A table with a key, a target and columns by kind, or by their description."""
    columns = {
        name: Column.model_validate(kind if isinstance(kind, dict) else {"kind": kind})
        for name, kind in {"id": "id", "y": "category", **kinds}.items()
    }
    described = {"name": "t", "file": "t.csv", "key": "id", "columns": columns}
    # Yes and No: the positive class is the last one in the alphabet, and the rare one.
    return TableSpec.model_validate(
        described | {"target": {"column": "y", "positive": "Yes", "negative": "No"}}
    )


def rows_of(positive: Any, **columns: Any) -> pd.DataFrame:
    rows = pd.DataFrame({"id": np.arange(len(positive)).astype(str), **columns})
    return rows.assign(y=np.where(positive, "Yes", "No"))


def area(table: TableSpec, rows: pd.DataFrame) -> float:
    """Return the ROC AUC on every second row of a regression fitted to the others."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = baselines.logistic_regression(rows[::2], rows[1::2], table)
    assert found.shape == (len(rows) // 2,)
    assert ((found > 0) & (found < 1)).all()
    return float(roc_auc_score(rows["y"][1::2] == "Yes", found))


def test_constant_is_the_share_of_the_positive_class(characters: pd.DataFrame) -> None:
    assert baselines.constant(characters, TABLE) == (characters["alive"] == "Alive").mean()
    rare = rows_of(np.arange(100) < 1)
    assert baselines.constant(rare, table_of()) == 0.01


def test_logistic_regression_of_marvel_is_as_strong_as_by_its_own_columns(
    characters: pd.DataFrame,
) -> None:
    """Independent reference: its columns by name, as they were before the description."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    texts, numbers = ["identity", "gender", "marital_status", "universe", "origin"], TABLE.numbers
    one_hot = OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist")
    scaled = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    inputs = characters.assign(teams=characters["teams"].notna())
    inputs[texts] = inputs[texts].fillna("").astype(object)
    encoder = make_column_transformer(
        (one_hot, texts), ("passthrough", ["teams"]), (scaled, list(numbers))
    )
    alive = characters["alive"] == "Alive"
    model = make_pipeline(encoder, LogisticRegression(max_iter=1000))
    model.fit(inputs[:2000], alive[:2000])
    expected = model.predict_proba(inputs[2000:])[:, 1]
    found = baselines.logistic_regression(characters[:2000], characters[2000:], TABLE)
    assert np.abs(found - expected).mean() < 0.002
    assert np.quantile(np.abs(found - expected), 0.99) < 0.02


def test_logistic_regression_accepts_empty_columns(characters: pd.DataFrame) -> None:
    bare = characters.assign(height=np.nan, weight=np.nan, teams=None, origin=None)
    found = baselines.logistic_regression(bare.iloc[:500], bare.iloc[500:600], TABLE)
    assert found.shape == (100,)
    assert ((found > 0) & (found < 1)).all()


def test_logistic_regression_of_another_table_uses_all_kinds() -> None:
    rows = customers(1600)
    found = baselines.logistic_regression(rows[:800], rows[800:], CHURN)
    assert roc_auc_score(rows["churned"][800:] == "Yes", found) > 0.7


SIGNAL = np.random.default_rng(1).normal(size=1200)
POSITIVE = np.random.default_rng(2).random(1200) < 1 / (1 + np.exp(1.5 - 2 * SIGNAL))
DAYS = pd.Timestamp("2024-01-01") + pd.to_timedelta((SIGNAL * 200).round(), "D")


@pytest.mark.parametrize(
    ("kinds", "columns"),
    [
        ({"a": "number"}, {"a": SIGNAL}),
        ({"a": "number"}, {"a": -SIGNAL * 1e-7}),
        ({"a": "number", "b": "number"}, {"a": SIGNAL, "b": np.where(SIGNAL > 3, 1e300, 7.0)}),
        ({"a": "number", "b": "number"}, {"a": SIGNAL, "b": np.nan}),
        ({"a": "number", "b": "category"}, {"a": SIGNAL, "b": "same"}),
        ({"a": "category"}, {"a": np.round(SIGNAL).astype(int).astype(str)}),
        ({"a": "boolean"}, {"a": np.where(SIGNAL > 0, "true", "false")}),
        ({"a": "date"}, {"a": DAYS.strftime("%Y-%m-%d")}),
        ({"a": {"kind": "date", "format": "%d.%m.%Y"}}, {"a": DAYS.strftime("%d.%m.%Y")}),
        ({"a": "set"}, {"a": pd.Series(["x;y"] * 1200).where(SIGNAL > 0)}),
        ({"a": "text", "b": "date"}, {"a": np.where(SIGNAL > 0, "long", "short"), "b": "soon"}),
    ],
)
def test_logistic_regression_of_any_kinds(kinds: dict[str, Any], columns: dict[str, Any]) -> None:
    assert area(table_of(**kinds), rows_of(POSITIVE, **columns)) > 0.65


def test_columns_without_feature_are_left_out() -> None:
    hidden = table_of(a={"kind": "number", "feature": False})
    rows = rows_of(POSITIVE, a=SIGNAL)
    found = baselines.logistic_regression(rows[:600], rows[600:], hidden)
    assert found == pytest.approx(baselines.constant(rows[:600], hidden))


def test_hundred_thousand_categories_stay_fast() -> None:
    size = 100_000
    generator = np.random.default_rng(0)
    label = generator.random(size) < 0.3
    # Every second row has a category of its own, the others one of two thousand.
    code = np.where(
        np.arange(size) % 4 < 2, np.arange(size) + 3000, generator.integers(2000, size=size)
    )
    rows = rows_of(label, a=code.astype(str), b=code.astype(str))
    started = time.monotonic()
    area(table_of(a="category", b="id"), rows)
    assert time.monotonic() - started < 10
