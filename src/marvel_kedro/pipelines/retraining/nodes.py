"""Nodes of `retraining`: select rows, release the new model, keep the log."""

from typing import Any

import pyarrow as pa

from marvel_kedro.model import promotion as promotions
from marvel_kedro.model import retraining_rows
from marvel_kedro.model.options import RetrainingOptions
from marvel_kedro.model.promotion import Decision
from marvel_kedro.model.registry import LoggedModel, RegisteredModel, Version
from marvel_kedro.monitoring.alerting import retraining_log, retraining_policy
from marvel_kedro.monitoring.alerting.retraining_log import Outcome
from marvel_kedro.monitoring.alerting.retraining_policy import LabelCounts
from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import AnyFrame
from marvel_kedro.table.options import ProcessingOptions


def begin_retraining(
    alerts: pa.Table,
    labels_since: LabelCounts,
    known_retraining_log: pa.Table,
    champion_version: str | None,
    options: AlertingOptions,
) -> pa.Table:
    """Log that a retraining begins, with its reasons."""
    decision = retraining_policy.decide(
        alerts, labels_since, known_retraining_log, champion_version, options
    )
    return retraining_log.begin(known_retraining_log, decision, labels_since, options.now)


def select_newest(  # noqa: PLR0913, PLR0917 - inputs of a node
    inference_log: AnyFrame,
    records: AnyFrame,
    table: TableSpec,
    options: RetrainingOptions,
    processing: ProcessingOptions,
    alerting: AlertingOptions,
    max_rows: int,
) -> AnyFrame:
    """Turn labelled requests into records: for each key the one with the newest label."""
    return retraining_rows.select_newest(
        inference_log, records, table, options, processing, alerting.now, max_rows
    )


def release(
    decision: Decision,
    candidate_version: Version,
    logged_candidate: LoggedModel,
    reigning_champion: RegisteredModel | None,
    options: RetrainingOptions,
) -> tuple[dict[str, Any], dict[str, str], Outcome]:
    """Choose the alias of the candidate's version; return the record, the aliases, the outcome.

    A candidate that replaces a champion of another table becomes champion also with
    `retraining.release: challenger`.
    """
    record, aliases = promotions.promote(
        decision, candidate_version, logged_candidate, reigning_champion, "retraining_test_set"
    )
    # An A/B test of models of two tables would compare answers to different questions.
    is_no_rival = reigning_champion is not None and not decision.has_rival
    if options.release == "challenger" and not is_no_rival:
        record, aliases = promotions.release_as_challenger(record, aliases)
    if not aliases:
        return record, aliases, "refused"
    return record, aliases, "promoted" if "champion" in aliases else "challenger"


def end_retraining(
    begun_retraining_log: pa.Table,
    promotion: dict[str, Any],
    retraining_outcome: Outcome,
    options: AlertingOptions,
) -> pa.Table:
    """Log the outcome of the retraining."""
    return retraining_log.end(begun_retraining_log, promotion, retraining_outcome, options.now)
