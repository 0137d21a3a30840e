"""The newest labels become training rows; what was trained is released and written down."""

import logging
from datetime import timedelta
from typing import Any, Literal

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa
from narwhals.typing import IntoFrameT

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import fit, metrics
from marvel_kedro.model import promotion as gate
from marvel_kedro.model.evaluation import value_of
from marvel_kedro.model.options import RetrainingOptions, TrainingOptions
from marvel_kedro.model.portable import predictor
from marvel_kedro.model.portable.predictor import NUMBER_COLUMNS, TEXT_COLUMNS
from marvel_kedro.model.registry import LoggedModel, RegisteredModel, Version
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import retraining_policy
from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.pipelines.training import nodes as training
from marvel_kedro.table.cleaning import split_characters
from marvel_kedro.table.frames import AnyFrame, collect, lazily, to_pandas
from marvel_kedro.table.local_engine import on_engine
from marvel_kedro.table.options import ProcessingOptions, SplitOptions
from marvel_kedro.table.split import with_side

logger = logging.getLogger(__name__)

Outcome = Literal["started", "promoted", "challenger", "refused"]

_NEWEST = ("labelled_at", "request_time", "databricks_request_id", "record_number")
"""The order in which rows of the inference log are new, in what they are the same as well."""
_LEAST_SHARE = (
    0.0001  # of the past; without any of it nobody could tell made-up rows from real ones
)
_BY_HAND = "started by hand"


def begin_retraining(
    alerts: pa.Table,
    labels_since: retraining_policy.LabelCounts,
    known_retraining_log: pa.Table,
    champion_version: str | None,
    options: AlertingOptions,
) -> pa.Table:
    """Write down that a training begins, and why.

    It is in the log before anything is trained, so that one that dies begins a cool-down as well.
    """
    decided = retraining_policy.decide(
        alerts, labels_since, known_retraining_log, champion_version, options
    )
    row = {
        "retrained_at": options.now,
        "reasons": ([] if decided["retrain"] else [_BY_HAND]) + decided["reasons"],
        "labelled_records": labels_since.new,
        "labelled_in_all": labels_since.in_all,
        "outcome": "started",
    }
    added = pa.Table.from_pylist([row], tables.RETRAINING_LOG)
    return pa.concat_tables([known_retraining_log, added])


def select_newest(
    inference_log: AnyFrame,
    characters: IntoFrameT,
    options: RetrainingOptions,
    alerting: AlertingOptions,
    max_rows: int,
) -> IntoFrameT:
    """Make characters of labelled records: of each page the one with the newest label.

    A field that was not sent is that of the page in `characters`, as it was for the model when a
    record was completed from there. A record whose time is still to come does not count: by a
    clock that is wrong it would be the newest one, and leave no other within `options.days`.

    Args:
        inference_log: One row a scored record.
        characters: The pages that have been known.
        options: Which records count.
        alerting: What time it is.
        max_rows: Labelled pages that this process is to hold at the most, where `characters` is a
            table in memory.

    Returns:
        One row a labelled page, with the columns of `characters`.

    Raises:
        ProjectError: No record is labelled.
    """
    rows = lazily(on_engine(inference_log)).filter(
        ~nw.col("page_id").is_null(),
        nw.col("alive").is_in(["Alive", "Dead"]),
        nw.col("request_time") <= alerting.now,
    )
    newest = rows.select(nw.col("request_time").max()).lazy().collect().item()
    if newest is None or newest != newest:  # noqa: PLR0124 - pandas' NaT
        raise ProjectError(
            "inference_log has no labelled record to train on: labels are matched by page_id, "
            "which requests have to carry, and records of after monitoring.now "
            f"({alerting.now:%Y-%m-%d %H:%M %Z}) do not count. Bring rows in the table labels, "
            "then: kedro run --pipelines monitoring"
        )
    if options.days is not None:
        rows = rows.filter(nw.col("request_time") >= newest - timedelta(days=options.days))
    sent = (
        rows.with_columns(nw.lit(1).alias("_one"))
        .with_columns(
            nw.col("_one").cum_sum().over("page_id", order_by=list(_NEWEST)).alias("_place"),
            nw.col("_one").sum().over("page_id").alias("_rows"),
        )
        .filter(nw.col("_place") == nw.col("_rows"))
        .select("page_id", "alive", *map(_sent, TEXT_COLUMNS), *map(_measured, NUMBER_COLUMNS))
    )
    if isinstance(characters, pd.DataFrame):  # engines do not join with each other
        sent = lazily(collect(sent.to_native(), max_rows, "training.max_rows"))
    known = lazily(characters)
    columns = known.collect_schema().names()
    both = sent.join(
        known.rename({name: f"_{name}" for name in columns}),
        left_on="page_id",
        right_on="_page_id",
        how="left",
    )
    coalesced = {name: nw.coalesce(name, f"_{name}") for name in (*TEXT_COLUMNS, *NUMBER_COLUMNS)}
    own = {name: nw.col(name) for name in ("page_id", "alive")}
    return both.select(
        (coalesced | own).get(name, nw.col(f"_{name}")).alias(name) for name in columns
    ).to_native()


