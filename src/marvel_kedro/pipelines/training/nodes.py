"""Fit a candidate, measure it, decide, promote."""

import logging
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure
from narwhals.typing import IntoFrame

from marvel_kedro.characters.synthetic import SYNTHETIC_URL, is_synthetic
from marvel_kedro.core import page
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.progress import report
from marvel_kedro.model import baselines, evaluation, fit, model_card, plots
from marvel_kedro.model import promotion as gate
from marvel_kedro.model.options import TrainingOptions
from marvel_kedro.model.portable.predictor import CharacterModel
from marvel_kedro.model.registry import LoggedModel, RegisteredModel, Version, version_tags
from marvel_kedro.monitoring.alerting import retraining_policy as decisions
from marvel_kedro.table.frames import digest, lazily, to_pandas
from marvel_kedro.table.options import SplitOptions
from marvel_kedro.table.split import with_side

logger = logging.getLogger(__name__)


SCORES = ("candidate", "champion", "logistic_regression", "always_alive")


def choose_test_rows(
    test_set: IntoFrame,
    retested_on: IntoFrame | None,
    retraining_log: pa.Table | None,
    reigning_champion: RegisteredModel | None,
    split: dict[str, Any],
) -> tuple[IntoFrame, str]:
    """Choose the rows that the candidate is measured on.

    A champion that `retraining` has made is challenged on the rows that the newest retraining
    tested on. Once the world has changed, the old test rows speak for the model of the old world:
    it would win on them, come back as champion, and be retrained again. Of those rows the ones
    count that the split of now has on its test side: a candidate was trained on none of them, also
    if they were dealt by another split. A champion of made-up rows does not bind a real file.

    Args:
        test_set: The test side of the pages that have been known.
        retested_on: What the newest retraining has tested on; None if there is no such table.
        retraining_log: `tables.RETRAINING_LOG`; None if there is no such table.
        reigning_champion: Who is to be challenged, if anybody.
        split: How `train_set` was dealt.

    Returns:
        The rows, and the name of the table that they are of.

    Raises:
        ProjectError: None of the rows of the retraining is on the test side.
    """
    version = reigning_champion.version if reigning_champion else None
    if retraining_log is None or version not in decisions.retrained_versions(retraining_log):
        return test_set, "test_set"
    if reigning_champion and reigning_champion.data_source != _source(test_set):
        return test_set, "test_set"
    if retested_on is None:
        logger.warning(
            "          the champion, version %s, comes from a retraining, whose "
            "retraining_test_set is not there: both are measured on test_set, where a model of "
            "before may win",
            version,
        )
        return test_set, "test_set"
    sides = with_side(lazily(retested_on), SplitOptions(**split), into="_is_test")
    chosen = sides.filter(nw.col("_is_test")).drop("_is_test")
    rows = int(chosen.select(nw.len()).lazy().collect().item())
    if not rows:
        raise ProjectError(
            f"The champion, version {version}, comes from a retraining, and processing.split puts "
            "none of the rows of retraining_test_set on the test side: bring the split back that "
            "there was, or retrain with the new one: kedro run --pipelines retraining"
        )
    logger.info(
        "          the champion, version %s, comes from a retraining: both are measured on the "
        "%s rows of retraining_test_set",
        version,
        f"{rows:,}",
    )
    return chosen.to_native(), "retraining_test_set"


def _source(table: IntoFrame) -> gate.Source:
    made_up = lazily(table).filter(nw.col("url").str.starts_with(SYNTHETIC_URL))
    return "synthetic" if made_up.select(nw.len()).lazy().collect().item() else "file"


