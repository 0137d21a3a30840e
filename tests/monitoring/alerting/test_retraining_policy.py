"""The decision to retrain."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from marvel_kedro.databricks import task_values
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting.retraining_policy import (
    LabelCounts,
    count_labels,
    decide,
    retrained_versions,
)
from marvel_kedro.monitoring.alerting.rules import AlertingOptions

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RULE = {"table": "drift_metrics", "metric": "js_distance", "threshold": 0.1}
OPTIONS = AlertingOptions.model_validate(
    {
        "now": NOW,
        "rules": {"drift": RULE | {"retrain": True}, "nulls": RULE, "off": None},
        "retrain": {"cooldown_days": 7, "min_labelled_records": 500},
    }
)


def alerts(*rows: tuple[str, str], versions: tuple[str | None, ...] = (None,)) -> pa.Table:
    """Make each alert for each version."""
    return pa.Table.from_pylist(
        [
            {"rule": rule, "state": state, "message": f"{rule} it is", "model_version": version}
            for rule, state in rows
            for version in versions
        ],
        tables.ALERTS,
    )


def log(*days_ago: float, outcome: str = "promoted") -> pa.Table:
    return pa.Table.from_pylist(
        [{"retrained_at": NOW - days * DAY, "outcome": outcome} for days in days_ago],
        tables.RETRAINING_LOG,
    )


NEVER = log()
ENOUGH = LabelCounts(500, 500)


def decided(*rows: tuple[str, str], labelled: int = 500, log: pa.Table = NEVER) -> dict[str, Any]:
    return decide(alerts(*rows), LabelCounts(labelled, 0), log, "2", OPTIONS)


def test_retrains_with_a_firing_alert_enough_labels_and_no_past_retraining() -> None:
    decision = decided(("drift", "open"), ("nulls", "open"))
    assert decision == {
        "retrain": True,
        "reasons": ["drift: drift it is"],
        "cooldown_until": None,
        "labelled_records": 500,
        "decided_at": "2026-03-01T00:00:00+00:00",
    }
    assert task_values.of_retraining(decision) == {"retrain": "true"}


@pytest.mark.parametrize(
    ("state", "retrain"),
    [("open", True), ("acknowledged", True), ("silenced", False), ("resolved", False)],
)
def test_only_open_and_acknowledged_alerts_are_a_reason(state: str, retrain: bool) -> None:
    decision = decided(("drift", state))
    assert decision["retrain"] is retrain
    if not retrain:
        assert decision["reasons"] == ["no alert of a rule with retrain: true fires"]
        assert task_values.of_retraining(decision) == {"retrain": "false"}


@pytest.mark.parametrize(
    ("versions", "champion", "against"),
    [
        (("1",), "2", "alerts about version 1, which is not the champion (version 2)"),
        (("10", "9"), "2", "alerts about versions 9, 10, which are not the champion (version 2)"),
        (("1", "2"), "2", None),
        (("1", None), "2", None),
        (("1",), None, None),
        (("0f3a",), "2", None),  # a served entity of unknown version
    ],
)
def test_alert_about_another_version_than_the_champion_is_no_reason(
    versions: tuple[str | None, ...], champion: str | None, against: str | None
) -> None:
    firing = alerts(("drift", "open"), versions=versions)
    decision = decide(firing, ENOUGH, NEVER, champion, OPTIONS)
    assert decision["retrain"] is (against is None)
    if against is not None:
        assert decision["reasons"] == [against]
    else:
        assert decision["reasons"] == ["drift: drift it is"]


def test_alert_of_a_rule_without_retrain_or_of_a_removed_rule_is_no_reason() -> None:
    assert not decided(("nulls", "open"), ("off", "open"), ("gone", "open"))["retrain"]


def test_too_few_labels_prevent_retraining_with_both_numbers() -> None:
    decision = decided(("drift", "open"), labelled=499)
    assert not decision["retrain"]
    assert decision["reasons"][0] == "drift: drift it is"
    assert "499 new labelled records" in decision["reasons"][1]
    assert "min_labelled_records (500)" in decision["reasons"][1]


@pytest.mark.parametrize(
    ("recorded", "in_all", "since", "new"),
    [
        ([], 700, 700, 700),
        ([200], 700, 0, 500),  # loaded late
        ([200, 700], 700, 0, 0),  # the newest training counts
        ([700, 200], 700, 0, 500),
        ([700], 600, 0, 0),  # keys have left the log
        ([700], 600, 50, 50),  # and others were added
        ([None], 700, 30, 30),  # the retraining recorded no number
        ([500, None], 700, 30, 30),
    ],
)
def test_new_labels_are_those_since_the_last_retraining(
    recorded: list[int | None], in_all: int, since: int, new: int
) -> None:
    rows = [
        {"retrained_at": NOW + days * DAY, "labelled_in_all": there}
        for days, there in enumerate(recorded)
    ]
    past = pa.Table.from_pylist(rows, tables.RETRAINING_LOG)
    assert count_labels(in_all, since, past) == (new, in_all)


@pytest.mark.parametrize("outcome", ["promoted", "challenger", "refused", "started"])
def test_cool_down_counts_whatever_the_outcome_of_the_last_retraining(outcome: str) -> None:
    decision = decided(("drift", "open"), log=log(30, 6.9, outcome=outcome))
    assert not decision["retrain"]
    assert decision["cooldown_until"] == (NOW + 0.1 * DAY).isoformat()
    assert decision["reasons"][1] == (
        "the cool-down after the last retraining ends at 2026-03-01 02:24 UTC"
    )
    over = decided(("drift", "open"), log=log(7, 30, outcome=outcome))
    assert over["retrain"]
    assert over["cooldown_until"] == NOW.isoformat()


def test_persistent_alert_retrains_once_per_cool_down() -> None:
    # An alert that no retraining resolves; a decision every hour for 60 days.
    begun: list[datetime] = []
    for hour in range(60 * 24):
        now = NOW + timedelta(hours=hour)
        then = OPTIONS.model_copy(update={"now": now})
        past = pa.Table.from_pylist([{"retrained_at": at} for at in begun], tables.RETRAINING_LOG)
        if decide(alerts(("drift", "open")), ENOUGH, past, None, then)["retrain"]:
            begun.append(now)
    assert len(begun) == 9
    assert {after - before for before, after in itertools.pairwise(begun)} == {7 * DAY}


def test_retrained_versions_include_that_of_a_repeated_retraining() -> None:
    rows = [("started", None), ("refused", "2")]
    logged = [{"outcome": outcome, "model_version": version} for outcome, version in rows]
    assert retrained_versions(pa.Table.from_pylist(logged, tables.RETRAINING_LOG)) == {"2"}
    assert retrained_versions(tables.RETRAINING_LOG.empty_table()) == set()


def test_decision_is_valid_json() -> None:
    for decision in (decided(), decided(("drift", "open"), log=log(1))):
        assert json.loads(json.dumps(decision, allow_nan=False)) == decision
