"""Nodes of `training`: fit a candidate, measure it, decide, promote.

LightGBM, scikit-learn and matplotlib take seconds to import: the functions that use them do it, so
that `kedro registry list` and other pipelines start without them.
"""

from typing import Any

import pandas as pd
import pyarrow as pa
from narwhals.typing import IntoFrame

from marvel_kedro.core.options import validate
from marvel_kedro.core.progress import progress_logger
from marvel_kedro.model import evaluation, evaluation_rows, other_table, plots
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import TrainingOptions
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.model.promotion import Contender, Decision, MeasuredRows, decide
from marvel_kedro.model.registry import (
    TABLE_TAG,
    LoggedModel,
    RegisteredModel,
    version_tags,
)
from marvel_kedro.monitoring.alerting import retraining_policy
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import digest, to_pandas
from marvel_kedro.table.options import RecordedSplit


def choose_test_rows(  # noqa: PLR0913, PLR0917 - inputs of a node
    test_set: IntoFrame,
    retested_on: IntoFrame | None,
    retraining_log: pa.Table | None,
    reigning_champion: RegisteredModel | None,
    split: dict[str, Any],
    table: TableSpec,
) -> tuple[IntoFrame, str]:
    """Choose the test rows: those of the newest retraining if it made the champion.

    Returns:
        The rows and the name of their table.
    """
    if reigning_champion is None or retraining_log is None:
        return test_set, "test_set"
    if reigning_champion.version not in retraining_policy.retrained_versions(retraining_log):
        return test_set, "test_set"
    if other_table.difference(reigning_champion, table):
        return test_set, "test_set"
    return evaluation_rows.rows_of_retraining(
        test_set, retested_on, reigning_champion, table, _split(split)
    )


def _split(recorded: dict[str, Any]) -> RecordedSplit:
    return validate(
        RecordedSplit, recorded, "Make the split again: kedro run --pipelines processing"
    )


def describe_tables(
    train_set: IntoFrame, gate_set: IntoFrame, table: TableSpec, options: TrainingOptions
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Record which rows the run uses; the second copy is logged in MLflow.

    Returns:
        For `train_set` and `test_set`: `digest`, `rows`, `positive` (the number of rows of the
        positive class) and `data_source` (file or synthetic).
    """
    tables = {}
    for name, frame in (("train_set", train_set), ("test_set", gate_set)):
        rows = to_pandas(frame, table.key, options.max_rows)
        source = evaluation_rows.source_of(rows, table.key)
        positive = int((rows[table.target.column] == table.target.positive).sum())
        tables[name] = {
            "digest": digest(rows),
            "rows": len(rows),
            "positive": positive,
            "data_source": source,
        }
    return tables, tables


def fit_model(
    train_set: IntoFrame, table: TableSpec, options: TrainingOptions
) -> tuple[TabularModel, TabularModel]:
    """Fit the candidate; the second copy is logged in MLflow."""
    rows = to_pandas(train_set, table.key, options.max_rows)
    model = fit(rows, table, options.fit, progress=progress_logger)
    return model, model


def score_test_set(  # noqa: PLR0913, PLR0917 - every model that is measured
    train_set: IntoFrame,
    gate_set: IntoFrame,
    candidate: TabularModel,
    logged_candidate: LoggedModel,
    reigning_champion: RegisteredModel | None,
    table: TableSpec,
    options: TrainingOptions,
) -> pd.DataFrame:
    """Score the test rows with the candidate, the baselines and, if there is one, the champion."""
    train, test = (to_pandas(rows, table.key, options.max_rows) for rows in (train_set, gate_set))
    return evaluation_rows.score(train, test, candidate, logged_candidate, reigning_champion, table)


def evaluate_models(
    test_scores: pd.DataFrame,
    candidate: TabularModel,
    table: TableSpec,
    options: TrainingOptions,
) -> pd.DataFrame:
    """Measure every model on the test rows, overall and by slice, with intervals."""
    return evaluation.evaluate(
        test_scores[table.target.column].to_numpy(),
        {name: test_scores[name].to_numpy() for name in evaluation.MODELS},
        test_scores[list(table.slices_by_name)],
        options.evaluation,
        candidate.threshold,
    )


def decide_promotion(
    test_scores: pd.DataFrame,
    reigning_champion: RegisteredModel | None,
    run_tables: dict[str, dict[str, Any]],
    table: TableSpec,
    options: TrainingOptions,
) -> tuple[Decision, pd.DataFrame]:
    """Compare the candidate with the baselines and the champion; return decision and checks."""
    source, champion = run_tables["train_set"]["data_source"], None
    if reigning_champion:
        champion = Contender(
            test_scores["champion"].to_numpy(),
            reigning_champion.data_source,
            other_table.difference(reigning_champion, table),
        )
    rows = MeasuredRows(
        test_scores[table.target.column].to_numpy(),
        test_scores["constant"].to_numpy(),
        test_scores["logistic_regression"].to_numpy(),
        test_scores[list(table.slices_by_name)],
    )
    candidate = Contender(test_scores["candidate"].to_numpy(), source)
    decision = decide(candidate, champion, rows, options.gate)
    return decision, decision.checks


def describe_version(  # noqa: PLR0913, PLR0917 - inputs of a node
    decision: Decision,
    logged_candidate: LoggedModel,
    run_tables: dict[str, dict[str, Any]],
    split: dict[str, Any],
    table: TableSpec,
    options: TrainingOptions,
) -> dict[str, Any]:
    """Return the model and the tags to register; empty if an absolute check failed."""
    if not decision.floor_passed:
        return {}
    digest_of_rows = run_tables["train_set"]["digest"]
    tags = version_tags(logged_candidate, decision.source, digest_of_rows, _split(split))
    tags |= {TABLE_TAG: table.fingerprint}
    return {"model_uri": logged_candidate.uri, "tags": options.origin | tags}


def draw_plots(
    test_scores: pd.DataFrame,
    evaluation_table: pd.DataFrame,
    candidate: TabularModel,
    table: TableSpec,
    options: TrainingOptions,
) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
    """Draw the ROC, calibration, confusion and importance plots; the last output has all four."""
    bins = options.evaluation.calibration_bins
    figures = plots.draw_all(test_scores, evaluation_table, candidate, table, bins)
    return (*figures.values(), figures)  # type: ignore[return-value] # four of them


def write_model_card(  # noqa: PLR0913, PLR0917 - inputs of a node
    promotion: dict[str, Any],
    run_tables: dict[str, dict[str, Any]],
    evaluation_table: pd.DataFrame,
    figures: dict[str, Any],
    candidate: TabularModel,
    table: TableSpec,
    options: TrainingOptions,
) -> tuple[str, str]:
    """Write the model card in Markdown and as a page."""
    from marvel_kedro.core import page  # noqa: PLC0415 - imports matplotlib
    from marvel_kedro.model import model_card  # noqa: PLC0415 - imports matplotlib

    markdown = model_card.render_markdown(
        promotion, run_tables, evaluation_table, candidate.threshold, table, options
    )
    return markdown, page.render(markdown, figures)
