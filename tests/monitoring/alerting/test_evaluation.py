"""Evaluation of alert rules on tables of metrics."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.alert_metrics import (
    DAY,
    DRIFT,
    SLOW,
    START,
    TESTED,
    drift,
    drifts,
    evaluated,
    health,
    options,
    performance,
    shipped,
    table,
    window,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def test_rule_with_test_fires_only_on_significant_and_large_drift() -> None:
    def ks(pvalue: float | None) -> dict[str, Any]:
        return {"statistic": 0.5, "pvalue": pvalue}

    rows = [
        drift(0, "both", 0.2, ks_test=ks(0.004)),
        drift(0, "small", 0.05, ks_test=ks(0.0001)),
        drift(0, "uncertain", 0.5, chi_squared_test=ks(0.03)),  # twice that, adjusted: 0.06
        drift(0, "no_drift", 0.5, ks_test=ks(0.9)),
        drift(0, "untested", 0.5),
    ]
    (alert,) = evaluated(drifts(*rows), options(drift=TESTED))
    assert (alert["column_name"], alert["value"]) == ("both", 0.2)
    assert (alert["pvalue"], alert["adjusted_pvalue"]) == (0.004, pytest.approx(0.012))
    assert alert["message"] == (
        "both: js_distance is 0.2; alarm at 0.1; p 0.012 adjusted over 4 columns; "
        "model version 1; window of 1 day from 2026-01-01 00:00 UTC"
    )


@pytest.mark.parametrize(
    ("meaning", "sentence"),
    [
        (None, "gender: js_distance is 0.2; alarm at 0.1; "),
        ("{column} is {value} away", "gender is 0.2 away; alarm at 0.1; "),
        ("distance of {value}", "gender: distance of 0.2; alarm at 0.1; "),
    ],
)
def test_message_is_the_sentence_of_the_rule(meaning: str | None, sentence: str) -> None:
    rows = [drift(0, "gender", 0.2, ks_test={"statistic": 0.5, "pvalue": 0.004})]
    (alert,) = evaluated(drifts(*rows), options(drift=TESTED | {"meaning": meaning}))
    assert alert["message"].startswith(sentence)


def test_adjustment_includes_columns_outside_the_rule() -> None:
    uncertain = {"statistic": 0.2, "pvalue": 0.02}
    rows = [drift(0, name, 0.2, ks_test=uncertain) for name in "abc"]
    assert evaluated(drifts(*rows), options(a=TESTED | {"columns": ["a"]})) == []
    assert len(evaluated(drifts(*rows[:1]), options(a=TESTED | {"columns": ["a"]}))) == 1


def test_adjustment_is_separate_by_window_and_model_version() -> None:
    certain = {"statistic": 0.2, "pvalue": 0.04}
    rows = [
        drift(day, "a", 0.2, ks_test=certain, model_version=version)
        for day in (0, 2)
        for version in ("1", "2")
    ]
    assert len(evaluated(drifts(*rows), options(drift=TESTED))) == 2
    other = drift(0, "a", 0.2, ks_test=certain, drift_type="CONSECUTIVE")
    sliced = drift(0, "a", 0.2, ks_test=certain, slice_key="universe", slice_value="Earth-616")
    weekly = drift(0, "a", 0.2, ks_test=certain, granularity="1 week", window=window(0, 7))
    assert len(evaluated(drifts(rows[0], other, sliced, weekly), options(drift=TESTED))) == 1


def test_slices_are_evaluated_only_with_slices_true() -> None:
    slices = [{"slice_key": "gender", "slice_value": value} for value in ("Male", "Female")]
    rows = [drift(0, "a", 0.2, **cut) for cut in [{}, *slices]]
    assert len(evaluated(drifts(*rows), options(drift=DRIFT))) == 1
    both = evaluated(drifts(*rows), options(drift=DRIFT | {"slices": True}))
    assert [row["slice_value"] for row in both] == [None, "Female", "Male"]
    assert "gender Male" in both[2]["message"]


def test_incomplete_window_is_ignored() -> None:
    rows = drifts(drift(0, "a", 0.2))
    assert evaluated(rows, options(drift=DRIFT), START + DAY - timedelta(microseconds=1)) == []
    assert len(evaluated(rows, options(drift=DRIFT), START + DAY)) == 1


def test_rule_fires_after_the_required_consecutive_windows() -> None:
    rules = options(drift=DRIFT | {"windows": 3})
    rows = [drift(day, "a", 0.2) for day in range(5)]
    assert evaluated(drifts(*rows[:2]), rules) == []
    assert evaluated(drifts(*rows[:2], drift(2, "a", 0.0), *rows[3:]), rules) == []
    (alert,) = evaluated(drifts(*rows), rules)
    assert alert["windows_in_a_row"] == 5
    assert alert["since"] == START
    assert alert["window"] == window(4)
    assert "5 consecutive windows of 1 day, last from 2026-01-05" in alert["message"]


def test_window_without_value_neither_fires_nor_resolves() -> None:
    rules = options(drift=DRIFT | {"windows": 2})
    rows = [drift(0, "a", 0.2), drift(1, "a", None), drift(2, "a", 0.2)]
    (alert,) = evaluated(drifts(*rows), rules)
    assert (alert["windows_in_a_row"], alert["state"]) == (2, "open")


def test_drift_needs_min_records_unless_the_profile_is_missing() -> None:
    rules = options(drift=DRIFT | {"min_records": 50})
    profiles = [
        {
            "window": window(day),
            "log_type": log_type,
            "granularity": "1 day",
            "column_name": "a",
            "count": count,
            "model_version": "1",
        }
        for day, log_type, count in [(0, "INPUT", 49), (1, "INPUT", 50), (1, "BASELINE", 1)]
    ]
    metrics = drifts(*(drift(day, "a", 0.2) for day in range(3)))
    (alert,) = evaluated(metrics | table("profile_metrics", *profiles), rules)
    assert alert["since"] == START + DAY  # day 0 has too few, day 2 no profile
    assert alert["windows_in_a_row"] == 2


def test_rule_about_all_columns_leaves_out_the_labels() -> None:
    """Where they are measured, too: they are null until they arrive."""
    rows = [drift(0, name, None, percent_null_delta=100.0) for name in ("alive", "height")]
    (alert,) = evaluated(drifts(*rows), shipped())
    assert (alert["rule"], alert["column_name"]) == ("more_nulls", "height")
    rules = options(labels=DRIFT | {"metric": "percent_null_delta", "columns": ["alive"]})
    assert len(evaluated(drifts(*rows), rules)) == 1


def test_performance_rules_fire_on_estimates_and_on_labels() -> None:
    conditions = {
        "estimated": {"metric": "baseline - high", "threshold": 0.02},
        "realised": {
            "metric": "baseline - realised",
            "threshold": 0.05,
            "min_records": 100,
            "records": "labelled",
        },
    }
    rules = options(
        **{
            name: condition | {"table": "quality_estimates", "estimate_of": "roc_auc"}
            for name, condition in conditions.items()
        }
    )
    rows = [
        performance(0, estimate=0.66, high=0.69),
        performance(1, estimate=0.64, high=0.67),
        performance(1, metric="log_loss", estimate=0.64, high=0.1),
        performance(2, realised=0.6, labelled=99),
        performance(3, realised=0.6, labelled=100),
    ]
    alerts = [
        (row["rule"], row["since"]) for row in evaluated(table("quality_estimates", *rows), rules)
    ]
    assert alerts == [("estimated", START + DAY), ("realised", START + 3 * DAY)]


def test_operational_rules_fire_by_endpoint_and_by_entity() -> None:
    rules = options(
        errors={"table": "health_metrics", "metric": "failed / requests", "threshold": 0.05},
        slow=SLOW,
    )
    rows = [
        health(0, latency_p95_ms=150.0),
        health(0, served_entity_name="challenger", model_version="2", latency_p95_ms=50.0),
        health(0, served_entity_name=None, model_version=None, requests=20, failed=20),
    ]
    errors, slow = evaluated(table("health_metrics", *rows), rules)
    assert errors["value"] == pytest.approx(20 / 220)
    assert (errors["model_version"], errors["slice_key"], errors["column_name"]) == (
        None,
        None,
        ":table",
    )
    assert (slow["slice_key"], slow["slice_value"]) == ("served_entity_name", "champion")


def test_missing_traffic_counts_as_windows_of_zero_requests() -> None:
    rule = {"table": "health_metrics", "metric": "requests", "comparison": "<", "threshold": 1}
    rules = options(gone=rule, slow=SLOW)
    rows = table("health_metrics", health(0, latency_p95_ms=200.0), health(3))
    gap, gone = (row for row in evaluated(rows, rules, START + 6.5 * DAY) if row["rule"] == "gone")
    assert (gap["since"], gap["windows_in_a_row"], gap["state"]) == (START + DAY, 2, "resolved")
    assert (gone["since"], gone["windows_in_a_row"], gone["state"]) == (START + 4 * DAY, 2, "open")
    assert evaluated(table("health_metrics"), rules) == []
    assert evaluated({}, rules) == []


def test_request_from_1970_adds_at_most_10000_empty_windows() -> None:
    rule = {"table": "health_metrics", "metric": "requests", "comparison": "<", "threshold": 1}
    at_1970 = health(0) | {"window": {"start": EPOCH, "end": EPOCH + DAY}}
    rows = table("health_metrics", at_1970, health(0))
    (gap,) = evaluated(rows, options(gone=rule), START + DAY)
    assert (gap["state"], gap["windows_in_a_row"]) == ("resolved", 10_000)
