"""Whether a difference is real: the arithmetic against references, the promise by simulation."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from inference import Traffic, make_traffic
from scipy import integrate, stats
from sklearn import metrics as reference

from marvel_kedro.model import ab_test, inference_log
from marvel_kedro.model.ab_test import ABTestOptions, Estimate, Reading

DAYS, EXPERIMENTS, ALPHA, WARM_UP = 30, 200, 0.05, 50
FEW = ABTestOptions(resamples=20)


def experiment(
    generator: np.random.Generator,
    *,
    a_day: int = 30,
    share: float = 0.5,
    effect: float = 0.0,
    clients: int | None = None,
) -> tuple[Any, Any, Any, Any]:
    """Log likelihoods of records whose days differ; clients, if there are any, come again."""
    rows = a_day * DAYS
    day = np.repeat(np.arange(DAYS), a_day)
    client = generator.integers(clients, size=rows) if clients else np.arange(rows)
    second = (generator.random(client.max() + 1) < share)[client]
    probability = generator.beta(4, 2, rows).clip(0.05, 0.95)
    lives = generator.random(rows) < probability
    value = np.log(np.where(lives, probability, 1 - probability))
    own = generator.normal(0, 0.3, client.max() + 1)[client] if clients else 0.0
    value = value + own + generator.normal(0, 0.2, DAYS)[day] + effect * second
    return value, second, day, client


def looks(data: tuple[Any, Any, Any, Any]) -> list[tuple[Estimate, float]]:
    """What each day's end knows, and the t value that a naive reader computes then."""
    value, second, day, _ = data
    found = []
    for last in range(DAYS):
        seen = day <= last
        known = ab_test.estimate(*(column[seen] for column in data))
        if min(known.first, known.second) >= WARM_UP:
            sides = value[seen & second], value[seen & ~second]
            error = np.sqrt(sum(side.var(ddof=1) / len(side) for side in sides))
            found.append((known, float((sides[0].mean() - sides[1].mean()) / error)))
    return found


def excludes(found: Estimate, truth: float, expected: float) -> bool:
    bounds = ab_test.always_valid(found, expected, ALPHA)
    return not bounds.low <= truth <= bounds.high


@pytest.mark.parametrize(
    "kind",
    [{}, {"share": 0.1, "a_day": 60}, {"clients": 200}],
    ids=["half", "a tenth", "clients who come again"],
)
def test_read_every_day_it_keeps_its_promise_and_a_t_test_does_not(kind: dict[str, Any]) -> None:
    """No difference: how many of 200 experiments call one real on any of 30 days."""
    generator = np.random.default_rng(11)
    alarms, naive = {0.03: 0, 0.3: 0}, 0
    for _ in range(EXPERIMENTS):
        read = looks(experiment(generator, **kind))
        naive += any(abs(t) > stats.norm.ppf(1 - ALPHA / 2) for _, t in read)
        for expected in alarms:
            alarms[expected] += any(excludes(found, 0.0, expected) for found, _ in read)
    tolerance = 2 * np.sqrt(ALPHA * (1 - ALPHA) / EXPERIMENTS)
    for expected, number in alarms.items():
        assert number / EXPERIMENTS <= ALPHA + tolerance, (expected, number)
    assert naive / EXPERIMENTS > 3 * ALPHA


def test_it_finds_a_difference_and_its_bounds_hold_the_truth_on_all_days() -> None:
    generator = np.random.default_rng(12)
    effect, found, missed = 0.1, 0, 0
    for _ in range(60):
        read = [known for known, _ in looks(experiment(generator, a_day=120, effect=effect))]
        found += ab_test.always_valid(read[-1], 0.1, ALPHA).low > 0
        missed += any(excludes(known, effect, 0.1) for known in read)
    assert found / 60 >= 0.9
    assert missed / 60 <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / 60)


def test_the_gain_is_that_of_a_regression_with_an_intercept_a_day() -> None:
    """Independent reference: least squares, and the spread over repeated experiments."""
    generator = np.random.default_rng(13)
    gains, errors = [], []
    for _ in range(300):
        value, second, day, client = experiment(generator, a_day=12, share=0.3)
        found = ab_test.estimate(value, second, day, client)
        columns = np.column_stack([second, np.eye(DAYS)[day]])
        expected = np.linalg.lstsq(columns, value, rcond=None)[0][0]
        assert found.gain == pytest.approx(expected, abs=1e-9)
        gains.append(found.gain)
        errors.append(found.error)
    assert np.mean(errors) == pytest.approx(np.std(gains), rel=0.1)


def test_the_error_heeds_clients_who_come_again() -> None:
    generator = np.random.default_rng(14)
    gains, errors, blind = [], [], []
    for _ in range(300):
        value, second, day, client = experiment(generator, clients=60, a_day=60)
        found = ab_test.estimate(value, second, day, client)
        gains.append(found.gain)
        errors.append(found.error)
        blind.append(ab_test.estimate(value, second, day, np.arange(len(day))).error)
    assert np.mean(errors) == pytest.approx(np.std(gains), rel=0.15)
    assert np.mean(blind) < 0.7 * np.std(gains)


def test_a_batch_of_records_is_one_observation() -> None:
    value, day = np.array([1.0, 3.0, 5.0, 0.0, 4.0]), np.zeros(5, dtype=np.int64)
    second = np.array([True, True, True, False, False])
    found = ab_test.estimate(value, second, day, np.array([0, 0, 1, 2, 3]))
    assert found.gain == pytest.approx((2.0 + 5.0) / 2 - (0.0 + 4.0) / 2)
    assert (found.first, found.second) == (2, 2)


