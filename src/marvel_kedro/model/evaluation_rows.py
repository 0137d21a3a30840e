"""Choose the rows that a candidate is tested on, and score them."""

import logging

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.typing import IntoFrame

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.evaluation import slices
from marvel_kedro.model.portable.predictor import CharacterModel
from marvel_kedro.model.registry import RegisteredModel
from marvel_kedro.table.frames import lazily
from marvel_kedro.table.options import SplitOptions
from marvel_kedro.table.split import with_side

logger = logging.getLogger(__name__)


def rows_of_retraining(
    test_set: IntoFrame, retested_on: IntoFrame | None, champion: str, split: SplitOptions
) -> tuple[IntoFrame, str]:
    """Choose the test rows for a comparison with a champion that `retraining` has made.

    On older test rows a model of the old data would win, become champion again and be retrained
    again. The rows of the newest retraining are used instead, if they are on the test side of the
    current split: the candidate was trained on none of those.

    Args:
        test_set: The test side of the known pages.
        retested_on: The test rows of the newest retraining; None if there is no such table.
        champion: The version of the champion.
        split: The split of `train_set`.

    Returns:
        The rows and the name of their table.

    Raises:
        ProjectError: No row of the retraining is on the test side.
    """
    if retested_on is None:
        logger.warning(
            "          the champion, version %s, comes from a retraining, but retraining_test_set "
            "does not exist: both models are measured on test_set, where an older model may win",
            champion,
        )
        return test_set, "test_set"
    sides = with_side(lazily(retested_on), split, into="_is_test")
    chosen = sides.filter(nw.col("_is_test")).drop("_is_test")
    rows = int(chosen.select(nw.len()).lazy().collect().item())
    if not rows:
        raise ProjectError(
            f"The champion, version {champion}, comes from a retraining, and processing.split puts "
            "none of the rows of retraining_test_set on the test side: restore the previous split, "
            "or retrain with the new one: kedro run --pipelines retraining"
        )
    logger.info(
        "          the champion, version %s, comes from a retraining: both are measured on the "
        "%s rows of retraining_test_set",
        champion,
        f"{rows:,}",
    )
    return chosen.to_native(), "retraining_test_set"


def score(
    train: pd.DataFrame,
    test: pd.DataFrame,
    candidate: CharacterModel,
    champion: RegisteredModel | None,
) -> pd.DataFrame:
    """Score the test rows with the candidate, the baselines and the champion.

    Returns:
        One row per test row: `page_id`, `alive` (bool), the columns of `evaluation.slices`, and the
        probability of Alive by `candidate`, `logistic_regression`, `always_alive` and `champion`
        (NaN without one, and for rows that it was trained on by another split).

    Raises:
        ProjectError: There are no test rows.
    """
    from marvel_kedro.model import baselines  # noqa: PLC0415 - imports scikit-learn: seconds

    if not len(test):
        raise ProjectError(
            "test_set has no rows to measure a model on: raise processing.split.test_share, or "
            "bring more rows in data/01_raw."
        )
    scores = slices(test).assign(
        page_id=test["page_id"],
        alive=test["alive"] == "Alive",
        candidate=candidate.predict(test)["probability"],
        logistic_regression=baselines.logistic_regression(train, test),
        always_alive=baselines.always_alive(train),
    )
    if champion is None:
        return scores.assign(champion=np.nan)
    probability = champion.predict(test)["probability"]
    return scores.assign(champion=probability.where(champion.is_unseen(test)))
