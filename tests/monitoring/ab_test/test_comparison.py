"""Comparison of served entities on synthetic traffic: metrics, comparisons and verdicts."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference
from support.inference_traffic import Traffic, make_traffic
from support.table import TABLE

from marvel_kedro.monitoring.ab_test import comparison, entities
from marvel_kedro.monitoring.ab_test.comparison import ABTestResult
from marvel_kedro.monitoring.ab_test.report import render_markdown
from marvel_kedro.monitoring.inference_log import parsing
from marvel_kedro.monitoring.options import ABTestOptions

FEW = ABTestOptions(resamples=20)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return make_traffic(champion_noise=1.5, days=8, requests_a_day=250)


def compare(traffic: Traffic, options: ABTestOptions = FEW, **others: pd.DataFrame) -> ABTestResult:
    """Compare the entities of the traffic, with some tables replaced."""
    names = ("payload", "served", "labels")
    tables = {name: getattr(traffic, name).to_pandas() for name in names} | others
    log = parsing.parse_payload(tables["payload"], TABLE)
    return comparison.compare(log, tables["served"], tables["labels"], options, TABLE)


def renamed(traffic: Traffic, **names: str) -> pd.DataFrame:
    served = traffic.served.to_pandas()
    return served.assign(served_entity_name=served["served_entity_id"].map(names))


def test_metrics_of_an_entity_match_its_requests_and_scikit_learn(traffic: Traffic) -> None:
    measured = compare(traffic).entities.set_index("served_entity_name")
    payload = traffic.payload.to_pandas()
    labels = traffic.labels.to_pandas().set_index("page_id")["alive"]
    for name, entity in (("champion", "a"), ("challenger", "b")):
        own = payload[payload["served_entity_id"] == entity]
        found = measured.loc[name]
        status = own["status_code"]
        assert found["requests"] == len(own)
        assert found["traffic_share"] == pytest.approx(len(own) / len(payload))
        assert found["refused_share"] == pytest.approx((status == 400).mean())
        assert found["throttled_share"] == pytest.approx((status == 429).mean())
        assert found["failed_share"] == pytest.approx((status == 504).mean())
        answered = own[status == 200]
        for percent in (50, 95, 99):
            expected = np.percentile(answered["execution_duration_ms"], percent)
            assert found[f"latency_p{percent}_ms"] == pytest.approx(expected)
        records = parsing.parse_payload(own, TABLE).records
        alive = (labels[records["page_id"]] == "Alive").to_numpy()
        score = records["probability"].to_numpy()
        assert found["labelled_records"] == len(score)
        assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(alive, score))
        assert found["log_loss"] == pytest.approx(reference.log_loss(alive, score))
        assert found["accuracy"] == pytest.approx(((score >= 0.5) == alive).mean())
        for metric in entities.METRICS:
            assert found[f"{metric}_low"] <= found[metric] <= found[f"{metric}_high"]


def test_verdict_names_the_better_entity_whatever_its_role(traffic: Traffic) -> None:
    (found,) = compare(traffic).report["comparisons"]
    assert found["verdict"] == "challenger is better"
    (other,) = compare(traffic, served=renamed(traffic, a="challenger", b="champion")).report[
        "comparisons"
    ]
    assert other["verdict"] == "champion is better"
    assert other["log_loss_gain"] == pytest.approx(-found["log_loss_gain"])
    assert other["accuracy_low"] == pytest.approx(-found["accuracy_high"])


def test_history_of_a_day_equals_a_comparison_on_that_day(traffic: Traffic) -> None:
    """Labels are late: row four of the history is the last row of a comparison on day four."""
    history = compare(traffic).history
    day = pd.Timestamp("2026-01-04").date()
    end = pd.Timestamp("2026-01-05", tz="UTC")
    payload, labels = traffic.payload.to_pandas(), traffic.labels.to_pandas()
    then = compare(
        traffic,
        payload=payload[payload["request_time"] < end],
        labels=labels[labels["labelled_at"] < end],
    ).history
    for metric in comparison.GAINS:
        now, was = (
            rows[(rows["metric"] == metric) & (rows["day"] == day)].iloc[0]
            for rows in (history, then)
        )
        assert then[then["metric"] == metric]["day"].max() == day
        pd.testing.assert_series_equal(now, was, check_names=False)


def test_no_verdict_below_min_clusters(traffic: Traffic) -> None:
    options = FEW.model_copy(update={"min_clusters": 10_000})
    (found,) = compare(traffic, options).report["comparisons"]
    assert found["verdict"] == "no difference yet"
    assert "min_clusters (10,000)" in found["reason"]
    assert found["log_loss_low"] is None


def test_several_challengers_share_alpha(traffic: Traffic) -> None:
    payload = traffic.payload.to_pandas()
    third = (payload["served_entity_id"] == "a") & (np.arange(len(payload)) % 2 == 0)
    payload.loc[third, "served_entity_id"] = "c"
    alone = {c["challenger"]: c for c in compare(traffic).report["comparisons"]}
    both = {c["challenger"]: c for c in compare(traffic, payload=payload).report["comparisons"]}
    assert set(both) == {"challenger (version 2)", "unknown c"}
    assert both["unknown c"]["verdict"] == "no difference yet"

    # Half of the champion's requests belong to a third entity: the bounds are those of fewer
    # requests and of half of alpha.
    (entity,) = set(alone)
    third_as_champion = compare(
        traffic, FEW.model_copy(update={"alpha": FEW.alpha / 2}), payload=payload[~third]
    )
    (expected,) = third_as_champion.report["comparisons"]
    for bound in ("log_loss_low", "log_loss_high"):
        assert both[entity][bound] == pytest.approx(expected[bound])


def test_since_and_until_limit_the_requests(traffic: Traffic) -> None:
    options = FEW.model_copy(update={"since": date(2026, 1, 2), "until": date(2026, 1, 3)})
    report = compare(traffic, options).report
    assert report["requests"] == 500
    assert report["first_request"] >= "2026-01-02"
    assert report["last_request"] < "2026-01-04"
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize(
    ("names", "verdict"),
    [
        ({"a": "first", "b": "second"}, "The champion has no requests"),
        ({"a": "first", "b": "champion"}, "champion (version 2) is better than first (version 1)"),
    ],
)
def test_champion_is_found_by_its_name(
    traffic: Traffic, names: dict[str, str], verdict: str
) -> None:
    assert verdict in compare(traffic, served=renamed(traffic, **names)).report["verdict"]


def test_latest_of_several_champions_is_the_champion(traffic: Traffic) -> None:
    served = renamed(traffic, a="champion", b="champion")
    for later, earlier in (("a", "b"), ("b", "a")):
        is_later = served["served_entity_id"] == later
        moved = served["change_time"] + pd.to_timedelta(is_later.astype(int), "D")
        report = compare(traffic, served=served.assign(change_time=moved)).report
        version = {"a": "1", "b": "2"}
        assert report["champion"] == f"champion (version {version[later]})"
        (found,) = report["comparisons"]
        assert found["challenger"] == f"champion (version {version[earlier]})"


@pytest.mark.parametrize("hours", [0, 12], ids=["at midnight", "at noon"])
@pytest.mark.parametrize("next_test", [False, True])
def test_won_test_stays_readable_after_the_alias_has_moved(
    traffic: Traffic, hours: int, next_test: bool
) -> None:
    """Version 2 wins as challenger, and answers as champion from day seven on."""
    payload, served = traffic.payload.to_pandas(), traffic.served.to_pandas()
    moved = pd.Timestamp("2026-01-07", tz="UTC") + pd.Timedelta(hours, "h")
    later = payload["request_time"] >= moved
    payload.loc[later, "served_entity_id"] = "c"
    promoted = {"served_entity_name": "champion", "entity_version": "2", "change_time": moved}
    rows = [promoted | {"served_entity_id": "c"}]
    if next_test:
        payload.loc[later & (np.arange(len(payload)) % 2 == 0), "served_entity_id"] = "d"
        challenger = {"served_entity_name": "challenger", "entity_version": "3"}
        rows.append(promoted | challenger | {"served_entity_id": "d"})
    served = pd.concat([served, pd.DataFrame(rows)], ignore_index=True)
    report = compare(traffic, payload=payload, served=served).report
    (found,) = report["comparisons"]
    versions = found["challenger_version"], found["champion_version"]
    assert report["newest_champion"] == "champion (version 2)"
    if next_test:
        assert versions == ("3", "2")
        assert "ended" not in report["verdict"]
        return
    assert versions == ("2", "1")
    assert report["last_day"] == ("2026-01-07" if hours else "2026-01-06")
    assert "challenger (version 2) is better than champion (version 1)" in report["verdict"]
    assert "since then champion (version 2) answers" in report["verdict"]
    (then,) = compare(traffic, payload=payload[~later]).report["comparisons"]
    for key in ("log_loss_gain", "log_loss_low", "clusters", "champion_clusters"):
        assert found[key] == pytest.approx(then[key]), key


def test_split_without_traffic_is_rejected() -> None:
    split = {"since": "2026-01-01T00:00:00Z", "traffic": {"champion": 0}}
    with pytest.raises(ValueError, match="the traffic split is empty"):
        ABTestOptions.model_validate({"split": [split]})


def test_champion_alone_has_no_comparison(traffic: Traffic) -> None:
    payload = traffic.payload.to_pandas()
    alone = payload[payload["served_entity_id"] == "a"]
    report = compare(traffic, payload=alone).report
    assert report["verdict"].startswith(
        "No other entity had requests on a day of champion (version 1)"
    )


def test_empty_inference_table_gives_an_empty_report(traffic: Traffic) -> None:
    result = compare(traffic, payload=traffic.payload.to_pandas().head(0))
    assert result.report["requests"] == 0
    assert result.report["verdict"].startswith("The champion has no requests")
    json.dumps(result.report, allow_nan=False)
    page = render_markdown(result, FEW, TABLE, "heroes", set())
    assert "| Requests | 0 |" in page
    assert "There are no requests of a served entity." in page
    assert "| records |" not in page


@pytest.mark.parametrize("days", [1, 10])
def test_one_class_is_said_and_has_no_roc_auc(traffic: Traffic, days: int) -> None:
    """Of one entity, whose predictions and labels are all Alive, on one day or on several."""
    payload, labels = traffic.payload.to_pandas(), traffic.labels.to_pandas()
    first = payload["request_time"] < payload["request_time"].min() + pd.Timedelta(days, "D")
    payload = payload[(payload["served_entity_id"] == "a") & first]
    answers = payload["response"].str.replace('"Dead"', '"Alive"')
    given = payload.assign(response=answers)
    result = compare(traffic, payload=given, labels=labels.assign(alive="Alive"))
    page = render_markdown(result, FEW, TABLE, "heroes", set())
    assert page.count("champion (version 1) predicts Alive for all ") == 1
    assert page.count(" labels are Alive: there is no ROC AUC.") == 1
    assert "log loss |" in page
    assert "| ROC AUC |" not in page
    both = compare(traffic)
    assert both.report["one_class"] == []
    assert "| ROC AUC |" in render_markdown(both, FEW, TABLE, "heroes", set())


@pytest.mark.parametrize(("share", "fits"), [(30, True), (50, False)])
def test_traffic_is_checked_against_the_configured_split(
    traffic: Traffic, share: int, fits: bool
) -> None:
    split = {
        "since": "2025-12-31T00:00:00Z",
        "traffic": {"champion": 100 - share, "challenger": share},
    }
    report = compare(
        traffic, ABTestOptions.model_validate({"split": [split], "resamples": 20})
    ).report
    assert (report["traffic_check"]["p_value"] >= 0.05) is fits
    assert ("the traffic is not as configured" in report["verdict"]) is not fits
    assert compare(traffic).report["traffic_check"]["verdict"].startswith("not checked")
