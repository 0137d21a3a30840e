"""The sequential test: its arithmetic against references, its error rate by simulation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

from marvel_kedro.monitoring.ab_test.sequential_test import (
    Estimate,
    always_valid,
    estimate,
    mismatch,
)

DAYS, EXPERIMENTS, ALPHA, WARM_UP = 30, 200, 0.05, 50


def experiment(
    generator: np.random.Generator,
    *,
    a_day: int = 30,
    share: float = 0.5,
    effect: float = 0.0,
    clients: int | None = None,
) -> tuple[Any, Any, Any, Any]:
    """Simulate log likelihoods of records on unlike days, optionally of returning clients."""
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
    """Return the estimate and the naive t value at the end of each day."""
    value, second, day, _ = data
    found = []
    for last in range(DAYS):
        seen = day <= last
        known = estimate(*(column[seen] for column in data))
        if min(known.first, known.second) >= WARM_UP:
            sides = value[seen & second], value[seen & ~second]
            error = np.sqrt(sum(side.var(ddof=1) / len(side) for side in sides))
            found.append((known, float((sides[0].mean() - sides[1].mean()) / error)))
    return found


def excludes(found: Estimate, truth: float, expected: float) -> bool:
    bounds = always_valid(found, expected, ALPHA)
    return not bounds.low <= truth <= bounds.high


@pytest.mark.parametrize(
    "kind",
    [{}, {"share": 0.1, "a_day": 60}, {"clients": 200}],
    ids=["even split", "10 % split", "returning clients"],
)
def test_daily_readings_keep_the_false_alarm_rate_and_a_t_test_does_not(
    kind: dict[str, Any],
) -> None:
    """Without a difference, count the experiments of 200 that find one on any of 30 days."""
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


def test_difference_is_found_and_bounds_contain_it_on_all_days() -> None:
    generator = np.random.default_rng(12)
    effect, found, missed = 0.1, 0, 0
    for _ in range(60):
        read = [known for known, _ in looks(experiment(generator, a_day=120, effect=effect))]
        found += always_valid(read[-1], 0.1, ALPHA).low > 0
        missed += any(excludes(known, effect, 0.1) for known in read)
    assert found / 60 >= 0.9
    assert missed / 60 <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / 60)


def test_gain_equals_a_regression_with_an_intercept_per_day() -> None:
    """Independent reference: least squares, and the spread over repeated experiments."""
    generator = np.random.default_rng(13)
    gains, errors = [], []
    for _ in range(300):
        value, second, day, client = experiment(generator, a_day=12, share=0.3)
        found = estimate(value, second, day, client)
        columns = np.column_stack([second, np.eye(DAYS)[day]])
        expected = np.linalg.lstsq(columns, value, rcond=None)[0][0]
        assert found.gain == pytest.approx(expected, abs=1e-9)
        gains.append(found.gain)
        errors.append(found.error)
    assert np.mean(errors) == pytest.approx(np.std(gains), rel=0.1)


def test_error_accounts_for_returning_clients() -> None:
    generator = np.random.default_rng(14)
    gains, errors, unclustered = [], [], []
    for _ in range(300):
        value, second, day, client = experiment(generator, clients=60, a_day=60)
        found = estimate(value, second, day, client)
        gains.append(found.gain)
        errors.append(found.error)
        unclustered.append(estimate(value, second, day, np.arange(len(day))).error)
    assert np.mean(errors) == pytest.approx(np.std(gains), rel=0.15)
    assert np.mean(unclustered) < 0.7 * np.std(gains)


def test_records_of_one_client_and_day_are_one_observation() -> None:
    value, day = np.array([1.0, 3.0, 5.0, 0.0, 4.0]), np.zeros(5, dtype=np.int64)
    second = np.array([True, True, True, False, False])
    found = estimate(value, second, day, np.array([0, 0, 1, 2, 3]))
    assert found.gain == pytest.approx((2.0 + 5.0) / 2 - (0.0 + 4.0) / 2)
    assert (found.first, found.second) == (2, 2)


def test_shift_of_traffic_between_unlike_days_gives_no_gain() -> None:
    """The second entity gets most of the easier day: pooled means would differ by more than 0.5."""
    day = np.repeat([0, 1], 1000)
    second = np.where(day == 0, np.arange(2000) % 10 == 0, np.arange(2000) % 10 != 0)
    found = estimate(day * 1.0, second, day, np.arange(2000))
    assert found.gain == 0


@pytest.mark.parametrize("second", [[True, True], [False, True]], ids=["one side", "other days"])
def test_entities_without_a_shared_day_have_infinite_bounds(second: list[bool]) -> None:
    found = estimate(np.ones(2), np.array(second), np.arange(2), np.arange(2))
    assert np.isnan(found.gain)
    assert found.first == found.second == 0
    bounds = always_valid(found, 0.03, ALPHA)
    assert (bounds.low, bounds.high, bounds.p_value) == (-np.inf, np.inf, 1.0)


@pytest.mark.parametrize(("gain", "error"), [(0.05, 0.01), (-0.02, 0.03), (0.0, 0.5), (1.0, 0.3)])
def test_bounds_and_p_value_equal_the_integrated_likelihood_ratio(
    gain: float, error: float
) -> None:
    """Independent reference: the likelihood ratio, integrated over the mixing distribution."""
    expected = 0.04

    def ratio(null: float) -> float:
        def mixed(theta: float) -> float:
            return float(stats.norm.pdf(gain, theta, error) * stats.norm.pdf(theta, null, expected))

        peak = (gain / error**2 + null / expected**2) / (1 / error**2 + 1 / expected**2)
        width = 12 * (1 / error**2 + 1 / expected**2) ** -0.5
        whole, _ = integrate.quad(mixed, peak - width, peak + width)
        return float(whole / stats.norm.pdf(gain, null, error))

    bounds = always_valid(Estimate(gain, error, 100, 100), expected, ALPHA)
    assert bounds.p_value == pytest.approx(min(1.0, 1 / ratio(0.0)), rel=1e-6)
    for bound in (bounds.low, bounds.high):
        assert ratio(bound) == pytest.approx(1 / ALPHA, rel=1e-6)
    assert (bounds.low > 0 or bounds.high < 0) == (bounds.p_value < ALPHA)


def test_mismatch_equals_the_ratio_of_two_distributions() -> None:
    counts, shares = [[420, 80], [260, 240]], [[0.9, 0.1], [0.5, 0.5]]
    chances = [
        min(
            1.0,
            stats.multinomial.pmf(period, 500, expected)
            / stats.dirichlet_multinomial.pmf(period, np.multiply(100, expected), 500),
        )
        for period, expected in zip(counts, shares, strict=True)
    ]
    assert mismatch(counts[:1], shares[:1]) == pytest.approx(min(1.0, 2 * chances[0]))
    assert mismatch(counts, shares) == pytest.approx(min(1.0, 2 * chances[0], 6 * chances[1]))
    assert mismatch([[9, 1]], [[1.0, 0.0]]) == 0, "an entity without a share got a request"
    assert mismatch([[10, 0]], [[1.0, 0.0]]) == 1
    assert mismatch([], []) == 1


def test_daily_mismatch_keeps_the_false_alarm_rate() -> None:
    generator = np.random.default_rng(15)
    alarms = {0.1: 0, 0.13: 0}
    for true in alarms:
        for _ in range(EXPERIMENTS):
            daily = np.cumsum(generator.binomial(200, true, DAYS))
            alarms[true] += any(
                mismatch([[200 * day - there, there]], [[0.9, 0.1]]) < ALPHA
                for day, there in enumerate(daily.tolist(), 1)
            )
    assert alarms[0.1] / EXPERIMENTS <= ALPHA + 0.025
    assert alarms[0.13] / EXPERIMENTS > 0.9


@pytest.mark.parametrize("changes", [[0.5] * 20, [0.5, 1.0] * 6, np.arange(0.05, 1, 0.05)])
def test_clients_that_keep_their_route_raise_no_false_alarms_over_periods(
    changes: Sequence[float],
) -> None:
    """The same clients in every period, as the router treats them: 7 to 13 % before."""
    generator, alarms = np.random.default_rng(3), 0
    shares = [[1 - share, share] for share in map(float, changes)]
    for _ in range(400):
        place = generator.random(500)
        moved = [int((place < share).sum()) for _, share in shares]
        counts = [[500 - there, there] for there in moved]
        alarms += any(  # read after each period
            mismatch(counts[:last], shares[:last]) < ALPHA for last in range(1, len(shares) + 1)
        )
    assert alarms / 400 <= ALPHA


def test_many_clients_requesting_few_keys_raise_no_false_alarms() -> None:
    """Without a difference, and with ten keys: the losses of all clients are ten numbers."""
    generator = np.random.default_rng(16)
    alarms = 0
    for _ in range(EXPERIMENTS):
        loss = generator.normal(0, 0.5, 10)[generator.integers(10, size=900)]
        second = generator.random(900) < 0.3
        day = np.repeat(np.arange(DAYS), 30)
        data = loss, second, day, np.arange(900)
        alarms += any(excludes(found, 0.0, 0.3) for found, _ in looks(data))
    assert alarms / EXPERIMENTS <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / EXPERIMENTS)
