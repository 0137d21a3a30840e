"""Whether a new model is to be trained."""

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.monitoring import alerts as alerting
from marvel_kedro.monitoring.rules import AlertingOptions


def decide(
    alerts: pa.Table,
    labelled_records: int,
    retraining_log: pa.Table,
    options: AlertingOptions,
    now: datetime,
) -> dict[str, Any]:
    """Decide about a new training.

    There is one if a rule with `retrain: true` fires (which a silence prevents and an
    acknowledgement does not), enough labels have become known since the last one to learn from, and
    the cool-down after that one is over. The cool-down counts from when a training began, whether
    it ended well, badly or not at all: what could not be mended is not tried again and again.

    Args:
        alerts: `tables.ALERTS`.
        labelled_records: Characters whose label has become known since the last training.
        retraining_log: `tables.RETRAINING_LOG`.
        options: The rules, and the thresholds in `retrain`.
        now: When this is decided.

    Returns:
        What JSON can hold: `retrain`, `reasons` (what fires, then what stands against it),
        `cooldown_until` (null without a training before), `labelled_records`, `decided_at`.
    """
    asked = {name for name, rule in options.active.items() if rule.retrain}
    wanted = [
        f"{row['rule']}: {row['message']}"
        for row in alerting.firing(alerts)
        if row["rule"] in asked
    ]
    until = cooldown_until(retraining_log, options)
    against = []
    if not wanted:
        against.append("no rule that asks for a training fires")
    if labelled_records < options.retrain.min_labelled_records:
        against.append(
            f"{labelled_records} new labelled records, and "
            f"alerting.retrain.min_labelled_records asks for {options.retrain.min_labelled_records}"
        )
    if until is not None and now < until:
        against.append(f"the cool-down after the last training lasts until {_said(until)}")
    return {
        "retrain": not against,
        "reasons": wanted + against,
        "cooldown_until": None if until is None else until.isoformat(),
        "labelled_records": labelled_records,
        "decided_at": now.isoformat(),
    }


def retrained_versions(retraining_log: pa.Table) -> set[str]:
    """The versions of the model that `retraining` has made, and some alias was given to."""
    return {
        row["model_version"]
        for row in retraining_log.select(["model_version", "outcome"]).to_pylist()
        if row["outcome"] in {"promoted", "challenger"} and row["model_version"] is not None
    }


def last_training(retraining_log: pa.Table) -> datetime | None:
    """When the last training began; None if there was none."""
    last: datetime | None = pc.max(retraining_log["retrained_at"]).as_py()
    return last


def cooldown_until(retraining_log: pa.Table, options: AlertingOptions) -> datetime | None:
    """Until when there is no other training; None if there was none."""
    last = last_training(retraining_log)
    return None if last is None else last + timedelta(days=options.retrain.cooldown_days)


def _said(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
