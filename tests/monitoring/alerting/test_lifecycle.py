"""States and ids of alerts over several evaluations, acknowledgements and silences."""

from hypothesis import given
from hypothesis import strategies as st
from support.alert_metrics import (
    DAY,
    DRIFT,
    NONE,
    NOW,
    SLOW,
    START,
    TESTED,
    actions,
    drift,
    drifts,
    evaluated,
    health,
    options,
    performance,
    shipped,
    states,
    table,
)
from support.examples import at_most

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import evaluation, lifecycle


def test_alert_on_late_labels_expires_only_when_newer_windows_have_labels() -> None:
    lost = [performance(day, realised=0.5, labelled=300 * (day < 17)) for day in range(22)]
    rows = [row | ({} if row["labelled"] else {"realised": None}) for row in lost]
    (alert,) = evaluated(table("quality_estimates", *rows), shipped())
    assert (alert["rule"], alert["state"]) == ("realised_roc_auc", "open")
    assert alert["windows_in_a_row"] == 17
    # Another version has labels, and this one has none any more.
    other = [
        performance(day, model_version="2", realised=0.7, labelled=300, records=10)
        for day in (19, 20)
    ]
    (expired,) = evaluated(
        table("quality_estimates", *rows[:17], *other, performance(21)), shipped()
    )
    assert expired["state"] == "open"
    other += [performance(21, model_version="2", realised=0.7, labelled=300)]
    (expired,) = evaluated(table("quality_estimates", *rows[:17], *other), shipped())
    assert expired["state"] == "resolved"


def test_alert_is_resolved_when_its_metric_or_test_has_no_value_any_more() -> None:
    certain = {"statistic": 0.2, "pvalue": 0.0001}
    rules = options(drift=TESTED)
    drifted = [drift(day, "a", 0.2, ks_test=certain) for day in range(2)]
    # Without a test a distance below the threshold is no drift, and a larger one is unknown.
    for distance, state in ((0.0, "resolved"), (0.2, "open"), (None, "open")):
        (alert,) = evaluated(drifts(*drifted, drift(2, "a", distance)), rules)
        assert alert["state"] == state, distance
    for distance in (0.2, None):
        later = [drift(day, "a", distance) for day in range(2, 5)]
        assert states(evaluated(drifts(*drifted, *later), rules)) == ["resolved"]
    # Labels of one class only: there is no ROC AUC, however many arrive.
    rows = [
        performance(day, realised=0.5 if day < 9 else None, labelled=300 * (day != 12))
        for day in range(13)
    ]
    for days, state in ((11, "open"), (12, "resolved"), (13, "resolved")):
        (alert,) = evaluated(table("quality_estimates", *rows[:days]), shipped())
        assert alert["state"] == state, days


def test_repeated_evaluation_changes_nothing() -> None:
    rules = options(drift=TESTED, all=DRIFT, slow=SLOW)
    certain = {"statistic": 0.2, "pvalue": 0.0001}
    metrics = drifts(
        *(drift(day, "a", 0.2 * (day != 2), ks_test=certain) for day in range(5)),
    ) | table("health_metrics", health(0, latency_p95_ms=300.0))
    once = evaluation.evaluate(metrics, rules, NONE, NOW)
    assert states(once) == ["resolved", "resolved", "open", "open", "open"]
    assert once.schema == tables.ALERTS
    assert evaluation.evaluate(metrics, rules, once, NOW + DAY).equals(once)


