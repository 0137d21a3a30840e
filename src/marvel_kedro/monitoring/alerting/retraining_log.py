"""The log of retrainings: one row when a retraining begins, completed when it ends."""

from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting.retraining_policy import LabelCounts

Outcome = Literal["promoted", "challenger", "refused"]


def begin(log: pa.Table, decision: dict[str, Any], labels: LabelCounts, now: datetime) -> pa.Table:
    """Add a row for a retraining that begins.

    It is saved before anything is trained, so that a retraining that fails also starts a cool-down.
    `decision` is the result of `retraining_policy.decide`.
    """
    row = {
        "retrained_at": now,
        "reasons": ([] if decision["retrain"] else ["started by hand"]) + decision["reasons"],
        "labelled_records": labels.new,
        "labelled_in_all": labels.in_all,
        "outcome": "started",
    }
    return pa.concat_tables([log, pa.Table.from_pylist([row], tables.RETRAINING_LOG)])


def end(log: pa.Table, promotion: dict[str, Any], outcome: Outcome, now: datetime) -> pa.Table:
    """Complete the row of the retraining that began at `now` by the record of the decision."""
    rows = log.to_pylist()
    for row in rows:
        if row["retrained_at"] == now and row["outcome"] == "started":
            row |= {
                "outcome": outcome,
                "model_version": promotion["model_version"],
                "detail": promotion["reason"],
            }
    return pa.Table.from_pylist(rows, tables.RETRAINING_LOG)
