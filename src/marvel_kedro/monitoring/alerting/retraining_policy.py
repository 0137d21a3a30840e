"""The retraining policy: decide from alerts, labels and past retrainings whether to retrain."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import narwhals as nw
import pyarrow as pa
import pyarrow.compute as pc
from narwhals.typing import IntoFrame

from marvel_kedro.monitoring.alerting.lifecycle import firing
from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import lazily
from marvel_kedro.table.local_engine import on_engine


class LabelCounts(NamedTuple):
    """Numbers of labelled keys in the inference log."""

    new: int  # labelled since the last retraining
    in_all: int


def decide(
    alerts: pa.Table,
    labels: LabelCounts,
    retraining_log: pa.Table,
    champion: str | None,
    options: AlertingOptions,
) -> dict[str, Any]:
    """Decide whether to retrain.

    All of these conditions must hold:

    - A rule with `retrain: true` fires for the champion or for no particular version. A silence
      prevents that, an acknowledgement does not.
    - Enough labels have arrived since the last retraining began.
    - The cool-down after the last retraining is over. It counts from the start, whatever the
      outcome, so that a drift that retraining cannot fix does not retrain again and again.

    `champion` is the version that a retraining would replace. Alerts about another version do not
    count: an older one that keeps a share of the traffic drifts whatever is trained. None if there
    is no champion: alerts about any version count.

    Returns:
        A JSON object: `retrain`, `reasons` (the alerts, then the conditions that do not hold),
        `cooldown_until` (null without a past retraining), `labelled_records`, `decided_at`.
    """
    rules = {name for name, rule in options.active.items() if rule.retrain}
    relevant = [row for row in firing(alerts) if row["rule"] in rules]
    # None is no version; a served entity of unknown version has its id, and may be the champion.
    versions = {row["model_version"] for row in relevant if str(row["model_version"]).isdecimal()}
    others = set() if champion is None else versions - {champion}
    reasons = [
        f"{row['rule']}: {row['message']}" for row in relevant if row["model_version"] not in others
    ]
    last = last_training(retraining_log)
    until = None if last is None else last + timedelta(days=options.retrain.cooldown_days)
    obstacles = []
    if not reasons:
        obstacles.append(
            f"alerts about {_list_versions(others)} not the champion (version {champion})"
            if others
            else "no alert of a rule with retrain: true fires"
        )
    if labels.new < options.retrain.min_labelled_records:
        obstacles.append(
            f"{labels.new} new labelled records, fewer than "
            f"alerting.retrain.min_labelled_records ({options.retrain.min_labelled_records})"
        )
    if until is not None and options.now < until:
        obstacles.append(
            f"the cool-down after the last retraining ends at {until:%Y-%m-%d %H:%M} UTC"
        )
    return {
        "retrain": not obstacles,
        "reasons": reasons + obstacles,
        "cooldown_until": None if until is None else until.isoformat(),
        "labelled_records": labels.new,
        "decided_at": options.now.isoformat(),
    }


def retrained_versions(retraining_log: pa.Table) -> set[str]:
    """Return the model versions that retrainings have registered, whatever their outcome.

    A retraining that was killed after it promoted its version finds that version again when it is
    repeated, and is refused, since the version is no better than itself.
    """
    return set(retraining_log["model_version"].to_pylist()) - {None}


def last_training(retraining_log: pa.Table) -> datetime | None:
    """Return the start of the last retraining; None if there was none."""
    last: datetime | None = pc.max(retraining_log["retrained_at"]).as_py()
    return last


def count_labelled(
    inference_log: IntoFrame, retraining_log: pa.Table, now: datetime, table: TableSpec
) -> LabelCounts:
    """Count the keys with a label, and those labelled since the last retraining.

    Records later than `now` do not count, since no training uses them.
    """
    rows = lazily(on_engine(inference_log)).filter(
        ~nw.col(table.key).is_null(),
        ~nw.col(table.target.column).is_null(),
        nw.col("request_time") <= now,
    )
    in_all, last = _count(rows, table.key), last_training(retraining_log)
    since = in_all
    if last is not None:
        since = _count(rows.filter(nw.col("labelled_at") > last), table.key)
    return count_labels(in_all, since, retraining_log)


def count_labels(in_all: int, labelled_since: int, retraining_log: pa.Table) -> LabelCounts:
    """Count the labels that have arrived since the last retraining began.

    They are the difference to the number recorded then: `labelled_at` is the time of the outcome,
    and a batch of labels may be loaded long after it, or without it. If keys have left the log
    since then, or the retraining recorded no number, those with a later `labelled_at` count:
    `labelled_since`, which is `in_all` if there was no retraining.
    """
    is_last = pc.field("retrained_at") == last_training(retraining_log)
    recorded = pc.max(retraining_log.filter(is_last)["labelled_in_all"]).as_py()
    more = 0 if recorded is None else in_all - recorded
    return LabelCounts(new=max(labelled_since, more), in_all=in_all)


def _count(rows: nw.LazyFrame[Any], key: str) -> int:
    return int(rows.select(key).unique().select(nw.len()).lazy().collect().item())


def _list_versions(versions: set[str]) -> str:
    if len(versions) == 1:
        return f"version {min(versions)}, which is"
    return f"versions {', '.join(sorted(versions, key=int))}, which are"