def test_ongoing_alert_keeps_id_and_acknowledgement_and_a_later_one_does_not() -> None:
    rules = options(drift=DRIFT)
    rows = [drift(day, "a", 0.2) for day in range(4)]
    first = evaluation.evaluate(drifts(*rows[:2]), rules, NONE, START + 2 * DAY)
    (begun,) = first.to_pylist()
    done = [
        {"at": START + 2 * DAY, "action": "acknowledge", "alert_id": begun["alert_id"], "by": "Eve"}
    ]
    acted = lifecycle.apply_actions(first, actions(*done), START + 2 * DAY)
    later = evaluation.evaluate(drifts(*rows), rules, acted, START + 4 * DAY)
    (alert,) = later.to_pylist()
    assert alert["alert_id"] == begun["alert_id"]
    assert alert["first_seen"] == START + 2 * DAY
    assert (alert["state"], alert["acknowledged_by"]) == ("acknowledged", "Eve")
    assert alert["windows_in_a_row"] == 4

    resolved = evaluation.evaluate(drifts(*rows, drift(4, "a", 0.0)), rules, later, START + 5 * DAY)
    assert states(resolved) == ["resolved"]
    later_alert = evaluation.evaluate(
        drifts(*rows, drift(4, "a", 0.0), drift(5, "a", 0.3)), rules, resolved, START + 6 * DAY
    )
    old, new = lifecycle.apply_actions(later_alert, actions(*done), START + 6 * DAY).to_pylist()
    assert (old["state"], old["acknowledged_by"]) == ("resolved", "Eve")
    assert (new["state"], new["acknowledged_by"]) == ("open", None)
    assert new["alert_id"] != old["alert_id"]


def test_alert_keeps_its_id_when_late_labels_change_its_windows() -> None:
    rules = options(drift=DRIFT)
    before = evaluation.evaluate(drifts(*(drift(d, "a", 0.2) for d in range(4))), rules, NONE, NOW)
    (alert,) = before.to_pylist()
    shorter = [drift(0, "a", 0.0), *(drift(day, "a", 0.2) for day in range(1, 4))]
    (after,) = evaluation.evaluate(drifts(*shorter), rules, before, NOW).to_pylist()
    assert (after["alert_id"], after["since"]) == (alert["alert_id"], START + DAY)

    # Split in two and joined again: ids stay distinct, and no past alert is lost.
    torn = drifts(*shorter[:2], drift(2, "a", 0.0), *shorter[3:])
    once = evaluation.evaluate(torn, rules, before, NOW)
    assert states(once) == ["resolved", "open"]
    assert len(set(once["alert_id"].to_pylist())) == 2
    assert evaluation.evaluate(torn, rules, once, NOW).equals(once)
    joined = evaluation.evaluate(drifts(*(drift(d, "a", 0.2) for d in range(4))), rules, once, NOW)
    assert sorted(states(joined)) == ["open", "resolved"]
    assert set(joined["alert_id"].to_pylist()) == set(once["alert_id"].to_pylist())


def test_alert_is_resolved_when_late_records_remove_its_cause() -> None:
    rules = options(drift=DRIFT)
    before = evaluation.evaluate(drifts(drift(0, "a", 0.2)), rules, NONE, NOW)
    after = evaluation.evaluate(drifts(drift(0, "a", 0.05)), rules, before, NOW)
    assert states(after) == ["resolved"]
    again = evaluation.evaluate(drifts(drift(0, "a", 0.2)), rules, after, NOW + DAY)
    (alert,) = again.to_pylist()
    assert (alert["state"], alert["first_seen"]) == ("open", NOW + DAY)
    assert alert["alert_id"] == before["alert_id"][0].as_py()


def test_alert_of_a_removed_rule_is_resolved() -> None:
    metrics = drifts(drift(0, "a", 0.2))
    before = evaluation.evaluate(metrics, options(drift=DRIFT), NONE, NOW)
    assert states(evaluation.evaluate(metrics, options(drift=None), before, NOW)) == ["resolved"]


def test_alert_of_a_version_without_requests_is_resolved_after_three_windows() -> None:
    rules = options(drift=DRIFT)
    rows = [drift(0, "a", 0.2), *(drift(day, "a", 0.0, model_version="2") for day in range(1, 5))]
    for days, state in [(1, "open"), (2, "open"), (3, "open"), (4, "resolved"), (5, "resolved")]:
        assert states(evaluated(drifts(*rows), rules, START + days * DAY)) == [state], days