def test_a_shift_of_traffic_between_unlike_days_is_no_difference() -> None:
    """The second entity gets most of an easy day: pooled means would differ by more than 0.5."""
    day = np.repeat([0, 1], 1000)
    second = np.where(day == 0, np.arange(2000) % 10 == 0, np.arange(2000) % 10 != 0)
    found = ab_test.estimate(day * 1.0, second, day, np.arange(2000))
    assert found.gain == 0


@pytest.mark.parametrize("second", [[True, True], [False, True]], ids=["one side", "other days"])
def test_entities_that_share_no_day_cannot_be_compared(second: list[bool]) -> None:
    found = ab_test.estimate(np.ones(2), np.array(second), np.arange(2), np.arange(2))
    assert np.isnan(found.gain)
    assert found.first == found.second == 0
    bounds = ab_test.always_valid(found, 0.03, ALPHA)
    assert (bounds.low, bounds.high, bounds.p_value) == (-np.inf, np.inf, 1.0)


@pytest.mark.parametrize(("gain", "error"), [(0.05, 0.01), (-0.02, 0.03), (0.0, 0.5), (1.0, 0.3)])
def test_bounds_and_p_value_are_those_of_the_mixture(gain: float, error: float) -> None:
    """Independent reference: the likelihood ratio, integrated over the mixing distribution."""
    expected = 0.04

    def ratio(null: float) -> float:
        def mixed(theta: float) -> float:
            return float(stats.norm.pdf(gain, theta, error) * stats.norm.pdf(theta, null, expected))

        peak = (gain / error**2 + null / expected**2) / (1 / error**2 + 1 / expected**2)
        width = 12 * (1 / error**2 + 1 / expected**2) ** -0.5
        whole, _ = integrate.quad(mixed, peak - width, peak + width)
        return float(whole / stats.norm.pdf(gain, null, error))

    bounds = ab_test.always_valid(Estimate(gain, error, 100, 100), expected, ALPHA)
    assert bounds.p_value == pytest.approx(min(1.0, 1 / ratio(0.0)), rel=1e-6)
    for bound in (bounds.low, bounds.high):
        assert ratio(bound) == pytest.approx(1 / ALPHA, rel=1e-6)
    assert (bounds.low > 0 or bounds.high < 0) == (bounds.p_value < ALPHA)


def test_the_check_of_traffic_is_the_ratio_of_two_distributions() -> None:
    counts, shares = [[420, 80], [260, 240]], [[0.9, 0.1], [0.5, 0.5]]
    chance = 1.0
    for period, wanted in zip(counts, shares, strict=True):
        chance *= stats.multinomial.pmf(period, 500, wanted)
        chance /= stats.dirichlet_multinomial.pmf(period, np.multiply(100, wanted), 500)
    assert ab_test.mismatch(counts, shares) == pytest.approx(chance)
    assert ab_test.mismatch([[9, 1]], [[1.0, 0.0]]) == 0, "who was to get nothing got something"
    assert ab_test.mismatch([[10, 0]], [[1.0, 0.0]]) == 1
    assert ab_test.mismatch([], []) == 1


def test_the_check_of_traffic_may_be_read_every_day_as_well() -> None:
    generator = np.random.default_rng(15)
    alarms = {0.1: 0, 0.13: 0}
    for true in alarms:
        for _ in range(EXPERIMENTS):
            daily = np.cumsum(generator.binomial(200, true, DAYS))
            alarms[true] += any(
                ab_test.mismatch([[200 * day - there, there]], [[0.9, 0.1]]) < ALPHA
                for day, there in enumerate(daily.tolist(), 1)
            )
    assert alarms[0.1] / EXPERIMENTS <= ALPHA + 0.025
    assert alarms[0.13] / EXPERIMENTS > 0.9


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return make_traffic(champion_noise=1.5, days=8, requests_a_day=250)


def read(traffic: Traffic, options: ABTestOptions = FEW, **others: pd.DataFrame) -> Reading:
    """A reading of the traffic, in which some tables may be others."""
    names = ("payload", "served", "labels")
    tables = {name: getattr(traffic, name).to_pandas() for name in names} | others
    log = inference_log.read(tables["payload"])
    return ab_test.read(log, tables["served"], tables["labels"], options)


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
        records = inference_log.read(own).records
        alive = (labels[records["page_id"]] == "Alive").to_numpy()
        score = records["probability"].to_numpy()
        assert found["labelled_records"] == len(score)
        assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(alive, score))
        assert found["log_loss"] == pytest.approx(reference.log_loss(alive, score))
        assert found["accuracy"] == pytest.approx(((score >= 0.5) == alive).mean())
        for metric in ab_test.METRICS:
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
    for metric in ab_test.GAINS:
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


def test_one_page_that_many_ask_for_does_no_harm() -> None:
    """No difference, and ten pages: losses of all clients are ten numbers, drawn once."""
    generator = np.random.default_rng(16)
    alarms = 0
    for _ in range(EXPERIMENTS):
        loss = generator.normal(0, 0.5, 10)[generator.integers(10, size=900)]
        second = generator.random(900) < 0.3
        day = np.repeat(np.arange(DAYS), 30)
        data = loss, second, day, np.arange(900)
        alarms += any(excludes(found, 0.0, 0.3) for found, _ in looks(data))
    assert alarms / EXPERIMENTS <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / EXPERIMENTS)


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