def choose_share(
    newest_characters: IntoFrameT,
    characters: IntoFrameT,
    options: RetrainingOptions,
    processing: ProcessingOptions,
    train: TrainingOptions,
) -> float:
    """Find out how much of the past a model is to learn from.

    Returns:
        The share of `options.newest_shares` with the least log loss on a quarter of the newly
        labelled rows of the train side, by a model that has not seen them; of equal ones the first.
        Rows of the test side are not looked at.
    """
    if len(options.newest_shares) == 1:
        return options.newest_shares[0]
    losses = []
    new_train, _, _ = split_characters(newest_characters, processing)
    aside = to_pandas(_sample(lazily(new_train), 0.25, " aside").to_native(), train.max_rows)
    for share in options.newest_shares:
        rows, _, _ = split_rows(newest_characters, characters, share, options, processing)
        collected = to_pandas(rows, train.max_rows)
        collected = collected[~collected["page_id"].isin(aside["page_id"])]
        loss = _loss(collected, aside, train)
        logger.info("          newest rows at least %.0f %%: log loss %.4f", 100 * share, loss)
        losses.append(loss)
    return options.newest_shares[losses.index(min(losses))]


def split_rows(
    newest_characters: IntoFrameT,
    characters: IntoFrameT,
    newest_share: float,
    options: RetrainingOptions,
    processing: ProcessingOptions,
) -> tuple[IntoFrameT, IntoFrameT, dict[str, Any]]:
    """Put the newly labelled characters in the place of those of the past, and deal all anew.

    The hash that deals is that of `processing`: what any model was trained on by it, none is tested
    on.

    Returns:
        Train set, test set, and the split, as `processing` makes them.
    """
    newest, past = lazily(newest_characters), lazily(characters)
    past = past.join(newest.select("page_id"), on="page_id", how="anti")
    past = _thinned(past, _rows(newest), newest_share)
    new_train, new_test, split = split_characters(newest.to_native(), processing)
    past_train, past_test, _ = split_characters(past.to_native(), processing)
    test = new_test if options.test_on == "newest" else _stacked(new_test, past_test)
    return _stacked(new_train, past_train), test, split


def release(
    decision: gate.Decision,
    candidate_version: Version,
    logged_candidate: LoggedModel,
    reigning_champion: RegisteredModel | None,
    options: RetrainingOptions,
) -> tuple[dict[str, Any], dict[str, str], Outcome]:
    """Say which alias the candidate's version gets.

    Returns:
        The record of the decision, versions by alias, as `training.promote` does, and the outcome.
    """
    record, aliases = training.promote(
        decision, candidate_version, logged_candidate, reigning_champion, "retraining_test_set"
    )
    if options.release == "challenger" and "champion" in aliases:
        aliases = {"challenger": aliases["champion"]}
        record |= {
            "promoted": False,
            "reason": f"{record['reason']}; released as challenger (retraining.release), "
            "for an A/B test",
        }
    outcome: Outcome = "refused"
    if aliases:
        outcome = "promoted" if "champion" in aliases else "challenger"
    return record, aliases, outcome


def end_retraining(
    begun_retraining_log: pa.Table,
    promotion: dict[str, Any],
    retraining_outcome: Outcome,
    options: AlertingOptions,
) -> pa.Table:
    """Write down what came of the training."""
    rows = begun_retraining_log.to_pylist()
    for row in rows:
        if row["retrained_at"] == options.now and row["outcome"] == "started":
            row |= {
                "outcome": retraining_outcome,
                "model_version": promotion["model_version"],
                "detail": promotion["reason"],
            }
    return pa.Table.from_pylist(rows, tables.RETRAINING_LOG)


def _loss(rows: pd.DataFrame, aside: pd.DataFrame, options: TrainingOptions) -> float:
    """The log loss of a model of some rows on others; infinite where there is none."""
    try:
        model = fit.fit(rows, options.fit)
    except ProjectError:  # too few rows, or one class
        return np.inf
    if not len(aside):
        return np.inf
    alive = (aside["alive"] == "Alive").to_numpy()
    probability = model.predict(aside)["probability"].to_numpy()
    return value_of(metrics.log_loss, metrics.Cells.of(alive, probability))


def _thinned(past: nw.LazyFrame[Any], newest: int, share: float) -> nw.LazyFrame[Any]:
    """Leave out rows of the past until the newest ones make up a share of all."""
    if not share:
        return past
    rows, wanted = _rows(past), newest * (1 - share) / share
    if rows <= wanted:
        return past
    return _sample(past, max(wanted / rows, _LEAST_SHARE), " of the past")


def _sample(frame: nw.LazyFrame[Any], share: float, salt: str) -> nw.LazyFrame[Any]:
    """Take a share of the rows, by a hash that is another one for each salt."""
    salted = frame.with_columns(
        nw.col("page_id").alias("_page_id"),
        nw.concat_str(nw.col("page_id"), nw.lit(salt)).alias("page_id"),
    )
    return (
        with_side(salted, SplitOptions(by="page_id", test_share=share), into="_taken")
        .filter(nw.col("_taken"))
        .with_columns(nw.col("_page_id").alias("page_id"))
        .drop("_page_id", "_taken")
    )


def _sent(name: str) -> nw.Expr:
    return nw.when(nw.col(name) != "").then(nw.col(name)).alias(name)


def _measured(name: str) -> nw.Expr:
    plain = (nw.col(name) > predictor.ABOVE) & (nw.col(name) < predictor.BELOW)
    return nw.when(plain).then(nw.col(name)).alias(name)


def _rows(frame: nw.LazyFrame[Any]) -> int:
    return int(frame.select(nw.len()).lazy().collect().item())


def _stacked(first: IntoFrameT, second: IntoFrameT) -> IntoFrameT:
    stacked: IntoFrameT = nw.concat([lazily(first), lazily(second)]).to_native()
    return stacked
