"""Served entities side by side: figures, comparisons and verdicts of made-up traffic."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference
from support.inference_traffic import Traffic, make_traffic

from marvel_kedro.monitoring.ab_test import comparison
from marvel_kedro.monitoring.ab_test.comparison import ABTestOptions, Reading
from marvel_kedro.monitoring.inference_log import parsing

FEW = ABTestOptions(resamples=20)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return make_traffic(champion_noise=1.5, days=8, requests_a_day=250)


def read(traffic: Traffic, options: ABTestOptions = FEW, **others: pd.DataFrame) -> Reading:
    """A reading of the traffic, in which some tables may be others."""
    names = ("payload", "served", "labels")
    tables = {name: getattr(traffic, name).to_pandas() for name in names} | others
    log = parsing.parse_payload(tables["payload"])
    return comparison.read(log, tables["served"], tables["labels"], options)


def renamed(traffic: Traffic, **names: str) -> pd.DataFrame:
    served = traffic.served.to_pandas()
    return served.assign(served_entity_name=served["served_entity_id"].map(names))


def test_figures_of_an_entity_are_those_of_its_requests(traffic: Traffic) -> None:
    entities = read(traffic).entities.set_index("served_entity_name")
    payload = traffic.payload.to_pandas()
    labels = traffic.labels.to_pandas().set_index("page_id")["alive"]
    for name, entity in (("champion", "a"), ("challenger", "b")):
        own = payload[payload["served_entity_id"] == entity]
        found = entities.loc[name]
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
        records = parsing.parse_payload(own).records
        alive = (labels[records["page_id"]] == "Alive").to_numpy()
        score = records["probability"].to_numpy()
        assert found["labelled_records"] == len(score)
        assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(alive, score))
        assert found["log_loss"] == pytest.approx(reference.log_loss(alive, score))
        assert found["accuracy"] == pytest.approx(((score >= 0.5) == alive).mean())
        for metric in comparison.METRICS:
            assert found[f"{metric}_low"] <= found[metric] <= found[f"{metric}_high"]


def test_the_better_one_is_named_whoever_it_is(traffic: Traffic) -> None:
    (found,) = read(traffic).report["comparisons"]
    assert found["verdict"] == "challenger is better"
    (other,) = read(traffic, served=renamed(traffic, a="challenger", b="champion")).report[
        "comparisons"
    ]
    assert other["verdict"] == "champion is better"
    assert other["log_loss_gain"] == pytest.approx(-found["log_loss_gain"])
    assert other["accuracy_low"] == pytest.approx(-found["accuracy_high"])


def test_each_day_is_told_as_it_was_read_then(traffic: Traffic) -> None:
    """With late labels: the fourth day's line is the last one of a reading on the fourth day."""
    history = read(traffic).history
    day = pd.Timestamp("2026-01-04").date()
    end = pd.Timestamp("2026-01-05", tz="UTC")
    payload, labels = traffic.payload.to_pandas(), traffic.labels.to_pandas()
    then = read(
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


def test_nothing_is_decided_before_there_is_enough(traffic: Traffic) -> None:
    options = FEW.model_copy(update={"min_clusters": 10_000})
    (found,) = read(traffic, options).report["comparisons"]
    assert found["verdict"] == "no difference yet"
    assert "min_clusters is 10,000" in found["reason"]
    assert found["log_loss_low"] is None


def test_several_challengers_share_the_chance_of_a_false_alarm(traffic: Traffic) -> None:
    payload = traffic.payload.to_pandas()
    third = (payload["served_entity_id"] == "a") & (np.arange(len(payload)) % 2 == 0)
    payload.loc[third, "served_entity_id"] = "c"
    alone = {c["challenger"]: c for c in read(traffic).report["comparisons"]}
    both = {c["challenger"]: c for c in read(traffic, payload=payload).report["comparisons"]}
    assert set(both) == {"challenger (version 2)", "unknown c"}
    assert both["unknown c"]["verdict"] == "no difference yet"

    # Half of the champion's requests are another's now: the same gain is known less well, and at
    # half of the chance of a false alarm.
    (entity,) = set(alone)
    third_as_champion = read(
        traffic, FEW.model_copy(update={"alpha": FEW.alpha / 2}), payload=payload[~third]
    )
    (expected,) = third_as_champion.report["comparisons"]
    for bound in ("log_loss_low", "log_loss_high"):
        assert both[entity][bound] == pytest.approx(expected[bound])


def test_a_window_is_read_alone(traffic: Traffic) -> None:
    from datetime import date

    options = FEW.model_copy(update={"since": date(2026, 1, 2), "until": date(2026, 1, 3)})
    report = read(traffic, options).report
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
def test_who_the_champion_is(traffic: Traffic, names: dict[str, str], verdict: str) -> None:
    assert verdict in read(traffic, served=renamed(traffic, **names)).report["verdict"]


def test_of_several_champions_the_latest_is_compared(traffic: Traffic) -> None:
    served = renamed(traffic, a="champion", b="champion")
    for later, earlier in (("a", "b"), ("b", "a")):
        is_later = served["served_entity_id"] == later
        moved = served["change_time"] + pd.to_timedelta(is_later.astype(int), "D")
        report = read(traffic, served=served.assign(change_time=moved)).report
        version = {"a": "1", "b": "2"}
        assert report["champion"] == f"champion (version {version[later]})"
        (found,) = report["comparisons"]
        assert found["challenger"] == f"champion (version {version[earlier]})"


def test_a_split_that_goes_nowhere_is_refused() -> None:
    split = {"since": "2026-01-01T00:00:00Z", "traffic": {"champion": 0}}
    with pytest.raises(ValueError, match="goes nowhere"):
        ABTestOptions.model_validate({"split": [split]})


def test_one_entity_alone_has_nobody_to_be_compared_with(traffic: Traffic) -> None:
    payload = traffic.payload.to_pandas()
    alone = payload[payload["served_entity_id"] == "a"]
    report = read(traffic, payload=alone).report
    assert report["verdict"].startswith("Nobody else had requests on a day of champion (version 1)")


def test_an_empty_table_is_said_to_be_empty(traffic: Traffic) -> None:
    reading = read(traffic, payload=traffic.payload.to_pandas().head(0))
    assert reading.report["requests"] == 0
    assert reading.report["verdict"].startswith("The champion has no requests")
    json.dumps(reading.report, allow_nan=False)


@pytest.mark.parametrize(("share", "fits"), [(30, True), (50, False)])
def test_traffic_is_held_against_its_description(traffic: Traffic, share: int, fits: bool) -> None:
    split = {
        "since": "2025-12-31T00:00:00Z",
        "traffic": {"champion": 100 - share, "challenger": share},
    }
    report = read(traffic, ABTestOptions.model_validate({"split": [split], "resamples": 20})).report
    assert (report["traffic_check"]["p_value"] >= 0.05) is fits
    assert ("the traffic is not as described" in report["verdict"]) is not fits
    assert read(traffic).report["traffic_check"]["verdict"].startswith("not checked")
