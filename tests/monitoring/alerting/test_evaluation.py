"""From tables of metrics to alerts."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.examples import at_most
from support.project import ROOT

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import evaluation
from marvel_kedro.monitoring.alerting.rules import SCHEMAS, AlertingOptions, Table

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = START + 100 * DAY
NONE = tables.ALERTS.empty_table()

DRIFT: dict[str, Any] = {"table": "drift_metrics", "metric": "js_distance", "threshold": 0.1}
TESTED: dict[str, Any] = DRIFT | {"test": "first(ks_test.pvalue, chi_squared_test.pvalue)"}
SLOW: dict[str, Any] = {
    "table": "health_metrics",
    "by": "entity",
    "metric": "latency_p95_ms",
    "threshold": 100,
}


def options(**rules: Any) -> AlertingOptions:
    return AlertingOptions.model_validate({"now": NOW, "rules": rules})


def window(day: int, days: int = 1) -> dict[str, Any]:
    return {"start": START + day * DAY, "end": START + (day + days) * DAY}


def drift(day: int, column: str, distance: float | None, **other: Any) -> dict[str, Any]:
    return {
        "window": window(day),
        "granularity": "1 day",
        "column_name": column,
        "drift_type": "BASELINE",
        "js_distance": distance,
        "model_version": "1",
    } | other


def health(day: int, **other: Any) -> dict[str, Any]:
    return {
        "window": window(day),
        "granularity": "1 day",
        "served_entity_name": "champion",
        "model_version": "1",
        "requests": 100,
        "answered": 100,
        "failed": 0,
    } | other


def quality(day: int, **other: Any) -> dict[str, Any]:
    return {
        "window": window(day),
        "granularity": "1 day",
        "model_version": "1",
        "metric": "roc_auc",
        "estimate": 0.7,
        "high": 0.72,
        "realised_error": 0.02,
        "baseline": 0.7,
        "baseline_error": 0.015,
        "records": 1000,
        "labelled": 0,
    } | other


def table(name: Table, *rows: dict[str, Any]) -> dict[Table, pa.Table]:
    return {name: pa.Table.from_pylist(list(rows), SCHEMAS[name])}


def drifts(*rows: dict[str, Any]) -> dict[Table, pa.Table]:
    return table("drift_metrics", *rows)


def found(metrics: Any, asked: AlertingOptions, now: datetime = NOW) -> list[dict[str, Any]]:
    return evaluation.evaluate(metrics, asked, NONE, now).to_pylist()


def states(rows: pa.Table | list[dict[str, Any]]) -> list[str]:
    return [row["state"] for row in (rows if isinstance(rows, list) else rows.to_pylist())]


# Holm


def closed_testing(pvalues: Sequence[float]) -> list[float]:
    """Holm's procedure by what it follows from (Marcus, Peritz, Gabriel 1976): a hypothesis is
    rejected if Bonferroni rejects every intersection of hypotheses that it is in."""
    places = range(len(pvalues))
    subsets = [
        subset
        for size in range(1, len(pvalues) + 1)
        for subset in itertools.combinations(places, size)
    ]
    return [
        max(
            min(1.0, len(subset) * min(pvalues[other] for other in subset))
            for subset in subsets
            if place in subset
        )
        for place in places
    ]


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.01, 0.02, 0.05]), max_size=7))
def test_holm_is_the_closed_test_of_bonferroni(pvalues: list[float]) -> None:
    adjusted = evaluation.holm(np.array(pvalues, dtype=np.float64))
    np.testing.assert_allclose(adjusted, closed_testing(pvalues), rtol=1e-12)


def test_holm_by_hand() -> None:
    pvalues = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(evaluation.holm(pvalues), [0.03, np.nan, 0.06, 0.06, 0.02])


def test_false_alarms_over_all_columns_are_at_most_alpha() -> None:
    # 2,000 calm days of 11 columns; an unadjusted rule would call 43 % of them.
    generator = np.random.default_rng(3)
    asked = options(any=TESTED | {"threshold": 0})
    rows = [
        drift(day, f"c{column}", 0.2, ks_test={"statistic": 0.2, "pvalue": generator.random()})
        for day in range(2000)
        for column in range(11)
    ]
    called = {
        row["since"] + number * DAY
        for row in found(drifts(*rows), asked, NOW + 3000 * DAY)
        for number in range(row["windows_in_a_row"])
    }
    assert 0.03 < len(called) / 2000 < 0.065  # three standard deviations above 0.05


# What fires


def test_a_test_needs_certainty_and_size() -> None:
    def ks(pvalue: float | None) -> dict[str, Any]:
        return {"statistic": 0.5, "pvalue": pvalue}

    rows = [
        drift(0, "both", 0.2, ks_test=ks(0.004)),
        drift(0, "small", 0.05, ks_test=ks(0.0001)),
        drift(0, "unsure", 0.5, chi_squared_test=ks(0.03)),  # twice that, adjusted: 0.06
        drift(0, "calm", 0.5, ks_test=ks(0.9)),
        drift(0, "untested", 0.5),
    ]
    (alert,) = found(drifts(*rows), options(drift=TESTED))
    assert (alert["column_name"], alert["value"]) == ("both", 0.2)
    assert (alert["pvalue"], alert["adjusted_pvalue"]) == (0.004, pytest.approx(0.012))
    assert alert["message"] == (
        "both: js_distance is 0.2, at least 0.1; p 0.012 adjusted over 4 columns; "
        "model version 1; window of 1 day from 2026-01-01 00:00 UTC"
    )


def test_columns_that_no_rule_looks_at_count_in_the_adjustment() -> None:
    unsure = {"statistic": 0.2, "pvalue": 0.02}
    rows = [drift(0, name, 0.2, ks_test=unsure) for name in "abc"]
    assert found(drifts(*rows), options(a=TESTED | {"columns": ["a"]})) == []
    assert len(found(drifts(*rows[:1]), options(a=TESTED | {"columns": ["a"]}))) == 1


def test_windows_and_model_versions_are_families_of_their_own() -> None:
    sure = {"statistic": 0.2, "pvalue": 0.04}
    rows = [
        drift(day, "a", 0.2, ks_test=sure, model_version=version)
        for day in (0, 2)
        for version in ("1", "2")
    ]
    assert len(found(drifts(*rows), options(drift=TESTED))) == 2
    other = drift(0, "a", 0.2, ks_test=sure, drift_type="CONSECUTIVE")
    sliced = drift(0, "a", 0.2, ks_test=sure, slice_key="universe", slice_value="Earth-616")
    weekly = drift(0, "a", 0.2, ks_test=sure, granularity="1 week", window=window(0, 7))
    assert len(found(drifts(rows[0], other, sliced, weekly), options(drift=TESTED))) == 1


def test_slices_are_looked_at_if_asked() -> None:
    slices = [{"slice_key": "gender", "slice_value": value} for value in ("Male", "Female")]
    rows = [drift(0, "a", 0.2, **cut) for cut in [{}, *slices]]
    assert len(found(drifts(*rows), options(drift=DRIFT))) == 1
    both = found(drifts(*rows), options(drift=DRIFT | {"slices": True}))
    assert [row["slice_value"] for row in both] == [None, "Female", "Male"]
    assert "gender Male" in both[2]["message"]


def test_only_windows_that_are_over_count() -> None:
    rows = drifts(drift(0, "a", 0.2))
    assert found(rows, options(drift=DRIFT), START + DAY - timedelta(microseconds=1)) == []
    assert len(found(rows, options(drift=DRIFT), START + DAY)) == 1


def test_windows_in_a_row() -> None:
    asked = options(drift=DRIFT | {"windows": 3})
    rows = [drift(day, "a", 0.2) for day in range(5)]
    assert found(drifts(*rows[:2]), asked) == []
    assert found(drifts(*rows[:2], drift(2, "a", 0.0), *rows[3:]), asked) == []
    (alert,) = found(drifts(*rows), asked)
    assert alert["windows_in_a_row"] == 5
    assert alert["since"] == START
    assert alert["window"] == window(4)
    assert "5 windows of 1 day in a row, the last from 2026-01-05" in alert["message"]


def test_a_window_that_says_nothing_neither_fires_nor_calms() -> None:
    asked = options(drift=DRIFT | {"windows": 2})
    rows = [drift(0, "a", 0.2), drift(1, "a", None), drift(2, "a", 0.2)]
    (alert,) = found(drifts(*rows), asked)
    assert (alert["windows_in_a_row"], alert["state"]) == (2, "open")


def test_few_records_say_nothing_and_an_unknown_number_does_not_hide_a_drift() -> None:
    asked = options(drift=DRIFT | {"min_records": 50})
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
    (alert,) = found(metrics | table("profile_metrics", *profiles), asked)
    assert alert["since"] == START + DAY  # day 0 has too few, day 2 no profile
    assert alert["windows_in_a_row"] == 2


def test_quality_beyond_the_interval_and_by_labels() -> None:
    rules = {
        "estimated": {"metric": "baseline - high", "threshold": 0.02},
        "realised": {
            "metric": "baseline - realised",
            "threshold": 0.05,
            "min_records": 100,
            "records": "labelled",
        },
    }
    asked = options(
        **{
            name: rule | {"table": "quality_estimates", "estimate_of": "roc_auc"}
            for name, rule in rules.items()
        }
    )
    rows = [
        quality(0, estimate=0.66, high=0.69),
        quality(1, estimate=0.64, high=0.67),
        quality(1, metric="log_loss", estimate=0.64, high=0.1),
        quality(2, realised=0.6, labelled=99),
        quality(3, realised=0.6, labelled=100),
    ]
    told = [(row["rule"], row["since"]) for row in found(table("quality_estimates", *rows), asked)]
    assert told == [("estimated", START + DAY), ("realised", START + 3 * DAY)]


def test_health_of_the_endpoint_and_of_its_entities() -> None:
    asked = options(
        errors={"table": "health_metrics", "metric": "failed / requests", "threshold": 0.05},
        slow=SLOW,
    )
    rows = [
        health(0, latency_p95_ms=150.0),
        health(0, served_entity_name="challenger", model_version="2", latency_p95_ms=50.0),
        health(0, served_entity_name=None, model_version=None, requests=20, failed=20),
    ]
    errors, slow = found(table("health_metrics", *rows), asked)
    assert errors["value"] == pytest.approx(20 / 220)
    assert (errors["model_version"], errors["slice_key"], errors["column_name"]) == (
        None,
        None,
        ":table",
    )
    assert (slow["slice_key"], slow["slice_value"]) == ("served_entity_name", "champion")


def test_traffic_that_vanishes() -> None:
    rule = {"table": "health_metrics", "metric": "requests", "comparison": "<", "threshold": 1}
    asked = options(gone=rule, slow=SLOW)
    rows = table("health_metrics", health(0, latency_p95_ms=200.0), health(3))
    gap, gone = (row for row in found(rows, asked, START + 6.5 * DAY) if row["rule"] == "gone")
    assert (gap["since"], gap["windows_in_a_row"], gap["state"]) == (START + DAY, 2, "resolved")
    assert (gone["since"], gone["windows_in_a_row"], gone["state"]) == (START + 4 * DAY, 2, "open")
    assert found(table("health_metrics"), asked) == []
    assert found({}, asked) == []


def test_a_clock_that_once_was_at_1970_makes_no_alert_of_decades() -> None:
    rule = {"table": "health_metrics", "metric": "requests", "comparison": "<", "threshold": 1}
    at_1970 = health(0) | {"window": {"start": EPOCH, "end": EPOCH + DAY}}
    rows = table("health_metrics", at_1970, health(0))
    (gap,) = found(rows, options(gone=rule), START + DAY)
    assert (gap["state"], gap["windows_in_a_row"]) == ("resolved", 10_000)


# What becomes of an alert


def test_labels_that_are_always_late_raise_an_alert_all_the_same() -> None:
    lost = [quality(day, realised=0.5, labelled=300 * (day < 17)) for day in range(22)]
    rows = [row | ({} if row["labelled"] else {"realised": None}) for row in lost]
    (alert,) = found(table("quality_estimates", *rows), shipped())
    assert (alert["rule"], alert["state"]) == ("realised_roc_auc", "open")
    assert alert["windows_in_a_row"] == 17
    # Another version speaks, and this one does not any more.
    other = [
        quality(day, model_version="2", realised=0.7, labelled=300, records=10) for day in (19, 20)
    ]
    (expired,) = found(table("quality_estimates", *rows[:17], *other, quality(21)), shipped())
    assert expired["state"] == "open"
    other += [quality(21, model_version="2", realised=0.7, labelled=300)]
    (expired,) = found(table("quality_estimates", *rows[:17], *other), shipped())
    assert expired["state"] == "resolved"


def test_once_more_changes_nothing() -> None:
    asked = options(drift=TESTED, all=DRIFT, slow=SLOW)
    sure = {"statistic": 0.2, "pvalue": 0.0001}
    metrics = drifts(
        *(drift(day, "a", 0.2 * (day != 2), ks_test=sure) for day in range(5)),
    ) | table("health_metrics", health(0, latency_p95_ms=300.0))
    once = evaluation.evaluate(metrics, asked, NONE, NOW)
    assert states(once) == ["resolved", "resolved", "open", "open", "open"]
    assert once.schema == tables.ALERTS
    assert evaluation.evaluate(metrics, asked, once, NOW + DAY).equals(once)


def test_an_alert_that_goes_on_keeps_its_id_and_what_was_done_about_it() -> None:
    asked = options(drift=DRIFT)
    rows = [drift(day, "a", 0.2) for day in range(4)]
    first = evaluation.evaluate(drifts(*rows[:2]), asked, NONE, START + 2 * DAY)
    (begun,) = first.to_pylist()
    done = [
        {"at": START + 2 * DAY, "action": "acknowledge", "alert_id": begun["alert_id"], "by": "Eve"}
    ]
    acted = evaluation.act(first, actions(*done), START + 2 * DAY)
    later = evaluation.evaluate(drifts(*rows), asked, acted, START + 4 * DAY)
    (alert,) = later.to_pylist()
    assert alert["alert_id"] == begun["alert_id"]
    assert alert["first_seen"] == START + 2 * DAY
    assert (alert["state"], alert["acknowledged_by"]) == ("acknowledged", "Eve")
    assert alert["windows_in_a_row"] == 4

    calm = evaluation.evaluate(drifts(*rows, drift(4, "a", 0.0)), asked, later, START + 5 * DAY)
    assert states(calm) == ["resolved"]
    anew = evaluation.evaluate(
        drifts(*rows, drift(4, "a", 0.0), drift(5, "a", 0.3)), asked, calm, START + 6 * DAY
    )
    old, new = evaluation.act(anew, actions(*done), START + 6 * DAY).to_pylist()
    assert (old["state"], old["acknowledged_by"]) == ("resolved", "Eve")
    assert (new["state"], new["acknowledged_by"]) == ("open", None)
    assert new["alert_id"] != old["alert_id"]


def test_late_labels_that_change_the_past_keep_the_alert() -> None:
    asked = options(drift=DRIFT)
    before = evaluation.evaluate(drifts(*(drift(d, "a", 0.2) for d in range(4))), asked, NONE, NOW)
    (alert,) = before.to_pylist()
    shorter = [drift(0, "a", 0.0), *(drift(day, "a", 0.2) for day in range(1, 4))]
    (after,) = evaluation.evaluate(drifts(*shorter), asked, before, NOW).to_pylist()
    assert (after["alert_id"], after["since"]) == (alert["alert_id"], START + DAY)

    # Torn in two, and one again: ids stay distinct, and nothing of the past gets lost.
    torn = drifts(*shorter[:2], drift(2, "a", 0.0), *shorter[3:])
    once = evaluation.evaluate(torn, asked, before, NOW)
    assert states(once) == ["resolved", "open"]
    assert len(set(once["alert_id"].to_pylist())) == 2
    assert evaluation.evaluate(torn, asked, once, NOW).equals(once)
    joined = evaluation.evaluate(drifts(*(drift(d, "a", 0.2) for d in range(4))), asked, once, NOW)
    assert sorted(states(joined)) == ["open", "resolved"]
    assert set(joined["alert_id"].to_pylist()) == set(once["alert_id"].to_pylist())


def test_a_false_alarm_that_late_records_took_back_is_resolved() -> None:
    asked = options(drift=DRIFT)
    before = evaluation.evaluate(drifts(drift(0, "a", 0.2)), asked, NONE, NOW)
    after = evaluation.evaluate(drifts(drift(0, "a", 0.05)), asked, before, NOW)
    assert states(after) == ["resolved"]
    again = evaluation.evaluate(drifts(drift(0, "a", 0.2)), asked, after, NOW + DAY)
    (alert,) = again.to_pylist()
    assert (alert["state"], alert["first_seen"]) == ("open", NOW + DAY)
    assert alert["alert_id"] == before["alert_id"][0].as_py()


def test_alerts_of_a_rule_that_is_gone_are_resolved() -> None:
    metrics = drifts(drift(0, "a", 0.2))
    before = evaluation.evaluate(metrics, options(drift=DRIFT), NONE, NOW)
    assert states(evaluation.evaluate(metrics, options(drift=None), before, NOW)) == ["resolved"]


def test_an_alert_of_a_version_that_nobody_asks_any_more_is_resolved() -> None:
    asked = options(drift=DRIFT)
    rows = [drift(0, "a", 0.2), *(drift(day, "a", 0.0, model_version="2") for day in range(1, 5))]
    for days, state in [(1, "open"), (2, "open"), (3, "open"), (4, "resolved"), (5, "resolved")]:
        assert states(found(drifts(*rows), asked, START + days * DAY)) == [state], days


@at_most(60)
@given(
    st.lists(st.sampled_from([0.0, 0.2, None]), min_size=1, max_size=12),
    st.integers(1, 3),
)
def test_day_by_day_is_as_at_once(distances: list[float | None], windows: int) -> None:
    asked = options(drift=DRIFT | {"windows": windows})
    rows = [drift(day, "a", distance) for day, distance in enumerate(distances)]
    rows += [drift(day, "b", 0.2) for day in range(len(rows))]
    step = NONE
    for day in range(1, len(distances) + 1):
        step = evaluation.evaluate(drifts(*rows), asked, step, START + day * DAY)
        assert evaluation.evaluate(drifts(*rows), asked, step, START + day * DAY).equals(step)
    at_once = evaluation.evaluate(drifts(*rows[::-1]), asked, NONE, START + len(distances) * DAY)
    assert step.drop_columns("first_seen").equals(at_once.drop_columns("first_seen"))


# What people do about it


def actions(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), tables.ALERT_ACTIONS)


def test_a_silence_ends() -> None:
    asked = options(drift=DRIFT)
    metrics = drifts(drift(0, "a", 0.2), drift(0, "b", 0.2))
    raised = evaluation.evaluate(metrics, asked, NONE, NOW)
    first, _ = raised["alert_id"].to_pylist()
    silence = {"at": NOW, "action": "silence", "alert_id": first, "until": NOW + DAY}
    silenced = evaluation.act(raised, actions(silence), NOW)
    assert states(silenced) == ["silenced", "open"]
    kept = evaluation.evaluate(metrics, asked, silenced, NOW + DAY / 2)
    assert kept.equals(silenced)
    over = evaluation.evaluate(metrics, asked, kept, NOW + DAY)
    assert states(over) == ["open", "open"]
    assert evaluation.act(over, actions(silence), NOW + DAY).equals(over)
    ended = silence | {"at": NOW + DAY / 4, "until": NOW + DAY / 4}
    assert states(evaluation.act(raised, actions(ended, silence), NOW + DAY / 2)) == [
        "open",
        "open",
    ]


def test_a_silence_of_a_rule_is_about_alerts_to_come() -> None:
    asked = options(drift=DRIFT, other=DRIFT | {"threshold": 0.15})
    silence = actions({"at": NOW, "action": "silence", "rule": "drift", "until": NOW + 2 * DAY})
    for column in "ab":
        raised = evaluation.evaluate(drifts(drift(0, column, 0.2)), asked, NONE, NOW + DAY)
        acted = evaluation.act(raised, silence, NOW + DAY)
        assert {row["rule"]: row["state"] for row in acted.to_pylist()} == {
            "drift": "silenced",
            "other": "open",
        }


def test_an_acknowledgement_outlasts_a_silence_and_firing_is_what_is_not_silenced() -> None:
    raised = evaluation.evaluate(drifts(drift(0, "a", 0.2)), options(drift=DRIFT), NONE, NOW)
    about = {"alert_id": raised["alert_id"][0].as_py(), "at": NOW}
    done = actions(
        about | {"action": "acknowledge", "by": "Eve"},
        about | {"action": "silence", "until": NOW + DAY},
    )
    silenced = evaluation.act(raised, done, NOW)
    assert states(silenced) == ["silenced"]
    assert evaluation.firing(silenced) == []
    acknowledged = evaluation.act(silenced, done, NOW + DAY)
    assert states(acknowledged) == ["acknowledged"]
    assert len(evaluation.firing(acknowledged)) == 1


# Rules that are none


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (DRIFT | {"metric": "js_distence"}, "there is no column 'js_distence'"),
        (DRIFT | {"metric": "ks_test.pvalue"}, "give it as `test`"),
        (DRIFT | {"records": "count"}, "in profile_metrics"),
        (DRIFT | {"estimate_of": "roc_auc"}, "estimate_of is for quality_estimates"),
        (DRIFT | {"test": "ks_test.p"}, "no 'p' in it"),
        (SLOW | {"columns": ["a"]}, "columns is for drift_metrics and profile_metrics"),
        (SLOW | {"records": "nobody"}, "no column 'nobody'"),
        (SLOW | {"treshold": 1}, "rules.wrong.treshold: Extra inputs"),
        ({"table": "quality_estimates", "metric": "low", "threshold": 1}, "needs estimate_of"),
        (DRIFT | {"table": "health"}, "rules.wrong.table"),
    ],
)
def test_a_wrong_rule_is_refused_by_its_name(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ProjectError, match=r"rules\.wrong") as refused:
        validate(AlertingOptions, {"now": NOW, "rules": {"wrong": rule}}, "Mend it.")
    assert said in str(refused.value)


# The rules that are there


def shipped() -> AlertingOptions:
    section = yaml.safe_load((ROOT / "conf/base/alerting/parameters.yml").read_text())["alerting"]
    return AlertingOptions.model_validate(section | {"now": NOW})


def profile(column: str) -> dict[str, Any]:
    return {
        "window": window(0),
        "log_type": "INPUT",
        "granularity": "1 day",
        "column_name": column,
        "count": 500,
        "model_version": "1",
    }


SURE = {"pvalue": 1e-9}
BAD: dict[str, dict[Table, pa.Table]] = {
    "input_drift": drifts(drift(0, "origin", 0.2, chi_squared_test=SURE)),
    "prediction_drift": drifts(
        drift(0, "probability", None, ks_test={"statistic": 0.2, "pvalue": 1e-9})
    ),
    "more_nulls": drifts(drift(0, "height", None, percent_null_delta=30.0)),
    "estimated_roc_auc": table("quality_estimates", quality(0, estimate=0.6, high=0.65)),
    "realised_roc_auc": table(
        "quality_estimates", *(quality(day, realised=0.65, labelled=300) for day in range(2))
    ),
    "realised_log_loss": table(
        "quality_estimates",
        *(quality(day, metric="log_loss", realised=0.75, labelled=300) for day in range(2)),
    ),
    "errors": table("health_metrics", health(98, failed=5), health(99)),
    "slow": table("health_metrics", health(99, latency_p95_ms=2000.0)),
    "unread": table("health_metrics", health(98, unread=30), health(99)),
    "no_traffic": table("health_metrics", health(98)),
}
CALM: dict[Table, pa.Table] = (
    drifts(
        drift(0, "origin", 0.2, chi_squared_test={"pvalue": 0.3}, percent_null_delta=1.0),
        drift(0, "height", None, ks_test={"statistic": 0.02, "pvalue": 1e-9}),
    )
    | table(
        "quality_estimates",
        *(quality(day, estimate=0.69, realised=0.66, labelled=300) for day in range(2)),
        *(quality(day, metric="log_loss", realised=0.74, labelled=300) for day in range(2)),
    )
    | table("health_metrics", health(98, latency_p95_ms=50.0, unread=0), health(99))
)


@pytest.mark.parametrize("rule", shipped().active)
def test_the_shipped_rules_fire_when_they_should(rule: str) -> None:
    profiles = table("profile_metrics", *map(profile, ("teams", "height", "probability")))
    assert {row["rule"] for row in found(BAD[rule] | profiles, shipped())} == {rule}


def test_the_shipped_rules_are_calm_on_calm_days() -> None:
    profiles = table("profile_metrics", *map(profile, ("teams", "height")))
    assert found(CALM | profiles, shipped()) == []


def test_many_labels_show_a_small_loss_that_few_do_not() -> None:
    def alarmed(error: float) -> list[str]:
        days = (quality(day, realised=0.68, labelled=300, realised_error=error) for day in range(2))
        rows = [row | {"baseline_error": 0.004} for row in days]
        return [row["rule"] for row in found(table("quality_estimates", *rows), shipped())]

    assert alarmed(0.0175) == []
    assert alarmed(0.003) == ["realised_roc_auc"]


def test_one_window_of_few_labels_is_no_realised_loss() -> None:
    few = [quality(day, realised=0.5, labelled=199) for day in range(5)]
    one = [quality(5, realised=0.5, labelled=300), quality(6, realised=0.7, labelled=300)]
    assert found(table("quality_estimates", *few, *one), shipped()) == []
