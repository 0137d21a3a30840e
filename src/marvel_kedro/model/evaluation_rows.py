"""Choose the rows that a candidate is tested on, and score them."""

import logging

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.typing import IntoFrame

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.evaluation import slices
from marvel_kedro.model.other_table import difference
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.model.registry import LoggedModel, RegisteredModel, Source
from marvel_kedro.table import synthetic_rows
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import lazily
from marvel_kedro.table.options import SplitOptions
from marvel_kedro.table.split import split_table

logger = logging.getLogger(__name__)

_COMPARED_ROWS = 100_000


def source_of(rows: IntoFrame, key: str) -> Source:
    """Return the kind of data: synthetic if any row is."""
    _, synthetic = synthetic_rows.count(rows, key)
    return "synthetic" if synthetic else "file"


def rows_of_retraining(
    test_set: IntoFrame,
    retested_on: IntoFrame | None,
    champion: RegisteredModel,
    table: TableSpec,
    split: SplitOptions,
) -> tuple[IntoFrame, str]:
    """Choose the test rows for a comparison with a champion that `retraining` has made.

    On older test rows a model of the old data would win, become champion again and be retrained
    again. The rows of the newest retraining (`retested_on`, None if there is no such table) are
    used instead, if they are on the test side of the current split: the candidate was trained on
    none of those. A champion trained on another kind of data than `test_set` has is compared on
    `test_set`.

    Returns:
        The rows and the name of their table.

    Raises:
        ProjectError: No row of the retraining is on the test side.
    """
    if champion.data_source != source_of(test_set, table.key):
        return test_set, "test_set"
    if retested_on is None:
        logger.warning(
            "          the champion, version %s, comes from a retraining, but retraining_test_set "
            "does not exist: both models are measured on test_set, where an older model may win",
            champion.version,
        )
        return test_set, "test_set"
    _, chosen = split_table(retested_on, table, split)
    rows = int(lazily(chosen).select(nw.len()).lazy().collect().item())
    if not rows:
        raise ProjectError(
            f"The champion, version {champion.version}, comes from a retraining, and "
            "processing.split puts none of the rows of retraining_test_set on the test side: "
            "restore the previous split, or retrain with the new one: "
            "kedro run --pipelines retraining"
        )
    logger.info(
        "          the champion, version %s, comes from a retraining: both are measured on the "
        "%s rows of retraining_test_set",
        champion.version,
        f"{rows:,}",
    )
    return chosen, "retraining_test_set"


def score(  # noqa: PLR0913, PLR0917 - inputs of a node
    train: pd.DataFrame,
    test: pd.DataFrame,
    candidate: TabularModel,
    logged: LoggedModel,
    champion: RegisteredModel | None,
    table: TableSpec,
) -> pd.DataFrame:
    """Score the test rows with the candidate, the baselines and the champion.

    The candidate is measured as it is `logged`: what is registered scores like that.

    Returns:
        One row per test row: the key, the target (true for the positive class), the columns of
        `evaluation.slices`, and the probability of the positive class by `candidate`,
        `logistic_regression`, `constant` and `champion` (NaN without one or with one of another
        table, and for rows that it was trained on by another split).

    Raises:
        ProjectError: There are no test rows, or the candidate came back from the store as another
            model.
    """
    from marvel_kedro.model import baselines  # noqa: PLC0415 - imports scikit-learn: seconds

    if not len(test):
        raise ProjectError(
            "test_set has no rows to measure a model on: raise processing.split.test_share, or "
            "bring more rows in data/01_raw."
        )
    scored, target = logged.predict(test), table.target
    _check_same(scored, candidate.predict(test.head(_COMPARED_ROWS)))
    scores = slices(test, table).assign(
        **{table.key: test[table.key], target.column: test[target.column] == target.positive},
        candidate=scored["probability"],
        logistic_regression=baselines.logistic_regression(train, test, table),
        constant=baselines.constant(train, table),
    )
    if champion is None:
        return scores.assign(champion=np.nan)
    if other := difference(champion, table):
        logger.warning(
            "          no comparison with the champion: %s. The checks against the baselines "
            "decide; if they pass, the alias moves to the candidate",
            other,
        )
        return scores.assign(champion=np.nan)
    probability = champion.predict(test)["probability"]
    return scores.assign(champion=probability.where(champion.is_unseen(test, table)))


def _check_same(loaded: pd.DataFrame, fitted: pd.DataFrame) -> None:
    """Refuse a model that its files do not give back to the last bit."""
    loaded = loaded.head(len(fitted))
    if other := int((loaded != fitted).any(axis=1).sum()):
        raise ProjectError(
            f"The candidate scores {other:,} of {len(fitted):,} test rows differently once it is "
            "loaded back from the MLflow store, so it was not registered. Its files must keep the "
            "order and every digit of what was fitted: look at `save` and `load` in "
            "model/portable/predictor.py."
        )
