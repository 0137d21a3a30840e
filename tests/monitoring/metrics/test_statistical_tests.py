"""P-values, compared with SciPy, exact distributions and simulation."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support.samples import drift_row

from marvel_kedro.monitoring.metrics.statistical_tests import chi_squared_pvalue, ks_pvalue


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=5),
    st.lists(st.sampled_from("abcd"), min_size=3, max_size=5),
)
def test_chi_squared_p_value_uses_the_moments_over_all_permutations(
    these: list[str], those: list[str]
) -> None:
    """The reference assigns the rows of both sides in every possible way."""
    rows = np.array([*these, *those])
    places = set(range(len(rows)))
    permuted = [
        pearson(rows[list(some)], rows[list(places - set(some))])
        for some in itertools.combinations(places, len(these))
    ]
    test = drift_row(these, those, "category")["chi_squared_test"]
    mean, variance = np.mean(permuted), np.var(permuted)
    if variance < 1e-9:
        assert test["pvalue"] == 1.0
    else:
        reference = stats.gamma(mean**2 / variance, scale=variance / mean)
        assert test["pvalue"] == pytest.approx(
            reference.sf(pearson(np.array(these), np.array(those))), abs=1e-6
        )


def pearson(these: npt.NDArray[np.str_], those: npt.NDArray[np.str_]) -> float:
    names = np.union1d(these, those)
    table = [[np.sum(sample == name) for name in names] for sample in (these, those)]
    return float(stats.chi2_contingency(table, correction=False).statistic)


def test_chi_squared_p_value_of_frequent_categories_equals_scipy() -> None:
    counts = {"a": (300, 3000), "b": (200, 2500), "c": (100, 1200)}
    this, other = (
        [name for name, rows in counts.items() for _ in range(rows[side])] for side in (0, 1)
    )
    reference = stats.chi2_contingency(np.array(list(counts.values())), correction=False)
    found = drift_row(this, other, "category")["chi_squared_test"]["pvalue"]
    assert found == pytest.approx(reference.pvalue, abs=1e-3)


def test_chi_squared_p_value_of_rare_categories_has_nominal_false_alarm_rate() -> None:
    """2,000 windows without drift; the chi-squared distribution would report 17 % of them."""
    both = np.repeat([1, 2, 5, 10], [2000, 1500, 1000, 1000])
    rows, first = both.sum(), 1000
    second = rows - first
    drawn = np.random.default_rng(3).multivariate_hypergeometric(
        both, first, size=2000, method="marginals"
    )
    statistic = rows**2 / (first * second) * ((drawn**2 / both).sum(axis=1) - first**2 / rows)
    pvalue = chi_squared_pvalue(
        statistic,
        np.full(2000, first),
        np.full(2000, second),
        np.full(2000, len(both)),
        np.full(2000, np.sum(1 / both)),
    )
    # Three standard deviations about the nominal share.
    assert 0.035 < np.mean(pvalue <= 0.05) < 0.065
    assert np.mean(pvalue <= 0.005) < 0.01
    assert np.mean(stats.chi2.sf(statistic, len(both) - 1) <= 0.05) > 0.1


@pytest.mark.parametrize(
    ("statistic", "first", "second", "seen"),
    [(0.038, 941, 1192, 0.4228041687817168), (0.062, 1192, 1344, 0.014853915612309707)],
)
def test_ks_p_value_is_close_to_published_databricks_rows(
    statistic: float, first: int, second: int, seen: float
) -> None:
    """Rows of a drift table published by a user."""
    found = ks_pvalue(np.array([statistic]), np.array([first]), np.array([second]))
    assert found[0] == pytest.approx(seen, abs=3e-4)


@pytest.mark.parametrize("size", [40, 100, 280, 2000])
def test_ks_p_value_is_close_to_the_exact_distribution(size: int) -> None:
    statistic = np.linspace(0.3, 2.5, 23) / np.sqrt(size / 2)
    found = ks_pvalue(statistic, np.full(23, size), np.full(23, size))
    exact = stats.kstwo.sf(statistic, size // 2)
    assert np.abs(found - exact).max() < 1e-3
    assert found[exact > 0.01] == pytest.approx(exact[exact > 0.01], rel=0.05)
    # The uncorrected limit is further off.
    limit = stats.kstwobign.sf(statistic * np.sqrt(size / 2))
    assert np.abs(found - exact).max() < np.abs(limit - exact).max() / 10


def test_ks_p_value_of_tied_values_has_at_most_nominal_false_alarm_rate() -> None:
    """Without a difference at most 5 % of p-values are below 0.05; ties make them rarer."""
    generator = np.random.default_rng(3)
    draws = np.round(generator.normal(0, 1, (400, 2, 80)), 1)
    below = [
        drift_row(one.tolist(), other.tolist())["ks_test"]["pvalue"] < 0.05 for one, other in draws
    ]
    assert 0.01 < np.mean(below) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)