def describe_tables(
    train_set: IntoFrame, gate_set: IntoFrame, options: TrainingOptions
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Say which rows the run is made from; the second copy is the one that MLflow shows.

    Returns:
        By what a table is for, `train_set` or `test_set`, its `digest`, its `rows` and its
        `data_source` (file or synthetic).
    """
    collected = {
        name: to_pandas(table, options.max_rows)
        for name, table in (("train_set", train_set), ("test_set", gate_set))
    }
    tables = {
        name: {
            "digest": digest(table),
            "rows": len(table),
            "data_source": "synthetic" if is_synthetic(table["url"]) else "file",
        }
        for name, table in collected.items()
    }
    return tables, tables


def fit_model(
    train_set: IntoFrame, options: TrainingOptions
) -> tuple[CharacterModel, CharacterModel]:
    """Fit the candidate; the second copy is the one that MLflow logs."""
    model = fit.fit(to_pandas(train_set, options.max_rows), options.fit, progress=report)
    return model, model


def score_test_set(
    train_set: IntoFrame,
    gate_set: IntoFrame,
    candidate: CharacterModel,
    reigning_champion: RegisteredModel | None,
    options: TrainingOptions,
) -> pd.DataFrame:
    """Score the test rows with the candidate, the baselines and, if there is one, the champion.

    Returns:
        One row a test row: `page_id`, `alive` (bool), the columns of `evaluation.slices`, and the
        probability of Alive by `candidate`, `logistic_regression`, `always_alive`, `champion`
        (NaN without one, and for rows that it was trained on, having been made with another split).

    Raises:
        ProjectError: The test set is empty.
    """
    train, test = (to_pandas(table, options.max_rows) for table in (train_set, gate_set))
    if not len(test):
        raise ProjectError(
            "test_set has no rows to measure a model on: raise processing.split.test_share, or "
            "bring more rows in data/01_raw."
        )
    scores = evaluation.slices(test).assign(
        page_id=test["page_id"],
        alive=test["alive"] == "Alive",
        candidate=candidate.predict(test)["probability"],
        logistic_regression=baselines.logistic_regression(train, test),
        always_alive=baselines.always_alive(train),
    )
    if reigning_champion is None:
        return scores.assign(champion=np.nan)
    champion = reigning_champion.predict(test)["probability"]
    return scores.assign(champion=champion.where(reigning_champion.is_new(test)))


def evaluate_models(
    test_scores: pd.DataFrame, candidate: CharacterModel, options: TrainingOptions
) -> pd.DataFrame:
    """Measure every model on the test set, overall and by slice, each figure with its interval."""
    return evaluation.evaluate(
        test_scores["alive"].to_numpy(),
        {name: test_scores[name].to_numpy() for name in SCORES},
        test_scores[list(evaluation.SLICES)],
        options.evaluation,
        candidate.threshold,
    )


def pick_test_metrics(evaluation_table: pd.DataFrame) -> dict[str, float]:
    """Pick the candidate's overall figures, with the bounds of their intervals."""
    overall = evaluation_table.query("model == 'candidate' and slice_key.isna()")
    return {
        f"{metric}{suffix}": float(figures[column])
        for metric, figures in overall.set_index("metric").iterrows()
        for suffix, column in (("", "value"), ("_low", "low"), ("_high", "high"))
    }


def decide_promotion(
    test_scores: pd.DataFrame,
    reigning_champion: RegisteredModel | None,
    run_tables: dict[str, dict[str, Any]],
    options: TrainingOptions,
) -> tuple[gate.Decision, pd.DataFrame]:
    """Hold the candidate against the thresholds and against the champion on the same rows.

    Returns:
        The decision, and its checks as the table that MLflow shows.
    """
    candidate = gate.Contender(
        test_scores["candidate"].to_numpy(), run_tables["train_set"]["data_source"]
    )
    champion = None
    if reigning_champion:
        champion = gate.Contender(test_scores["champion"].to_numpy(), reigning_champion.data_source)
    decision = gate.decide(
        test_scores["alive"].to_numpy(),
        candidate,
        champion,
        test_scores[list(evaluation.SLICES)],
        options.gate,
    )
    return decision, decision.checks


def describe_version(
    decision: gate.Decision,
    logged_candidate: LoggedModel,
    run_tables: dict[str, dict[str, Any]],
    split: dict[str, Any],
    options: TrainingOptions,
) -> dict[str, Any]:
    """Say what to register; nothing if the candidate failed an absolute check."""
    if not decision.floor_passed:
        return {}
    table = run_tables["train_set"]
    tags = version_tags(
        logged_candidate, table["data_source"], table["digest"], SplitOptions(**split)
    )
    return {"model_uri": logged_candidate.uri, "tags": options.origin | tags}


def promote(
    decision: gate.Decision,
    candidate_version: Version,
    logged_candidate: LoggedModel,
    reigning_champion: RegisteredModel | None,
    gate_table: str,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Say which alias the candidate's version gets.

    Args:
        decision: What the gate says.
        candidate_version: The version that was made or found again.
        logged_candidate: The model.
        reigning_champion: Who was challenged, if anybody.
        gate_table: The table whose rows the gate has looked at.

    Returns:
        The record of the decision, and versions by alias: `champion` if promoted, `challenger` if
        it passed the absolute checks and did not beat the champion, nothing otherwise. A version of
        before the champion, which a training on the same rows finds again, challenges nobody: it
        would put an end to another's A/B test. The record is saved first: were the run killed
        between the two, it is the alias that the next run sets.
    """
    previous = reigning_champion.version if reigning_champion else None
    aliases: dict[str, str] = {}
    version = candidate_version.version
    if version and version != previous:
        if decision.promoted:
            aliases = {"champion": version}
        elif decision.challenges and int(version) > int(previous or 0):
            aliases = {"challenger": version}
    record = decision.record(
        model_name=candidate_version.name,
        model_version=version,
        previous_champion=previous,
        model_digest=logged_candidate.digest,
        run_id=logged_candidate.run_id,
        tested_on=gate_table,
    )
    return record, aliases


def draw_plots(
    test_scores: pd.DataFrame,
    evaluation_table: pd.DataFrame,
    candidate: CharacterModel,
    options: TrainingOptions,
) -> tuple[Figure, Figure, Figure, Figure, dict[str, Figure]]:
    """Draw the ROC, calibration, confusion and importance plots; the last output has all four."""
    figures = {
        "roc": plots.draw_roc(test_scores, evaluation_table),
        "calibration": plots.draw_calibration(
            test_scores, evaluation_table, options.evaluation.calibration_bins
        ),
        "confusion": plots.draw_confusion(test_scores, candidate.threshold),
        "importance": plots.draw_importance(candidate.importances()),
    }
    return (
        figures["roc"],
        figures["calibration"],
        figures["confusion"],
        figures["importance"],
        figures,
    )


def write_model_card(
    promotion: dict[str, Any],
    run_tables: dict[str, dict[str, Any]],
    evaluation_table: pd.DataFrame,
    figures: dict[str, Figure],
    options: TrainingOptions,
) -> tuple[str, str]:
    """Write the model card in Markdown and as a page."""
    facts = model_card.Facts(
        promotion=promotion,
        tables=run_tables,
        parameters=options.fit.model_dump(),
        threshold=options.fit.threshold,
        confidence=options.evaluation.confidence,
        trained_at=f"{options.trained_at:%Y-%m-%d %H:%M %Z}",
        git_sha=options.origin.get("git_sha"),
    )
    markdown = model_card.render_markdown(facts, evaluation_table)
    return markdown, page.render(markdown, figures)