def test_resolved_alert_states_its_reason() -> None:
    rules = options(drift=DRIFT)
    rows = [drift(0, "calm", 0.2), drift(1, "calm", 0.0), drift(0, "absent", 0.2)]
    rows += [drift(3, name, 0.2, model_version=name) for name in ("2", "3")]
    rows += [drift(day, "other", 0.0) for day in range(1, 5)]
    found = evaluation.evaluate(drifts(*rows), rules, NONE, NOW, {"3"})
    assert {row["column_name"]: row["resolution"] for row in found.to_pylist()} == {
        "calm": "a calm window followed",
        "absent": "absent from the newest 3 windows",
        "3": "version 3 is retired",
        "2": None,
    }
    assert evaluation.evaluate(drifts(*rows), rules, found, NOW + DAY, {"3"}).equals(found)
    gone = evaluation.evaluate(drifts(), rules, found, NOW).to_pylist()
    assert {row["resolution"] for row in gone if row["column_name"] == "2"} == {
        "the rule or the metrics have changed: it no longer fires"
    }


@at_most(60)
@given(
    st.lists(st.sampled_from([0.0, 0.2, None]), min_size=1, max_size=12),
    st.integers(1, 3),
)
def test_daily_evaluation_equals_one_evaluation_of_all_days(
    distances: list[float | None], windows: int
) -> None:
    rules = options(drift=DRIFT | {"windows": windows})
    rows = [drift(day, "a", distance) for day, distance in enumerate(distances)]
    rows += [drift(day, "b", 0.2) for day in range(len(rows))]
    step = NONE
    for day in range(1, len(distances) + 1):
        step = evaluation.evaluate(drifts(*rows), rules, step, START + day * DAY)
        assert evaluation.evaluate(drifts(*rows), rules, step, START + day * DAY).equals(step)
    at_once = evaluation.evaluate(drifts(*rows[::-1]), rules, NONE, START + len(distances) * DAY)
    assert step.drop_columns("first_seen").equals(at_once.drop_columns("first_seen"))


def test_silence_of_an_alert_ends_at_its_time() -> None:
    rules = options(drift=DRIFT)
    metrics = drifts(drift(0, "a", 0.2), drift(0, "b", 0.2))
    raised = evaluation.evaluate(metrics, rules, NONE, NOW)
    first, _ = raised["alert_id"].to_pylist()
    silence = {"at": NOW, "action": "silence", "alert_id": first, "until": NOW + DAY}
    silenced = lifecycle.apply_actions(raised, actions(silence), NOW)
    assert states(silenced) == ["silenced", "open"]
    same = evaluation.evaluate(metrics, rules, silenced, NOW + DAY / 2)
    assert same.equals(silenced)
    over = evaluation.evaluate(metrics, rules, same, NOW + DAY)
    assert states(over) == ["open", "open"]
    assert lifecycle.apply_actions(over, actions(silence), NOW + DAY).equals(over)
    ended = silence | {"at": NOW + DAY / 4, "until": NOW + DAY / 4}
    assert states(lifecycle.apply_actions(raised, actions(ended, silence), NOW + DAY / 2)) == [
        "open",
        "open",
    ]


def test_silence_of_a_rule_covers_future_alerts() -> None:
    rules = options(drift=DRIFT, other=DRIFT | {"threshold": 0.15})
    silence = actions({"at": NOW, "action": "silence", "rule": "drift", "until": NOW + 2 * DAY})
    for column in "ab":
        raised = evaluation.evaluate(drifts(drift(0, column, 0.2)), rules, NONE, NOW + DAY)
        acted = lifecycle.apply_actions(raised, silence, NOW + DAY)
        assert {row["rule"]: row["state"] for row in acted.to_pylist()} == {
            "drift": "silenced",
            "other": "open",
        }


def test_acknowledged_alert_fires_again_after_its_silence() -> None:
    raised = evaluation.evaluate(drifts(drift(0, "a", 0.2)), options(drift=DRIFT), NONE, NOW)
    about = {"alert_id": raised["alert_id"][0].as_py(), "at": NOW}
    done = actions(
        about | {"action": "acknowledge", "by": "Eve"},
        about | {"action": "silence", "until": NOW + DAY},
    )
    silenced = lifecycle.apply_actions(raised, done, NOW)
    assert states(silenced) == ["silenced"]
    assert lifecycle.firing(silenced) == []
    acknowledged = lifecycle.apply_actions(silenced, done, NOW + DAY)
    assert states(acknowledged) == ["acknowledged"]
    assert len(lifecycle.firing(acknowledged)) == 1
