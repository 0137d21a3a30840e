"""Holm's adjustment of p-values."""

import itertools
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.alert_metrics import DAY, NOW, TESTED, drift, drifts, evaluated, options

from marvel_kedro.monitoring.alerting import multiple_testing


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
def test_holm_equals_the_closed_test_of_bonferroni(pvalues: list[float]) -> None:
    adjusted = multiple_testing.holm(np.array(pvalues, dtype=np.float64))
    np.testing.assert_allclose(adjusted, closed_testing(pvalues), rtol=1e-12)


def test_holm_skips_missing_tests_and_matches_a_worked_example() -> None:
    pvalues = np.array([0.01, np.nan, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(multiple_testing.holm(pvalues), [0.03, np.nan, 0.06, 0.06, 0.02])


def test_rule_with_test_raises_false_alarms_at_rate_alpha_over_all_columns() -> None:
    # 2,000 days without drift, 11 columns: an unadjusted rule would fire on 43 % of them.
    generator = np.random.default_rng(3)
    rules = options(any=TESTED | {"threshold": 0})
    rows = [
        drift(day, f"c{column}", 0.2, ks_test={"statistic": 0.2, "pvalue": generator.random()})
        for day in range(2000)
        for column in range(11)
    ]
    alarmed = {
        row["since"] + number * DAY
        for row in evaluated(drifts(*rows), rules, NOW + 3000 * DAY)
        for number in range(row["windows_in_a_row"])
    }
    assert 0.03 < len(alarmed) / 2000 < 0.065  # three standard deviations above 0.05
