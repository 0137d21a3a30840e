"""Whether a new model is to be trained."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.monitoring.alerting import evaluation as alerting
from marvel_kedro.monitoring.alerting.rules import AlertingOptions


class LabelCounts(NamedTuple):
    """How many characters have a label.

    Attributes:
        new: Whose label has become known since the last training.
        in_all: Whose label is known.
    """

    new: int
    in_all: int


def decide(
    alerts: pa.Table,
    labels: LabelCounts,
    retraining_log: pa.Table,
    champion: str | None,
    options: AlertingOptions,
) -> dict[str, Any]:
    """Decide about a new training.

    There is one if a rule with `retrain: true` fires (which a silence prevents and an
    acknowledgement does not) for the champion or for no version in particular, enough labels have
    become known since the last one to learn from, and the cool-down after that one is over. The
    cool-down counts from when a training began, whether it ended well, badly or not at all: what
    could not be mended is not tried again and again.

    Args:
        alerts: `tables.ALERTS`.
        labels: How many characters there are to learn from.
        retraining_log: `tables.RETRAINING_LOG`.
        champion: The version that a training would replace; an older one that keeps a share of the
            traffic drifts on, whatever is trained. None if there is none: then all of them count.
        options: The rules, the thresholds in `retrain`, and when this is decided.

    Returns:
        What JSON can hold: `retrain`, `reasons` (what fires, then what stands against it),
        `cooldown_until` (null without a training before), `labelled_records`, `decided_at`.
    """
    asked = {name for name, rule in options.active.items() if rule.retrain}
    firing = [row for row in alerting.firing(alerts) if row["rule"] in asked]
    others = {row["model_version"] for row in firing if _is_another(row["model_version"], champion)}
    wanted = [
        f"{row['rule']}: {row['message']}" for row in firing if row["model_version"] not in others
    ]
    until = cooldown_until(retraining_log, options)
    against = []
    if not wanted:
        against.append(
            f"alerts about {_listed(others)} not the champion (version {champion})"
            if others
            else "no rule that asks for a training fires"
        )
    if labels.new < options.retrain.min_labelled_records:
        against.append(
            f"{labels.new} new labelled records, and "
            f"alerting.retrain.min_labelled_records asks for {options.retrain.min_labelled_records}"
        )
    if until is not None and options.now < until:
        against.append(f"the cool-down after the last training lasts until {_said(until)}")
    return {
        "retrain": not against,
        "reasons": wanted + against,
        "cooldown_until": None if until is None else until.isoformat(),
        "labelled_records": labels.new,
        "decided_at": options.now.isoformat(),
    }


def retrained_versions(retraining_log: pa.Table) -> set[str]:
    """The versions of the model that `retraining` has made, whatever was said of them.

    One that was killed after it had promoted its version finds that version again when it is
    repeated, and is refused, since it is no better than itself.
    """
    return set(retraining_log["model_version"].to_pylist()) - {None}


def last_training(retraining_log: pa.Table) -> datetime | None:
    """When the last training began; None if there was none."""
    last: datetime | None = pc.max(retraining_log["retrained_at"]).as_py()
    return last


def count_labels(in_all: int, labelled_since: int, retraining_log: pa.Table) -> LabelCounts:
    """Say how many characters have got a label since the last training began.

    These are so many more than there were then: `labelled_at` says when something became of a
    character, and a batch of labels may be loaded long after that, or without it. If the log has
    lost pages since then, those count whose `labelled_at` is later than the training, as they
    all do after a training that has not noted how many there were.

    Args:
        in_all: Characters with a label.
        labelled_since: Those of them whose `labelled_at` is after the last training; all of them
            if there was none.
        retraining_log: `tables.RETRAINING_LOG`.
    """
    last = last_training(retraining_log)
    before = [
        row["labelled_in_all"]
        for row in retraining_log.select(["retrained_at", "labelled_in_all"]).to_pylist()
        if row["retrained_at"] == last and row["labelled_in_all"] is not None
    ]
    more = in_all - max(before) if before else 0
    return LabelCounts(new=max(labelled_since, more), in_all=in_all)


def cooldown_until(retraining_log: pa.Table, options: AlertingOptions) -> datetime | None:
    """Until when there is no other training; None if there was none."""
    last = last_training(retraining_log)
    return None if last is None else last + timedelta(days=options.retrain.cooldown_days)


def _is_another(version: str | None, champion: str | None) -> bool:
    """Whether it is a version of the registry, and another one than the champion.

    What answered under a name that nobody has noted goes by the id of its served entity: nobody can
    say that this is not the champion.
    """
    return (
        champion is not None
        and version is not None
        and version.isdecimal()
        and (version != champion)
    )


def _listed(versions: set[str]) -> str:
    if len(versions) == 1:
        return f"version {min(versions)}, which is"
    return f"versions {', '.join(sorted(versions, key=int))}, which are"


def _said(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
