"""Scores and metrics of small models, for the tests of plots and the model card."""

import pandas as pd
import pytest
from support.table import TABLE

from marvel_kedro.model import baselines, evaluation
from marvel_kedro.model.options import EvaluationOptions
from marvel_kedro.model.portable.predictor import TabularModel

MODELS = ("candidate", "logistic_regression", "constant")


@pytest.fixture(scope="session")
def scores(characters: pd.DataFrame, model: TabularModel) -> pd.DataFrame:
    """The test scores of a training without a champion."""
    train, test = characters.iloc[:2000], characters.iloc[2000:]
    return evaluation.slices(test, TABLE).assign(
        alive=test["alive"] == "Alive",
        candidate=model.probabilities(test),
        logistic_regression=baselines.logistic_regression(train, test, TABLE),
        constant=baselines.constant(train, TABLE),
    )


@pytest.fixture(scope="session")
def measured(scores: pd.DataFrame) -> pd.DataFrame:
    """Their evaluation."""
    return evaluation.evaluate(
        scores["alive"].to_numpy(),
        {name: scores[name].to_numpy() for name in MODELS},
        scores[list(TABLE.slices_by_name)],
        EvaluationOptions(resamples=50),
        0.5,
    )
